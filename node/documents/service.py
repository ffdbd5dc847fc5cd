"""Papers: printed once, kept encrypted, handed out again as the same bytes; a changed one replaces the one before.

`print_document` is the way for everybody. It has three steps, because drawing takes a tenth of a second and no
transaction waits for it:

1. look   the same facts were printed before: those bytes are handed out again
2. draw   a number, a verify code, the signed PDF; its file is written under its digest
3. keep   the row, the end of the one that it replaces, and the entry in the log, in one transaction

Verbs take a transaction or session of the caller and never commit.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from sqlmodel import Session

from node.audit.service import Entry
from node.documents import store
from node.documents.checking import DATA_MAX_BYTES, canonical, data_of, read_value, refusal_of
from node.documents.kinds import Kind
from node.documents.press import Press, PressFault, Signer
from node.documents.tables import Document
from node.documents.values import Paper
from node.storage.blobs import BlobDamaged, BlobMissing, Blobs
from node.storage.encryption import Vault, shard_key
from node.storage.unit_of_work import Database, Transaction
from protocol.claims import sha256
from protocol.errors import EditConflict, Internal, NotFound, Refusal, StorageFull
from protocol.identifiers import mask_name
from protocol.verify_codes import CODE_BYTES, base32, format_verify_code, parse_verify_code

__all__ = [
    "DATA_MAX_BYTES",
    "Asked",
    "City",
    "Documents",
    "Known",
    "Printed",
    "data_of",
    "list_documents",
    "look_up",
    "print_document",
    "read",
    "read_value",
    "refusal_of",
    "revoke",
    "state_of_printing",
]

SCHEMA: Final = "tongban/document/1"
SIZES: Final = ("normal", "large")
VALID: Final = store.VALID
REPLACED: Final = "replaced"
REVOKED: Final = "revoked"
OWNER: Final = "local"
BEIJING: Final = timezone(timedelta(hours=8))

Submit = Callable[[Callable[[Transaction], Any]], Awaitable[Any]]
"""Runs a work and returns its result after the commit (`Writer.submit`)."""
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs what blocks beside the event loop (`asyncio.to_thread`)."""


