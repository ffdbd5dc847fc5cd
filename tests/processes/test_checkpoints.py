"""Checkpoints of a running city: signed in time, and never over what does not read back (protocol §7, C19, T19)."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from protocol.log import leaf_hash
from protocol.messages import Ping
from protocol.suites import encode, parse_statement
from tests.faults.processes import rows, run, run_json, serve
from tests.processes.cities import RunningNetwork, eventually, now, running_network

CITY, PEER = "442000", "450400"
INTERVAL = timedelta(seconds=1)
"""`log.checkpoint_seconds` of the networks that tests make."""
SLACK = timedelta(seconds=5)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    with running_network(tmp_path_factory.mktemp("checkpoints"), (CITY, PEER), with_people=False) as made:
        yield made


def ping(network: RunningNetwork) -> int:
    """Send a ping and return the index of its entry, as the reply names it."""
    raw = network.seal(PEER, CITY, Ping(), msg="ping")
    answer = network.post(PEER, CITY, raw.statement, raw.body)
    assert answer.status == 200
    return int(parse_statement(answer.raw_reply.statement).claims["log"]["index"])


def signed_size(network: RunningNetwork) -> int:
    ((size,),) = rows(network, CITY, "SELECT max(size) FROM log_checkpoint")
    return int(size or 0)


def damage(network: RunningNetwork, index: int) -> tuple[bytes, bytes]:
    """Flip one bit of a stored entry; return the entry before and after."""
    ((stored,),) = rows(network, CITY, 'SELECT data FROM log_entry WHERE "index" = :index', index=index)
    good = bytes(stored)
    bad = good[:20] + bytes([good[20] ^ 1]) + good[21:]
    write(network, index, bad)
    return good, bad


def write(network: RunningNetwork, index: int, data: bytes) -> None:
    change = text('UPDATE log_entry SET data = :data WHERE "index" = :index')
    with network.node(CITY).database.engine.begin() as connection:
        assert connection.execute(change, {"data": data, "index": index}).rowcount == 1


def reports(network: RunningNetwork) -> list[dict[str, Any]]:
    """Return what the city's processes have told about a damaged log."""
    lines = (line for line in network.output(CITY).splitlines() if line.startswith("{"))
    return [record for record in map(json.loads, lines) if record["event"] == "log.damaged"]


def test_a_checkpoint_over_a_new_entry_appears_within_the_interval(network: RunningNetwork) -> None:
    sent, index = now(), ping(network)
    eventually(lambda: signed_size(network) > index, what="a checkpoint over the entry")
    query = "SELECT signed_at FROM log_checkpoint WHERE size > :index ORDER BY size LIMIT 1"
    ((signed_at,),) = rows(network, CITY, query, index=index)
    assert datetime.fromisoformat(f"{signed_at}+00:00") - sent <= INTERVAL + SLACK


def test_nothing_is_signed_twice_while_nothing_grows(network: RunningNetwork) -> None:
    index = ping(network)
    eventually(lambda: signed_size(network) > index, what="a checkpoint over the entry")
    before, ticks = signed_size(network), "SELECT count(*) FROM job_tick WHERE job = 'checkpoint'"
    ((passed,),) = rows(network, CITY, ticks)
    eventually(lambda: rows(network, CITY, ticks)[0][0] >= passed + 2, what="two more ticks")
    assert signed_size(network) == before == len(network.log_entries(CITY))


def test_a_bit_flipped_before_the_checkpoint_stops_signing_and_is_told(network: RunningNetwork) -> None:
    network.stop(CITY)
    serve(network, CITY, "--role", "peer")  # takes messages and signs no checkpoint
    index, before = ping(network), signed_size(network)
    network.stop(CITY)
    good, bad = damage(network, index)
    network.start(CITY)
    eventually(lambda: len(reports(network)) >= 2, what="two attempts to sign")
    assert signed_size(network) == before <= index
    assert {record["level"] for record in reports(network)} == {"critical"}
    assert all(f"entry {index} " in record["finding"] for record in reports(network))
    assert ping(network) > index, "messages are answered all the same"
    assert_named(network, index, good, bad)
    write(network, index, good)
    eventually(lambda: signed_size(network) > index, what="signing goes on once the entry is whole again")
    assert run_json(network, CITY, "audit", "verify")[0] == 0


def test_a_bit_flipped_after_the_checkpoint_is_found_by_verify(network: RunningNetwork) -> None:
    index = ping(network)
    eventually(lambda: signed_size(network) > index, what="a checkpoint over the entry")
    good, bad = damage(network, index)
    assert_named(network, index, good, bad)
    write(network, index, good)
    assert run_json(network, CITY, "audit", "verify")[0] == 0


def assert_named(network: RunningNetwork, index: int, good: bytes, bad: bytes) -> None:
    """Check that `tongban audit verify` ends with 1 and names the entry, what was expected and what was found."""
    code, answer = run_json(network, CITY, "audit", "verify")
    assert (code, answer["ok"]) == (1, False)
    found = {"expected": f"leaf {encode(leaf_hash(good))}", "found": f"leaf {encode(leaf_hash(bad))}"}
    assert answer["data"]["finding"] == {"index": index, **found}
    told = run(network, CITY, "audit", "verify")
    assert told.returncode == 1
    assert f"entry {index} does not agree" in told.stdout
