"""Queries of the cases' tables; nothing here commits."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.cases.tables import CaseCounter, CaseEventRow, CaseRequest, CaseRow
from node.storage.encryption import shard_key
from node.storage.prepared import Prepared
from node.storage.unit_of_work import Reading

NO_DUE = "9999-12-31"
BOXES = ("todo", "sent", "done")
WAITING_MAX = 1_000
"""proposals of one case that may wait for their places"""
_ADD_CASE = Prepared(insert(CaseRow))
_ADD_EVENT = Prepared(insert(CaseEventRow))
_CASE_COLUMNS = tuple(CaseRow.__table__.columns.keys())  # type: ignore[attr-defined]
_EVENT_COLUMNS = tuple(CaseEventRow.__table__.columns.keys())  # type: ignore[attr-defined]


_GROW = Prepared(
    update(CaseCounter)
    .where(col(CaseCounter.day) == bindparam("of_day"))
    .values(last=col(CaseCounter.last) + 1)
    .returning(col(CaseCounter.last)),
    "of_day",
)
_LOCKED = Prepared(
    select(*CaseRow.__table__.columns)  # type: ignore[attr-defined]
    .where(col(CaseRow.shard_key) == bindparam("of_shard"), col(CaseRow.number) == bindparam("of_number"))
    .with_for_update(),
    "of_shard", "of_number",
)  # fmt: skip
_EVENT = Prepared(
    select(*CaseEventRow.__table__.columns).where(  # type: ignore[attr-defined]
        col(CaseEventRow.shard_key) == bindparam("of_shard"),
        col(CaseEventRow.number) == bindparam("of_number"),
        col(CaseEventRow.jti) == bindparam("of_jti"),
    ),
    "of_shard", "of_number", "of_jti",
)  # fmt: skip
SET_RECEIPT = Prepared(
    update(CaseEventRow)
    .where(
        col(CaseEventRow.shard_key) == bindparam("of_shard"),
        col(CaseEventRow.number) == bindparam("of_number"),
        col(CaseEventRow.jti) == bindparam("of_jti"),
    )
    .values(receipt=bindparam("signed")),
    "of_shard", "of_number", "of_jti", "signed",
)  # fmt: skip
"""The other city's receipt beside our event: `(shard key, number, jti, statement)`."""


def next_sequence(session: Session, day: date) -> int:
    """Return the next sequence of a day's case numbers; a number whose transaction fails leaves a gap at most."""
    last = _GROW.rows(session, day)
    if not last:
        with suppress(IntegrityError), session.begin_nested():
            session.execute(insert(CaseCounter).values(day=day, last=0))
        last = _GROW.rows(session, day)
    return int(last[0][0])


def add_case(transaction: Reading, row: dict[str, Any]) -> None:
    """Insert a case, with the group."""
    transaction.add(_ADD_CASE, _in_order(_CASE_COLUMNS, row))


def add_event(session: Session, row: dict[str, Any]) -> None:
    """Insert an event."""
    _ADD_EVENT.one(session, *_in_order(_EVENT_COLUMNS, row))


def add_first_event(transaction: Reading, row: dict[str, Any]) -> None:
    """Insert the opening of a case, with the group."""
    transaction.add(_ADD_EVENT, _in_order(_EVENT_COLUMNS, row))


def _in_order(names: Sequence[str], row: dict[str, Any]) -> tuple[Any, ...]:
    given = {"shard_key": shard_key(row["number"]), **row}
    if given.keys() - set(names):
        raise KeyError(f"no such columns: {sorted(given.keys() - set(names))}")
    return tuple([given.get(name) for name in names])


def case(session: Session, number: str) -> CaseRow | None:
    """Return a case."""
    return session.execute(_case(number)).scalar_one_or_none()


def locked_case(session: Session, number: str) -> CaseRow | None:
    """Return a case, and let nobody else change it before this transaction ends."""
    return asked_case(session, number)()


def asked_case(session: Session, number: str) -> Callable[[], CaseRow | None]:
    """Lock a case as `locked_case` does; what is returned brings the row, so that more can be asked meanwhile."""
    fetch = _LOCKED.asked(session, shard_key(number), number)

    def row() -> CaseRow | None:
        found = fetch()
        return CaseRow(**dict(zip(_CASE_COLUMNS, found[0], strict=True))) if found else None

    return row


def _case(number: str) -> Any:
    return select(CaseRow).where(col(CaseRow.shard_key) == shard_key(number), col(CaseRow.number) == number)