@dataclass(frozen=True, slots=True)
class City:
    """Who issues: member code and the names on papers."""

    code: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Documents:
    """What the verbs of this room need; made by the composition root."""

    press: Press
    blobs: Blobs
    vault: Vault
    city: City
    verify_url: str
    """papers are verified at VERIFY_URL/v/CODE"""
    signer: Callable[[], Signer | None]
    """None: the city's own seal service signs; raises a refusal where a signature cannot be made"""
    has_room: Callable[[], bool]
    now: Callable[[], datetime]
    random: Callable[[int], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A paper to be printed. `part` tells papers of one kind in a case apart: a letter number, a leg."""

    kind: Kind
    value: Paper = field(repr=False)
    case: str | None = None
    part: str = ""
    size: str = "normal"
    item: str | None = None
    person: tuple[str, str] | None = field(default=None, repr=False)
    """type and number of the document, for the access ledger"""
    actor: str = ""

    @property
    def facts(self) -> str:
        """Return the digest of what the paper says, without number, code and day."""
        said = [self.kind.name, self.part, self.size, data_of(self.value)]
        return hashlib.sha256(canonical(said)).hexdigest()


@dataclass(frozen=True, slots=True)
class Printed:
    """A paper and its bytes; `is_new` is False when it was printed before."""

    number: str
    code: str
    kind: str
    digest: str
    state: str
    issued_on: str
    pdf: bytes = field(repr=False)
    is_new: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """A paper whose file is written, and whose row is not."""

    asked: Asked
    number: str
    code: str
    issued_on: str
    replaces: str | None
    fingerprint: str
    pdf: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What anybody may know of a paper whose code he has: no more of the person than a masked name."""

    number: str
    kind: str
    city: City
    issued_on: str
    state: str
    replaced_by: str | None
    digest: str
    masked_name: str


def state_of_printing(room: Documents) -> tuple[tuple[str, ...], list[Refusal]]:
    """Return the fonts in use, and what stands in the way of printing: nothing when papers can be printed."""
    faults: list[Refusal] = []
    families: tuple[str, ...] = ()
    try:
        families = room.press.families()
    except PressFault as fault:
        faults.append(refusal_of(fault))
    if not families and not faults:
        faults.append(refusal_of(PressFault("no-font")))
    try:
        room.signer()
    except Refusal as refusal:
        faults.append(refusal)
    return families, faults


async def print_document(
    room: Documents, database: Database, submit: Submit, in_thread: InThread, asked: Asked
) -> Printed:
    """Print a paper, or hand out again what was printed of the same facts. Cost: 0.1 s where it is new.

    Raises:
        InvalidBody: a field holds a character that no font here draws.
        PrintingOff: no font, or no document certificate; other refusals say what is wrong with the certificate.
        EditConflict: another paper of this place in the case was printed meanwhile.
        StorageFull, Internal.
    """

    def made() -> Printed | Drawn:
        with database.reading() as session:
            before = standing(session, asked)
            if before is not None and before.facts == asked.facts:
                return _printed(before, _read(room, before), is_new=False)
            replaces = before.number if before is not None else None
        return draw(room, asked, replaces)

    drawn = await in_thread(made)
    if isinstance(drawn, Printed):
        return drawn
    kept: Printed | str = await submit(lambda transaction: keep(room, transaction, drawn))
    if isinstance(kept, Printed):
        return kept

    def again() -> Printed:
        with database.reading() as session:
            return read(room, session, kept)

    printed: Printed = await in_thread(again)
    return printed


def standing(session: Session, asked: Asked) -> Document | None:
    """Return the valid paper in the place of the one that is asked for; without a case there is none."""
    return store.valid(session, asked.case, asked.kind.name, asked.part, asked.size) if asked.case else None


def draw(room: Documents, asked: Asked, replaces: str | None) -> Drawn:
    """Draw and sign a paper under a new number, and write its file; a file without a row is harmless.

    Raises:
        As `print_document`.
    """
    if not room.has_room():
        raise StorageFull("the disk of papers is near its reserve")
    now, signer = room.now(), room.signer()
    issued_on = now.astimezone(BEIJING).date()
    number = f"WS{room.city.code}{issued_on:%Y%m%d}-{base32(room.random(5))}"
    code = format_verify_code(room.random(CODE_BYTES))
    try:
        paper = {
            "schema": SCHEMA,
            "kind": asked.kind.name,
            "number": number,
            "code": code,
            "verify_url": f"{room.verify_url}/v/{code}",
            "city": {"code": room.city.code, "name_zh": room.city.name_zh, "name_en": room.city.name_en},
            "issued_on": issued_on.isoformat(),
            "size": asked.size,
            "replaces": replaces,
            "form": room.press.form(),
            "data": data_of(asked.value),
        }
        pdf = room.press.print(json.dumps(paper, ensure_ascii=False, indent=1).encode(), signer, now)
    except PressFault as fault:
        raise refusal_of(fault) from None
    _write(room.blobs, pdf)
    fingerprint = sha256(signer.certificate) if signer is not None else ""
    return Drawn(asked, number, code, issued_on.isoformat(), replaces, fingerprint, pdf)


def keep(room: Documents, transaction: Transaction, drawn: Drawn) -> Printed | str:
    """Note a drawn paper; or return the number of the one that was printed of the same facts meanwhile.

    Raises:
        EditConflict: another one stands now, which this one does not say that it replaces.
    """
    session, asked, now = transaction.session, drawn.asked, room.now()
    before = standing(session, asked)
    if before is not None and before.facts == asked.facts:
        return before.number
    if before is not None and before.number != drawn.replaces:
        raise EditConflict("another paper of this kind was printed for the case meanwhile")
    if before is not None:
        store.end(session, before, REPLACED, now=now, replaced_by=drawn.number)
    row = _row(room, drawn, now)
    store.add(session, row)
    transaction.append(
        Entry(
            kind="print", dir="local", time=now, msg=asked.kind.name, request=sha256(drawn.pdf), item=asked.item,
            case=asked.case, actor=asked.actor or None, person=asked.person,
        )
    )  # fmt: skip
    return _printed(row, drawn.pdf, is_new=True)


def read(room: Documents, session: Session, number: str) -> Printed:
    """Return a printed paper again, the same bytes, whatever became of it.

    Raises:
        NotFound: no such number.
        Internal: its file is gone or damaged.
    """
    row = store.by_number(session, number)
    if row is None:
        raise NotFound("no paper of that number")
    return _printed(row, _read(room, row), is_new=False)


def list_documents(session: Session, case: str) -> list[dict[str, Any]]:
    """Return the papers of a case, in the order in which they were printed."""
    return [
        {
            "number": row.number, "kind": row.kind, "part": row.part, "size": row.size, "state": row.state,
            "replaced_by": row.replaced_by, "issued_on": row.issued_on, "digest": row.digest, "code": row.code,
        }
        for row in store.of_line(session, case)
    ]  # fmt: skip


def look_up(room: Documents, session: Session, code: str) -> Known:
    """Return what anybody may know of a paper by its verify code, as it was typed.

    Raises:
        NotFound: not a code of ours.
    """
    parsed = parse_verify_code(code)
    row = store.by_code(session, parsed) if parsed is not None else None
    if row is None:
        raise NotFound("no paper of that code")
    name = room.vault.decrypt(row.person, _context(row.number)).decode()
    return Known(row.number, row.kind, room.city, row.issued_on, row.state, row.replaced_by, row.digest, name)


def revoke(room: Documents, transaction: Transaction, number: str, *, reason: str, actor: str) -> None:
    """Declare a paper invalid.

    Raises:
        NotFound: no such number.
        EditConflict: it was replaced or revoked already.
    """
    row, now = store.by_number(transaction.session, number), room.now()
    if row is None:
        raise NotFound("no paper of that number")
    if not store.end(transaction.session, row, REVOKED, now=now, reason=reason[:300]):
        raise EditConflict(f"the paper is {row.state}")
    case = row.line if row.line != row.number else None
    transaction.append(Entry(kind="revoke", dir="local", time=now, msg=row.kind, case=case, actor=actor))


def _context(number: str) -> bytes:
    return f"document:{number}".encode()


def _row(room: Documents, drawn: Drawn, now: datetime) -> Document:
    asked = drawn.asked
    line = asked.case or drawn.number
    name = mask_name(asked.value.person.name)
    return Document(
        shard_key=shard_key(line), line=line, number=drawn.number, code=drawn.code, kind=asked.kind.name,
        part=asked.part, size=asked.size, facts=asked.facts, digest=hashlib.sha256(drawn.pdf).hexdigest(),
        length=len(drawn.pdf), issued_on=drawn.issued_on, fingerprint=drawn.fingerprint, state=VALID, reason="",
        person=room.vault.encrypt(name.encode(), _context(drawn.number)), printed_at=now,
    )  # fmt: skip


def _printed(row: Document, pdf: bytes, *, is_new: bool) -> Printed:
    return Printed(row.number, row.code, row.kind, row.digest, row.state, row.issued_on, pdf, is_new)


def _write(blobs: Blobs, pdf: bytes) -> None:
    with blobs.open_part(hashlib.sha256(pdf).hexdigest(), OWNER, len(pdf)) as part:
        part.append(pdf[part.stored :])
        part.finish()


def _read(room: Documents, row: Document) -> bytes:
    try:
        return b"".join(room.blobs.read(row.digest))
    except (BlobMissing, BlobDamaged):
        raise Internal("the file of a paper is missing or damaged") from None
