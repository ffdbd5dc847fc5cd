"""What the peer client accepts from whom, and how long it waits (protocol §4, threats T12, T13, T16, assurance C09)."""

import asyncio
import gzip
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.transport.client import READING, NoAnswer
from node.transport.tls import is_allowed_address
from protocol.certificates import Purpose
from protocol.errors import Busy, CertificateExpired, CertificateRevoked, SignerMismatch, UnknownCertificate
from protocol.manifest import Member, NetworkPolicy
from tests.making import make_certificate
from tests.networks import TestNetwork, make_network
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
    silent,
    us,
)

OK = http("HTTP/1.1 200 OK", b"{}")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return founded()


def asked(network: TestNetwork, answer: bytes, **options: Any) -> tuple[Any, Peer]:
    """Ask a peer that gives this answer; return our answer, or why there is none, and the peer."""
    changes = options.pop("changes", {})

    async def run() -> tuple[Any, Peer]:
        identity = options.pop("identity", None)
        async with peer(network, saying(answer), identity=identity) as there, us(network, **changes) as here:
            try:
                return await here.get(there.member(network), **options), there
            except NoAnswer as missing:
                return missing, there

    return asyncio.run(run())


def run_with(network: TestNetwork, use: Callable[[Peer, Us], Awaitable[None]], **changes: Any) -> None:
    async def run() -> None:
        async with peer(network, saying(OK)) as there, us(network, **changes) as here:
            await use(there, here)

    asyncio.run(run())


def test_the_answer_names_the_member_that_gave_it(network: TestNetwork) -> None:
    answer, there = asked(network, OK)
    assert (answer.status, answer.body, answer.server) == (200, b"{}", PEER)
    assert b"accept-encoding: identity" in there.heard[0].lower()


@pytest.mark.threat("T16")
def test_a_server_with_another_members_name_gets_no_byte_of_content(network: TestNetwork) -> None:
    """Its CA is the member's own, its host name is right: only the URN is another city's."""
    made = make_certificate(network[PEER].ca, Purpose.TLS, NOW, member=OTHER)
    missing, there = asked(network, OK, identity=identity_of(made))
    assert isinstance(missing.refusal, SignerMismatch)
    assert (missing.reason, there.heard) == ("tls", [])


@pytest.mark.threat("T16")
def test_another_member_does_not_answer_for_the_one_that_was_asked(network: TestNetwork) -> None:
    missing, there = asked(network, OK, identity=identity_of(network[OTHER].tls))
    assert (missing.reason, there.heard) == ("tls", [])


def test_a_revoked_server_gets_no_byte_of_content(network: TestNetwork) -> None:
    serial = network[PEER].tls.certificate.serial
    trust = network.trust_under_crl(ME, PEER, revoked=[serial], number=2, now=NOW - timedelta(seconds=1))
    missing, there = asked(network, OK, changes={"trust": trust})
    assert isinstance(missing.refusal, CertificateRevoked)
    assert there.heard == []


def test_a_server_of_another_network_gets_no_byte_of_content(network: TestNetwork) -> None:
    made = make_certificate(network[PEER].ca, Purpose.TLS, NOW, network="elsewhere")
    missing, there = asked(network, OK, identity=identity_of(made))
    assert isinstance(missing.refusal, UnknownCertificate)
    assert there.heard == []


def test_a_server_under_another_host_name_gets_no_byte_of_content(network: TestNetwork) -> None:
    made = make_certificate(network[PEER].ca, Purpose.TLS, NOW, hosts=())
    missing, there = asked(network, OK, identity=identity_of(made))
    assert (missing.reason, there.heard) == ("tls", [])


@pytest.mark.threat("T03")
def test_the_verdict_is_taken_anew_on_an_open_connection(network: TestNetwork) -> None:
    """Nothing has changed but the time: the second request is not sent on the connection that the first opened."""

    async def use(there: Peer, here: Us) -> None:
        assert (await here.get(there.member(network))).status == 200
        here.now = NOW + timedelta(days=91)
        with pytest.raises(NoAnswer) as ended:
            await here.get(there.member(network))
        assert isinstance(ended.value.refusal, CertificateExpired)
        assert (there.connections, len(there.heard)) == (1, 1)

    run_with(network, use)


@pytest.mark.threat("T03")
def test_a_revocation_reaches_an_open_connection(network: TestNetwork) -> None:
    async def use(there: Peer, here: Us) -> None:
        assert (await here.get(there.member(network))).status == 200
        serial = network[PEER].tls.certificate.serial
        here.trust = network.trust_under_crl(ME, PEER, revoked=[serial], number=2, now=NOW - timedelta(seconds=1))
        with pytest.raises(NoAnswer) as ended:
            await here.get(there.member(network))
        assert isinstance(ended.value.refusal, CertificateRevoked)
        assert len(there.heard) == 1

    run_with(network, use)


def test_a_stale_crl_stops_exchanges_but_not_the_reading_of_the_next_one(network: TestNetwork) -> None:
    async def use(there: Peer, here: Us) -> None:
        with pytest.raises(NoAnswer) as ended:
            await here.get(there.member(network))
        assert isinstance(ended.value.refusal, Busy)
        assert there.heard == []
        assert (await here.get(there.member(network), use=READING)).status == 200

    run_with(network, use, trust=network.trust_of(ME, crls=()))


def test_a_new_certificate_of_ours_opens_a_new_connection(network: TestNetwork) -> None:
    async def use(there: Peer, here: Us) -> None:
        for _ in range(2):
            await here.get(there.member(network))
        assert there.connections == 1
        here.identity = identity_of(make_certificate(network[ME].ca, Purpose.TLS, NOW))
        await here.get(there.member(network))
        assert there.connections == 2

    run_with(network, use)


