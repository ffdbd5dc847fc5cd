"""The listener of the peer port: uvicorn with our own protocol class.

uvicorn hides the client certificate (assurance C02), so `PeerProtocol` takes it from the TLS object when
a connection is made, parses it once, and puts it into a copy of the application state, from where each
request finds it in `scope["state"]`. It also caps the request head, which httptools does not, and the
time in which a head must arrive; a request that is no HTTP gets an unsigned problem. Everything else is
uvicorn's.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from protocol.certificates import parse_certificate
from protocol.claims import PROBLEM_TYPE
from protocol.errors import Malformed, NotAMember, Refusal, TooLarge, format_problem

HEAD_MAX_BYTES: Final = 16 * 1024
SELF_TEST_SECONDS: Final = 5
CERTIFICATE: Final = "peer_certificate"
"""Key of the parsed certificate in `scope["state"]`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the peer port waits for a peer (threat T12). Processes use the defaults; tests wait less."""

    head_seconds: float = 10
    """for a whole request head, the first one of a connection counted from the handshake"""
    body_seconds: float = 30
    """for a whole message body; then the peer gets `busy`"""
    idle_seconds: int = 75
    """for the next request on an open connection"""


class PeerProtocol(HttpToolsProtocol):
    """One connection: client certificate into the scope, bounded head, bounded patience."""

    _head_bytes = 0
    _head_open = True
    _waiting: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, head_seconds: float, **options: Any) -> None:
        """`head_seconds`: how long a request head may take; the rest is uvicorn's."""
        super().__init__(*arguments, **options)
        self._head_seconds = head_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the client certificate; a connection without one that is ours to read ends at once."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(True) if tls is not None else None
        if der is None:
            # The listener did not demand one: said aloud, so that the self-test of the start hears it.
            self._end_with(NotAMember("a client certificate is expected"))
            return
        try:
            certificate = parse_certificate(der)
        except Refusal:
            transport.abort()
            return
        self.app_state = {**self.app_state, CERTIFICATE: certificate}
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and close when a head grows without an end."""
        if self.transport.is_closing():
            return  # what arrives after we ended the connection is nobody's
        was_open = self._head_open
        super().data_received(data)
        # The chunk in which a later head begins may hold the body before it, and is not counted.
        if was_open and self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        super().on_message_begin()
        self._head_open, self._head_bytes = True, 0
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is complete; its size is judged by the application, which can answer."""
        self._head_open = False
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with the unsigned problem `malformed`, and close."""
        self._end_with(Malformed("not a request of HTTP/1.1"))

    def _end_with(self, refusal: Refusal) -> None:
        body = json.dumps(format_problem(refusal, trace=""), ensure_ascii=False).encode()
        lines = [
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
            f"content-type: {PROBLEM_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self._head_seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def has_arrived(send: Any) -> bool:
    """Say whether the whole request of this ASGI call is here already, as nearly always."""
    cycle = getattr(send, "__self__", None)
    return isinstance(cycle, RequestResponseCycle) and not cycle.more_body


async def send_whole(send: Any, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    """Answer an ASGI call at once; header values are ours: digits, base64url and fixed words.

    uvicorn searches each value of a header for characters that none may hold, which for a statement takes longer
    than its signature. Called with uvicorn's own `send`, this does what that does, without the search.
    """
    cycle = getattr(send, "__self__", None)
    if not isinstance(cycle, RequestResponseCycle) or cycle.scope["method"] == "HEAD":
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.keep_alive = cycle.keep_alive and (b"connection", b"close") not in headers
    lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
    if not cycle.keep_alive and (b"connection", b"close") not in headers:
        lines.append(b"connection: close\r\n")
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def check_head(scope: Mapping[str, Any]) -> None:
    """Check the size of a head that arrived whole.

    Raises:
        TooLarge: more than 16 KiB.
    """
    size = len(scope["raw_path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEAD_MAX_BYTES:
        raise TooLarge(f"a request head has at most {HEAD_MAX_BYTES} bytes", limit_bytes=HEAD_MAX_BYTES)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: uvicorn's own handlers would end one server only."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def peer_server(app: Any, context: ssl.SSLContext, patience: Patience) -> uvicorn.Server:
    """Return the server of the peer port; `serve` it on a socket that is already bound."""
    return _Server(
        uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(PeerProtocol, head_seconds=patience.head_seconds)),
            loop="uvloop",
            ws="none",
            lifespan="off",
            ssl_context_factory=lambda _config, _default: context,
            timeout_keep_alive=patience.idle_seconds,
            timeout_graceful_shutdown=10,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,  # who calls is said by its certificate, never by a header
        )
    )


def console_server(app: Any) -> uvicorn.Server:
    """Return the server of the console port (plain HTTP on loopback, or behind the city's proxy)."""
    return _Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=5,
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket.

    `shared`: others of this user may listen there too. The kernel then gives each new connection to one of them by
    its hash; on one socket for all, whoever is awake takes most, and a second process has little to do.

    Raises:
        OSError: the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(512)
    listener.setblocking(False)
    return listener


async def is_reachable_without_certificate(host: str, port: int) -> bool:
    """Say whether our peer port stays open to a connection that shows no certificate: then we must not start.

    A listener that demands one ends the connection in the handshake, without a byte. `PeerProtocol` speaks
    first when it is handed such a connection; nothing is sent here, for a reset could overtake its words.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is what the server demands, not who it is
    try:
        async with asyncio.timeout(SELF_TEST_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                return bool(await reader.read(1))
            finally:
                writer.close()
    except TimeoutError:
        return True
    except OSError:  # ssl.SSLError is one
        return False
