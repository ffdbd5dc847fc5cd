"""Warm connections: open before the first question, used again before they are forgotten, and nobody waits for them."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.transport.outbound import KEPT_SECONDS
from node.transport.server import Patience
from node.transport.warming import CALL_SECONDS, REST_SECONDS, SPREAD_SECONDS, TURN_SECONDS, Warming
from protocol.certificates import Purpose
from protocol.envelope import Trust
from protocol.manifest import Status
from tests.making import make_certificate
from tests.networks import TestNetwork
from tests.node.transport.servers import (
    ME,
    NOW,
    OTHER,
    Peer,
    Us,
    founded,
    http,
    identity_of,
    peer,
    saying,
    silent,
    until,
    us,
)

OK = http("HTTP/1.1 200 OK", b"{}")
MIDDLE = 0.5
"""what chance says in these tests: the middle of a spread"""


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return founded()


def trusting(network: TestNetwork, *peers: Peer, **statuses: Status) -> Trust:
    """Return our trust under a manifest with the endpoints of running peers; the others' lead nowhere."""
    trust = network.trust_of(ME)
    members = dict(trust.manifest.members)
    for one in members.values():
        members[one.id] = dataclasses.replace(one, endpoints=("https://127.0.0.1:1",))
    members |= {one.of: one.member(network) for one in peers}
    for name, status in statuses.items():
        members[name[1:]] = dataclasses.replace(members[name[1:]], status=status)
    return dataclasses.replace(trust, manifest=dataclasses.replace(trust.manifest, members=members))


def run_with(
    network: TestNetwork, use: Callable[[Peer, Peer, Us, Warming], Awaitable[None]], other: Any = None
) -> None:
    async def run() -> None:
        async with (
            peer(network, saying(OK)) as there,
            peer(network, other or saying(OK), of=OTHER) as third,
            us(network, trust=trusting(network, there, third)) as here,
        ):
            await use(there, third, here, Warming(here.clients, lambda: MIDDLE))

    asyncio.run(run())


async def first_calls(here: Us, warming: Warming) -> None:
    warming.take_turn()
    here.seconds += SPREAD_SECONDS
    warming.take_turn()


def test_a_connection_rests_less_than_either_side_keeps_it() -> None:
    assert REST_SECONDS + 5 * TURN_SECONDS < KEPT_SECONDS < Patience().idle_seconds


def test_one_connection_to_every_active_city_is_open_before_the_first_question(network: TestNetwork) -> None:
    async def use(there: Peer, third: Peer, here: Us, warming: Warming) -> None:
        await first_calls(here, warming)
        await until(lambda: here.clients.rested_seconds(there.member(network)) == 0)
        await until(lambda: here.clients.rested_seconds(third.member(network)) == 0)
        assert there.heard[0].startswith(b"GET /v1/health ")
        for one in (there, third):
            await here.get(one.member(network), "/v1/manifest")
            assert (one.connections, len(one.heard)) == (1, 2), "the question found the connection open"

    run_with(network, use)


def test_calls_are_spread_over_some_seconds(network: TestNetwork) -> None:
    async def use(there: Peer, third: Peer, here: Us, _warming: Warming) -> None:
        chances = iter([0.2, 0.8])
        warming = Warming(here.clients, lambda: next(chances))
        for share, called in ((0.0, (0, 0)), (0.21, (0, 1)), (0.79, (0, 1)), (0.81, (1, 1))):
            here.seconds = share * SPREAD_SECONDS
            warming.take_turn()
            await until(lambda called=called: (len(there.heard), len(third.heard)) == called)  # type: ignore[misc]
            assert len(warming._calls) <= 1

    run_with(network, use)


