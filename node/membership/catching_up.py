"""How a node learns what it lacks: certificates, manifests, CRLs and documents, from peers (protocol §2-§4, §5.1).

One fetch per peer and kind at a time; a failure is remembered for 60 s, so that nobody can make this node
call out again and again. What arrives proves itself before it is kept.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from node.membership import service
from node.membership.service import TrustKeeper
from node.storage.unit_of_work import Transaction
from node.storage.writer import Writer
from node.transport.client import READING, NoAnswer, PeerAnswer, PeerClients
from protocol.errors import Busy, Refusal, UnknownCertificate
from protocol.manifest import MANIFEST_MAX_BYTES, ManifestRefused, Member, Status

FETCH_SECONDS: Final = 5.0
REMEMBERED_SECONDS: Final = 60.0
CERTIFICATE_MAX_BYTES: Final = 16 * 1024
CRL_MAX_BYTES: Final = 1024 * 1024
POLL_SECONDS: Final = 30.0
VERSIONS_AT_ONCE: Final = 200

logger = structlog.get_logger("membership")
T = TypeVar("T")


@dataclass(slots=True)
class CatchUp:
    """Fetches from peers, for one process."""

    keeper: TrustKeeper
    clients: PeerClients
    writer: Writer
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    builtin: Mapping[str, bytes] = field(default_factory=dict)
    """shared documents that came with the software, by SHA-256 in hex"""
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _failed: dict[str, tuple[float, Exception | None]] = field(default_factory=dict)
    _tags: dict[tuple[str, str], str] = field(default_factory=dict)

    async def certificate(self, member_id: str, fingerprint: str) -> bool:
        """Learn a message certificate from its owner; False when it has none of that name.

        Raises:
            Busy: the owner cannot be reached just now.
            UnknownCertificate, CertificateExpired, CertificateRevoked: it does not pass the trust decision.
        """

        async def fetch() -> bool:
            if fingerprint in self.keeper.current.certificates:
                return True
            answer = await self._get(member_id, f"/v1/certificates/{fingerprint}", CERTIFICATE_MAX_BYTES)
            if answer.status != 200:
                return False
            found = service.check_fetched(fingerprint, _first_certificate(answer.body))
            await self._keep(lambda tx: service.remember_certificate(tx, self.keeper.current, found, now=self.now()))
            return True

        return await self._once(f"certificate:{member_id}:{fingerprint}", f"certificate:{member_id}", fetch, False)

    async def manifest(self, member_id: str) -> None:
        """Catch up with a member's manifest, version by version; a refused one stays refused and is told."""

        async def fetch() -> None:
            for _ in range(VERSIONS_AT_ONCE):
                wanted = self.keeper.current.manifest.version + 1
                answer = await self._get(member_id, f"/v1/manifest/{wanted}", MANIFEST_MAX_BYTES)
                if answer.status != 200:
                    return
                data = answer.body
                await self._keep(lambda tx, data=data: service.accept_version(tx, data, now=self.now()))  # type: ignore[misc]

        try:
            await self._once(f"manifest:{member_id}", "manifest", fetch, None)
        except ManifestRefused as fault:
            logger.error("manifest.refused", peer=member_id, reason=str(fault))
        except Busy:
            logger.info("manifest.not_fetched", peer=member_id)

    async def crl(self, member_id: str) -> None:
        """Try to learn a member's CRL because a message cannot do without it; whoever asks looks again afterwards.

        Asked at most once a minute: a member without a fresh CRL cannot make this node call out on and on.
        """

        async def fetch() -> None:
            if not await self.newest_crl(member_id):
                raise Busy("no newer CRL")

        with suppress(Busy):
            await self._once(f"crl:{member_id}", f"crl:{member_id}", fetch, None)

    async def newest_crl(self, member_id: str) -> bool:
        """Ask a member, and failing that any peer, for the member's newest CRL; True when it is new."""
        manifest, own = self.keeper.current.manifest, self.keeper.member
        others = [one.id for one in manifest.active() if one.id not in (own, member_id)]
        for source in [member_id, *others]:
            try:
                answer = await self._get(source, f"/v1/crl/{member_id}", CRL_MAX_BYTES, tag=(source, member_id))
            except Busy:
                continue
            if answer.status == 304:
                return False
            if answer.status == 200:
                return await self._take_crl(source, member_id, answer)
        return False

    async def poll(self) -> None:
        """Ask every peer for its CRL and its manifest; one silent peer delays nobody."""
        manifest = self.keeper.current.manifest
        peers = [
            one for one in manifest.members.values() if one.id != self.keeper.member and one.status is not Status.LEFT
        ]
        results = await asyncio.gather(*(self.newest_crl(one.id) for one in peers), return_exceptions=True)
        for peer, result in zip(peers, results, strict=True):
            if isinstance(result, Exception):
                logger.warning("crl.not_fetched", peer=peer.id, fault=type(result).__name__)

    async def poll_manifests(self) -> None:
        """Ask every active peer for a next version."""
        peers = [one for one in self.keeper.current.manifest.active() if one.id != self.keeper.member]
        await asyncio.gather(*(self.manifest(one.id) for one in peers))

    async def poll_documents(self) -> None:
        """Fetch what the manifest names and this node lacks, from whichever peer has it; a digest proves itself.

        What nobody has just now is asked for again at the next poll.
        """
        manifest = self.keeper.current.manifest
        with self.keeper.database.reading() as session:
            lacking = service.documents_lacking(session, manifest, self.builtin)
        for digest in lacking:
            for peer in manifest.active():
                if peer.id != self.keeper.member and await self._document(peer.id, digest):
                    break
            else:
                logger.warning("document.not_fetched", digest=digest, version=manifest.version)

    async def _document(self, source: str, digest: str) -> bool:
        try:
            answer = await self._get(source, f"/v1/documents/{digest}", service.DOCUMENT_MAX_BYTES)
        except Busy:
            return False
        if answer.status != 200:
            return False
        if hashlib.sha256(answer.body).hexdigest() != digest:
            logger.warning("document.refused", peer=source, digest=digest)
            return False
        await self._keep(lambda tx: service.take_document(tx, answer.body, now=self.now()))
        return True

    async def push_crl(self, der: bytes) -> None:
        """Hand our own new CRL to every peer at once; who is away polls it later."""
        own = self.keeper.member
        peers = [one for one in self.keeper.current.manifest.active() if one.id != own]
        await asyncio.gather(*(self._push(one, own, der) for one in peers))

    async def _push(self, peer: Member, own: str, der: bytes) -> None:
        try:
            await self.clients.request(
                peer, "PUT", f"/v1/crl/{own}", content=der, seconds=FETCH_SECONDS, use=READING, max_bytes=CRL_MAX_BYTES
            )
        except NoAnswer as fault:
            logger.info("crl.not_pushed", peer=peer.id, reason=fault.reason)

    async def _take_crl(self, source: str, member_id: str, answer: PeerAnswer) -> bool:
        try:
            new = await self.writer.submit(lambda tx: service.accept_crl(tx, member_id, answer.body, now=self.now()))
        except Refusal as refusal:
            logger.warning("crl.refused", peer=source, member=member_id, slug=refusal.slug)
            return False
        self._tags[source, member_id] = answer.headers.get("etag", "")
        self.keeper.refresh()
        return bool(new)

    async def _keep(self, work: Callable[[Transaction], object]) -> None:
        await self.writer.submit(work)
        self.keeper.refresh()

    async def _get(self, source: str, path: str, max_bytes: int, *, tag: tuple[str, str] | None = None) -> PeerAnswer:
        member = self.keeper.current.manifest.members.get(source)
        if member is None:
            raise UnknownCertificate("that city is no member")
        known = self._tags.get(tag, "") if tag else ""
        headers = {"if-none-match": known} if known else None
        try:
            return await self.clients.request(
                member, "GET", path, headers=headers, max_bytes=max_bytes, seconds=FETCH_SECONDS, use=READING
            )
        except NoAnswer as fault:
            raise Busy(f"{source} cannot be asked just now: {fault.reason}") from None

    async def _once(self, what: str, lane: str, fetch: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """Run one fetch per lane at a time; a failure of the same thing is remembered for 60 s.

        Raises:
            Busy: again, as long as it is remembered that the source could not be asked.
        """
        lock = self._locks.setdefault(lane, asyncio.Lock())
        async with lock:
            failed_at, fault = self._failed.get(what, (-REMEMBERED_SECONDS, None))
            if self.monotonic() - failed_at < REMEMBERED_SECONDS:
                if isinstance(fault, Busy):
                    raise Busy(fault.detail, retry_after_seconds=fault.retry_after_seconds)
                return otherwise
            if len(self._failed) > 10_000:
                self._failed.clear()
            try:
                return await fetch()
            except (Busy, UnknownCertificate, ManifestRefused) as fault:
                self._failed[what] = self.monotonic(), fault
                raise


def _first_certificate(pem: bytes) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        raise UnknownCertificate("what was served is not a certificate") from None
