"""Large bodies of the peer port: routes that stream, and the headers that say which part of the bytes is meant.

RFC 9110 gives `Range` and `Content-Range` for answers; a `PUT` with `Content-Range` is our own rule (protocol §4).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fastapi.routing import APIRoute

from protocol.errors import Malformed

_SENT: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
_WANTED: Final = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")

Message = MutableMapping[str, Any]


class StreamedRoute(APIRoute):
    """A route that may answer before the whole body has come; then the connection ends with the answer.

    Else the server would read on to the end of a body that nobody wants. A client that sends `Expect: 100-continue`
    is answered before it has sent anything.
    """

    async def handle(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one request."""
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        is_over = not has_body

        async def receive_and_note() -> Message:
            nonlocal is_over
            event = await receive()
            is_over = is_over or not event.get("more_body", False)
            return event

        async def send_and_close(event: Message) -> None:
            if event["type"] == "http.response.start" and not is_over:
                event = {**event, "headers": [*event.get("headers", []), (b"connection", b"close")]}
            await send(event)

        await super().handle(scope, receive_and_note, send_and_close)


def sent_range(content_range: str, length: str) -> tuple[int, int]:
    """Return where a request's body begins, and the size of the whole.

    Raises:
        Malformed: no length, another form, or the two do not fit.
    """
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise Malformed("a Content-Length is expected")
    if not content_range:
        return 0, int(length)
    found = _SENT.fullmatch(content_range)
    if found is None:
        raise Malformed("Content-Range is expected as: bytes FIRST-LAST/SIZE")
    first, last, size = (int(one) for one in found.groups())
    if not first <= last < size or last - first + 1 != int(length):
        raise Malformed("Content-Range and Content-Length do not fit")
    return first, size


def wanted_range(wanted: str, size: int) -> tuple[int, int]:
    """Return start and end, excluded, of the bytes that `Range` asks for; other forms mean everything (RFC 9110 §14.2).

    Raises:
        Malformed: it begins behind the end.
    """
    found = _WANTED.fullmatch(wanted)
    if found is None:
        return 0, size
    first = int(found[1])
    stop = min(size, int(found[2]) + 1) if found[2] else size
    if not first < stop:
        raise Malformed(f"the range does not lie within {size} bytes")
    return first, stop


def check_plain(headers: Mapping[str, str]) -> None:
    """Check that a body comes as it is.

    Raises:
        Malformed: it is encoded.
    """
    if "content-encoding" in headers:
        raise Malformed("Content-Encoding is refused")
