"""A raw HTTPS client over `ssl` and sockets, so that tests can send what no decent client would.

It shares no line with the node's own client: what it accepts proves nothing about that one. Blocking, one
request at a time; every wait has a limit::

    with connect(port, identity, ca_pem) as wire:
        wire.send(request_bytes("POST", "/v1/messages", {"Tongban-Message": text}, body))
        answer = wire.answer()
"""

import socket
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from node.transport.tls import TlsIdentity
from protocol.envelope import RawReply

SECONDS = 15.0
Headers = Mapping[str, Any] | Iterable[tuple[str, Any]]


class Cut(Exception):
    """The peer ended the connection before an answer was complete; `received` are the bytes until then."""

    def __init__(self, received: bytes, cause: str) -> None:
        super().__init__(f"cut after {len(received)} bytes: {cause}")
        self.received = received
        self.cause = cause


@dataclass(frozen=True)
class HttpAnswer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def raw_reply(self) -> RawReply:
        """The answer as the envelope takes it."""
        return RawReply(
            status=self.status,
            statement=self.headers.get("tongban-message", "").encode(),
            body=self.body,
            content_type=self.headers.get("content-type", ""),
        )

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


@dataclass
class Wire:
    """One open connection."""

    tls: ssl.SSLSocket
    _buffer: bytes = field(default=b"", repr=False)

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def answer(self) -> HttpAnswer:
        """Read one answer; raises Cut when the connection ends before it is complete."""
        head = self._until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        status = int(lines[0].split(" ")[1])
        size = 0 if status in (204, 304) else int(headers.get("content-length", "0"))
        while len(self._buffer) < size:
            self._more()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return HttpAnswer(status, headers, body)

    def is_ended(self) -> bool:
        """Wait until the peer ends the connection; False when it still talks or stays open."""
        try:
            return self.tls.recv(1) == b""
        except TimeoutError:
            return False
        except (ssl.SSLError, OSError):
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(mark)
        return head

    def _more(self) -> None:
        try:
            data = self.tls.recv(65536)
        except (ssl.SSLError, ConnectionError) as fault:
            raise Cut(self._buffer, str(fault)) from fault
        if not data:
            raise Cut(self._buffer, "end of stream")
        self._buffer += data


def client_ssl(identity: TlsIdentity | None, ca_pem: str) -> ssl.SSLContext:
    """Return a client context that shows `identity`, or no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    if identity is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(identity.key_pem + b"\n" + identity.chain_pem)
            file.flush()
            context.load_cert_chain(file.name)
    return context


@contextmanager
def connect(
    port: int,
    identity: TlsIdentity | None,
    ca_pem: str,
    *,
    seconds: float = SECONDS,
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> Iterator[Wire]:
    """Open a connection to a peer port on this machine.

    In TLS 1.3 the server's refusal of a certificate arrives after the handshake: as `Cut` from `answer`.
    """
    made = context or client_ssl(identity, ca_pem)
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain:
        plain.settimeout(seconds)
        with made.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as tls:
            yield Wire(tls)


def request_bytes(method: str, path: str, headers: Headers = (), body: bytes = b"", *, length: bool = True) -> bytes:
    """Return an HTTP/1.1 request; with `length`, `Content-Length` is what the body has."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if length:
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
    lines += [name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in pairs]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def message_bytes(statement: bytes, body: bytes, extra: Headers = ()) -> bytes:
    """Return the POST of one message, as a decent client sends it, with more headers."""
    more = list(extra.items() if isinstance(extra, Mapping) else extra)
    headers = [("Content-Type", "application/json"), ("Tongban-Message", statement), *more]
    return request_bytes("POST", "/v1/messages", headers, body)
