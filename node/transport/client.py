"""The peer client. One client per peer, few requests each, in httpx's words over aiohttp (`outbound.py`).

Plain httpx loses an order of magnitude at 16 requests in flight (performance.md). No redirects, no proxies or
credentials from the environment, no compression, separate timeouts and a total one, size limits on what comes
back (assurance C09). A client lives as long as our certificate, the manifest, and the CRLs and the certificate
of its peer are the same; the server's certificate is judged in the handshake and again on every request of an
open connection.

Each peer has its own connections and its own bounded queue, so a slow one delays nobody but those who ask it.
"""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from math import inf
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httpx

from node.transport.outbound import Content, PeerTransport, Streamed
from node.transport.tls import PeerContext, TlsIdentity, client_context, is_allowed_address
from protocol.certificates import Certificate, Purpose
from protocol.envelope import RawReply, Trust
from protocol.errors import Busy, Refusal, SignerMismatch
from protocol.manifest import Member

IN_FLIGHT: Final = 16
"""requests to one peer at a time, and connections to it, for each use"""
WAITING: Final = 48
"""requests that may wait for one of these: three rounds; one more is told at once, before it has waited in vain"""
TOTAL_SECONDS: Final = 20.0
READING: Final = "reading"
"""What may be read with a stale CRL: manifests, CRLs, certificates (protocol §2), else nobody could catch up.
It has connections and a queue apart, so that a crowd of questions never keeps a node from catching up."""
EXCHANGING: Final = "exchanging"
TRANSFERRING: Final = "transferring"
"""Large bodies have connections and a queue apart too, and few of them: they never delay a message."""
_WIDTH: Final = {TRANSFERRING: 2}
"""requests at a time where it is not `IN_FLIGHT`"""