def test_an_idle_connection_is_used_again_and_a_used_one_is_left_alone(network: TestNetwork) -> None:
    async def use(there: Peer, third: Peer, here: Us, warming: Warming) -> None:
        await first_calls(here, warming)
        await until(lambda: (len(there.heard), len(third.heard)) == (1, 1))
        await until(lambda: not warming._calls)
        here.seconds += REST_SECONDS / 2
        await here.get(third.member(network))
        here.seconds += REST_SECONDS / 2
        warming.take_turn()
        await until(lambda: not warming._calls)
        assert (len(there.heard), len(third.heard)) == (2, 2), "the third was asked meanwhile"
        here.seconds += REST_SECONDS / 2
        warming.take_turn()
        await until(lambda: not warming._calls)
        assert (len(there.heard), len(third.heard)) == (2, 3)
        assert (there.connections, third.connections) == (1, 1)

    run_with(network, use)


def test_when_our_certificate_is_replaced_connections_are_opened_anew(network: TestNetwork) -> None:
    async def use(there: Peer, _third: Peer, here: Us, warming: Warming) -> None:
        await first_calls(here, warming)
        await until(lambda: not warming._calls)
        here.identity = identity_of(make_certificate(network[ME].ca, Purpose.TLS, NOW))
        await first_calls(here, warming)
        await until(lambda: not warming._calls)
        assert (there.connections, len(there.heard)) == (2, 2)

    run_with(network, use)


def test_a_learnt_certificate_is_no_reason_to_call(network: TestNetwork) -> None:
    async def use(there: Peer, _third: Peer, here: Us, warming: Warming) -> None:
        here.trust = trusting(network, there)  # nobody listens where the other should be
        with capture_logs() as told:
            await first_calls(here, warming)
            await until(lambda: not warming._calls)
            here.trust = dataclasses.replace(here.trust, certificates={})
            await first_calls(here, warming)
            await until(lambda: not warming._calls)
        assert (there.connections, len(there.heard), len(told)) == (1, 1, 1)

    run_with(network, use)


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.LEFT])
def test_who_is_not_active_is_not_called(network: TestNetwork, status: Status) -> None:
    async def use(there: Peer, third: Peer, here: Us, warming: Warming) -> None:
        here.trust = trusting(network, there, third, **{f"_{OTHER}": status})
        await first_calls(here, warming)
        await until(lambda: len(there.heard) == 1)
        await until(lambda: not warming._calls)
        assert (third.connections, third.heard) == (0, [])

    run_with(network, use)


def test_a_city_that_is_away_is_no_news_and_is_called_again(network: TestNetwork) -> None:
    async def use(there: Peer, _third: Peer, here: Us, warming: Warming) -> None:
        here.trust = trusting(network, there)  # nobody listens where the other should be
        with capture_logs() as told:
            await first_calls(here, warming)
            await until(lambda: not warming._calls)
            here.seconds += REST_SECONDS
            warming.take_turn()
            await until(lambda: not warming._calls)
        assert [(one["log_level"], one["peer"], one["reason"]) for one in told] == [("debug", OTHER, "unreachable")] * 2
        assert len(there.heard) == 2

    run_with(network, use)


def test_the_loop_waits_for_nobody_and_ends_with_the_process(network: TestNetwork) -> None:
    """One city says nothing: the other is called all the same, and the end does not wait for the silent one."""

    async def use(there: Peer, third: Peer, here: Us, warming: Warming) -> None:
        stopping = asyncio.Event()
        loop = asyncio.create_task(warming.run(stopping))
        await until(lambda: len(warming._due) == 2)
        here.seconds += SPREAD_SECONDS
        await until(lambda: (len(there.heard), len(third.heard)) == (1, 1))
        stopping.set()
        async with asyncio.timeout(CALL_SECONDS / 2):
            await loop
            await until(lambda: not warming._calls and third.open == 0)

    run_with(network, use, other=silent)


def test_a_node_never_calls_itself(network: TestNetwork) -> None:
    async def run() -> None:
        async with (
            peer(network, saying(OK), of=ME) as own,
            peer(network, saying(OK)) as there,
            us(network, trust=trusting(network, own, there)) as here,
        ):
            warming = Warming(here.clients, lambda: MIDDLE)
            await first_calls(here, warming)
            await until(lambda: len(there.heard) == 1)
            await until(lambda: not warming._calls)
            assert own.connections == 0

    asyncio.run(run())
