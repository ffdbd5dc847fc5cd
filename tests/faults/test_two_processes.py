"""Two processes of one city on one database: one effect, one leader, one checkpoint per size (T02, C26, C27)."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Barrier, Thread

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from node.storage.engine import WRITING
from protocol.certificates import Purpose
from protocol.messages import Ping
from tests.faults.killing import CITIES, RECEIVER, SENDER, a_query, payload, traces
from tests.faults.processes import count_ready, rows, serve, signed_and_verified
from tests.processes.cities import RunningNetwork, eventually, running_network
from tests.processes.wire import HttpAnswer, Wire, message_bytes

COPIES = 50
WORKERS = 2


@pytest.fixture(scope="module")
def network(database_pattern: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Two cities; the receiving one with two processes, and a third one beside that wants the lease too."""
    root = tmp_path_factory.mktemp("two")
    with running_network(root, CITIES, database=database_pattern, start=False) as made:
        made.start(SENDER)
        serve(made, RECEIVER, "--workers", str(WORKERS), ready=WORKERS)
        serve(made, RECEIVER, "--role", "worker", name="second worker")
        raw = made.seal(SENDER, RECEIVER, Ping(), msg="ping")
        eventually(lambda: made.post(SENDER, RECEIVER, raw.statement, raw.body).status == 200, what="they talk")
        yield made


def workers_of(network: RunningNetwork) -> list[psutil.Process]:
    return [one for one in psutil.Process(network.processes[RECEIVER].pid).children() if one.is_running()]


def connections_of(worker: psutil.Process, port: int) -> int:
    """Return how many open connections to the peer port a process holds."""
    held = worker.net_connections(kind="tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in held)


def await_checkpoint(network: RunningNetwork, size: int) -> None:
    """Wait until a checkpoint covers more than `size` entries."""
    newer = "SELECT 1 FROM log_checkpoint WHERE size > :size"
    eventually(lambda: rows(network, RECEIVER, newer, size=size), what="what grew is signed")


@pytest.mark.threat("T02")
def test_fifty_copies_at_once_on_two_processes_have_one_effect_and_equal_replies(network: RunningNetwork) -> None:
    raw = a_query(network)
    answers: list[HttpAnswer] = []
    together = Barrier(COPIES)

    def send(wire: Wire) -> None:
        together.wait(timeout=20)
        wire.send(message_bytes(raw.statement, raw.body))
        answers.append(wire.answer())

    with ExitStack() as open_wires:
        wires = [open_wires.enter_context(network.connected(SENDER, RECEIVER)) for _ in range(COPIES)]
        held = [connections_of(one, network.city(RECEIVER).peer_port) for one in workers_of(network)]
        assert sum(held) >= COPIES
        assert min(held) > 0, "both processes must take part, or nothing is shown"
        threads = [Thread(target=send, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert Counter(one.status for one in answers) == {200: COPIES}
    assert len({(str(payload(one)), one.body) for one in answers}) == 1
    assert traces(network, raw) == (1, 1)


def test_a_killed_process_is_started_again_and_the_city_goes_on(network: RunningNetwork) -> None:
    before, ready = {one.pid for one in workers_of(network)}, count_ready(network, RECEIVER)
    victim = workers_of(network)[-1]
    victim.send_signal(signal.SIGKILL)
    eventually(lambda: count_ready(network, RECEIVER) == ready + 1, seconds=20, what="it is started again")
    after = {one.pid for one in workers_of(network)}
    assert len(after) == WORKERS
    assert after & before == before - {victim.pid}
    raw = a_query(network)
    assert network.post(SENDER, RECEIVER, raw.statement, raw.body).status == 200


def test_only_one_process_leads_and_each_size_is_signed_once(network: RunningNetwork) -> None:
    for _ in range(3):
        size = len(network.log_entries(RECEIVER))
        raw = a_query(network)
        assert network.post(SENDER, RECEIVER, raw.statement, raw.body).status == 200
        await_checkpoint(network, size)
    assert network.output(RECEIVER).count("lease.taken") == 1
    assert rows(network, RECEIVER, "SELECT count(*) FROM lease WHERE epoch = 1") == [(1,)]
    sizes = [row[0] for row in rows(network, RECEIVER, "SELECT size FROM log_checkpoint ORDER BY signed_at, size")]
    assert sizes == sorted(set(sizes))
    assert signed_and_verified(network, RECEIVER).ok


def test_a_frozen_leader_is_replaced_within_15_s_and_does_nothing_when_it_wakes(network: RunningNetwork) -> None:
    """Figure 6, shortened: the freeze lasts as long as the takeover."""
    ((holder,),) = rows(network, RECEIVER, "SELECT holder FROM lease")
    leader = psutil.Process(int(holder.rpartition(":")[2]))
    assert leader.pid in {network.processes["second worker"].pid, *(one.pid for one in workers_of(network))}
    engine = network.node(RECEIVER).database.engine.execution_options(**{WRITING: True})
    with engine.begin():  # SQLite has one writer: a process frozen while it is that one would stop all others
        leader.suspend()
    try:
        eventually(lambda: network.output(RECEIVER).count("lease.taken") == 2, seconds=15, what="another leads")
        ((second, epoch),) = rows(network, RECEIVER, "SELECT holder, epoch FROM lease")
        assert (second != holder, epoch) == (True, 2)
        size = len(network.log_entries(RECEIVER))
    finally:
        leader.resume()
    eventually(lambda: "lease.lost" in network.output(RECEIVER), what="the old leader notices")
    raw = a_query(network)
    assert network.post(SENDER, RECEIVER, raw.statement, raw.body).status == 200
    await_checkpoint(network, size)
    assert rows(network, RECEIVER, "SELECT holder, epoch FROM lease") == [(second, 2)]
    assert signed_and_verified(network, RECEIVER).ok


def test_a_new_tls_certificate_reaches_every_process_and_cuts_no_connection(network: RunningNetwork) -> None:
    certs = network.city(RECEIVER).home / "certs"
    fresh, _ = network.issue(RECEIVER, Purpose.TLS)
    key = load_pem_private_key(fresh.key_pem, None)
    secret = BestAvailableEncryption(network.passphrase(RECEIVER))
    with ExitStack() as open_wires:
        before = open_wires.enter_context(network.connected(SENDER, RECEIVER))
        (certs / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
        (certs / "tls.pem").write_bytes(fresh.chain_pem)

        def all_show_it() -> bool:
            with ExitStack() as wires:
                opened = [wires.enter_context(network.connected(SENDER, RECEIVER)) for _ in range(COPIES)]
                port = network.city(RECEIVER).peer_port
                shares = [connections_of(one, port) for one in workers_of(network)]
                shown = {one.tls.getpeercert(True) for one in opened}
                return min(shares) > 1 and shown == {fresh.certificate.der}

        eventually(all_show_it, seconds=10, what="every process shows the new certificate")
        raw = a_query(network)
        before.send(message_bytes(raw.statement, raw.body))
        assert before.answer().status == 200


def test_a_city_of_several_processes_ends_whole(network: RunningNetwork) -> None:
    workers = workers_of(network)
    assert network.stop(RECEIVER) == 0
    assert psutil.wait_procs(workers, timeout=10)[1] == []
