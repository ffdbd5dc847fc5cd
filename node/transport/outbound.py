"""The transport under the peer client: httpx's interface over one aiohttp session to one peer.

httpx's own connection pool loses an order of magnitude at 16 requests in flight, and most of what remains of
the time is spent around the transport: authentication flow, redirects, cookies, event hooks, two rounds of
headers. None of it is wanted between nodes, so the client calls this transport itself. No redirects, no
proxies or credentials from the environment, no cookies, nothing compressed, sent or inflated (assurance C09).
"""

import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from node.transport.tls import is_allowed_address

CONNECT_SECONDS: Final = 5.0
"""for a connection and its handshake"""
SILENT_SECONDS: Final = 20.0
"""between two reads, and for a free connection"""
KEPT_SECONDS: Final = 60.0
"""how long we keep an idle connection; the peer's port keeps it longer (75 s), so that ours ends it, and no request is
sent on a connection that the peer is just closing"""
_TIMEOUT: Final = aiohttp.ClientTimeout(connect=SILENT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
JUDGED_SECONDS: Final = 120.0
"""for the answer to a large body: it is examined at the other side before the answer comes"""
_LARGE: Final = aiohttp.ClientTimeout(connect=SILENT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=JUDGED_SECONDS)
_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "tongban/1"}


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


class Content(httpx.AsyncByteStream):
    """The body of a request, whole in memory; httpx would encode it, and make the headers anew for it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


class Streamed(httpx.AsyncByteStream):
    """The body of a request, in pieces; sent only after the peer has agreed to take it (`Expect: 100-continue`)."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self.pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.pieces


class _Answer(httpx.AsyncByteStream):
    """The body of an answer, as it arrives; closed before its end, it takes its connection along."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        while not content.at_eof():
            yield await content.readany()

    async def aclose(self) -> None:
        self._answer.close()


class PeerTransport(httpx.AsyncBaseTransport):
    """Keep-alive connections to one peer; made inside the event loop that uses it."""

    def __init__(self, context: ssl.SSLContext, *, connections: int, loopback: bool) -> None:
        """`connections`: at most; `loopback`: whether the network policy allows addresses of this machine."""
        connector = aiohttp.TCPConnector(
            limit=connections,
            ssl=context,
            resolver=_CheckedResolver(loopback=loopback),
            keepalive_timeout=KEPT_SECONDS,
            ttl_dns_cache=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            timeout=_TIMEOUT,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return the answer when its head has arrived. Headers beyond those given are aiohttp's.

        Raises:
            aiohttp.ClientError, OSError: as aiohttp raises them; httpx's names would hide what happened.
        """
        content = request.stream
        headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw]
        options: dict[str, Any] = {}
        if isinstance(content, Streamed):
            data: Any = content.pieces
            options = {"expect100": True, "timeout": _LARGE}
        else:
            data = (content.data if isinstance(content, Content) else await request.aread()) or None
        answer = await self._session.request(
            request.method, str(request.url), headers=headers, data=data, allow_redirects=False, **options
        )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Answer(answer), request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()
