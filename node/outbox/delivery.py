"""Delivery: claims what is due in the outbox, sends it, and settles what comes back (protocol §5.2).

Every process that does scheduled work may deliver; leases and fences keep them apart. A peer that does not answer is
paused as a whole, so it costs one attempt at a time and delays nobody else. `Peers` is the one way out: post a
message, put an attachment.

What a reply means:

    receipt                                     delivered
    a refusal that stands in the peer's log     refused: its final answer
    retry `auto`, `cure`                        later; `Retry-After` is honoured
    retry `no`                                  dead: people must act
    unsigned, unverified, or nothing            unknown: later, and by `again` where the text can no longer pass
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from node.exchange.service import Exchanged, Exchanging
from node.failpoints import failpoint
from node.outbox.service import LAST_SECONDS, STALE, Claimed, Outbox, Settled
from node.storage.unit_of_work import Transaction
from node.storage.writer import Writer
from node.transport.client import NoAnswer
from protocol.errors import (
    AttachmentMissing,
    CertificateExpired,
    CertificateRevoked,
    Internal,
    Problem,
    Refusal,
    Retry,
    Stale,
    UnknownCertificate,
)
from protocol.messages import REPLY_OF

BATCH: Final = 64
PER_PEER: Final = 16
"""messages to one peer at a time: with those that wait for a turn, questions still find a place in the client's lane"""
SHARE: Final = 3
"""the same while messages went to another peer within `SHARING_SECONDS`: a backlog must not make them wait"""
SHARING_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.25
GATHER_SECONDS: Final = 0.005
"""While messages are under way, so long is waited for others to be claimed together with the next."""
SECONDS: Final = 20.0
INTERNAL_ATTEMPTS: Final = 50
ENDED: Final = (CertificateExpired, CertificateRevoked, UnknownCertificate)

logger = structlog.get_logger("delivery")


