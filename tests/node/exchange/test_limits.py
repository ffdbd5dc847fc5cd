"""What one peer may send, and how much of what is refused is written down."""

import pytest

from node.exchange.limits import REFUSALS_LOGGED_PER_MINUTE, PeerLimits
from protocol.errors import RateLimited


def refused_within(limits: PeerLimits, times: int) -> RateLimited:
    """Return the refusal of one of the next messages: a new second may begin at any of them."""
    with pytest.raises(RateLimited) as refused:
        send(limits, times)
    return refused.value


def send(limits: PeerLimits, times: int) -> None:
    for _ in range(times):
        limits.count_message("442000")


def test_a_peer_may_send_as_many_messages_in_a_second_as_are_allowed() -> None:
    limits = PeerLimits(3)
    send(limits, 3)
    assert refused_within(limits, 4).retry_after_seconds == 1


def test_one_peer_does_not_use_up_what_another_may_send() -> None:
    limits = PeerLimits(1)
    limits.count_message("442000")
    limits.count_message("450400")
    assert refused_within(limits, 2)


def test_a_flood_of_refused_messages_does_not_fill_the_log() -> None:
    limits = PeerLimits(1)
    logged = sum(limits.may_log_refusal("442000") for _ in range(1_000))
    assert REFUSALS_LOGGED_PER_MINUTE <= logged <= 2 * REFUSALS_LOGGED_PER_MINUTE
    assert limits.may_log_refusal("450400")
