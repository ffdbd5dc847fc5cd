"""Queries of the log's tables; nothing here commits."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, bindparam, cast, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.audit.tables import LogCheckpoint, LogEntry, LogHead, LogOpening, LogTile
from node.storage.prepared import Prepared
from protocol.log import HASH_BYTES

BATCH = 2_048
"""Rows that are read at once: some 2 MB of entries, 8 MB at most."""

_GROW = Prepared(
    update(LogHead)
    .where(col(LogHead.origin) == bindparam("origin"))
    .values(size=col(LogHead.size) + bindparam("count"))
    .returning(col(LogHead.size)),
    "origin",
    "count",
)
_ADD_ENTRIES = Prepared(insert(LogEntry))
_ADD_OPENINGS = Prepared(insert(LogOpening))
# Data that somebody has changed by hand may be text for SQLite, which is to be found, not stumbled over.
_ENTRIES = Prepared(
    select(col(LogEntry.index), cast(col(LogEntry.data), LargeBinary), cast(col(LogEntry.leaf), LargeBinary))
    .where(col(LogEntry.index) >= bindparam("start"), col(LogEntry.index) < bindparam("stop"))
    .order_by(col(LogEntry.index)),
    "start",
    "stop",
)


def extend_head(session: Session, origin: str, count: int) -> int:
    """Lock the head, add `count`, and return the index of the first new entry."""
    grown = _GROW.rows(session, origin, count)
    if not grown:
        # The very first entry of this origin: two processes may both get here, and one of them waits for the other.
        with suppress(IntegrityError), session.begin_nested():
            session.execute(insert(LogHead).values(origin=origin, size=0))
        grown = _GROW.rows(session, origin, count)
    return int(grown[0][0]) - count


def lock_head(session: Session, origin: str) -> None:
    """Let no other transaction extend the log or sign it before this one ends."""
    session.execute(select(col(LogHead.size)).where(col(LogHead.origin) == origin).with_for_update())


def insert_entries(session: Session, entries: Sequence[tuple[Any, ...]], openings: Sequence[tuple[int, bytes]]) -> None:
    """Insert entries, each with all columns of `LogEntry` in their order, and the openings of those with a subject."""
    _ADD_ENTRIES.many(session, entries)
    _ADD_OPENINGS.many(session, openings)


def size_of(session: Session, origin: str) -> int:
    """Return how many entries are committed."""
    return session.execute(select(col(LogHead.size)).where(col(LogHead.origin) == origin)).scalar_one_or_none() or 0


def entry_at(session: Session, index: int) -> LogEntry | None:
    """Return one entry."""
    return session.get(LogEntry, index)


def opening_of(session: Session, index: int) -> bytes | None:
    """Return the opening of an entry's subject, while it exists."""
    return session.execute(select(col(LogOpening.opening)).where(col(LogOpening.index) == index)).scalar_one_or_none()


def entries_from(session: Session, start: int, end: int) -> Iterator[list[tuple[int, bytes, bytes]]]:
    """Yield (index, data, leaf) in order from `start` up to, not including, `end`, some at a time: bounded memory."""
    for first in range(start, end, BATCH):
        yield _ENTRIES.rows(session, first, min(first + BATCH, end))


def beyond_head(session: Session, origin: str) -> int | None:
    """Return the index of the first entry that the head does not count: none, whoever appends meanwhile."""
    # One statement, so that both are seen at one moment.
    counted = func.coalesce(select(col(LogHead.size)).where(col(LogHead.origin) == origin).scalar_subquery(), 0)
    first: int | None = session.execute(
        select(func.min(col(LogEntry.index))).where(col(LogEntry.index) >= counted)
    ).scalar_one()
    return first


def leaves(session: Session, start: int, count: int) -> bytes:
    """Return `count` leaf hashes from `start`, one after the other."""
    rows = session.execute(
        select(col(LogEntry.leaf))
        .where(col(LogEntry.index) >= start, col(LogEntry.index) < start + count)
        .order_by(col(LogEntry.index))
    ).scalars()
    return b"".join(rows)


def search(
    session: Session,
    *,
    peer: str | None = None,
    item: str | None = None,
    kind: str | None = None,
    actor: str | None = None,
    subject_index: bytes | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    below: int | None = None,
    limit: int = 50,
) -> list[LogEntry]:
    """Return matching entries, newest first, below an index (keyset paging)."""
    query = select(LogEntry).order_by(col(LogEntry.index).desc()).limit(limit)
    wanted = {"peer": peer, "item": item, "kind": kind, "actor": actor, "subject_index": subject_index}
    for name, value in wanted.items():
        if value is not None:
            query = query.where(col(getattr(LogEntry, name)) == value)
    if since is not None:
        query = query.where(col(LogEntry.time) >= since)
    if until is not None:
        query = query.where(col(LogEntry.time) < until)
    if below is not None:
        query = query.where(col(LogEntry.index) < below)
    return list(session.execute(query).scalars())


def newest_checkpoint(session: Session, origin: str) -> LogCheckpoint | None:
    """Return the newest signed checkpoint."""
    newest = (
        select(LogCheckpoint)
        .where(col(LogCheckpoint.origin) == origin)
        .order_by(col(LogCheckpoint.size).desc())
        .limit(1)
    )
    return session.execute(newest).scalar_one_or_none()


def checkpoints(session: Session, origin: str, *, up_to: int) -> Iterator[LogCheckpoint]:
    """Yield all checkpoints of at most that size, the smallest first, in bounded memory."""
    above = -1
    while True:
        page = (
            select(LogCheckpoint)
            .where(col(LogCheckpoint.origin) == origin)
            .where(col(LogCheckpoint.size) > above, col(LogCheckpoint.size) <= up_to)
            .order_by(col(LogCheckpoint.size))
            .limit(BATCH)
        )
        rows = list(session.execute(page).scalars())
        if not rows:
            return
        yield from rows
        above = rows[-1].size


def extend_tile(session: Session, origin: str, level: int, number: int, hashes: bytes) -> None:
    """Append hashes to a tile, which is made when it does not exist."""
    tile = session.get(LogTile, (origin, level, number))
    if tile is None:
        session.add(LogTile(origin=origin, level=level, number=number, data=hashes))
    else:
        tile.data = tile.data + hashes
        session.add(tile)


def tile(session: Session, origin: str, level: int, number: int, width: int) -> bytes:
    """Return the first `width` hashes of a tile; fewer when the tile is shorter."""
    if level == 0:
        return leaves(session, number * 256, width)
    data = session.execute(
        select(col(LogTile.data)).where(
            col(LogTile.origin) == origin, col(LogTile.level) == level, col(LogTile.number) == number
        )
    ).scalar_one_or_none()
    return (data or b"")[: width * HASH_BYTES]


def delete_openings(session: Session, subject_index: bytes) -> int:
    """Delete the openings of a person's entries; every proof stays whole."""
    concerned = select(col(LogEntry.index)).where(col(LogEntry.subject_index) == subject_index)
    result = session.execute(delete(LogOpening).where(col(LogOpening.index).in_(concerned)))
    return int(getattr(result, "rowcount", 0))
