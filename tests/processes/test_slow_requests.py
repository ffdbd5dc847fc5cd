"""Peers that are slow, or silent, or send less than they promised (threat T12): bounded time, nothing kept."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from node.app import Running
from node.transport.server import Patience
from tests.processes.cities import RunningNetwork, running_network
from tests.processes.conftest import Pair
from tests.processes.serving_here import make_known, serve_here
from tests.processes.wire import Cut, Wire, message_bytes, request_bytes

pytestmark = pytest.mark.threat("T12")

SENDER, RECEIVER = "450400", "442000"
SHORT = Patience(head_seconds=0.4, body_seconds=0.4)
SOON = 5.0
T = TypeVar("T")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Two cities, of which no process runs: the receiver serves inside the test."""
    root = tmp_path_factory.mktemp("slow")
    with running_network(root, [RECEIVER, SENDER], start=False, with_people=False) as made:
        make_known(made, SENDER, RECEIVER)
        make_known(made, RECEIVER, SENDER)
        yield made


def with_a_hasty_node(network: RunningNetwork, client: Callable[[Pair], T]) -> T:
    """Run a blocking client against the receiver, and check that it was not kept waiting."""

    async def meanwhile(_running: Running) -> T:
        return await asyncio.to_thread(client, Pair(network, SENDER, RECEIVER, len(network.log_entries(RECEIVER))))

    began = time.monotonic()
    result = serve_here(network, RECEIVER, meanwhile, patience=SHORT)
    assert time.monotonic() - began < 2 * SOON
    return result


def trickle(wire: Wire, data: bytes) -> bytes:
    """Send one byte every tenth of a second until the peer answers or cuts; return what it said."""
    wire.tls.settimeout(0.1)
    for at in range(len(data)):
        try:
            wire.send(data[at : at + 1])
            said = wire.tls.recv(65536)  # waits for a tenth of a second
        except TimeoutError:
            continue
        except OSError:
            return b""
        return said
    raise AssertionError("the peer let the whole request trickle in")


def test_a_body_of_one_byte_at_a_time_is_refused_and_the_connection_ends(network: RunningNetwork) -> None:
    def client(pair: Pair) -> None:
        raw = pair.seal()
        headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Content-Length": "2000"}
        with network.connected(SENDER, RECEIVER, seconds=SOON) as wire:
            wire.send(request_bytes("POST", "/v1/messages", headers, length=False))
            first = trickle(wire, b" " * 2000)
            assert first.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in first
        (entry,) = pair.new_entries("refusal")
        assert (entry["slug"], entry["status"]) == ("busy", 503)
        pair.assert_no_effect()

    with_a_hasty_node(network, client)


def test_a_body_shorter_than_promised_is_refused_with_a_signature(network: RunningNetwork) -> None:
    def client(pair: Pair) -> None:
        raw = pair.seal()
        headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Content-Length": "3"}
        with network.connected(SENDER, RECEIVER, seconds=SOON) as wire:
            wire.send(request_bytes("POST", "/v1/messages", headers, raw.body, length=False))
            answer = wire.answer()
        pair.assert_refused(answer, "busy", 503, raw)
        assert answer.closes

    with_a_hasty_node(network, client)


@pytest.mark.parametrize("head", [b"", b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_head_that_does_not_come_ends_the_connection_without_a_byte(network: RunningNetwork, head: bytes) -> None:
    def client(pair: Pair) -> None:
        with network.connected(SENDER, RECEIVER, seconds=SOON) as wire:
            wire.send(head)
            with pytest.raises(Cut) as ended:
                wire.answer()
        assert ended.value.received == b""

    with_a_hasty_node(network, client)


def test_a_head_of_one_byte_at_a_time_ends_the_connection(network: RunningNetwork) -> None:
    def client(pair: Pair) -> None:
        with network.connected(SENDER, RECEIVER, seconds=SOON) as wire:
            assert trickle(wire, b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n" * 9) == b""

    with_a_hasty_node(network, client)


def test_the_clock_of_a_head_starts_anew_with_every_request(network: RunningNetwork) -> None:
    def client(pair: Pair) -> None:
        with network.connected(SENDER, RECEIVER, seconds=SOON) as wire:
            for _ in range(3):
                raw = pair.seal()
                wire.send(message_bytes(raw.statement, raw.body))
                assert wire.answer().status == 200
            wire.send(b"POST /v1/messages HTTP/1.1\r\n")
            assert wire.is_ended()

    with_a_hasty_node(network, client)


def test_slow_peers_delay_nobody(network: RunningNetwork) -> None:
    """Forty connections that send nothing more, and a healthy one that is answered as if they were not there."""

    def client(pair: Pair) -> None:
        with ExitStack() as stack:
            wires = [stack.enter_context(network.connected(SENDER, RECEIVER, seconds=SOON)) for _ in range(40)]
            for wire in wires:
                wire.send(b"POST /v1/messages HTTP/1.1\r\n")
            raw = pair.seal()
            assert pair.post(raw).status == 200
            assert all(wire.is_ended() for wire in wires)

    with_a_hasty_node(network, client)
