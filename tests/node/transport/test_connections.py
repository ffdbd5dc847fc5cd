"""What opens a new connection to a peer and what does not, and what goes over it (protocol §4)."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from node.transport.client import NoAnswer
from protocol.certificates import Purpose
from protocol.errors import CertificateRevoked
from tests.making import make_certificate
from tests.networks import TestNetwork
from tests.node.transport.servers import (
    ME,
    NOW,
    OTHER,
    PEER,
    Peer,
    Us,
    founded,
    http,
    identity_of,
    peer,
    saying,
    until,
    us,
    when,
)

OK = http("HTTP/1.1 200 OK", b"{}")


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return founded()


def run_with(network: TestNetwork, use: Callable[[Peer, Us], Awaitable[None]], answer: bytes = OK) -> None:
    async def run() -> None:
        async with peer(network, saying(answer)) as there, us(network) as here:
            await use(there, here)

    asyncio.run(run())


def test_a_learnt_certificate_and_another_citys_crl_leave_the_connection_open(network: TestNetwork) -> None:
    """A first question to a whole network learns a certificate from each city: none of them may close the others."""

    async def use(there: Peer, here: Us) -> None:
        for trust in (
            here.trust,
            dataclasses.replace(here.trust, certificates={}),
            network.trust_under_crl(ME, OTHER, number=2, now=NOW - timedelta(seconds=1)),
        ):
            here.trust = trust
            assert (await here.get(there.member(network))).status == 200
        assert (there.connections, len(there.heard)) == (1, 3)

    run_with(network, use)


def test_a_new_crl_of_the_peer_closes_its_connection(network: TestNetwork) -> None:
    async def use(there: Peer, here: Us) -> None:
        await here.get(there.member(network))
        here.trust = network.trust_under_crl(ME, PEER, number=2, now=NOW - timedelta(seconds=1))
        await here.get(there.member(network))
        await until(lambda: (there.connections, there.open) == (2, 1))

    run_with(network, use)


def test_replaced_connections_end_with_their_last_answer(network: TestNetwork) -> None:
    async def run() -> None:
        event = asyncio.Event()
        async with peer(network, when(event, OK)) as there, us(network) as here:
            member = there.member(network)
            first = asyncio.create_task(here.get(member))
            await until(lambda: len(there.heard) == 1)
            here.identity = identity_of(make_certificate(network[ME].ca, Purpose.TLS, NOW))
            second = asyncio.create_task(here.get(member))
            await until(lambda: len(there.heard) == 2)
            assert there.open == 2, "the first answer is still waited for"
            event.set()
            assert [(await one).status for one in (first, second)] == [200, 200]
            await until(lambda: there.open == 1)

    asyncio.run(run())


@pytest.mark.threat("T03")
def test_a_connection_under_the_peers_former_certificate_is_not_used_again(network: TestNetwork) -> None:
    """The verdict of each request is over the newest certificate, so it must be that of the connection, too."""

    async def run() -> None:
        event = asyncio.Event()
        async with peer(network, when(event, OK)) as there, us(network) as here:
            member = there.member(network)
            first = asyncio.create_task(here.get(member))
            await until(lambda: len(there.heard) == 1)
            there.show(identity_of(make_certificate(network[PEER].ca, Purpose.TLS, NOW)))
            later = [asyncio.create_task(here.get(member)) for _ in range(2)]
            await until(lambda: len(there.heard) == 3)
            event.set()
            assert [(await one).status for one in (first, *later)] == [200] * 3
            await here.get(member)
            await until(lambda: (there.connections, there.open) == (4, 1))

    asyncio.run(run())


@pytest.mark.threat("T03")
def test_an_answer_of_a_server_that_was_revoked_meanwhile_is_no_answer(network: TestNetwork) -> None:
    async def run() -> None:
        event = asyncio.Event()
        async with peer(network, when(event, OK)) as there, us(network) as here:
            asked = asyncio.create_task(here.get(there.member(network)))
            await until(lambda: len(there.heard) == 1)
            serial = network[PEER].tls.certificate.serial
            here.trust = network.trust_under_crl(ME, PEER, revoked=[serial], number=2, now=NOW - timedelta(seconds=1))
            event.set()
            with pytest.raises(NoAnswer) as ended:
                await asked
            assert isinstance(ended.value.refusal, CertificateRevoked)

    asyncio.run(run())


def test_no_cookie_of_a_peer_comes_back_to_it(network: TestNetwork) -> None:
    async def use(there: Peer, here: Us) -> None:
        for _ in range(2):
            await here.get(there.member(network))
        assert there.connections == 1
        assert b"cookie" not in there.heard[1].lower()

    run_with(network, use, http("HTTP/1.1 200 OK\r\nSet-Cookie: canary=1; Path=/", b"{}"))


def test_a_message_goes_out_with_exactly_these_headers(network: TestNetwork) -> None:
    async def run() -> None:
        bodies: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            bodies.append(await reader.readexactly(11))
            await saying(OK)(reader, writer)

        async with peer(network, talk) as there, us(network) as here:
            sent = (there.member(network), b"a.statement.as-it-is", b'{"salt":"s"', "application/json")
            raw, server = await here.clients.post_message(*sent, seconds=5)
            assert (raw.status, raw.body, server, bodies) == (200, b"{}", PEER, [b'{"salt":"s"'])
            first, *lines = there.heard[0].decode().rstrip("\r\n").split("\r\n")
            assert first == "POST /v1/messages HTTP/1.1"
            assert {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)} == {
                "host": f"127.0.0.1:{there.port}",
                "accept": "*/*",
                "accept-encoding": "identity",
                "user-agent": "tongban/1",
                "content-type": "application/json",
                "content-length": "11",
                "tongban-message": "a.statement.as-it-is",
            }

    asyncio.run(run())
