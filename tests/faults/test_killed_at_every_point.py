"""SIGKILL between any two steps of receiving and sending: never a reply without a durable effect, never an effect
without an entry, never an effect twice after the sender's retry (P1, P2; issue 2). On both databases.
"""

import pytest

from tests.faults.killing import (
    COMMITTED,
    RECEIVER,
    RECEIVING,
    SENDER,
    SENDING,
    Target,
    a_query,
    after_repeats,
    kill_while_receiving,
    kill_while_sending,
    payload,
    slug,
    traces,
)
from tests.faults.processes import signed_and_verified

TIMES = 20


@pytest.mark.parametrize("point", RECEIVING)
def test_a_receiver_killed_at_any_point_has_one_effect_after_the_retry(target: Target, point: str) -> None:
    assert kill_while_receiving(target, point) == []


@pytest.mark.parametrize("point", SENDING)
def test_a_sender_killed_at_any_point_keeps_what_it_signed_and_has_one_effect(target: Target, point: str) -> None:
    assert kill_while_sending(target, point) == []


def test_a_fault_at_any_point_is_a_signed_refusal_and_changes_nothing_before_the_commit(target: Target) -> None:
    target.network.stop(RECEIVER)
    target.start("raise")
    for point in RECEIVING:
        raw = a_query(target.network)
        with target.acting(point):
            answer = target.network.post(SENDER, RECEIVER, raw.statement, raw.body)
        assert (answer.status, slug(answer), payload(answer)["status"]) == (500, "internal", 500), point
        assert traces(target.network, raw) == ((1, 1) if point in COMMITTED else (0, 0)), point
        assert after_repeats(target.network, raw) == [], point
    assert signed_and_verified(target.network, RECEIVER).ok
    target.network.stop(RECEIVER)
    target.start()


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_twenty_kills_at_every_point(target: Target) -> None:
    wrong = {
        f"{point} #{number}": found
        for number in range(TIMES)
        for points, kill in ((RECEIVING, kill_while_receiving), (SENDING, kill_while_sending))
        for point in points
        if (found := kill(target, point))
    }
    assert wrong == {}
