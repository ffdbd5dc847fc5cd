"""`POST /v1/messages` as a plain ASGI application: the fewest hands between socket and pipeline.

The body is read under a size cap and a time limit; nothing is decoded, inflated or parsed here.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from node.transport.server import CERTIFICATE, check_head, has_arrived, send_whole
from protocol.certificates import Certificate
from protocol.envelope import RawMessage
from protocol.errors import Busy, Malformed, Refusal, TooLarge

HEADER: Final = b"tongban-message"
MESSAGES: Final = "/v1/messages"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answering = Callable[[RawMessage, Certificate, Refusal | None], Awaitable[Any]]
"""Gives the sealed answer; the third argument is a fault of transport, found before verification."""


def messages_route(
    answer: Answering, *, max_body_bytes: int, body_seconds: float
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application for the messages endpoint; a whole body may take `body_seconds`."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        statements = [value for name, value in headers if name == HEADER]
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        fault: Refusal | None = None
        body = b""
        try:
            check_head(scope)
            _check_headers(headers, statements)
            if has_arrived(send):
                body = await _read_body(headers, receive, max_body_bytes)
            else:
                async with asyncio.timeout(body_seconds):
                    body = await _read_body(headers, receive, max_body_bytes)
        except TimeoutError:
            fault = Busy(f"the body did not arrive within {body_seconds:g} s")
        except Refusal as refusal:
            fault = refusal
        # Of two statements neither is the one to answer: the refusal names none and is not signed.
        raw = RawMessage(statements[0] if len(statements) == 1 else b"", body, content_type.decode("latin-1"))
        sealed = await answer(raw, scope["state"][CERTIFICATE], fault)
        await _send(send, sealed, close=sealed.close or fault is not None)

    return application


def _check_headers(headers: list[tuple[bytes, bytes]], statements: list[bytes]) -> None:
    if len(statements) != 1:
        raise Malformed("exactly one Tongban-Message header is expected")
    if any(name == b"content-encoding" for name, _ in headers):
        raise Malformed("Content-Encoding is refused: bodies travel as they were signed for")


async def _read_body(headers: list[tuple[bytes, bytes]], receive: Receive, max_body_bytes: int) -> bytes:
    too_large = TooLarge(f"a body has at most {max_body_bytes} bytes", limit_bytes=max_body_bytes)
    declared = next((value for name, value in headers if name == b"content-length"), b"0")
    if not declared.isdigit() or not declared.isascii() or int(declared) > max_body_bytes:
        raise too_large
    chunks, size = [], 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Malformed("the connection ended before the body did")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > max_body_bytes:
            raise too_large
        chunks.append(chunk)
        if not event.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _send(send: Send, sealed: Any, *, close: bool) -> None:
    headers = [
        (b"content-type", sealed.content_type.encode()),
        (b"content-length", str(len(sealed.body)).encode()),
    ]
    if sealed.statement:
        headers.append((HEADER, sealed.statement))
    if sealed.retry_after_seconds is not None:
        headers.append((b"retry-after", str(sealed.retry_after_seconds).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send_whole(send, sealed.status, headers, sealed.body)


class PeerApp:
    """The peer port: messages go straight to their endpoint, everything else to FastAPI's routes."""

    def __init__(self, messages: Any, others: Any) -> None:
        self._messages, self._others = messages, others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_message = scope["path"] == MESSAGES and scope["method"] == "POST"
        await (self._messages if is_message else self._others)(scope, receive, send)


class Asgi:
    """Tells starlette that an endpoint is a plain ASGI application."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)
