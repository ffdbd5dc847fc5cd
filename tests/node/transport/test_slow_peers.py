"""Each peer has its own connections and its own bounded queue: a slow one delays nobody but those who ask it."""

import asyncio
from typing import Any

import pytest

from node.transport.client import IN_FLIGHT, READING, WAITING, NoAnswer, PeerAnswer
from tests.networks import TestNetwork
from tests.node.transport.servers import OTHER, Peer, Us, founded, http, peer, saying, silent, until, us, when

OK = http("HTTP/1.1 200 OK", b"{}")
CROWD = IN_FLIGHT + WAITING


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return founded()


def asking(here: Us, there: Peer, count: int, **options: Any) -> list["asyncio.Task[PeerAnswer]"]:
    """Begin so many requests."""
    member = there.member(here.network)
    return [asyncio.create_task(here.get(member, **options)) for _ in range(count)]


async def ended(tasks: list["asyncio.Task[PeerAnswer]"]) -> list[str]:
    """Return what became of requests: "200", or the reason why there is no answer."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one.reason if isinstance(one, NoAnswer) else str(getattr(one, "status", one)) for one in found]


async def give_up(tasks: list["asyncio.Task[PeerAnswer]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_limits_let_fifty_questions_hang() -> None:
    assert CROWD >= 50


@pytest.mark.threat("T12")
def test_while_requests_hang_at_one_peer_others_are_asked_as_ever(network: TestNetwork) -> None:
    async def run() -> None:
        async with peer(network, silent) as slow, peer(network, saying(OK), of=OTHER) as quick, us(network) as here:
            hanging = asking(here, slow, CROWD, seconds=60)
            await until(lambda: len(slow.heard) == IN_FLIGHT)
            assert await ended(asking(here, quick, 60, seconds=60)) == ["200"] * 60
            assert not any(task.done() for task in hanging), "the others were answered while these hung"
            assert (slow.most_open, len(slow.heard)) == (IN_FLIGHT, IN_FLIGHT)
            await give_up(hanging)

    asyncio.run(run())


@pytest.mark.threat("T12")
def test_one_more_than_may_wait_is_told_at_once(network: TestNetwork) -> None:
    async def run() -> None:
        async with peer(network, silent) as slow, us(network) as here:
            hanging = asking(here, slow, CROWD, seconds=60)
            await until(lambda: len(slow.heard) == IN_FLIGHT)
            assert await ended(asking(here, slow, 3, seconds=60)) == ["crowded"] * 3
            assert not any(task.done() for task in hanging)
            await give_up(hanging)
            assert len(slow.heard) == IN_FLIGHT, "nothing was sent for those who waited and those who were refused"

    asyncio.run(run())


def test_who_waited_and_gave_up_leaves_a_place(network: TestNetwork) -> None:
    async def run() -> None:
        async with peer(network, silent) as slow, us(network) as here:
            hanging = asking(here, slow, CROWD, seconds=60)
            await until(lambda: len(slow.heard) == IN_FLIGHT)
            await give_up(hanging[-1:])
            hanging += asking(here, slow, 1, seconds=60)
            assert await ended(asking(here, slow, 1, seconds=60)) == ["crowded"]
            assert [task.done() for task in hanging].count(True) == 1
            await give_up(hanging)

    asyncio.run(run())


def test_who_waits_has_a_turn_when_the_peer_answers(network: TestNetwork) -> None:
    async def run() -> None:
        event = asyncio.Event()
        async with peer(network, when(event, OK)) as slow, us(network) as here:
            asked = asking(here, slow, CROWD)
            await until(lambda: len(slow.heard) == IN_FLIGHT)
            event.set()
            assert await ended(asked) == ["200"] * CROWD
            assert (slow.most_open, len(slow.heard)) == (IN_FLIGHT, CROWD)
            assert await ended(asking(here, slow, CROWD)) == ["200"] * CROWD, "all places are free again"

    asyncio.run(run())


@pytest.mark.threat("T12")
@pytest.mark.parametrize("tls", [True, False], ids=["after the request", "in the handshake"])
def test_a_peer_that_never_answers_keeps_no_socket(network: TestNetwork, tls: bool) -> None:
    """Who waits for a turn is told in time, too."""

    async def run() -> None:
        async with peer(network, silent, tls=tls) as slow, us(network) as here:
            assert await ended(asking(here, slow, CROWD, seconds=0.5)) == ["timeout"] * CROWD
            await until(lambda: slow.open == 0)
            assert 0 < slow.most_open <= IN_FLIGHT
            assert await ended(asking(here, slow, 1, seconds=0.1)) == ["timeout"], "and its places are free again"

    asyncio.run(run())


def test_when_the_node_stops_nobody_waits_on_and_nothing_more_is_sent(network: TestNetwork) -> None:
    async def run() -> None:
        async with peer(network, silent) as slow, us(network) as here:
            hanging = asking(here, slow, CROWD, seconds=60)
            await until(lambda: len(slow.heard) == IN_FLIGHT)
            await here.clients.close()
            assert await ended(hanging) == ["interrupted"] * CROWD
            await until(lambda: slow.open == 0)
            assert len(slow.heard) == IN_FLIGHT

    asyncio.run(run())


def test_an_answer_that_is_too_large_takes_its_connection_along(network: TestNetwork) -> None:
    async def run() -> None:
        async with peer(network, saying(http("HTTP/1.1 200 OK", bytes(200_000)))) as there, us(network) as here:
            assert await ended(asking(here, there, 1)) == ["too-large"]
            await until(lambda: there.open == 0)

    asyncio.run(run())


def test_a_crowd_of_questions_never_keeps_a_node_from_catching_up(network: TestNetwork) -> None:
    async def run() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await (saying(OK) if b" /v1/crl/" in there.heard[-1] else silent)(reader, writer)

        async with peer(network, talk) as there, us(network) as here:
            hanging = asking(here, there, CROWD, seconds=60)
            await until(lambda: len(there.heard) == IN_FLIGHT)
            assert await ended(asking(here, there, 3, path="/v1/crl/442000", use=READING)) == ["200"] * 3
            await give_up(hanging)

    asyncio.run(run())
