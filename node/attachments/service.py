"""Attachments: what was brought, by whom, in which state, and which case names it.

States of a row::

    partial --> complete            every byte is here, digest and type are right, and it was examined or need not be
        `-----> held --> complete   here, but not examined yet, or the examination failed: it counts as missing
                    `--> refused    the examination refused it; the bytes are deleted, the row says so for 7 days

A digest is no secret and no permission: an attachment counts for a member only if that member brought it itself, or
if the case in question names it already. What a case names is never cleaned away.

Verbs take a transaction or session of the caller and never commit. Files are written by `receiving.py`, deleted by
`cleaning.py`, sent and fetched by `sending.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from node.attachments import media, store
from node.attachments.scanning import Scan
from node.attachments.tables import Attachment
from node.storage.blobs import BlobDamaged, BlobMissing, Blobs
from node.storage.unit_of_work import Transaction
from protocol.errors import AttachmentMissing, Busy, Internal, InvalidBody, NotFound, StorageFull, TooLarge

LOCAL: Final = "local"
"""The uploader of what this city's own people and systems bring."""
PARTIAL: Final = "partial"
COMPLETE: Final = "complete"
HELD: Final = "held"
REFUSED: Final = "refused"
LEAST_BYTES: Final = 64 * 1024
"""What an attachment counts at least in a member's quota, so that the number of rows has a limit too."""
DISK_PERCENT: Final = 95
"""From this use of the disk on no attachment is taken (assurance, what happens when a disk fills)."""

MayRead = Callable[[Session, str, str], bool]
"""Says whether a member may read the attachment of a digest: it is a party of a case that names it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes: one attachment, what a member has here without a case, and what must stay free on the disk."""

    attachment_bytes: int
    unused_bytes: int
    reserve_bytes: int


@dataclass(frozen=True, slots=True)
class Attachments:
    """What the verbs of this room need; made by the composition root."""

    blobs: Blobs
    limits: Limits
    disk: Callable[[], tuple[int, int]]
    """bytes used and free on the disk of attachments"""
    scan: Scan | None
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload as it announces itself: digest in hex, size in bytes, media type; `by` is a member, or `LOCAL`."""

    digest: str
    size: int
    type: str
    by: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How an upload stands: its state, and how many bytes are safely here."""

    state: str
    stored: int
    size: int


@dataclass(frozen=True, slots=True)
class Described:
    """An attachment that is complete here, as a message lists it."""

    sha256: str
    size: int
    type: str


def begin(room: Attachments, transaction: Transaction, upload: Upload) -> str:
    """Open an upload, or go on with one, before a byte is taken; return its state: only `partial` takes bytes.

    Raises:
        InvalidBody: a type that is not accepted, or an attachment that was refused.
        TooLarge: it, or with it what this member has here without a case.
        StorageFull: the disk would go below its reserve.
    """
    # 1 type   2 size   3 what is known of it   4 disk   5 quota   6 row
    session, limits = transaction.session, room.limits
    media.check_declared(upload.type)  # 1
    if not 1 <= upload.size <= limits.attachment_bytes:  # 2
        raise TooLarge(f"an attachment has 1 to {limits.attachment_bytes} bytes", limit_bytes=limits.attachment_bytes)
    known = store.find(session, upload.digest, upload.by)  # 3
    if known is not None and known.state == REFUSED:
        raise refused_by_scan()
    if known is not None and known.state != PARTIAL:
        return known.state
    _check_disk(room, upload.size)  # 4
    if upload.by != LOCAL:  # 5
        _check_quota(session, limits, upload)
    if known is None:  # 6
        store.add(
            session,
            digest=upload.digest, uploader=upload.by, size=upload.size, type=upload.type, state=PARTIAL, now=room.now(),
        )  # fmt: skip
    else:
        store.set_begun(session, upload.digest, upload.by, size=upload.size, type=upload.type, now=room.now())
    return PARTIAL


def settle(room: Attachments, transaction: Transaction, upload: Upload, state: str, *, scanned: bool) -> None:
    """Note that every byte is here, and in which state that is.

    Raises:
        Busy: the upload was cleaned away meanwhile; it must come again.
    """
    times = {"scanned_at": room.now()} if scanned else {}
    if state == COMPLETE or not scanned:
        times["completed_at"] = room.now()
    if not store.set_state(transaction.session, upload.digest, upload.by, state, **times):
        raise Busy("the upload was cleaned away meanwhile")


def forget(transaction: Transaction, upload: Upload) -> None:
    """Delete the row of an upload that did not hold what it promised."""
    store.delete_in_state(transaction.session, upload.digest, upload.by, PARTIAL)


