"""Membership: which manifest is in force, which CRLs and certificates are known, and how they arrive.

Every change is a row, a log entry and a step of the trust generation in one transaction; `TrustKeeper`
gives the current `Trust` to everybody, and replaces it whole when the generation has moved.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlmodel import Session

from node.audit.service import Entry
from node.exchange.service import Asking, Question, RefusedByPeer
from node.membership import store
from node.storage.unit_of_work import Database, Transaction
from node.transport.client import NoAnswer
from protocol.certificates import Certificate, CrlInvalid, Purpose, parse_certificate, parse_crl
from protocol.claims import sha256
from protocol.deadlines import Calendar, CalendarInvalid, Calendars, parse_calendar
from protocol.envelope import Trust
from protocol.errors import Malformed, NotFound, Refusal, TooLarge, UnknownCertificate
from protocol.manifest import Manifest, accept_genesis, accept_next, reread
from protocol.messages import Ping, Pong, format_body

DOCUMENT_MAX_BYTES: Final = 1024 * 1024
CALENDAR_NAME: Final = re.compile(r"calendar-[0-9]{4}")


def found_network(transaction: Transaction, data: bytes, *, digest: str, now: datetime) -> Manifest:
    """Bring the genesis manifest into force at this node.

    Raises:
        ManifestRefused: not the genesis with that digest, signed by all founders.
    """
    manifest = accept_genesis(data, digest=digest)
    _keep_manifest(transaction, manifest, now=now)
    return manifest


def accept_version(transaction: Transaction, data: bytes, *, now: datetime) -> Manifest:
    """Bring the next version into force; it proves itself against the one in force.

    Raises:
        ManifestRefused: not the next version, or too few votes; the current one stays.
    """
    manifest = accept_next(manifest_in_force(transaction.session), data)
    _keep_manifest(transaction, manifest, now=now)
    return manifest


def _keep_manifest(transaction: Transaction, manifest: Manifest, *, now: datetime) -> None:
    store.insert_manifest(
        transaction.session, version=manifest.version, digest=manifest.digest, data=manifest.data, now=now
    )
    store.count_change(transaction.session)
    transaction.append(Entry(kind="manifest", dir="local", time=now, request=manifest.digest))


def manifest_in_force(session: Session) -> Manifest:
    """Return the newest accepted manifest.

    Raises:
        NotFound: this node has not joined a network.
    """
    row = store.newest_manifest(session)
    if row is None:
        raise NotFound("this node has not joined a network yet")
    return reread(row.data, digest=row.digest)


def accept_crl(transaction: Transaction, member: str, der: bytes, *, now: datetime) -> bool:
    """Take a CRL that proves itself; False when we hold one with this or a higher number.

    Raises:
        NotFound: no such member.
        Malformed: not a CRL of that member's CA.
    """
    listed = manifest_in_force(transaction.session).members.get(member)
    if listed is None:
        raise NotFound("no such member")
    try:
        crl = parse_crl(der, listed.authorities)
    except (CrlInvalid, Refusal) as fault:
        raise Malformed(f"not a CRL of {member}: {fault}") from None
    if crl.number > store.CRL_NUMBER_MAX:
        raise Malformed(f"the number of a CRL of {member} is larger than 2**63 - 1")
    known = {row.authority: row.number for row in store.newest_crls(transaction.session)}
    if crl.number <= known.get(crl.authority, -1):
        return False
    store.insert_crl(transaction.session, authority=crl.authority, number=crl.number, member=member, der=der, now=now)
    store.count_change(transaction.session)
    transaction.append(Entry(kind="crl", dir="local", time=now, peer=member, request=sha256(der)))
    return True


def remember_certificate(transaction: Transaction, trust: Trust, certificate: Certificate, *, now: datetime) -> None:
    """Keep a message certificate that passes the trust decision now.

    Raises:
        UnknownCertificate, CertificateExpired, CertificateRevoked, Busy: it does not.
    """
    trust.check(certificate, Purpose.MESSAGE, now=now)
    inserted = store.insert_certificate(
        transaction.session,
        fingerprint=certificate.fingerprint,
        member=certificate.member,
        der=certificate.der,
        now=now,
    )
    if inserted:
        store.count_change(transaction.session)
        transaction.append(
            Entry(kind="certificate", dir="local", time=now, peer=certificate.member, request=certificate.fingerprint)
        )


def crl_of(session: Session, member: str) -> bytes:
    """Return the newest CRL of a member, ours or one that we relied on.

    Raises:
        NotFound: none is known.
    """
    row = store.newest_crl_of(session, member)
    if row is None:
        raise NotFound("no CRL of that member is known here")
    return row.der


def certificate_pem(session: Session, fingerprint: str) -> str:
    """Return a message certificate, ours or one that we relied on, as PEM.

    Raises:
        NotFound: none of that name is known here.
    """
    row = store.certificate(session, fingerprint)
    if row is None:
        raise NotFound("no message certificate of that name is known here")
    return x509.load_der_x509_certificate(row.der).public_bytes(Encoding.PEM).decode()


def manifest_data(session: Session, version: int | None) -> bytes:
    """Return the bytes of a version, or of the one in force.

    Raises:
        NotFound: no such version.
    """
    row = store.newest_manifest(session) if version is None else store.manifest_version(session, version)
    if row is None:
        raise NotFound("no such version of the manifest")
    return row.data


def read_trust(session: Session, member: str) -> Trust:
    """Return what this node relies on, from its database.

    Raises:
        NotFound: this node has not joined a network.
    """
    manifest = manifest_in_force(session)
    # A CA that the manifest names no more proves nothing; its CRLs stay in the table as evidence.
    authorities = {one.fingerprint: (one,) for member in manifest.members.values() for one in member.authorities}
    return Trust(
        member=member,
        manifest=manifest,
        crls=tuple(
            parse_crl(row.der, authorities[row.authority])
            for row in store.newest_crls(session)
            if row.authority in authorities
        ),
        certificates={row.fingerprint: parse_certificate(row.der) for row in store.certificates(session)},
    )


@dataclass(slots=True)
class TrustKeeper:
    """Holds the current `Trust` of a process."""

    database: Database
    member: str
    current: Trust
    generation: int
    changed: list[Callable[[], None]] = field(default_factory=list)

    def refresh(self) -> bool:
        """Read anew when the generation has moved; True when it had. Cost otherwise: one row."""
        with self.database.reading() as session:
            generation = store.generation(session)
            if generation == self.generation:
                return False
            fresh = read_trust(session, self.member)
        same = fresh.manifest.digest == self.current.manifest.digest and fresh.crls == self.current.crls
        # Verdicts stay true as long as manifest and CRLs are the same: a new certificate changes neither.
        self.current = replace(self.current, certificates=fresh.certificates) if same else fresh
        self.generation = generation
        if not same:
            for tell in self.changed:
                tell()
        return True


def keep_trust(database: Database, member: str) -> TrustKeeper:
    """Return the keeper for this process.

    Raises:
        NotFound: this node has not joined a network.
    """
    with database.reading() as session:
        generation = store.generation(session)
        return TrustKeeper(database, member, read_trust(session, member), generation)


def check_fetched(fingerprint: str, der: bytes) -> Certificate:
    """Return a fetched certificate if it is the one that was asked for.

    Raises:
        UnknownCertificate: another one, or unreadable.
    """
    certificate = parse_certificate(der)
    if certificate.fingerprint != fingerprint:
        raise UnknownCertificate("another certificate was served than was asked for")
    return certificate


def stored_document(session: Session, builtin: Mapping[str, bytes], digest: str) -> bytes | None:
    """Return a shared document by its SHA-256, hex, or None when this node has none of that digest."""
    return builtin.get(digest) or store.document(session, digest)


def document(session: Session, builtin: Mapping[str, bytes], digest: str) -> bytes:
    """Return a shared document by its SHA-256, hex: one that came with the software, or one that was taken in.

    Raises:
        NotFound: this node has none of that digest.
    """
    data = stored_document(session, builtin, digest)
    if data is None:
        raise NotFound("no shared document has that digest here")
    return data


def take_document(transaction: Transaction, data: bytes, *, now: datetime, actor: str | None = None) -> str:
    """Keep a shared document and return its SHA-256, hex; it is in force once the manifest names it.

    Raises:
        TooLarge: more than a mebibyte.
    """
    if len(data) > DOCUMENT_MAX_BYTES:
        raise TooLarge(f"a shared document has at most {DOCUMENT_MAX_BYTES} bytes")
    digest = hashlib.sha256(data).hexdigest()
    if store.insert_document(transaction.session, digest=digest, data=data, now=now):
        store.count_change(transaction.session)
        transaction.append(Entry(kind="document", dir="local", time=now, request=sha256(data), actor=actor))
    return digest


def documents_lacking(session: Session, manifest: Manifest, builtin: Mapping[str, bytes]) -> list[str]:
    """Return the documents that the manifest names and this node does not have. Cost: one query at most."""
    named = [one for one in dict.fromkeys(manifest.documents.values()) if one not in builtin]
    held = store.documents_held(session, named) if named else frozenset()
    return [one for one in named if one not in held]


def document_in_force(session: Session, manifest: Manifest, name: str, builtin: Mapping[str, bytes]) -> bytes | None:
    """Return the document that the manifest names so; None when it names none, or this node still lacks it."""
    digest = manifest.documents.get(name)
    return stored_document(session, builtin, digest) if digest is not None else None


def calendars_in_force(session: Session, manifest: Manifest, builtin: Mapping[str, bytes]) -> Calendars:
    """Return the calendars that the manifest names `calendar-YEAR`; each is parsed once in the life of the process.

    One that is lacking, cannot be read or is of another year than its name is left out: whoever counts that year gets
    `CalendarMissing`, never a guess.
    """
    found = {}
    for name in manifest.documents:
        data = document_in_force(session, manifest, name, builtin) if CALENDAR_NAME.fullmatch(name) else None
        calendar = _calendar_or_none(data) if data is not None else None
        if calendar is not None and name == calendar_name(calendar.year):
            found[calendar.year] = calendar
    return Calendars(found)


def calendar_name(year: int) -> str:
    """Return the name under which the manifest has the calendar of a year."""
    return f"calendar-{year}"


@lru_cache(maxsize=64)
def _calendar_or_none(data: bytes) -> Calendar | None:
    try:
        return parse_calendar(data)
    except CalendarInvalid:
        return None


@dataclass(frozen=True, slots=True)
class Pinged:
    """What a ping found out; `outcome` is `pong`, a slug, or why there was no answer."""

    member: str
    outcome: str
    refused: bool = False
    software: str = ""
    manifest: int | None = None
    offset_seconds: float | None = None
    milliseconds: int = 0


async def ping(asking: Asking, member: str, *, seconds: float) -> Pinged:
    """Ping one member; every outcome is a value."""
    try:
        answered = await asking.ask(Question(member, "ping", format_body(Ping())), seconds=seconds)
    except RefusedByPeer as refused:
        return Pinged(member, refused.problem.slug, refused=True)
    except Refusal as refusal:
        return Pinged(member, refusal.slug, refused=True)
    except NoAnswer as missing:
        return Pinged(member, missing.refusal.slug if missing.refusal else missing.reason)
    pong, took = answered.body, answered.milliseconds
    if not isinstance(pong, Pong):
        return Pinged(member, "unreadable")
    offset = clock_offset(pong.time, asking.now(), took)
    return Pinged(member, "pong", False, pong.software, pong.manifest, offset, took)


def clock_offset(theirs: str, ours: datetime, round_trip_ms: int) -> float:
    """Return by how many seconds a peer's clock is ahead of ours, half the round trip allowed for."""
    half = round_trip_ms / 2000
    return round((datetime.fromisoformat(theirs) - ours).total_seconds() + half, 3)
