"""The peer port itself: the start-up self-test, and the reload of certificates, CRLs and manifest (protocol §4)."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.crl import issue_crl
from node.app import Running
from node.serving import NotSafe
from node.transport import tls
from node.transport.server import is_reachable_without_certificate
from protocol.certificates import Purpose, parse_crl
from protocol.manifest import Status
from tests.processes.cities import READY_SECONDS, RunningNetwork, eventually, now, running_network
from tests.processes.manifests import bring_into_force, next_version
from tests.processes.serving_here import make_known, serve_here
from tests.processes.wire import Wire, message_bytes, request_bytes

ME, PEER, THIRD = "442000", "450400", "520300"
HEALTH = request_bytes("GET", "/v1/health", length=False)
WEAKENED = """
import ssl, sys
import node.app, node.transport.tls

def without_verification(*arguments, strict=node.app.server_context):
    context = strict(*arguments)
    context.verify_mode = ssl.{mode}
    return context

node.app.server_context = without_verification
from node.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Three cities, of which no process runs."""
    root = tmp_path_factory.mktemp("serving")
    with running_network(root, [ME, PEER, THIRD], start=False, with_people=False) as made:
        for other in (PEER, THIRD):
            make_known(made, other, ME)
        yield made


def lenient(mode: ssl.VerifyMode) -> Any:
    """Return `server_context` with a planted fault: a client certificate is not demanded."""

    def make(*arguments: Any) -> ssl.SSLContext:
        context = tls.server_context(*arguments)
        context.verify_mode = mode
        return context

    return make


async def nothing(_running: Running) -> None:
    return None


def test_a_node_that_demands_certificates_starts(network: RunningNetwork) -> None:
    async def ask(_running: Running) -> bool:
        return await is_reachable_without_certificate("127.0.0.1", network.city(ME).peer_port)

    assert not serve_here(network, ME, ask)


@pytest.mark.threat("T17")
@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
def test_a_node_whose_listener_does_not_demand_certificates_does_not_start(
    network: RunningNetwork, monkeypatch: pytest.MonkeyPatch, mode: ssl.VerifyMode
) -> None:
    monkeypatch.setattr("node.app.server_context", lenient(mode))
    with pytest.raises(NotSafe):
        serve_here(network, ME, nothing)


@pytest.mark.threat("T17")
@pytest.mark.parametrize("mode", ["CERT_NONE", "CERT_OPTIONAL"])
def test_the_process_of_such_a_node_ends_with_exit_code_1(network: RunningNetwork, mode: str) -> None:
    home = network.city(ME).home
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WEAKENED.format(mode=mode),
            "serve",
            "--home",
            str(home),
            "--lang",
            "en",
            "--no-console",
        ],
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
        env={**os.environ, **network.environment},
    )
    assert done.returncode == 1, done.stderr
    assert f"ready {ME}" not in done.stdout
    assert "without a client certificate" in done.stderr


def served_certificate(network: RunningNetwork) -> bytes:
    """Return the certificate that a new connection is shown."""
    with network.connected(PEER, ME) as wire:
        return wire.tls.getpeercert(True) or b""


def ask(wire: Wire) -> int:
    wire.send(HEALTH)
    return int(json.loads(wire.answer().body)["manifest"])


def replace_pair(directory: Path, chain: bytes, key: bytes) -> None:
    """Put a new TLS certificate in place as an administrator does: each file whole."""
    for name, data in (("tls.key", key), ("tls.pem", chain)):
        fresh = directory / f"{name}.new"
        fresh.write_bytes(data)
        fresh.chmod(0o600)
        fresh.replace(directory / name)


def test_a_new_tls_certificate_is_served_without_a_restart_and_open_connections_go_on(network: RunningNetwork) -> None:
    fresh, _ = network.issue(ME, Purpose.TLS)

    def client() -> None:
        with network.connected(PEER, ME) as open_before:
            assert ask(open_before) == 1
            before = served_certificate(network)
            assert before != fresh.certificate.der
            replace_pair(network.city(ME).home / "certs", fresh.chain_pem, fresh.key_pem)
            eventually(lambda: served_certificate(network) == fresh.certificate.der, what="the new certificate")
            assert ask(open_before) == 1
            assert open_before.tls.getpeercert(True) == before

    serve_here(network, ME, lambda _running: asyncio.to_thread(client))


def test_a_broken_pair_of_files_leaves_the_old_certificate_in_use(network: RunningNetwork) -> None:
    directory = network.city(ME).home / "certs"
    chain, key = (directory / "tls.pem").read_bytes(), (directory / "tls.key").read_bytes()
    stranger, _ = network.issue(ME, Purpose.TLS)

    def client(running: Running) -> None:
        before, tried = served_certificate(network), running.keyring.current
        (directory / "tls.pem").write_bytes(stranger.chain_pem)  # the key in the other file is not its own
        eventually(lambda: running.keyring._times["tls.pem"] == (directory / "tls.pem").stat().st_mtime_ns)
        assert served_certificate(network) == before
        assert running.keyring.current is tried

    try:
        serve_here(network, ME, lambda running: asyncio.to_thread(client, running))
    finally:
        replace_pair(directory, chain, key)


def test_a_new_crl_of_our_ca_is_served_without_a_restart(network: RunningNetwork) -> None:
    def served() -> int:
        der = network.get(PEER, ME, f"/v1/crl/{ME}").body
        return parse_crl(der, network.trust(ME).manifest.members[ME].authorities).number

    def client() -> None:
        number = served()
        fresh = issue_crl(network.ca(ME), now=now(), lifetime=timedelta(days=7))
        assert fresh.number == number + 1
        eventually(lambda: served() == fresh.number, what="the new CRL")

    serve_here(network, ME, lambda _running: asyncio.to_thread(client))


def test_a_new_manifest_is_in_force_without_a_restart_and_on_open_connections(network: RunningNetwork) -> None:
    def client() -> None:
        with network.connected(THIRD, ME) as suspended_soon, network.connected(PEER, ME) as other:
            assert (ask(suspended_soon), ask(other)) == (1, 1)
            bring_into_force(network, ME, next_version(network, {THIRD: Status.SUSPENDED}))
            eventually(lambda: ask(other) == 2, what="version 2 on the open connection")
            raw = network.seal(THIRD, ME, b"{}", msg="ping")
            suspended_soon.send(message_bytes(raw.statement, raw.body))
            answer = suspended_soon.answer()
            assert (answer.status, json.loads(answer.body)["slug"]) == (403, "member-suspended")

    serve_here(network, ME, lambda _running: asyncio.to_thread(client))
