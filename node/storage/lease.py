"""Leadership by a lease row: holder, epoch, and an end by the clock of the database (assurance C26, C27).

A process that leads renews in time, and proves in *the same transaction* as each write that it still
leads: `check` locks the row `FOR SHARE`, so nobody takes over before that write is committed. A leader
that was frozen and wakes up finds a higher epoch and is refused, whatever its own clock says. SQLite has
one writer at a time, and needs no row lock for this.

    lease = acquire_or_renew(session, "worker", "node-1:4711", ttl_seconds=15)   # None: somebody else leads
    check(session, lease)                                                        # LeaseLost: stop
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.storage.tables import JobTick, LeaseRow

_CLOCKS = {
    "sqlite": text("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"),
    "postgresql": text("SELECT clock_timestamp()"),
}


class LeaseLost(RuntimeError):
    """Somebody else leads, or may do so by now; nothing of this transaction may be committed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leadership under a name; valid until `until` by the database's clock."""

    name: str
    holder: str
    epoch: int
    until: datetime


def database_time(session: Session) -> datetime:
    """Return the time of the database, aware UTC; one clock for all processes."""
    answer = session.execute(_CLOCKS[session.get_bind().dialect.name]).scalar_one()
    return datetime.fromisoformat(answer) if isinstance(answer, str) else answer.astimezone(UTC)


def acquire_or_renew(session: Session, name: str, holder: str, *, ttl_seconds: float) -> Lease | None:
    """Return the lease when `holder` has it now; None while it is another's.

    Taking over an ended lease raises the epoch, also when it was the holder's own: what was begun under
    the old one is fenced off.
    """
    now = database_time(session)
    until = now + timedelta(seconds=ttl_seconds)
    is_mine, is_over = col(LeaseRow.holder) == holder, col(LeaseRow.until) <= now
    take = (
        update(LeaseRow)
        .where(col(LeaseRow.name) == name, is_mine | is_over)
        .values(holder=holder, until=until, epoch=case((is_over, col(LeaseRow.epoch) + 1), else_=col(LeaseRow.epoch)))
        .returning(col(LeaseRow.epoch))
        .execution_options(synchronize_session=False)
    )
    epoch = session.execute(take).scalar_one_or_none()
    if epoch is not None:
        return Lease(name, holder, int(epoch), until)
    with suppress(IntegrityError), session.begin_nested():
        session.execute(insert(LeaseRow).values(name=name, holder=holder, epoch=1, until=until))
        return Lease(name, holder, 1, until)
    return None


def check(session: Session, lease: Lease) -> None:
    """Prove that `lease` still leads, and keep it so until this transaction ends.

    Raises:
        LeaseLost: taken over, given up, or over by the database's clock.
    """
    row = session.execute(
        select(col(LeaseRow.holder), col(LeaseRow.epoch), col(LeaseRow.until))
        .where(col(LeaseRow.name) == lease.name)
        .with_for_update(read=True)
    ).one_or_none()
    if row is None or (row[0], row[1]) != (lease.holder, lease.epoch):
        raise LeaseLost(f"the lease {lease.name} of epoch {lease.epoch} was taken over")
    if row[2] <= database_time(session):
        raise LeaseLost(f"the lease {lease.name} of epoch {lease.epoch} is over")


def give_up(session: Session, lease: Lease) -> None:
    """End a lease now, so that another need not wait; nothing when it is lost already."""
    session.execute(
        update(LeaseRow)
        .where(
            col(LeaseRow.name) == lease.name,
            col(LeaseRow.holder) == lease.holder,
            col(LeaseRow.epoch) == lease.epoch,
        )
        .values(until=database_time(session))
        .execution_options(synchronize_session=False)
    )


def claim_tick(session: Session, job: str, due_at: datetime) -> bool:
    """Take one due time of a job; True for exactly one caller, with its commit."""
    with suppress(IntegrityError), session.begin_nested():
        session.execute(insert(JobTick).values(job=job, due_at=due_at))
        return True
    return False


def delete_ticks(session: Session, *, before: datetime) -> int:
    """Delete the ticks that were due before a time; return how many."""
    result = session.execute(delete(JobTick).where(col(JobTick.due_at) < before))
    return int(getattr(result, "rowcount", 0))
