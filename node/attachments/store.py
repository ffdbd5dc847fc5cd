"""Queries of the attachments' tables; nothing here commits."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, or_, select, tuple_, update
from sqlmodel import Session, col

from node.attachments.tables import Attachment, AttachmentUse
from node.storage.encryption import shard_key

_IS_USED = (
    select(AttachmentUse)
    .where(
        col(AttachmentUse.shard_key) == col(Attachment.shard_key),
        col(AttachmentUse.digest) == col(Attachment.digest),
    )
    .exists()
)


def find(session: Session, digest: str, uploader: str) -> Attachment | None:
    """Return what an uploader brought under a digest."""
    return session.get(Attachment, (shard_key(digest), digest, uploader))


def add(session: Session, *, digest: str, uploader: str, size: int, type: str, state: str, now: datetime) -> None:
    """Insert an upload that begins."""
    row = Attachment(
        shard_key=shard_key(digest), digest=digest, uploader=uploader, size=size, type=type, state=state, begun_at=now
    )
    session.add(row)
    session.flush()


def hold(session: Session, digests: Iterable[str], uploader: str, state: str) -> dict[str, Attachment]:
    """Return the rows of an uploader in a state, by digest; until the transaction ends nobody deletes them."""
    rows = session.execute(_of(digests, uploader, state).with_for_update(read=True))
    return {row.digest: row for row in rows.scalars()}


def in_state(session: Session, digests: Iterable[str], uploader: str, state: str) -> dict[str, Attachment]:
    """Return the rows of an uploader in a state, by digest."""
    return {row.digest: row for row in session.execute(_of(digests, uploader, state)).scalars()}


def used_in(session: Session, digests: Iterable[str], number: str, state: str) -> dict[str, Attachment]:
    """Return what a case names already, by digest: of those who brought it, the first."""
    query = (
        select(Attachment)
        .join(
            AttachmentUse,
            and_(
                col(AttachmentUse.shard_key) == col(Attachment.shard_key),
                col(AttachmentUse.digest) == col(Attachment.digest),
            ),
        )
        .where(col(AttachmentUse.case_number) == number, _has(state), _any_of(digests))
        .order_by(col(Attachment.uploader).desc())
    )
    return {row.digest: row for row in session.execute(query).scalars()}


def add_use(session: Session, digests: Iterable[str], number: str, now: datetime) -> None:
    """Insert that a case names attachments; it does so only once."""
    for digest in digests:
        key = shard_key(digest)
        if session.get(AttachmentUse, (key, digest, number)) is None:
            session.add(AttachmentUse(shard_key=key, digest=digest, case_number=number, used_at=now))
    session.flush()


def cases_naming(session: Session, digest: str) -> list[str]:
    """Return the cases that name an attachment."""
    query = select(col(AttachmentUse.case_number)).where(
        col(AttachmentUse.shard_key) == shard_key(digest), col(AttachmentUse.digest) == digest
    )
    return list(session.execute(query.order_by(col(AttachmentUse.case_number))).scalars())


def named_by(session: Session, number: str, state: str) -> list[Attachment]:
    """Return what a case names, each attachment once."""
    digests = session.execute(select(col(AttachmentUse.digest)).where(col(AttachmentUse.case_number) == number))
    found = used_in(session, digests.scalars().all(), number, state)
    return [found[digest] for digest in sorted(found)]


def any_in_state(session: Session, digest: str, state: str) -> Attachment | None:
    """Return what anybody brought under a digest, in a state."""
    query = select(Attachment).where(
        col(Attachment.shard_key) == shard_key(digest), col(Attachment.digest) == digest, _has(state)
    )
    return session.execute(query.order_by(col(Attachment.uploader)).limit(1)).scalars().first()


def unused_bytes(session: Session, uploader: str, *, least: int, but: str) -> int:
    """Return the size of what an uploader brought, begun or whole, and no case names; each counts `least` at least.

    The digest `but` is not counted.
    """
    counted = case((col(Attachment.size) < least, least), else_=col(Attachment.size))
    query = select(func.coalesce(func.sum(counted), 0)).where(
        col(Attachment.uploader) == uploader, col(Attachment.digest) != but, ~_IS_USED
    )
    return int(session.execute(query).scalar_one())


def old_and_unused(session: Session, *, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Lock rows begun, and completed, before a moment, that no case names; return digest and uploader.

    A row that a transaction is just naming for a case is passed over. Whether the others are named must be asked
    again under the lock: `delete_unused` does.
    """
    query = (
        select(Attachment)
        .where(
            col(Attachment.begun_at) < before,
            or_(col(Attachment.completed_at).is_(None), col(Attachment.completed_at) < before),
            ~_IS_USED,
        )
        .order_by(col(Attachment.begun_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row.digest, row.uploader) for row in session.execute(query).scalars()]


def delete_unused(session: Session, digest: str, uploader: str) -> bool:
    """Delete a row unless a case names it; say whether it is gone."""
    gone = session.execute(delete(Attachment).where(_is(digest, uploader), ~_IS_USED))
    return bool(getattr(gone, "rowcount", 0))


def known(session: Session, digests: Sequence[str], but_state: str) -> set[tuple[str, str, str]]:
    """Return digest, uploader and state of all rows of some digests, rows in one state apart."""
    query = select(col(Attachment.digest), col(Attachment.uploader), col(Attachment.state))
    found = session.execute(query.where(_any_of(digests), col(Attachment.state) != but_state))
    return {(row[0], row[1], row[2]) for row in found}


def waiting(session: Session, state: str, limit: int) -> Sequence[Attachment]:
    """Return rows in a state, the oldest first; those looked at longest ago before others."""
    query = select(Attachment).where(_has(state))
    ordered = query.order_by(
        col(Attachment.scanned_at).is_not(None), col(Attachment.scanned_at), col(Attachment.begun_at)
    )
    return session.execute(ordered.limit(limit)).scalars().all()


def set_begun(session: Session, digest: str, uploader: str, *, size: int, type: str, now: datetime) -> None:
    """Note that an upload goes on, as it announces itself now."""
    session.execute(update(Attachment).where(_is(digest, uploader)).values(size=size, type=type, begun_at=now))


def set_state(session: Session, digest: str, uploader: str, state: str, **times: datetime) -> bool:
    """Note the state of a whole attachment, `completed_at` and `scanned_at` as given; False when the row is gone."""
    found = session.execute(update(Attachment).where(_is(digest, uploader)).values(state=state, **times))
    return bool(getattr(found, "rowcount", 0))


def delete_in_state(session: Session, digest: str, uploader: str, state: str) -> None:
    """Delete a row in a state."""
    session.execute(delete(Attachment).where(_is(digest, uploader), _has(state)))


def _is(digest: str, uploader: str) -> ColumnElement[bool]:
    key = shard_key(digest)
    return and_(
        col(Attachment.shard_key) == key, col(Attachment.digest) == digest, col(Attachment.uploader) == uploader
    )


def _has(state: str) -> ColumnElement[bool]:
    return col(Attachment.state) == state


def _any_of(digests: Iterable[str]) -> ColumnElement[bool]:
    keys = [(shard_key(one), one) for one in digests]
    return tuple_(col(Attachment.shard_key), col(Attachment.digest)).in_(keys)


def _of(digests: Iterable[str], uploader: str, state: str) -> Select[Attachment]:
    return select(Attachment).where(_any_of(digests), col(Attachment.uploader) == uploader, _has(state))
