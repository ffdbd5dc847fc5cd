"""Unit of work with group commit: many works, one database transaction, one fsync.

A *work* is a function of a `Transaction`; it reads and writes through `transaction.session`, never
commits, and may append log entries. All works that wait when the writer comes round share one
transaction: each in a savepoint, so that one failure undoes itself alone. Then the log is extended
once, its lock taken last, and the works whose entries stand in it are told their places. A work's
result is handed out only after the commit.

A work may run again: after a serialization failure or deadlock the whole group does (SQLSTATE 40001,
40P01; `SQLITE_BUSY`), after a unique violation that one work does. So works change nothing but the database.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import stamina
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from node.failpoints import failpoint
from node.storage.engine import WRITING
from protocol.errors import Busy, StorageFull

GROUP_MAX: Final = 256
ATTEMPTS: Final = 8
RETRIED_STATES: Final = frozenset({"40001", "40P01", "55P03"})
AWAY_STATES: Final = frozenset({"25006", "25P03"})
"""Not errors of a connection for the driver, and yet no fault of the work: read-only standby, idle too long."""
FULL_STATE: Final = "53100"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: known inside the transaction, final with its commit."""

    origin: str
    index: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry that waits for its index; `then` is called with the place, inside the transaction."""

    entry: Any
    then: Callable[[Session, Place], None] | None


@dataclass(slots=True)
class Transaction:
    """What a work sees. `append` puts an entry into the log at the end of the group."""

    session: Session
    pending: list[Pending] = field(default_factory=list)

    def append(self, entry: Any, then: Callable[[Session, Place], None] | None = None) -> None:
        """Append an entry of the audit room; it is part of this work's effect."""
        self.pending.append(Pending(entry, then))


Work = Callable[[Transaction], T]
CloseGroup = Callable[[Session, Sequence[Pending]], None]
"""Extends the log with the entries of a group; given by the audit room."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Work[T]
    done: Callable[[T | None, BaseException | None], None]
    value: T | None = None
    fault: BaseException | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Database:
    """An engine and the way its groups end: what rooms receive to read and write."""

    engine: Engine
    close_group: CloseGroup

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session for reading; nothing is ever committed through it."""
        with Session(self.engine) as session:
            yield session

    def write(self, work: Work[T]) -> T:
        """Run one work in its own transaction and return its result after the commit (CLI, jobs)."""
        job: _Job[T] = _Job(work, lambda value, fault: None)
        _settle_all(self, [job])
        if job.fault is not None:
            raise job.fault
        return job.value  # type: ignore[return-value]


def is_transient(fault: BaseException) -> bool:
    """Say whether the same transaction may pass when it runs again."""
    if not isinstance(fault, DBAPIError) or isinstance(fault, IntegrityError):
        return False
    state = getattr(fault.orig, "sqlstate", None)
    return state in RETRIED_STATES or "database is locked" in str(fault.orig)


def is_unavailable(fault: BaseException) -> bool:
    """Say whether the database itself is away, or takes nothing more: no work of the group can pass now."""
    if isinstance(fault, OperationalError | InterfaceError | PoolTimeout):
        return True
    return isinstance(fault, DBAPIError) and getattr(fault.orig, "sqlstate", None) in AWAY_STATES


def is_full(fault: BaseException) -> bool:
    """Say whether the database found no room on its disk."""
    if not isinstance(fault, OperationalError):
        return False
    return getattr(fault.orig, "sqlstate", None) == FULL_STATE or "disk is full" in str(fault.orig)


class _Spoiled(Exception):
    """An entry could not be appended, or its `then` failed: nothing was committed; the cause says why."""


