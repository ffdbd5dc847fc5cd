"""`certs status`: every key and certificate with its days left; what was not seen is never called good."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.membership import service as membership
from node.operations.holdings import BELOW, Judge, Standing, own_holdings, peer_holdings
from node.operations.reaching import look_at_certificate
from node.operations.service import ask_peers, trust_of
from node.storage.unit_of_work import Database
from node.transport.tls import TlsIdentity, server_context
from protocol.certificates import Purpose
from tests.making import make_certificate, make_crl
from tests.networks import TestNetwork, make_network
from tests.node.operations.nodes import Joined

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
OURS, PEER, THIRD = "442000", "450400", "440900"
DAYS = timedelta(days=1)


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return make_network([OURS, PEER, THIRD], NOW)


@pytest.fixture
def node(network: TestNetwork, sqlite_url: str, open_database: Callable[..., Database], tmp_path: Path) -> Joined:
    return Joined(network, open_database(sqlite_url), tmp_path).join()


def holdings(node: Joined, warn: int, facts: Any = None) -> dict[tuple[str, str], list[Any]]:
    trust = trust_of(node, node.member)
    judge = Judge(trust, node.now, warn)
    peers = [one for one in trust.manifest.active() if one.id != node.member]
    seen = asyncio.run(ask_peers(facts or node.facts(), node.keys, trust, peers))
    found: dict[tuple[str, str], list[Any]] = {}
    for one in [*own_holdings(judge, node.keys, node.certs), *peer_holdings(judge, seen)]:
        found.setdefault((one.member, one.what), []).append(one)
    return found


def test_every_key_and_certificate_is_listed_with_the_days_it_has_left(node: Joined) -> None:
    found = holdings(node, 30)
    each = {(member, what) for member in (OURS, PEER, THIRD) for what in ("tls", "message", "ca")}
    assert set(found) == {*each, (OURS, "log")}
    assert found[PEER, "tls"][0].days == 89
    assert found[OURS, "log"][0].standing is Standing.ENDLESS
    assert not any(one.standing in BELOW for many in found.values() for one in many)
    due = holdings(node, 90)
    assert due[PEER, "tls"][0].standing is due[OURS, "tls"][0].standing is Standing.DUE
    node.now = NOW + 91 * DAYS
    assert holdings(node, 30)[PEER, "tls"][0].standing is Standing.EXPIRED


def test_a_replaced_message_certificate_is_shown_and_not_counted(network: TestNetwork, node: Joined) -> None:
    renewed = make_certificate(network[PEER].ca, Purpose.MESSAGE, NOW + 300 * DAYS).certificate
    node.now = NOW + 301 * DAYS
    crl = make_crl(network[PEER].ca, NOW + 301 * DAYS, number=2)
    node.database.write(lambda tx: membership.accept_crl(tx, PEER, crl, now=node.now))
    trust = trust_of(node, node.member)
    node.database.write(lambda tx: membership.remember_certificate(tx, trust, renewed, now=node.now))
    newest, older = holdings(node, 70)[PEER, "message"]
    assert (newest.fingerprint, newest.standing) == (renewed.fingerprint, Standing.OK)
    assert older.standing is Standing.REPLACED


def test_a_certificate_that_nobody_could_look_at_is_never_called_good(node: Joined) -> None:
    del node.shown[PEER]
    assert holdings(node, 30)[PEER, "tls"][0].standing is Standing.UNSEEN


def test_a_look_at_a_real_port_shows_even_an_expired_certificate(network: TestNetwork) -> None:
    city = network[PEER]
    ended = make_certificate(city.ca, Purpose.TLS, NOW - 400 * DAYS)
    context = server_context(
        TlsIdentity(ended.certificate, ended.pem.encode(), ended.key_pem.encode()), network.manifest
    )

    async def run() -> Any:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        member: Any = SimpleNamespace(id=PEER, endpoints=(f"https://127.0.0.1:{port}",))
        try:
            with pytest.raises(OSError, match="may not connect"):
                await look_at_certificate(member, False)
            return await look_at_certificate(member, True)
        finally:
            server.close()

    assert asyncio.run(run()).fingerprint == ended.certificate.fingerprint
