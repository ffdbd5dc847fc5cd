"""How many messages one peer may send per second, and how many a process works on at a time, counted in memory.

A sliding window of one second; a process restart forgets it, which harms nobody. Refused messages of a
peer are noted, in the log and in the operating log, at most thirty times a minute: a flood fills neither.
"""

from typing import Final

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from protocol.errors import RateLimited

REFUSALS_LOGGED_PER_MINUTE: Final = 30
IN_FLIGHT_MAX: Final = 256
"""Messages that one process works on at a time; one more gets `busy` before anything is verified, for a message
that waits longer than its sender costs as much as one that is answered."""


class PeerLimits:
    """Counters per peer."""

    def __init__(self, messages_per_second: int, *, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        """`messages_per_second`: `limits.peer_rps`, of one peer; `in_flight_max`: of all together."""
        self._in_flight, self._in_flight_max = 0, in_flight_max
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._messages = RateLimitItemPerSecond(messages_per_second)
        self._refusals = RateLimitItemPerMinute(REFUSALS_LOGGED_PER_MINUTE)

    def enter(self) -> bool:
        """Count one more message in work; False when there are too many, and then it is not counted."""
        if self._in_flight >= self._in_flight_max:
            return False
        self._in_flight += 1
        return True

    def leave(self) -> None:
        """Count one message less."""
        self._in_flight -= 1

    def count_message(self, peer: str) -> None:
        """Count a message.

        Raises:
            RateLimited: the peer has used up this second.
        """
        if not self._limiter.hit(self._messages, "message", peer):
            raise RateLimited(f"{self._messages.amount} messages per second are allowed", retry_after_seconds=1)

    def may_log_refusal(self, peer: str) -> bool:
        """Say whether one more refused message of this peer goes into the log."""
        return self._limiter.hit(self._refusals, "refusal", peer)
