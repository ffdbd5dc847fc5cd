"""The listener of the peer port: uvicorn with our own protocol class.

uvicorn hides the client certificate (assurance C02), so `PeerProtocol` takes it from the TLS object when
a connection is made, parses it once, and puts it into a copy of the application state, from where each
request finds it in `scope["state"]`. It also caps the request head, which httptools does not, and the
time in which a head must arrive. Everything else is uvicorn's.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocol.certificates import parse_certificate
from protocol.errors import Refusal

HEAD_MAX_BYTES: Final = 16 * 1024
HEAD_SECONDS: Final = 10
IDLE_SECONDS: Final = 75
CERTIFICATE: Final = "peer_certificate"
"""Key of the parsed certificate in `scope["state"]`."""


class PeerProtocol(HttpToolsProtocol):
    """One connection: client certificate into the scope, bounded head, bounded patience."""

    _head_bytes = 0
    _head_open = True
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the client certificate; a connection without a readable one is closed at once."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        try:
            certificate = parse_certificate(tls.getpeercert(True) or b"")
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
        super().data_received(data)
        if self._head_open:
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

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: uvicorn's own handlers would end one server only."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def peer_server(app: Any, context: ssl.SSLContext) -> uvicorn.Server:
    """Return the server of the peer port; `serve` it on a socket that is already bound."""
    return _Server(
        uvicorn.Config(
            app,
            http=PeerProtocol,
            loop="uvloop",
            ws="none",
            lifespan="off",
            ssl_context_factory=lambda _config, _default: context,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=10,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
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


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(512)
    listener.setblocking(False)
    return listener


async def is_reachable_without_certificate(host: str, port: int) -> bool:
    """Say whether our peer port answers a connection that shows no certificate: then we must not start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is what the server demands, not who it is
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            try:
                writer.write(b"GET /v1/health HTTP/1.1\r\nHost: self-test\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
        return False
