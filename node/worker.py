"""Composition root of the scheduled work: APScheduler as a timer, in the lease holder only.

One process of a node holds the lease row (epoch-fenced, database clock); its in-memory timer ticks. A tick
claims its `(job, due_at)` row first, in a transaction that proves the lease, so that a job due once runs
once, and a process that was frozen while another took over runs none.
What every process does for itself (noticing changed files, manifests and CRLs) is not scheduled work and
runs in `watch`.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from node.app import Running
from node.attachments import jobs as attachments_jobs
from node.audit.service import LogDamaged, sign_checkpoint
from node.batches.jobs import run_waiting
from node.cases.jobs import CaseJobs
from node.exchange import store as exchange_store
from node.membership.managed import renew_crl_if_due
from node.storage.lease import Lease, LeaseLost, acquire_or_renew, check, claim_tick, delete_ticks, give_up
from node.storage.unit_of_work import Transaction

LEASE: Final = "worker"
LEASE_SECONDS: Final = 10
RENEW_SECONDS: Final = 3
"""Both together bound how long scheduled work stands still when its process dies: 13 s."""
WATCH_SECONDS: Final = 1.0
FOLDED_EVERY: Final = timedelta(seconds=20)
TICKS_KEPT: Final = timedelta(days=1)

logger = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of scheduled work."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]


def jobs_of(running: Running) -> list[Job]:
    """Return the scheduled work of a node."""
    node, log = running.node, running.node.log
    cases = CaseJobs(running.cases.room, running.writer)

    async def checkpoint() -> None:
        try:
            await asyncio.to_thread(sign_checkpoint, node.database, log, running.keyring.current.log, now=running.now())
        except LogDamaged as damage:
            logger.critical("log.damaged", finding=str(damage))

    async def forget_bodies() -> None:
        await running.writer.submit(lambda tx: exchange_store.delete_bodies(tx.session, now=running.now()))
        await running.writer.submit(lambda tx: delete_ticks(tx.session, before=running.now() - TICKS_KEPT))

    async def renew_crl() -> None:
        if node.settings.certs.mode == "managed":
            await asyncio.to_thread(
                renew_crl_if_due, node.settings.dirs.certs, passphrase=node.passphrase, now=running.now()
            )

    async def clean_attachments() -> None:
        await asyncio.to_thread(attachments_jobs.clean_up, node.attachments, node.database)

    async def scan_attachments() -> None:
        await asyncio.to_thread(attachments_jobs.scan_again, node.attachments, node.database)

    return [
        Job("checkpoint", timedelta(seconds=node.settings.log.checkpoint_seconds), checkpoint),
        Job("crl.poll", timedelta(seconds=30), running.catch_up.poll),
        Job("manifest.poll", timedelta(minutes=10), running.catch_up.poll_manifests),
        Job("documents.poll", timedelta(minutes=1), running.catch_up.poll_documents),
        Job("cases.times", timedelta(minutes=1), cases.count_times),
        Job("statistics.fold", FOLDED_EVERY, running.statistics.fold),
        Job("batches.run", timedelta(seconds=5), partial(run_waiting, running.batches)),
        Job("requests.forget", timedelta(hours=1), cases.forget_requests),
        Job("bodies.forget", timedelta(minutes=1), forget_bodies),
        Job("crl.renew", timedelta(hours=1), renew_crl),
        Job("attachments.clean", timedelta(hours=1), clean_attachments),
        Job("attachments.scan", timedelta(minutes=1), scan_attachments),
    ]


async def watch(running: Running, stopping: asyncio.Event) -> None:
    """Notice every second what other processes, commands and files have changed."""
    while not stopping.is_set():
        try:
            await running.refresh()
        except Exception:
            logger.exception("watch.failed")
        await _pause(stopping, WATCH_SECONDS)


async def work(running: Running, stopping: asyncio.Event) -> None:
    """Hold the lease when nobody else does, and run the timer while it is held."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    held: Lease | None = None
    scheduler: AsyncIOScheduler | None = None
    while not stopping.is_set():
        lease = await _lease(running, holder)
        if scheduler is not None and (lease is None or held is None or lease.epoch != held.epoch):
            logger.warning("lease.lost")
            scheduler.shutdown(wait=False)
            scheduler = None
        if lease is not None and scheduler is None:
            logger.info("lease.taken", epoch=lease.epoch)
            held, scheduler = lease, _timer(running, lease)
        await _pause(stopping, RENEW_SECONDS)
    if scheduler is not None and held is not None:
        scheduler.shutdown(wait=False)
        await _give_up(running, held)


async def _give_up(running: Running, lease: Lease) -> None:
    """Let the next process, or this one after its restart, begin at once."""
    try:
        await running.writer.submit(lambda tx: give_up(tx.session, lease))
    except Exception:
        logger.exception("lease.not_given_up")


async def _lease(running: Running, holder: str) -> Lease | None:
    def take(transaction: Transaction) -> Lease | None:
        return acquire_or_renew(transaction.session, LEASE, holder, ttl_seconds=LEASE_SECONDS)

    try:
        return await running.writer.submit(take)
    except Exception:
        logger.exception("lease.unavailable")
        return None


def _timer(running: Running, lease: Lease) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in jobs_of(running):
        scheduler.add_job(
            _tick,
            IntervalTrigger(seconds=int(job.every.total_seconds()), timezone="UTC"),
            args=(running, job, lease),
            id=job.name,
            max_instances=1,
            coalesce=True,
            next_run_time=running.now(),
        )
    scheduler.start()
    return scheduler


async def _tick(running: Running, job: Job, lease: Lease) -> None:
    due_at = _due(running.now(), job.every)

    def claim(transaction: Transaction) -> bool:
        check(transaction.session, lease)
        return claim_tick(transaction.session, job.name, due_at)

    try:
        if await running.writer.submit(claim):
            await job.run()
    except LeaseLost:
        logger.warning("job.fenced", job=job.name)
    except Exception:
        logger.exception("job.failed", job=job.name)


def _due(now: datetime, every: timedelta) -> datetime:
    """Return the beginning of the interval that `now` lies in: the same for every process."""
    seconds = int(every.total_seconds())
    return now.replace(microsecond=0) - timedelta(seconds=int(now.timestamp()) % seconds)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
