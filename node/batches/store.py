"""Queries of the batches' tables; nothing here commits."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session, col

from node.batches.tables import Batch, BatchFile, BatchOpening, BatchRow
from node.storage.encryption import shard_key
from node.storage.prepared import Prepared
from node.storage.unit_of_work import Transaction

WAITING: Final = "waiting"
RUNNING: Final = "running"
DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"
LISTED: Final = 50
_ADD_OPENING = Prepared(insert(BatchOpening))
_ADD_ROW = Prepared(insert(BatchRow))


def batch(session: Session, number: str) -> Batch | None:
    """Return a batch."""
    return session.get(Batch, number, populate_existing=True)


def newest(session: Session) -> Sequence[Batch]:
    """Return the newest fifty batches, the newest first."""
    return list(session.execute(select(Batch).order_by(col(Batch.created_at).desc()).limit(LISTED)).scalars())


def add_batch(session: Session, row: dict[str, Any]) -> None:
    """Insert a batch."""
    session.execute(insert(Batch).values(**row))


def change_batch(session: Session, number: str, **values: Any) -> None:
    """Change columns of a batch."""
    session.execute(update(Batch).where(col(Batch.id) == number).values(**values))


def keep_file(session: Session, number: str, content: bytes) -> None:
    """Keep the encrypted bytes of a batch."""
    drop_file(session, number)
    session.execute(insert(BatchFile).values(batch=number, content=content))


def drop_file(session: Session, number: str) -> None:
    """Forget the bytes of a batch."""
    session.execute(delete(BatchFile).where(col(BatchFile.batch) == number))


def file_of(session: Session, number: str) -> bytes | None:
    """Return the encrypted bytes of a batch."""
    found = session.execute(select(col(BatchFile.content)).where(col(BatchFile.batch) == number)).scalar_one_or_none()
    return bytes(found) if found is not None else None


def next_with_file(session: Session) -> Batch | None:
    """Return the oldest batch that waits or was cut, and whose bytes are here."""
    wanted = (
        select(Batch)
        .join(BatchFile, col(BatchFile.batch) == col(Batch.id))
        .where(col(Batch.state).in_((WAITING, RUNNING)))
        .order_by(col(Batch.created_at))
        .limit(1)
    )
    return session.execute(wanted).scalar_one_or_none()


def opened_places(session: Session, number: str) -> set[int]:
    """Return the places of the rows that have their case."""
    wanted = select(col(BatchRow.place)).where(*_of(number), col(BatchRow.number).is_not(None))
    return set(session.execute(wanted).scalars())


def openings(session: Session, contents: Iterable[bytes]) -> dict[bytes, str]:
    """Return the cases that were opened for contents, by content."""
    keys = set(contents)
    wanted = select(col(BatchOpening.content), col(BatchOpening.number)).where(
        col(BatchOpening.shard_key).in_({shard_key(one) for one in keys}), col(BatchOpening.content).in_(keys)
    )
    return {bytes(content): number for content, number in session.execute(wanted)}


def add_opening(transaction: Transaction, content: bytes, number: str) -> None:
    """Insert an opening, with the group; another process that was first makes the whole work run again."""
    transaction.add(_ADD_OPENING, (shard_key(content), content, number))


def replace_rows(
    transaction: Transaction, number: str, rows: Sequence[tuple[int, str, str | None, bool, str | None]]
) -> None:
    """Put rows (place, at, number, earlier, faults) in place of those that stood there."""
    places = [row[0] for row in rows]
    transaction.session.execute(delete(BatchRow).where(*_of(number), col(BatchRow.place).in_(places)))
    for row in rows:
        transaction.add(_ADD_ROW, (shard_key(number), number, *row))


def counts(session: Session, number: str) -> tuple[int, int, int, int]:
    """Return how many rows were looked at, have a case, have one from earlier, have faults."""
    wanted = select(
        func.count(),
        func.count(col(BatchRow.number)),
        func.count().filter(col(BatchRow.earlier)),
        func.count(col(BatchRow.faults)),
    ).where(*_of(number))
    looked, opened, earlier, faulty = session.execute(wanted).one()
    return int(looked), int(opened), int(earlier), int(faulty)


def rows_after(session: Session, number: str, *, after: int, limit: int, faulty: bool = False) -> Sequence[BatchRow]:
    """Return rows after a place, in the order of the file; with `faulty` only those."""
    wanted = select(BatchRow).where(*_of(number), col(BatchRow.place) > after)
    if faulty:
        wanted = wanted.where(col(BatchRow.faults).is_not(None))
    return list(session.execute(wanted.order_by(col(BatchRow.place)).limit(limit)).scalars())


def _of(number: str) -> tuple[Any, Any]:
    return col(BatchRow.shard_key) == shard_key(number), col(BatchRow.batch) == number
