"""How a process and its worker speak: one JSON object a line each way, bytes as base64."""

import base64
import json
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Pipe:
    """What one side hears and says."""

    heard: IO[bytes]
    said: IO[bytes]

    def hear(self) -> dict[str, Any] | None:
        """Return the next message; None when the other side has gone."""
        line = self.heard.readline()
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.said.write(json.dumps(message).encode() + b"\n")
        self.said.flush()


def pack(data: bytes) -> str:
    """Return bytes as they travel."""
    return base64.b64encode(data).decode()


def unpack(text: str) -> bytes:
    """Return the bytes."""
    return base64.b64decode(text)
