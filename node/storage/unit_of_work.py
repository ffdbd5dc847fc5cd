"""Unit of work with group commit: many works, one database transaction, one fsync.

A *work* is a function of a `Transaction`; it reads and writes through `transaction.session`, never
commits, and may append log entries and add rows. Works that wait share one transaction. When one of them
fails, all run again, each in a savepoint, so that one failure undoes itself alone. Then the log is extended
once, its lock taken last, the works whose entries stand in it are told their places, and the rows that they
added are written, all of one statement at once. A work's result is handed out only after the commit.

A *reading* is a work that only looks rows up by their keys, appends and adds: what an answered question
does. It names its look-ups beforehand, they are made once for the whole group, and it needs no savepoint,
for it has nothing to undo. Its `Reading` has no session, so it cannot write otherwise.

A work may run again: after a serialization failure or deadlock the whole group does (SQLSTATE 40001,
40P01; `SQLITE_BUSY`), and after a fault of one of them; after a unique violation that one work does. So
works change nothing but the database.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import stamina
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from node.failpoints import failpoint
from node.storage.engine import WRITING
from node.storage.lookups import Key, Lookup
from node.storage.prepared import Prepared, Row, one_journey

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


class Again(Exception):
    """Raised by a reading that must see what its own group commits: it runs in the next one."""


@dataclass(slots=True)
class Reading:
    """What a reading sees."""

    _session: Session
    _ahead: Mapping[Lookup, Mapping[Key, Row | None]] = field(default_factory=dict)
    _claimed: set[Hashable] = field(default_factory=set)
    pending: list[Pending] = field(default_factory=list)
    rows: list[tuple[Prepared, Row]] = field(default_factory=list)

    def find(self, lookup: Lookup, key: Key) -> Row | None:
        """Return the row of that key; from what the group looked up beforehand, else by a query of its own."""
        known = self._ahead.get(lookup)
        if known is None or key not in known:
            return lookup.rows(self._session, [key]).get(key)
        return known[key]

    def claim(self, key: Hashable) -> None:
        """Keep a key for this work alone as long as the group runs.

        Raises:
            Again: another work of the group has it.
        """
        if key in self._claimed:
            raise Again
        self._claimed.add(key)

    def append(self, entry: Any, then: Callable[[Session, Place], None] | None = None) -> None:
        """Append an entry of the audit room; it is part of this work's effect."""
        self.pending.append(Pending(entry, then))

    def add(self, statement: Prepared, row: Row) -> None:
        """Write a row at the end of the group, by an insert or a change by key; `then` of an entry may do so too."""
        self.rows.append((statement, row))


@dataclass(slots=True)
class Transaction(Reading):
    """What any other work sees: a reading's view, and a session to write through."""

    @property
    def session(self) -> Session:
        """Return the session; it is never committed by a work."""
        return self._session


Work = Callable[[Transaction], T]
CloseGroup = Callable[[Session, Sequence[Pending]], None]
"""Extends the log with the entries of a group; given by the audit room."""


Ahead = Sequence[tuple[Lookup, Key]]
"""What a reading will look up."""


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """A work on its way; `ahead` makes it a reading."""

    work: Callable[[Any], T]
    done: Callable[[T | None, BaseException | None], None]
    ahead: Ahead | None = None
    value: T | None = None
    fault: BaseException | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Database:
    """An engine and the way its groups end: what rooms receive to read and write."""

    engine: Engine
    close_group: CloseGroup
    writing: Engine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep the engine in its writing form."""
        object.__setattr__(self, "writing", self.engine.execution_options(**{WRITING: True}))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session for reading; nothing is ever committed through it."""
        with Session(self.engine) as session:
            yield session

    def write(self, work: Work[T]) -> T:
        """Run one work in its own transaction and return its result after the commit (CLI, jobs)."""
        job: Job[T] = Job(work, lambda value, fault: None)
        settle_all(self, [job])
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


def run_group(database: Database, jobs: list[Job[Any]]) -> list[Job[Any]]:
    """Run jobs in one transaction; results and faults are final for all but those returned.

    Returned jobs lost against a unique row of another process and want to run again.
    """
    for attempt in stamina.retry_context(
        on=is_transient, attempts=ATTEMPTS, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05, timeout=20
    ):
        with attempt:
            return _one_transaction(database, jobs)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _one_transaction(database: Database, jobs: list[Job[Any]]) -> list[Job[Any]]:
    # The connection is the group's, not the session's, so that it is still there when its journey ends.
    with database.writing.connect() as connection, Session(connection, autoflush=False) as session:
        if jobs[0].ahead is None:
            return _committed(database, session, jobs, _works(session, jobs))
        with one_journey(connection):
            return _committed(database, session, jobs, _readings(session, jobs))


