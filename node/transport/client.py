"""The peer client: the only importer of httpx. One client per peer, few requests each.

Plain httpx loses an order of magnitude at 16 requests in flight (performance.md), so httpx runs over
aiohttp here (`httpx-aiohttp`), under the same API. No redirects, no proxies or credentials from the
environment, no compression, separate timeouts and a total one, size limits on what comes back
(assurance C09). A client lives as long as our certificate, the manifest and the CRLs are the same; the
server's certificate is judged in the handshake and again on every request of an open connection.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from httpx_aiohttp import AiohttpTransport

from node.transport.tls import PeerContext, TlsIdentity, client_context, is_allowed_address
from protocol.certificates import Certificate, Purpose
from protocol.envelope import RawReply, Trust
from protocol.errors import Busy, Refusal, SignerMismatch
from protocol.manifest import Member

CONNECTIONS_PER_PEER: Final = 16
CONNECT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 20.0
CLOSE_AFTER_SECONDS: Final = 30.0
READING: Final = "reading"
"""What may be read with a stale CRL: manifests, CRLs, certificates (protocol §2), else nobody could catch up."""
EXCHANGING: Final = "exchanging"


class NoAnswer(Exception):
    """Nothing that proves anything came back: the outcome is unknown, never a failure.

    `reason` is a word for people (`timeout`, `unreachable`, `tls`, `too-large`, `interrupted`); `refusal`
    is set when we refused the server's certificate.
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


class _CheckedResolver(AbstractResolver):
    """Resolves names, and lets through only addresses that a node may connect to (threat T16)."""

    def __init__(self, *, loopback: bool) -> None:
        self._inner = ThreadedResolver()
        self._loopback = loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host; the connection goes to one of exactly these."""
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if is_allowed_address(one["host"], loopback=self._loopback)]
        if not allowed:
            raise OSError("the name resolves to addresses that a node may not connect to")
        return allowed

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


@dataclass(slots=True)
class _Client:
    http: httpx.AsyncClient
    context: PeerContext
    base: str
    trust: Trust
    identity: TlsIdentity


@dataclass(slots=True)
class PeerClients:
    """One client per peer, replaced when what it rests on changes."""

    identity: Callable[[], TlsIdentity]
    trust: Callable[[], Trust]
    now: Callable[[], datetime]
    max_answer_bytes: int
    _clients: dict[tuple[str, str], _Client] = field(default_factory=dict)
    _replaced: set[httpx.AsyncClient] = field(default_factory=set)
    _closing: set["asyncio.Task[None]"] = field(default_factory=set)

    async def request(
        self,
        member: Member,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        seconds: float = TOTAL_SECONDS,
        use: str = EXCHANGING,
    ) -> PeerAnswer:
        """Send one request to the endpoint that the manifest lists, and return the bounded answer.

        Raises:
            NoAnswer: refused address or certificate, unreachable, too slow, too large.
        """
        limit = self.max_answer_bytes if max_bytes is None else max_bytes
        client = self._client_of(member, use)
        try:
            self._recheck(client, member.id, use)
            async with asyncio.timeout(seconds):
                request = client.http.build_request(method, client.base + path, content=content, headers=headers)
                response = await client.http.send(request, stream=True)
                try:
                    body = await _read(response, limit)
                finally:
                    await response.aclose()
                self._recheck(client, member.id, use)
        except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError) as fault:
            raise self._explain(client, fault, member.id, seconds) from None
        except Refusal as refusal:
            await self._drop(member.id, use)
            raise NoAnswer("tls", f"the certificate of {member.id}: {refusal.detail}", refusal) from None
        return PeerAnswer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body, member.id)

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
        )
        return raw, answer.server

    async def close(self) -> None:
        """Close all connections, those of replaced clients too."""
        for task in list(self._closing):
            task.cancel()
        for http in [*(one.http for one in self._clients.values()), *self._replaced]:
            await http.aclose()
        self._clients.clear()
        self._replaced.clear()

    def _recheck(self, client: _Client, member: str, use: str) -> None:
        for certificate in client.context.seen.values():
            self._check(certificate, member, use)

    def _check(self, certificate: Certificate, member: str, use: str) -> None:
        if certificate.member != member:
            raise SignerMismatch(f"{member} was called, {certificate.member} answered")
        try:
            self.trust().check(certificate, Purpose.TLS, now=self.now())
        except Busy:
            if use != READING:
                raise

    def _client_of(self, member: Member, use: str) -> _Client:
        trust, identity = self.trust(), self.identity()
        known = self._clients.get((member.id, use))
        if known is not None and known.trust is trust and known.identity is identity:
            return known
        loopback = trust.manifest.policy.loopback_endpoints
        base = member.endpoints[0]
        _check_literal(base, loopback=loopback)
        context = client_context(identity, trust.manifest, member.id, lambda found: self._check(found, member.id, use))
        fresh = _Client(_http(context, loopback=loopback), context, base, trust, identity)
        self._clients[member.id, use] = fresh
        if known is not None:
            self._close_later(known)
        return fresh

    def _close_later(self, client: _Client) -> None:
        async def close() -> None:
            await asyncio.sleep(CLOSE_AFTER_SECONDS)
            self._replaced.discard(client.http)
            await client.http.aclose()

        self._replaced.add(client.http)
        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _drop(self, member: str, use: str) -> None:
        client = self._clients.pop((member, use), None)
        if client is not None:
            await client.http.aclose()

    def _explain(self, client: _Client, fault: Exception, member: str, seconds: float) -> NoAnswer:
        if client.context.refusal is not None:
            refusal, client.context.refusal = client.context.refusal, None
            return NoAnswer("tls", f"the certificate of {member}: {refusal.detail}", refusal)
        # httpx-aiohttp maps many faults to ConnectTimeout; what happened is in the cause. The cause of our own
        # TimeoutError is only the cancellation by which it came.
        cause = fault if isinstance(fault, TimeoutError) else fault.__cause__ or fault
        if isinstance(cause, aiohttp.ClientSSLError | ssl.SSLError):
            return NoAnswer("tls", f"{member}: the TLS handshake failed")
        if isinstance(cause, TimeoutError | aiohttp.ServerTimeoutError | httpx.TimeoutException):
            return NoAnswer("timeout", f"{member} did not answer within {seconds:g} s")
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ClientConnectorDNSError):
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


def _check_literal(base: str, *, loopback: bool) -> None:
    host = urlsplit(base).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_allowed_address(host, loopback=loopback):
        raise NoAnswer("refused-address", "the manifest names an address that a node may not connect to")


def _http(context: PeerContext, *, loopback: bool) -> httpx.AsyncClient:
    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS_PER_PEER,
            ssl=context,
            resolver=_CheckedResolver(loopback=loopback),
            keepalive_timeout=60,
            ttl_dns_cache=30,
        )
        return aiohttp.ClientSession(connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())

    return httpx.AsyncClient(
        transport=AiohttpTransport(verify=context, trust_env=False, client=session),
        trust_env=False,
        follow_redirects=False,
        headers={"accept-encoding": "identity", "user-agent": "tongban/1"},
        timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
    )


async def _read(response: httpx.Response, limit: int) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise NoAnswer("encoded", "the answer is encoded, which was not asked for")
    chunks: list[bytes] = []
    size = 0
    stream: Any = response.aiter_raw()
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise NoAnswer("too-large", f"the answer has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
