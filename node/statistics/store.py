"""Queries of statistics; nothing here commits."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import case, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.statistics.reckoning import (
    Change,
    Counted,
    CountKey,
    OpenKey,
    Span,
    Sums,
    Told,
    format_parts,
    format_running,
    format_standing,
    parse_parts,
    parse_running,
    parse_standing,
)
from node.statistics.tables import CountedCase, CountRow, FoldRow, OpenRow, ToldRow
from node.storage.encryption import shard_key
from node.storage.prepared import Prepared
from node.storage.unit_of_work import Reading

FOLD: Final = "fold"
ASKED_AT_ONCE: Final = 400
"""cases in one look-up: SQLite takes at most 32,766 values in a statement"""
_COUNT_KEYS: Final = tuple(CountKey._fields)
_OPEN_KEYS: Final = tuple(OpenKey._fields)
_TELL: Final = Prepared(insert(ToldRow))


def _growing(table: Any, *summed: str, replaced: Sequence[str] = ()) -> Prepared:
    """Return an insert that adds to the row that has the key already, or replaces columns of it.

    The words are PostgreSQL's, and SQLite's too.
    """
    fresh = insert(table)
    columns = table.__table__.columns
    sums = {name: columns[name] + fresh.excluded[name] for name in summed}
    changed = {name: fresh.excluded[name] for name in replaced}
    keys = list(table.__table__.primary_key.columns)
    return Prepared(fresh.on_conflict_do_update(index_elements=keys, set_={**sums, **changed}))


_ADD_TO_COUNTS: Final = _growing(CountRow, *Sums._fields)
_ADD_TO_OPEN: Final = _growing(OpenRow, "n")
_PLACE_CASES: Final = _growing(CountedCase, replaced=("seq", "standing"))


def tell(transaction: Reading, told: Told) -> None:
    """Write what an event tells, with the group."""
    row = (shard_key(told.number), told.number, told.seq, told.again, told.item, told.accepting, told.responsible)
    transaction.add(_TELL, (*row, told.day, format_parts(told.parts), format_running(told)))


def times_told(session: Session, number: str, seq: int) -> int:
    """Return how often that event of a case stands among what waits to be folded."""
    wanted = select(func.count()).where(
        col(ToldRow.shard_key) == shard_key(number), col(ToldRow.number) == number, col(ToldRow.seq) == seq
    )
    return int(session.execute(wanted).scalar_one())


def locked_fold(session: Session) -> FoldRow:
    """Return the row of the fold, and let nobody else fold before this transaction ends."""
    wanted = (
        select(FoldRow).where(col(FoldRow.name) == FOLD).with_for_update().execution_options(populate_existing=True)
    )
    row: FoldRow | None = session.execute(wanted).scalar_one_or_none()
    while row is None:
        with suppress(IntegrityError), session.begin_nested():
            session.execute(insert(FoldRow).values(name=FOLD))
        row = session.execute(wanted).scalar_one_or_none()
    return row


def fold_state(session: Session) -> tuple[datetime | None, str | None]:
    """Return as of when the sums are, and where a rebuild stands."""
    row = session.execute(select(FoldRow.as_of, FoldRow.rebuilt_to).where(col(FoldRow.name) == FOLD)).one_or_none()  # type: ignore[call-overload]
    return (row[0], row[1]) if row is not None else (None, None)


def set_fold(session: Session, **values: Any) -> None:
    """Change the row of the fold, which is locked."""
    session.execute(
        update(FoldRow).where(col(FoldRow.name) == FOLD).values(**values).execution_options(synchronize_session=False)
    )


def take_told(session: Session, limit: int) -> list[Told]:
    """Take what was told, whole cases in the order of their events, and remove it."""
    key = (col(ToldRow.shard_key), col(ToldRow.number), col(ToldRow.seq), col(ToldRow.again))
    first = select(*key).order_by(*key).limit(limit)
    table: Any = ToldRow.__table__  # type: ignore[attr-defined]
    taken = session.execute(delete(table).where(tuple_(*key).in_(first)).returning(*table.columns))
    return [_told(row) for row in taken]


def _told(row: Any) -> Told:
    is_open, running = parse_running(row.standing)
    return Told(
        row.number,
        row.seq,
        row.item,
        row.accepting,
        row.responsible,
        row.day,
        parse_parts(row.parts),
        is_open,
        running,
        row.again,
    )


def counted_cases(session: Session, numbers: Iterable[str]) -> dict[str, Counted]:
    """Return how cases are counted; those that are not have no place in it."""
    wanted = sorted({(shard_key(one), one) for one in numbers})
    found: dict[str, Counted] = {}
    for first in range(0, len(wanted), ASKED_AT_ONCE):
        some = tuple_(col(CountedCase.shard_key), col(CountedCase.number)).in_(wanted[first : first + ASKED_AT_ONCE])
        rows = session.execute(
            select(col(CountedCase.number), col(CountedCase.seq), col(CountedCase.standing)).where(some)
        )
        found |= {number: Counted(seq, parse_standing(standing)) for number, seq, standing in rows}
    return found


def apply(session: Session, change: Change) -> None:
    """Write what a fold changes; the row of the fold is locked, so nobody else writes here."""
    _ADD_TO_COUNTS.many(session, [(*key, *sums) for key, sums in sorted(change.counts.items())])
    _ADD_TO_OPEN.many(session, [(*key, n) for key, n in sorted(change.opens.items())])
    cases = [(shard_key(number), number, to.seq, format_standing(to.standing)) for number, to in change.cases.items()]
    _PLACE_CASES.many(session, sorted(cases))


def delete_empty(session: Session) -> None:
    """Forget due days on which no case stands any more."""
    session.execute(delete(OpenRow).where(col(OpenRow.n) == 0))


def clear(session: Session) -> None:
    """Forget all sums; what was told and waits stays."""
    for table in (CountRow, OpenRow, CountedCase):
        session.execute(delete(table))


def counts(session: Session, span: Span, matching: Mapping[str, str]) -> list[Any]:
    """Return the sums of a span by all but the day: key without span and day, then `Sums`."""
    keys = [getattr(CountRow, name) for name in _COUNT_KEYS[2:]]
    query = select(*keys, *(func.sum(getattr(CountRow, name)) for name in Sums._fields)).where(
        col(CountRow.span) == span.name, col(CountRow.day) >= span.first, col(CountRow.day) <= span.last
    )
    return list(session.execute(_matching(query, CountRow, matching).group_by(*keys)))


def opens(session: Session, today: date, soon: date, matching: Mapping[str, str]) -> list[Any]:
    """Return how many cases are open, due soon and overdue: the columns of `OpenKey` without the day, then these."""
    keys = [getattr(OpenRow, name) for name in _OPEN_KEYS[1:]]
    due, n = col(OpenRow.due_on), col(OpenRow.n)
    is_soon = (due >= today) & (due <= soon)
    sums = [func.sum(n), *(func.sum(case((when, n), else_=0)) for when in (is_soon, due < today))]
    return list(session.execute(_matching(select(*keys, *sums), OpenRow, matching).group_by(*keys)))


def _matching(query: Any, table: Any, matching: Mapping[str, str]) -> Any:
    for name, value in matching.items():
        query = query.where(getattr(table, name) == value)
    return query