def _committed(database: Database, session: Session, jobs: list[Job[Any]], done: Sequence[Reading]) -> list[Job[Any]]:
    """End the group: log, rows, commit; return the jobs that must run again."""
    again = [job for job in jobs if _runs_again(job)]
    failpoint("group.before_log")
    if not done:
        session.rollback()
        return again
    with _spoiling():
        _close(database, session, done)
        failpoint("commit.before")
        session.commit()
    failpoint("commit.after")
    return again


@contextmanager
def _spoiling() -> Iterator[None]:
    """Turn into `_Spoiled` what is wrong with one work's entry or rows; it may show no earlier than at the commit."""
    try:
        yield
    except Exception as fault:
        if is_transient(fault) or is_unavailable(fault):
            raise
        raise _Spoiled from fault


def _runs_again(job: Job[Any]) -> bool:
    return isinstance(job.fault, Again) or (isinstance(job.fault, IntegrityError) and job.attempts < ATTEMPTS)


def _close(database: Database, session: Session, done: Sequence[Reading]) -> None:
    database.close_group(session, [pending for one in done for pending in one.pending])
    rows: dict[Prepared, list[Row]] = {}
    for one in done:
        for statement, row in one.rows:
            rows.setdefault(statement, []).append(row)
    for statement, added in rows.items():
        statement.many(session, added)
    session.flush()


def _works(session: Session, jobs: list[Job[Any]]) -> list[Reading]:
    """Run works without savepoints, which cost two statements each; when one fails, all again, each in its own."""
    done = _run_works(session, jobs, apart=False)
    if len(done) == len(jobs) or len(jobs) == 1:
        return done
    session.rollback()
    return _run_works(session, jobs, apart=True)


def _run_works(session: Session, jobs: list[Job[Any]], *, apart: bool) -> list[Reading]:
    done: list[Reading] = []
    for job in jobs:
        transaction = Transaction(session)
        job.attempts += apart or len(jobs) == 1
        job.value = job.fault = None
        try:
            with session.begin_nested() if apart else nullcontext():
                job.value = job.work(transaction)
                session.flush()
            done.append(transaction)
        except Exception as fault:
            if is_transient(fault) or is_unavailable(fault):
                raise
            job.value, job.fault = None, fault
            session.expunge_all()
            if not apart:
                return done
    return done


def _readings(session: Session, jobs: list[Job[Any]]) -> list[Reading]:
    keys: dict[Lookup, set[Key]] = {}
    for job in jobs:
        for lookup, key in job.ahead or ():
            keys.setdefault(lookup, set()).add(key)
    asked = {lookup: lookup.asked(session, list(wanted)) for lookup, wanted in keys.items()}
    ahead = {lookup: _complete(fetch(), keys[lookup]) for lookup, fetch in asked.items()}
    claimed: set[Hashable] = set()
    done: list[Reading] = []
    for job in jobs:
        reading = Reading(session, ahead, claimed)
        job.attempts += 1
        job.value = job.fault = None
        try:
            job.value = job.work(reading)
            done.append(reading)
        except Exception as fault:
            if isinstance(fault, DBAPIError):
                # PostgreSQL does nothing more in this transaction; alone, each work finds out about itself.
                raise fault if is_transient(fault) or is_unavailable(fault) else _Spoiled from fault
            job.fault = fault
    return done


def _complete(found: Mapping[Key, Row], wanted: set[Key]) -> dict[Key, Row | None]:
    return {key: found.get(key) for key in wanted}


def settle_all(database: Database, jobs: list[Job[Any]]) -> None:
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


def _settle_each(database: Database, jobs: list[Job[Any]]) -> None:
    for job in jobs:
        settle_all(database, [job])


def _blame(jobs: list[Job[Any]], fault: BaseException) -> list[Job[Any]]:
    """Give a fault to each job, and return those that may run again: they lost a unique row after their work."""
    for job in jobs:
        job.value, job.fault = None, fault
    return [job for job in jobs if _runs_again(job)]