class NoAnswer(Exception):
    """Nothing that proves anything came back: the outcome is unknown, never a failure.

    `reason` is a word for people (`timeout`, `unreachable`, `tls`, `too-large`, `interrupted`, `crowded`);
    `refusal` is set when we refused the server's certificate.
    """

    def __init__(self, reason: str, detail: str = "", refusal: Refusal | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """An HTTP answer of a peer, and the member that its TLS certificate names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    server: str


@dataclass(slots=True)
class _Lane:
    """The way to one peer for one use: so many requests at a time, and so many that wait for their turn."""

    member: str
    width: int
    free: asyncio.Semaphore
    waiting: int = 0

    async def __aenter__(self) -> None:
        """Take a place.

        Raises:
            NoAnswer: too many wait already.
        """
        if self.free.locked():
            if self.waiting >= WAITING:
                raise NoAnswer("crowded", f"{self.width} requests to {self.member} are open and {WAITING} more wait")
            self.waiting += 1
            try:
                await self.free.acquire()
            finally:
                self.waiting -= 1
        else:
            await self.free.acquire()

    async def __aexit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give the place to whoever has waited longest."""
        self.free.release()


@dataclass(slots=True, eq=False)
class _Client:
    """Connections to one peer that rest on the same certificates, manifest and CRLs."""

    transport: PeerTransport
    context: PeerContext
    base: str
    trust: Trust
    identity: TlsIdentity
    rests_on: tuple[Any, ...]
    in_flight: int = 0
    answered_at: float = -inf
    shown: dict[str, Certificate] = field(default_factory=dict)
    """what the peer has shown, by fingerprint: each is judged on each request, for any may be that of its connection"""
    retired: bool = False


@dataclass(slots=True)
class PeerClients:
    """One client per peer and use, replaced when what it rests on changes."""

    identity: Callable[[], TlsIdentity]
    trust: Callable[[], Trust]
    now: Callable[[], datetime]
    max_answer_bytes: int
    monotonic: Callable[[], float] = time.monotonic
    _clients: dict[tuple[str, str], _Client] = field(default_factory=dict)
    _lanes: dict[tuple[str, str], _Lane] = field(default_factory=dict)
    _retired: set[_Client] = field(default_factory=set)
    _closing: set["asyncio.Task[None]"] = field(default_factory=set)
    _ended: bool = False

    async def request(
        self,
        member: Member,
        method: str,
        path: str,
        *,
        content: bytes | Streamed = b"",
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        seconds: float = TOTAL_SECONDS,
        use: str = EXCHANGING,
    ) -> PeerAnswer:
        """Send one request to the endpoint that the manifest lists, and return the bounded answer.

        `seconds` is for everything: waiting for a turn, connecting, sending, reading the last byte.

        Raises:
            NoAnswer: refused address or certificate, unreachable, too slow, too large, too many wait.
        """
        limit = self.max_answer_bytes if max_bytes is None else max_bytes
        client: _Client | None = None
        try:
            async with asyncio.timeout(seconds), self._lane(member.id, use):
                client = self._client_of(member, use)
                given = list((headers or {}).items())
                body = Content(content) if isinstance(content, bytes) else content
                wanted = httpx.Request(method, _url(client.base + path), headers=given, stream=body)
                return await self._exchange(client, member.id, use, wanted, limit)
        except (TimeoutError, aiohttp.ClientError, OSError) as fault:
            raise self._explain(client, fault, member.id, seconds) from None
        except Refusal as refusal:
            if client is not None:
                self._drop(client, member.id, use)
            raise NoAnswer("tls", f"the certificate of {member.id}: {refusal.detail}", refusal) from None

    async def _exchange(self, client: _Client, member: str, use: str, wanted: httpx.Request, limit: int) -> PeerAnswer:
        client.in_flight += 1
        try:
            self._recheck(client, member, use)
            response = await client.transport.handle_async_request(wanted)
            try:
                answered = dict(response.headers.items())
                body = await _read(response, answered, limit)
            finally:
                await response.stream.aclose()  # type: ignore[union-attr]
            self._recheck(client, member, use)
        finally:
            client.in_flight -= 1
            if client.retired and not client.in_flight:
                self._close_soon(client)
        client.answered_at = self.monotonic()
        return PeerAnswer(response.status_code, answered, body, member)

    async def post_message(
        self, member: Member, statement: bytes, body: bytes, content_type: str, *, seconds: float
    ) -> tuple[RawReply, str]:
        """Send a message; return the unverified reply and the member of the server's certificate."""
        answer = await self.request(
            member,
            "POST",
            "/v1/messages",
            content=body,
            headers={"content-type": content_type, "tongban-message": statement.decode("ascii")},
            seconds=seconds,
        )
        raw = RawReply(
            status=answer.status,
            statement=answer.headers.get("tongban-message", "").encode("ascii", "replace"),
            body=answer.body,
            content_type=answer.headers.get("content-type", ""),
            retry_after_seconds=_seconds(answer.headers.get("retry-after", "")),
        )
        return raw, answer.server

    def rested_seconds(self, member: Member) -> float:
        """Return how long ago this peer last answered a question on connections that still count; else infinity."""
        client = self._clients.get((member.id, EXCHANGING))
        if client is None or not self._still_counts(client, member):
            return inf
        return self.monotonic() - client.answered_at

    async def close(self) -> None:
        """Close all connections, those of replaced clients too; who waits for a turn has none any more."""
        self._ended = True
        for client in [*self._clients.values(), *self._retired]:
            await client.transport.aclose()
        await asyncio.gather(*self._closing)
        self._clients.clear()
        self._retired.clear()

    def _recheck(self, client: _Client, member: str, use: str) -> None:
        for certificate in client.shown.values():
            self._check(certificate, member, use)

    def _check(self, certificate: Certificate, member: str, use: str) -> None:
        if certificate.member != member:
            raise SignerMismatch(f"{member} was called, {certificate.member} answered")
        try:
            self.trust().check(certificate, Purpose.TLS, now=self.now())
        except Busy:
            if use != READING:
                raise

    def _lane(self, member: str, use: str) -> _Lane:
        lane = self._lanes.get((member, use))
        if lane is None:
            width = _WIDTH.get(use, IN_FLIGHT)
            lane = self._lanes[member, use] = _Lane(member, width, asyncio.Semaphore(width))
        return lane

    def _still_counts(self, client: _Client, member: Member) -> bool:
        trust = self.trust()
        if len(client.shown) > 1 or client.identity is not self.identity():
            return False  # the peer, or we, have another certificate now: no connection under the former one goes on
        if client.trust is not trust and client.rests_on == _basis(trust, member):
            client.trust = trust  # a certificate was learnt, or another city's CRL: nothing that concerns this peer
        return client.trust is trust

    def _client_of(self, member: Member, use: str) -> _Client:
        if self._ended:
            raise NoAnswer("interrupted", "this node is stopping")
        known = self._clients.get((member.id, use))
        if known is not None and self._still_counts(known, member):
            return known
        trust, identity = self.trust(), self.identity()
        loopback = trust.manifest.policy.loopback_endpoints
        base = member.endpoints[0]
        _check_literal(base, loopback=loopback)

        def judge(found: Certificate) -> None:
            self._check(found, member.id, use)
            fresh.shown[found.fingerprint] = found

        context = client_context(identity, trust.manifest, member.id, judge)
        transport = PeerTransport(context, connections=_WIDTH.get(use, IN_FLIGHT), loopback=loopback)
        fresh = _Client(transport, context, base, trust, identity, _basis(trust, member))
        self._clients[member.id, use] = fresh
        if known is not None:
            self._retire(known)
        return fresh

    def _retire(self, client: _Client) -> None:
        """Close a client's connections when the last request on them has ended."""
        client.retired = True
        self._retired.add(client)
        if not client.in_flight:
            self._close_soon(client)

    def _close_soon(self, client: _Client) -> None:
        async def close() -> None:
            await client.transport.aclose()
            self._retired.discard(client)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _drop(self, client: _Client, member: str, use: str) -> None:
        """Close a client's connections whoever waits for an answer on them: its peer is refused."""
        if self._clients.get((member, use)) is client:
            del self._clients[member, use]
        self._close_soon(client)

    def _explain(self, client: _Client | None, fault: Exception, member: str, seconds: float) -> NoAnswer:
        if client is None:
            if isinstance(fault, TimeoutError):
                return NoAnswer("timeout", f"{member} answers too slowly: no turn within {seconds:g} s")
            return NoAnswer("unreachable", f"no connection to {member} can be made here: {type(fault).__name__}")
        if client.context.refusal is not None:
            refusal, client.context.refusal = client.context.refusal, None
            return NoAnswer("tls", f"the certificate of {member}: {refusal.detail}", refusal)
        if isinstance(fault, aiohttp.ClientSSLError | ssl.SSLError):
            return NoAnswer("tls", f"{member}: the TLS handshake failed")
        if isinstance(fault, TimeoutError):  # aiohttp's own are of this kind too
            return NoAnswer("timeout", f"{member} did not answer within {seconds:g} s")
        if isinstance(fault, aiohttp.ClientConnectorError):
            return NoAnswer("unreachable", f"{member} cannot be reached")
        return self._interrupted(client, member)

    def _interrupted(self, client: _Client, member: str) -> NoAnswer:
        """Explain a connection that the peer cut: in TLS 1.3 that is how it refuses our certificate."""
        try:
            client.trust.check(client.identity.certificate, Purpose.TLS, now=self.now())
        except Busy:
            pass
        except Refusal as refusal:
            return NoAnswer("tls", f"{member} cut the connection; our own certificate: {refusal.detail}", refusal)
        return NoAnswer("interrupted", f"{member} cut the connection")


def _seconds(text: str) -> int | None:
    """Return `Retry-After` in seconds (RFC 9110 §10.2.3), at most an hour; None for a date or anything else."""
    return min(int(text), 3600) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _check_literal(base: str, *, loopback: bool) -> None:
    host = urlsplit(base).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_allowed_address(host, loopback=loopback):
        raise NoAnswer("refused-address", "the manifest names an address that a node may not connect to")


def _basis(trust: Trust, member: Member) -> tuple[Any, ...]:
    """Return what a client rests on, our own certificate apart."""
    listed = trust.manifest.members.get(member.id)
    own = {one.fingerprint for one in listed.authorities} if listed else set()
    return (trust.manifest.digest, member.endpoints[0], *(crl.der for crl in trust.crls if crl.authority in own))


@lru_cache(maxsize=1024)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)


async def _read(response: httpx.Response, headers: Mapping[str, str], limit: int) -> bytes:
    if headers.get("content-encoding", "identity") != "identity":
        raise NoAnswer("encoded", "the answer is encoded, which was not asked for")
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.stream:  # type: ignore[union-attr]
        size += len(chunk)
        if size > limit:
            raise NoAnswer("too-large", f"the answer has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
