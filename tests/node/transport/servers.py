"""Peers as the client meets them: a TLS server of a city that answers whatever a test says, and a client for it."""

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from node.transport.client import PeerAnswer, PeerClients
from node.transport.tls import TlsIdentity, _load_identity, server_context
from protocol.envelope import Trust
from protocol.manifest import Member
from tests.making import MadeCertificate
from tests.networks import TestNetwork, make_network

ME, PEER, OTHER = "450400", "442000", "440900"
NOW = datetime.now(UTC).replace(microsecond=0)
"""The TLS library looks at the real clock, so the certificates of these tests must be good today."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def founded() -> TestNetwork:
    return make_network([ME, PEER, OTHER], NOW)


def identity_of(made: MadeCertificate) -> TlsIdentity:
    return TlsIdentity(made.certificate, made.pem.encode(), made.key_pem.encode())


@dataclass
class Peer:
    """A server that runs: where, the heads of all requests, and the connections that got through the handshake."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    of: str = PEER
    context: ssl.SSLContext | None = None

    def member(self, network: TestNetwork, host: str = "127.0.0.1") -> Member:
        """Return the manifest's entry of this city, but with this endpoint."""
        return dataclasses.replace(network.manifest.members[self.of], endpoints=(f"https://{host}:{self.port}",))

    def show(self, identity: TlsIdentity) -> None:
        """Show another certificate from now on; open connections keep the one under which they were made."""
        assert self.context is not None
        _load_identity(self.context, identity)


def http(head: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return an HTTP answer: the lines of its head, and `Content-Length` unless it is chunked."""
    size = "" if "chunked" in head else f"Content-Length: {len(body) if length is None else length}\r\n"
    return head.encode() + b"\r\n" + size.encode() + b"\r\n" + body


def saying(answer: bytes) -> Talk:
    """Answer every request of a connection with these bytes."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return talk


def when(event: asyncio.Event, answer: bytes) -> Talk:
    """Answer every request with these bytes, but not before the event."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        writer.write(answer)
        await writer.drain()

    return talk


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client gives up."""
    await reader.read()


@asynccontextmanager
async def peer(
    network: TestNetwork, talk: Talk, *, of: str = PEER, identity: TlsIdentity | None = None, tls: bool = True
) -> AsyncIterator[Peer]:
    """Run a server of a city (or one with another identity, or without TLS) that answers with `talk`."""
    running = Peer(of=of)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        running.open += 1
        running.most_open = max(running.open, running.most_open)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                running.heard.append(request)
                await talk(reader, writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            running.open -= 1
            writer.close()

    if tls:
        running.context = server_context(identity or identity_of(network[of].tls), network.manifest)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=running.context)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()


@dataclass
class Us:
    """Our client, with what it rests on in reach: each may be replaced while connections are open."""

    network: TestNetwork
    trust: Trust
    now: datetime = NOW
    identity: TlsIdentity | None = None
    max_answer_bytes: int = 100_000
    seconds: float = 0.0
    """what the clock of rests says"""

    def __post_init__(self) -> None:
        self.identity = self.identity or identity_of(self.network[ME].tls)
        self.clients = PeerClients(
            identity=lambda: self._identity, trust=lambda: self.trust, now=lambda: self.now,
            max_answer_bytes=self.max_answer_bytes, monotonic=lambda: self.seconds,
        )  # fmt: skip

    @property
    def _identity(self) -> TlsIdentity:
        assert self.identity is not None
        return self.identity

    async def get(
        self, member: Member, path: str = "/v1/health", *, seconds: float = 5.0, **options: str
    ) -> PeerAnswer:
        return await self.clients.request(member, "GET", path, seconds=seconds, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def us(network: TestNetwork, **changes: object) -> AsyncIterator[Us]:
    """Give our client, closed afterwards. Changes: fields of Us."""
    made = Us(**{"network": network, "trust": network.trust_of(ME), **changes})  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.clients.close()