@dataclass(slots=True)
class Delivery:
    """Sends for one process."""

    outbox: Outbox
    writer: Writer
    exchanging: Exchanging
    complete: Callable[[Claimed, Problem], Awaitable[bool]]
    """brings attachments that the peer lacks; False when that did not succeed now"""
    poll_seconds: float = POLL_SECONDS
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _open: Counter[str] = field(default_factory=Counter)
    _last: dict[str, float] = field(default_factory=dict)
    """when a peer was last written to"""
    _silent: frozenset[str] = frozenset()
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def hint(self) -> None:
        """Look at the outbox soon; may be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until the process stops; what is under way is finished."""
        self._loop = asyncio.get_running_loop()
        while not stopping.is_set():
            if self._tasks:
                await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            try:
                found = await self._round()
            except Exception:
                logger.exception("outbox.round_failed")
                found = 0
            if not found:
                await self._rest(stopping)
        self._loop = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SECONDS)

    async def _rest(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (self._wake, stopping)]
        await asyncio.wait(waits, timeout=self.poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()

    async def _round(self) -> int:
        """Claim what is due and begin to send it; return how many."""
        limit = BATCH - sum(self._open.values())
        if limit <= 0:
            return 0
        under_way, share = dict(self._open), self._share()

        def claim(transaction: Transaction) -> tuple[list[Claimed], frozenset[str]]:
            return self.outbox.claim(transaction, under_way=under_way, per_peer=share, limit=limit)

        claimed, self._silent = await self.writer.submit(claim)
        for one in claimed:
            self._open[one.peer] += 1
            self._last[one.peer] = asyncio.get_running_loop().time()
            task = asyncio.get_running_loop().create_task(self._send(one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    def _share(self) -> int:
        """Return how many messages one peer may have under way: fewer while others are written to as well."""
        now = asyncio.get_running_loop().time()
        self._last = {peer: at for peer, at in self._last.items() if at > now - SHARING_SECONDS}
        return PER_PEER if len(self._last) < 2 else SHARE

    async def _send(self, claimed: Claimed) -> None:
        try:
            await self._attempt(claimed)
        except Exception:
            # The lease ends by itself, and the message is tried again.
            logger.exception("outbox.attempt_failed", peer=claimed.peer)
        finally:
            self._open[claimed.peer] -= 1
            self._wake.set()

    async def _attempt(self, claimed: Claimed) -> None:
        # 1 a text that can no longer pass   2 send   3 settle
        failpoint("outbox.claimed")
        current = await self._passable(claimed)  # 1
        if current is None:
            return
        try:
            exchanged = await self.exchanging.send(current.peer, current.message, seconds=SECONDS)  # 2
        except Refusal as refusal:  # nothing was sent: no member now, or our key store is away
            await self._later(current, _own_problem(refusal), refusal.detail)
        except NoAnswer as missing:
            await self._unanswered(current, missing)
        else:
            failpoint("outbox.answered")
            await self._answered(current, exchanged)  # 3

    async def _passable(self, claimed: Claimed) -> Claimed | None:
        """Return the message, renewed where its text ends or its certificate does; None when it has been settled."""
        try:
            self.exchanging.check_own(claimed.message)
            is_over = claimed.expires_at - LAST_SECONDS <= self.outbox.now()
        except ENDED:
            is_over = True
        if not is_over:
            return claimed
        if claimed.is_unknown:
            return await self.writer.submit(lambda transaction: self.outbox.renewed(transaction, claimed))
        await self._settle(Settled(claimed, "dead", slug=STALE, detail="the message ended before it arrived"))
        return None

    async def _answered(self, claimed: Claimed, exchanged: Exchanged) -> None:
        reply, problem = exchanged.reply, exchanged.problem
        if claimed.peer in self._silent:
            await self.writer.submit(lambda transaction: self.outbox.peer_answered(transaction, claimed.peer))
        if reply is not None and reply.claims.msg == REPLY_OF[claimed.msg]:
            await self._settle(Settled(claimed, "delivered", reply))
        elif reply is not None and reply.claims.log is not None and problem is not None:
            await self._settle(Settled(claimed, "refused", reply, problem.slug, problem.detail))
        elif reply is None or problem is None:
            await self._later(claimed, None, problem.slug if problem else "an answer that proves nothing")
        else:
            await self._refused(claimed, problem, exchanged.retry_after_seconds)

    async def _refused(self, claimed: Claimed, problem: Problem, after: int | None) -> None:
        known = problem.known
        if known is AttachmentMissing and await self.complete(claimed, problem):
            await self._later(claimed, problem, problem.slug, after=timedelta(0))
        elif known is Stale and claimed.is_unknown and claimed.expires_at <= self.outbox.now():
            await self._later(claimed, problem, problem.detail, after=timedelta(0))
        elif _is_final(problem, claimed.attempts):
            await self._settle(Settled(claimed, "dead", slug=problem.slug, detail=problem.detail))
        else:
            pause = timedelta(seconds=after) if after is not None else None
            await self._later(claimed, problem, problem.detail, after=pause)

    async def _unanswered(self, claimed: Claimed, missing: NoAnswer) -> None:
        await self._later(claimed, None, missing.detail or missing.reason, after=timedelta(0))
        if missing.reason != "crowded":
            reason = missing.reason
            await self.writer.submit(lambda transaction: self.outbox.peer_silent(transaction, claimed.peer, reason))

    async def _later(
        self, claimed: Claimed, problem: Problem | None, detail: str, *, after: timedelta | None = None
    ) -> None:
        retry = problem.known.retry if problem and problem.known else None
        pause = self.outbox.pause_after(claimed.attempts, retry) if after is None else after
        await self.writer.submit(
            lambda transaction: self.outbox.postpone(transaction, claimed, problem, after=pause, detail=detail)
        )

    async def _settle(self, settled: Settled) -> None:
        failpoint("outbox.before_settle")
        await self.writer.submit(lambda transaction: self.outbox.settle(transaction, settled))
        failpoint("outbox.settled")


def _is_final(problem: Problem, attempts: int) -> bool:
    """Say whether people must act before the message can pass."""
    known = problem.known
    return known is not None and (known.retry is Retry.NO or (known is Internal and attempts >= INTERNAL_ATTEMPTS))


def _own_problem(refusal: Refusal) -> Problem:
    return Problem(refusal.slug, refusal.status, refusal.detail, "", type(refusal))