def progress(room: Attachments, session: Session, digest: str, by: str) -> Progress:
    """Return how an upload of a member stands; those of others do not exist for it.

    Raises:
        NotFound: no such upload.
    """
    row = store.find(session, digest, by)
    if row is None:
        raise NotFound()
    stored = room.blobs.offset(digest, by, row.size) if row.state == PARTIAL else row.size
    return Progress(row.state, stored, row.size)


def missing(session: Session, digests: Sequence[str], *, by: str, case: str = "") -> list[str]:
    """Return which attachments are not complete here: brought by `by`, or named already by the case."""
    found = store.in_state(session, digests, by, COMPLETE)
    left = [one for one in digests if one not in found]
    named = store.used_in(session, left, case, COMPLETE) if left and case else {}
    return [one for one in left if one not in named]


def describe(session: Session, digests: Sequence[str], *, by: str, case: str = "") -> list[Described]:
    """Return size and type of attachments, in the order of `digests`; they count as in `missing`.

    Raises:
        AttachmentMissing: some are not complete here; all of them are listed.
    """
    found = store.in_state(session, digests, by, COMPLETE) if digests else {}
    return _all_of(session, digests, found, by=by, case=case)


def use(room: Attachments, transaction: Transaction, digests: Sequence[str], case: str, *, by: str) -> list[Described]:
    """Name attachments for a case: from the commit on nothing cleans them away. They count as in `missing`.

    Size and type are returned so that what a message says about them can be compared.

    Raises:
        AttachmentMissing: some are not complete here; all of them are listed, and those held apart.
    """
    session = transaction.session
    found = store.hold(session, digests, by, COMPLETE)
    described = _all_of(session, digests, found, by=by, case=case)
    store.add_use(session, dict.fromkeys(digests), case, room.now())
    return described


def cases_naming(session: Session, digest: str) -> list[str]:
    """Return the numbers of the cases that name an attachment."""
    return store.cases_naming(session, digest)


def named_by(session: Session, case: str) -> list[Described]:
    """Return what a case names, each attachment once."""
    return [_described(row) for row in store.named_by(session, case, COMPLETE)]


def whole(session: Session, digest: str, member: str, may_read: MayRead) -> Described:
    """Return a complete attachment for a party of a case that names it.

    Raises:
        NotFound: there is none, or it is none of this member's business.
    """
    row = store.any_in_state(session, digest, COMPLETE)
    if row is None or not may_read(session, digest, member):
        raise NotFound()
    return _described(row)


def open_stream(room: Attachments, one: Described, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Return the bytes of a complete attachment, or of a range, in pieces of at most 1 MiB.

    Raises:
        Internal: its file is gone or damaged; damage that shows later ends the iterator with an error.
    """
    try:
        is_right = room.blobs.size(one.sha256) == one.size
    except (BlobMissing, BlobDamaged):
        is_right = False
    if not is_right:
        raise Internal("the file of an attachment is missing or damaged")
    return room.blobs.read(one.sha256, start, stop)


def refused_by_scan() -> InvalidBody:
    """Return the refusal of an attachment that the examination refused."""
    return InvalidBody(
        "the examination of attachments at this city refused the content", fields=[{"at": "content", "rule": "refused"}]
    )


def _all_of(
    session: Session, digests: Sequence[str], found: dict[str, Attachment], *, by: str, case: str
) -> list[Described]:
    left = [one for one in digests if one not in found]
    if left and case:
        found = store.used_in(session, left, case, COMPLETE) | found
        left = [one for one in left if one not in found]
    if left:
        held = sorted(store.in_state(session, left, by, HELD))
        raise AttachmentMissing(
            f"{len(left)} attachments are not complete here, {len(held)} of them not examined yet",
            digests=sorted(set(left)),
            held=held,
        )
    return [_described(found[one]) for one in digests]


def _described(row: Attachment) -> Described:
    return Described(row.digest, row.size, row.type)


def _check_disk(room: Attachments, size: int) -> None:
    used, free = room.disk()
    if free - size < room.limits.reserve_bytes or 100 * (used + size) >= DISK_PERCENT * (used + free):
        raise StorageFull("the disk of attachments is near its reserve")


def _check_quota(session: Session, limits: Limits, upload: Upload) -> None:
    """Two processes that look at the same moment may let one attachment too many pass; the next look sees both."""
    here = store.unused_bytes(session, upload.by, least=LEAST_BYTES, but=upload.digest)
    if here + max(upload.size, LEAST_BYTES) > limits.unused_bytes:
        raise TooLarge(
            f"attachments that no case names may take {limits.unused_bytes} bytes together",
            limit_bytes=limits.unused_bytes,
        )
