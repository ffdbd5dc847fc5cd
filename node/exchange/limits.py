"""How many messages one peer may send per second, counted per process in memory.

A sliding window of one second; a process restart forgets it, which harms nobody. Refused messages of a
peer are logged at most thirty times a minute, so that a flood cannot fill the log.
"""

from typing import Final

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from protocol.errors import RateLimited

REFUSALS_LOGGED_PER_MINUTE: Final = 30


class PeerLimits:
    """Counters per peer."""

    def __init__(self, messages_per_second: int) -> None:
        """`messages_per_second`: `limits.peer_rps`."""
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._messages = RateLimitItemPerSecond(messages_per_second)
        self._refusals = RateLimitItemPerMinute(REFUSALS_LOGGED_PER_MINUTE)

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