@pytest.mark.threat("T16")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_leads_nowhere(network: TestNetwork, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0)
        port = inner.getsockname()[1]
        answer, _ = asked(network, http(f"HTTP/1.1 {status} Moved\r\nLocation: https://127.0.0.1:{port}/secret"))
        assert answer.status == status
        with pytest.raises(BlockingIOError):
            inner.accept()


@pytest.mark.threat("T16")
def test_proxies_and_credentials_of_the_environment_are_ignored(
    network: TestNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    netrc.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://user:{'word'}@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("SSL_CERT_FILE", str(netrc))
        answer, there = asked(network, OK)
        assert answer.status == 200
        assert b"authorization" not in there.heard[0].lower()
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.threat("T13")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_an_encoded_answer_is_refused_and_never_inflated(network: TestNetwork, encoding: str) -> None:
    bomb = gzip.compress(bytes(50 * MIB), compresslevel=9)
    missing, _ = asked(network, http(f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}", bomb))
    assert missing.reason == "encoded"


@pytest.mark.threat("T12")
def test_an_answer_beyond_the_limit_is_refused_whatever_it_declares(network: TestNetwork) -> None:
    data = bytes(200_000)
    chunked = http("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"30d40\r\n" + data + b"\r\n0\r\n\r\n")
    for answer in (http("HTTP/1.1 200 OK", data), chunked, http("HTTP/1.1 200 OK", data, length=10**12)):
        missing, _ = asked(network, answer)
        assert missing.reason == "too-large"
    answer, _ = asked(network, http("HTTP/1.1 200 OK", bytes(100_000)))
    assert len(answer.body) == 100_000


@pytest.mark.threat("T12")
def test_an_answer_with_a_head_beyond_reason_is_refused(network: TestNetwork) -> None:
    missing, _ = asked(network, http("HTTP/1.1 200 OK\r\nX-Filling: " + "x" * 100_000))
    assert isinstance(missing, NoAnswer)


def test_an_answer_that_is_cut_is_no_answer(network: TestNetwork) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http("HTTP/1.1 200 OK", b"{", length=2))
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with peer(network, talk) as there, us(network) as here:
            with pytest.raises(NoAnswer):
                await here.get(there.member(network))

    asyncio.run(run())


async def trickling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one byte of an answer every fiftieth of a second, for ever."""
    writer.write(http("HTTP/1.1 200 OK", length=1000))
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.threat("T12")
@pytest.mark.parametrize(("talk", "tls"), [(silent, True), (trickling, True), (silent, False)])
def test_a_peer_that_does_not_finish_is_given_up_in_time(network: TestNetwork, talk: Any, tls: bool) -> None:
    """Silent after the request, endless in its answer, silent already in the handshake."""

    async def run() -> None:
        async with peer(network, talk, tls=tls) as there, us(network) as here:
            began = time.monotonic()
            with pytest.raises(NoAnswer) as ended:
                await here.get(there.member(network), seconds=0.3)
            assert ended.value.reason == "timeout"
            assert time.monotonic() - began < 3

    asyncio.run(run())


def test_a_port_where_nobody_listens_is_unreachable(network: TestNetwork) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        async with us(network) as here:
            with pytest.raises(NoAnswer) as ended:
                await here.get(Peer(port).member(network))
            assert ended.value.reason == "unreachable"

    asyncio.run(run())


ADDRESSES = [
    # (address, allowed where loopback is not, allowed where it is)
    ("203.0.113.7", True, True),
    ("10.1.2.3", True, True),
    ("192.168.1.1", True, True),
    ("2001:db8::1", True, True),
    ("fd12::1", True, True),
    ("127.0.0.1", False, True),
    ("127.8.8.8", False, True),
    ("::1", False, True),
    ("::ffff:127.0.0.1", False, True),
    ("169.254.1.1", False, True),
    ("fe80::1", False, True),
    ("fe80::1%eth0", False, True),
    ("169.254.169.254", False, False),
    ("::ffff:169.254.169.254", False, False),
    ("fd00:ec2::254", False, False),
    ("100.100.100.200", False, False),
    ("0.0.0.0", False, False),  # noqa: S104 - an address to refuse
    ("::", False, False),
    ("224.0.0.1", False, False),
    ("ff02::1", False, False),
    ("255.255.255.255", False, False),
    ("240.0.0.1", False, False),
    ("::ffff:0.0.0.0", False, False),
    ("::127.0.0.1", False, False),
    ("64:ff9b::7f00:1", False, False),
    ("2130706433", False, False),
    ("0x7f000001", False, False),
    ("0177.0.0.1", False, False),
    ("127.1", False, False),
    ("localhost", False, False),
    ("", False, False),
]


@pytest.mark.threat("T16")
@pytest.mark.parametrize(("address", "usually", "in_demos"), ADDRESSES)
def test_a_node_connects_to_addresses_of_peers_only(address: str, usually: bool, in_demos: bool) -> None:
    assert is_allowed_address(address, loopback=False) is usually
    assert is_allowed_address(address, loopback=True) is in_demos


INNER_HOSTS = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "127.1",
    "2130706433",
    "0x7f000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.threat("T16")
@pytest.mark.parametrize("host", INNER_HOSTS)
def test_an_endpoint_on_the_nodes_own_machine_is_never_connected_to(host: str) -> None:
    network = make_network([ME, PEER], NOW, policy=NetworkPolicy())

    async def run() -> None:
        async with peer(network, saying(OK)) as there, us(network) as here:
            member: Member = there.member(network, host)
            with pytest.raises(NoAnswer):
                await here.get(member)
            assert there.connections == 0

    asyncio.run(run())
