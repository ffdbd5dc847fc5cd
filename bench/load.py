"""The client of the exchange benchmark: prepared bytes on bare TLS sockets, cheap enough not to be the limit.

Every request is complete before the clock starts, TLS records apart. A connection sends the next request when an
answer is complete; of an answer only status and length are read. What a slice took of the client's own processor
time stands in its result, and a slice in which that was too much is void.

There is no event loop: epoll over non-blocking sockets costs as little as a protocol on uvloop (16 µs a request), and
a request leaves at once, not at the end of a turn.
"""

import gc
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

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


class _Lane:
    """One connection: one request in flight."""

    def __init__(self, target: Target) -> None:
        plain = socket.create_connection(("127.0.0.1", target.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = target.context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.socket.setblocking(False)
        self.held = b""
        self.sent_at = 0.0
        self.last = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        if self.socket.send(request) != len(request):
            raise ConnectionError("the server does not take a whole request")

    def receive(self) -> bytes | None:
        """Return a whole answer, or None when there is none yet."""
        try:
            data = self.socket.recv(65_536)
        except ssl.SSLWantReadError:
            return None
        if not data:
            raise ConnectionError("the server cut a connection under load")
        data = self.held + data if self.held else data
        head = data.find(b"\r\n\r\n")
        if head < 0 or len(data) < head + 4 + _length(data, head):
            self.held = data
            return None
        self.held, self.last = b"", data
        return data


def _length(data: bytes, head: int) -> int:
    start = data.index(b"content-length: ", 0, head) + 16
    return int(data[start : data.index(b"\r", start)])


class _Run:
    """The state of one slice."""

    def __init__(self, lanes: Sequence[_Lane], requests: Sequence[bytes], ends: float, *, endless: bool) -> None:
        self._lanes = {lane.socket.fileno(): lane for lane in lanes}
        self._requests = cycle(requests) if endless else iter(requests)
        self._ends = ends
        self._poll = select.epoll()
        self._pausing: deque[tuple[float, _Lane]] = deque()
        self._open = len(lanes)
        self.taken: list[float] = []
        self.statuses: dict[bytes, int] = {}
        for number in self._lanes:
            self._poll.register(number, select.EPOLLIN)

    def play(self) -> None:
        """Send and receive until every connection has rested."""
        for lane in self._lanes.values():
            self._next(lane)
        while self._open:
            # Whoever pauses is looked at every 10 ms; without them nothing but answers wakes this process.
            for number, _ in self._poll.poll(0.01 if self._pausing else 30):
                self._receive(self._lanes[number])
            now = time.perf_counter()
            # Once no new request is begun, whoever pauses has rested.
            while self._pausing and (self._pausing[0][0] <= now or now >= self._ends):
                self._next(self._pausing.popleft()[1])
        self._poll.close()

    def _next(self, lane: _Lane) -> None:
        request = next(self._requests, None) if time.perf_counter() < self._ends else None
        if request is None:
            self._open -= 1
        else:
            lane.send(request)

    def _receive(self, lane: _Lane) -> None:
        answer = lane.receive()
        if answer is None:
            return
        status = answer[9:12]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == BUSY:
            # As a peer does that was told `Retry-After: 1`.
            self._pausing.append((time.perf_counter() + 1.0, lane))
            return
        self.taken.append(time.perf_counter() - lane.sent_at)
        self._next(lane)


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
    lanes = [_Lane(target) for _ in range(connections)]
    gc.collect()
    gc.disable()
    try:
        server, client, begun = processor_seconds(*target.pids), time.process_time(), time.perf_counter()
        run = _Run(lanes, requests, begun + seconds, endless=endless)
        run.play()
        took, used = time.perf_counter() - begun, time.process_time() - client
        server = processor_seconds(*target.pids) - server
    finally:
        gc.enable()
        for lane in lanes:
            lane.socket.close()
    return _result(run, lanes, took, server, used)


def _result(run: _Run, lanes: Sequence[_Lane], took: float, server: float, client: float) -> Slice:
    taken = sorted(run.taken) or [0.0]
    return Slice(
        requests=len(run.taken),
        seconds=took,
        p50_ms=taken[len(taken) // 2] * 1000,
        p99_ms=taken[min(len(taken) - 1, len(taken) * 99 // 100)] * 1000,
        server_seconds=server,
        client_seconds=client,
        statuses={int(status): count for status, count in run.statuses.items()},
        answers=tuple(lane.last for lane in lanes),
    )