def run_group(database: Database, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
    """Run jobs in one transaction; results and faults are final for all but those returned.

    Returned jobs lost against a unique row of another process and want to run again.
    """
    for attempt in stamina.retry_context(
        on=is_transient, attempts=ATTEMPTS, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05, timeout=20
    ):
        with attempt:
            return _one_transaction(database, jobs)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _one_transaction(database: Database, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
    again: list[_Job[Any]] = []
    with Session(database.engine.execution_options(**{WRITING: True}), autoflush=False) as session:
        pending: list[Pending] = []
        for job in jobs:
            pending += _one_job(session, job, alone=len(jobs) == 1)
            if isinstance(job.fault, IntegrityError) and job.attempts < ATTEMPTS:
                again.append(job)
        failpoint("group.before_log")
        if len(jobs) == 1 and jobs[0].fault is not None:
            session.rollback()
            return again
        _close(database, session, pending)
        failpoint("commit.before")
        session.commit()
        failpoint("commit.after")
    return again


def _close(database: Database, session: Session, pending: list[Pending]) -> None:
    try:
        database.close_group(session, pending)
        session.flush()
    except Exception as fault:
        if is_transient(fault) or is_unavailable(fault):
            raise
        raise _Spoiled from fault


def _one_job(session: Session, job: _Job[Any], *, alone: bool) -> list[Pending]:
    transaction = Transaction(session)
    job.attempts += 1
    job.value = job.fault = None
    try:
        with nullcontext() if alone else session.begin_nested():
            job.value = job.work(transaction)
            session.flush()
    except Exception as fault:
        if is_transient(fault) or is_unavailable(fault):
            raise
        job.value, job.fault = None, fault
        session.expunge_all()
        return []
    return transaction.pending


def _settle_all(database: Database, jobs: list[_Job[Any]]) -> None:
    """Run jobs until each is settled and told so; those of a spoiled group run one by one, to find the culprit."""
    while jobs:
        try:
            again = run_group(database, jobs)
        except _Spoiled as spoiled:
            if len(jobs) > 1:
                return _settle_each(database, jobs)
            again = _blame(jobs, spoiled.__cause__ or spoiled)
        except Exception as fault:
            again = _blame(jobs, fault)
        for job in jobs:
            if job not in again:
                job.done(job.value, job.fault)
        jobs = again


def _settle_each(database: Database, jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        _settle_all(database, [job])


def _blame(jobs: list[_Job[Any]], fault: BaseException) -> list[_Job[Any]]:
    """Give a fault to each job, and return those that may run again: they lost a unique row after their work."""
    for job in jobs:
        job.value, job.fault = None, fault
    return [job for job in jobs if isinstance(fault, IntegrityError) and job.attempts < ATTEMPTS]


class Writer:
    """The single writer of a process: a thread that commits in groups what coroutines submit."""

    def __init__(self, database: Database, *, queue_max: int = 2_000) -> None:
        """`queue_max`: works that may wait; one more is refused with `busy`."""
        self._database = database
        self._queue: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._queue_max = queue_max
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread; what is submitted from now on is refused."""
        self._stopping = True
        self._queue.put(None)
        self._thread.join(timeout=30)

    async def submit(self, work: Work[T]) -> T:
        """Return the result of `work` after its commit.

        Raises:
            Busy: too many works wait, this process is stopping, or the database is away.
            StorageFull: its disk is full.
            What the work raised; nothing of it is stored then.
        """
        if self._stopping:
            raise Busy("this node is stopping", retry_after_seconds=5)
        if self._queue.qsize() >= self._queue_max:
            raise Busy("too many requests are waiting", retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def done(value: T | None, fault: BaseException | None) -> None:
            # A caller whose loop has ended is told nothing, and must not end the writer of the others.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, value, fault)

        self._queue.put(_Job(work, done))
        return await future

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            jobs = [job]
            stopping = self._gather(jobs)
            _settle_all(self._database, jobs)
            if stopping:
                return

    def _gather(self, jobs: list[_Job[Any]]) -> bool:
        while len(jobs) < GROUP_MAX:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return False
            if job is None:
                return True
            jobs.append(job)
        return False


def _settle(future: "asyncio.Future[Any]", value: Any, fault: BaseException | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(value)
    else:
        future.set_exception(_outward(fault))


def _outward(fault: BaseException) -> BaseException:
    if is_full(fault):
        return StorageFull("the disk of the database is full")
    return Busy("the database is away") if is_unavailable(fault) else fault
