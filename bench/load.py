"""The client of the exchange benchmark: prepared bytes on a bare asyncio protocol, cheap enough not to be the limit.

Every request is complete before the clock starts, TLS records apart. A connection sends the next request when an
answer is complete; of an answer only status and length are read. What a slice took of the client's own processor
time stands in its result, and a slice in which that was too much is void.
"""

import asyncio
import gc
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import uvloop

from bench.measuring import processor_seconds

SERVER_BUSY: Final = 0.9
"""At 16 and 64 connections the server's core is at least this busy in the baseline, or the client was the limit."""
CLIENT_BUSY: Final = 0.7
BUSY: Final = b"503"


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: its port on loopback, its processes, and how a client connects to it."""

    port: int
    pids: tuple[int, ...]
    context: ssl.SSLContext = field(repr=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice of load saw; times in the units of their names, busy as a share of one core."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_seconds: float
    client_seconds: float
    statuses: dict[int, int]
    answers: tuple[bytes, ...] = field(repr=False)
    """the last answer of each connection, whole"""

    @property
    def rate(self) -> float:
        """Return answered requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """Return the server's processor time per request, µs."""
        return self.server_seconds / max(self.requests, 1) * 1e6

    @property
    def server_busy(self) -> float:
        """Return how busy the server was, 1 being one core."""
        return self.server_seconds / self.seconds

    @property
    def client_busy(self) -> float:
        """Return how busy this client was, 1 being one core."""
        return self.client_seconds / self.seconds


class _Lane(asyncio.Protocol):
    """One connection: one request in flight."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._held = b""
        self._sent_at = 0.0
        self.last = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self)

    def send(self) -> None:
        request = self._run.next()
        if request is None:
            self._run.rest(self)
            return
        self._sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data, head):
            self._held = data
            return
        self._held, self.last = b"", data
        status = data[9:12]
        self._run.answered(status, time.perf_counter() - self._sent_at)
        if status == BUSY:
            # As a peer does that was told `Retry-After: 1`.
            asyncio.get_running_loop().call_later(1.0, self.send)
        else:
            self.send()


def _length(data: bytes, head: int) -> int:
    start = data.index(b"content-length: ", 0, head) + 16
    return int(data[start : data.index(b"\r", start)])


class _Run:
    """The state of one slice."""

    def __init__(self, requests: Sequence[bytes], *, endless: bool) -> None:
        self._requests, self._endless = requests, endless
        self._next = 0
        self._ends = 0.0
        self._resting = 0
        self.lanes: list[_Lane] = []
        self.taken: list[float] = []
        self.statuses: dict[bytes, int] = {}
        self.over: asyncio.Future[None]

    def begin(self, seconds: float) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._ends = time.perf_counter() + seconds
        for lane in self.lanes:
            lane.send()

    def next(self) -> bytes | None:
        place = self._next
        if time.perf_counter() >= self._ends or (place >= len(self._requests) and not self._endless):
            return None
        self._next = place + 1
        return self._requests[place % len(self._requests)]

    def answered(self, status: bytes, seconds: float) -> None:
        if status != BUSY:
            self.taken.append(seconds)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def rest(self, _lane: _Lane) -> None:
        self._resting += 1
        if self._resting == len(self.lanes) and not self.over.done():
            self.over.set_result(None)

    def lost(self, _lane: _Lane) -> None:
        if hasattr(self, "over") and not self.over.done():
            self.over.set_exception(ConnectionError("the server cut a connection under load"))


def run_slice(
    target: Target, requests: Sequence[bytes], *, connections: int, seconds: float, endless: bool = False
) -> Slice:
    """Load a server for so many seconds, or until the requests are used up; connections are made before.

    Args:
        target: whom.
        requests: whole HTTP requests; each is sent once, unless `endless` (for a server that does not read them).
        connections: keep-alive connections, one request in flight on each.
        seconds: how long new requests are begun; those in flight are waited for.
        endless: begin again when the requests are used up.
    """
    return uvloop.run(_slice(target, requests, connections, seconds, endless))


async def _slice(target: Target, requests: Sequence[bytes], connections: int, seconds: float, endless: bool) -> Slice:
    run, loop = _Run(requests, endless=endless), asyncio.get_running_loop()
    for _ in range(connections):
        _, lane = await loop.create_connection(
            lambda: _Lane(run), "127.0.0.1", target.port, ssl=target.context, server_hostname="127.0.0.1"
        )
        run.lanes.append(lane)
    gc.collect()
    gc.disable()
    try:
        server, client, begun = processor_seconds(*target.pids), time.process_time(), time.perf_counter()
        run.begin(seconds)
        await run.over
        took, used = time.perf_counter() - begun, time.process_time() - client
        server = processor_seconds(*target.pids) - server
    finally:
        gc.enable()
    run.over = loop.create_future()
    run.over.set_result(None)
    for lane in run.lanes:
        lane.transport.close()
    return _result(run, took, server, used)


def _result(run: _Run, took: float, server: float, client: float) -> Slice:
    taken = sorted(run.taken) or [0.0]
    return Slice(
        requests=len(run.taken),
        seconds=took,
        p50_ms=taken[len(taken) // 2] * 1000,
        p99_ms=taken[min(len(taken) - 1, len(taken) * 99 // 100)] * 1000,
        server_seconds=server,
        client_seconds=client,
        statuses={int(status): count for status, count in run.statuses.items()},
        answers=tuple(lane.last for lane in run.lanes),
    )
