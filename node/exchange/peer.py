"""The message of the exchange itself: `ping` (protocol §6)."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

from node.exchange.service import Answer, Handler, ReadingHandler
from node.storage.unit_of_work import Reading
from protocol.bodies import Body
from protocol.claims import VERSION
from protocol.envelope import Message
from protocol.messages import Pong, format_body

CHINA: Final = timezone(timedelta(hours=8))


def handlers(*, software: str, manifest_version: Callable[[], int], now: Callable[[], datetime]) -> dict[str, Handler]:
    """Return the handlers by message type."""

    def pong(_reading: Reading, _message: Message, _body: Body) -> Answer:
        answer = Pong(
            software=software,
            versions=[VERSION],
            manifest=manifest_version(),
            time=now().astimezone(CHINA).isoformat(timespec="milliseconds"),
        )
        return Answer(body=format_body(answer))

    return {"ping": ReadingHandler(lambda _message, _body: (), pong)}
