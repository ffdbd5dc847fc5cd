"""The signed chain of a case: equal heads mean equal transcripts (protocol §6, Cases).

    head₀ = digest of case.open                       a digest is SHA-256 of the statement's text; of a message
    headₙ = SHA-256(headₙ₋₁ ‖ digest of event n)      that was sent `again`, of the first text, which it names

The responsible city gives places; the accepting city appends what continues its chain and keeps the rest waiting.
"""

import hashlib
from dataclasses import dataclass

from protocol.suites import encode


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a transcript: number of the last event, and the head after it."""

    seq: int
    head: str
    """base64url of 32 bytes"""
    raw: bytes

    def after(self, digest: bytes) -> "Position":
        """Return the position after one more event."""
        raw = hashlib.sha256(self.raw + digest).digest()
        return Position(self.seq + 1, encode(raw), raw)


def opened(digest: bytes) -> Position:
    """Return the position after `case.open`."""
    return position(0, digest)


def position(seq: int, raw: bytes) -> Position:
    """Return a position that was stored."""
    return Position(seq, encode(raw), raw)