def change_case(session: Session, row: CaseRow, **values: Any) -> None:
    """Change a case whose row is locked; the row in hand follows."""
    session.execute(
        update(CaseRow)
        .where(col(CaseRow.shard_key) == row.shard_key, col(CaseRow.number) == row.number)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    for name, value in values.items():
        setattr(row, name, value)


def event(session: Session, number: str, jti: str) -> CaseEventRow | None:
    """Return an event by the number of its message."""
    return asked_event(session, number, jti)()


def asked_event(session: Session, number: str, jti: str) -> Callable[[], CaseEventRow | None]:
    """Ask for an event; what is returned brings it, so that more can be asked meanwhile."""
    fetch = _EVENT.asked(session, shard_key(number), number, jti)

    def row() -> CaseEventRow | None:
        found = fetch()
        return CaseEventRow(**dict(zip(_EVENT_COLUMNS, found[0], strict=True))) if found else None

    return row


def change_event(session: Session, number: str, jti: str, **values: Any) -> None:
    """Change an event of a case whose row is locked."""
    session.execute(
        update(CaseEventRow)
        .where(
            col(CaseEventRow.shard_key) == shard_key(number),
            col(CaseEventRow.number) == number,
            col(CaseEventRow.jti) == jti,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def last_event(session: Session, number: str, event: str) -> CaseEventRow | None:
    """Return the last placed event of a name."""
    wanted = _events(number).where(col(CaseEventRow.event) == event, col(CaseEventRow.seq).is_not(None))
    return session.execute(wanted.order_by(col(CaseEventRow.seq).desc()).limit(1)).scalar_one_or_none()


def placed_events(session: Session, number: str, *, after: int, limit: int) -> Sequence[CaseEventRow]:
    """Return events that have their place, in order, after a sequence number."""
    wanted = _events(number).where(col(CaseEventRow.seq) > after).order_by(col(CaseEventRow.seq)).limit(limit)
    return list(session.execute(wanted).scalars())


def newest_events(session: Session, number: str, *, below: int | None, limit: int) -> Sequence[CaseEventRow]:
    """Return placed events, newest first, below a sequence number."""
    wanted = _events(number).where(col(CaseEventRow.seq).is_not(None)).order_by(col(CaseEventRow.seq).desc())
    if below is not None:
        wanted = wanted.where(col(CaseEventRow.seq) < below)
    return list(session.execute(wanted.limit(limit)).scalars())


def unplaced_events(session: Session, number: str) -> Sequence[CaseEventRow]:
    """Return our proposals that have no place yet, and those that were refused, oldest first."""
    wanted = _events(number).where(col(CaseEventRow.seq).is_(None)).order_by(col(CaseEventRow.recorded_at))
    return list(session.execute(wanted).scalars())


def _events(number: str) -> Any:
    return select(CaseEventRow).where(
        col(CaseEventRow.shard_key) == shard_key(number), col(CaseEventRow.number) == number
    )


def cases(
    session: Session,
    *,
    box: str | None = None,
    peer: str | None = None,
    item: str | None = None,
    state: str | None = None,
    due_until: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 50,
) -> list[CaseRow]:
    """Return a page of cases, by due day and number, after a (due_key, number); never an OFFSET.

    `due_until` is the last due day, included. Without `box` the pages of the three boxes are merged.
    """
    found: list[CaseRow] = []
    for one in (box,) if box else BOXES:
        query = select(CaseRow).where(col(CaseRow.box) == one)
        for column, value in ((CaseRow.peer, peer), (CaseRow.item, item), (CaseRow.state, state)):
            if value is not None:
                query = query.where(col(column) == value)
        if due_until is not None:
            query = query.where(col(CaseRow.due_key) <= due_until)
        if after is not None:
            query = query.where(tuple_(col(CaseRow.due_key), col(CaseRow.number)) > after)
        ordered = query.order_by(col(CaseRow.due_key), col(CaseRow.number)).limit(limit)
        found += session.execute(ordered).scalars()
    return sorted(found, key=lambda row: (row.due_key, row.number))[:limit]


def open_cases(session: Session, *, after: str, limit: int) -> list[CaseRow]:
    """Return cases that are not over, by number, after one: for work on all of them, some at a time."""
    wanted = (
        select(CaseRow)
        .where(col(CaseRow.number) > after, col(CaseRow.box) != "done")
        .order_by(col(CaseRow.number))
        .limit(limit)
    )
    return list(session.execute(wanted).scalars())


def every_case(session: Session, *, after: str, limit: int) -> list[CaseRow]:
    """Return cases by number, after one, open or not: for work on all of them, some at a time."""
    wanted = select(CaseRow).where(col(CaseRow.number) > after).order_by(col(CaseRow.number)).limit(limit)
    return list(session.execute(wanted).scalars())


def request_of(session: Session, key: str) -> CaseRequest | None:
    """Return what was done under an idempotency key."""
    return session.get(CaseRequest, (shard_key(key), key))


def keep_request(session: Session, row: dict[str, Any]) -> None:
    """Keep what was done under an idempotency key."""
    session.execute(insert(CaseRequest).values(shard_key=shard_key(row["key"]), **row))


def delete_requests(session: Session, *, before: datetime) -> int:
    """Forget idempotency keys used before a time; return how many."""
    result = session.execute(delete(CaseRequest).where(col(CaseRequest.at) < before))
    return int(getattr(result, "rowcount", 0))


def head_at(session: Session, number: str, seq: int) -> bytes:
    """Return the head after an event; empty before the opening."""
    wanted = select(col(CaseEventRow.head)).where(
        col(CaseEventRow.shard_key) == shard_key(number),
        col(CaseEventRow.number) == number,
        col(CaseEventRow.seq) == seq,
    )
    return bytes(session.execute(wanted).scalar_one_or_none() or b"")
