"""A query of the whole network: answers as they arrive, each with its own outcome; nobody waits for anybody."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app import start
from node.records.service import CityAnswer, Enquiry, ask_network
from protocol.claims import Who, Why
from protocol.messages import RecordKind, Subject
from tests.processes.cities import RunningNetwork, running_network, some_person

CODES = ("442000", "450400", "520300", "360700")
ASKING, ALIVE, SILENT, DEAD = "450400", "442000", "520300", "360700"
WAIT = 3.0
WHY = Why(item="INS-CERT", basis="STATUTORY", ref="ZX450400202611240000012")
WHO = Who(office="窗口 2", officer="o-7f3c", role="clerk")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """One city answers, one accepts connections and says nothing, one is gone."""
    with running_network(tmp_path_factory.mktemp("network-query"), CODES) as cities:
        list(ask(cities, [ALIVE, SILENT, DEAD], person(ALIVE)))  # certificates and CRLs are known now
        cities.stop(DEAD)
        cities.stop(SILENT)
        with socket.create_server(("127.0.0.1", cities.city(SILENT).peer_port)):
            yield cities


def person(code: str) -> Subject:
    return some_person(code, CODES)


def ask(cities: RunningNetwork, members: list[str], subject: Subject) -> list[tuple[float, CityAnswer]]:
    """Return each answer with the seconds after which it arrived."""

    async def arriving() -> list[tuple[float, CityAnswer]]:
        running = await start(cities.node(ASKING))
        try:
            await running.adopt_own()
            begun, answers = time.monotonic(), []
            enquiry = Enquiry(RecordKind.ENROLMENT, subject, WHY, WHO)
            async for one in ask_network(running.asking, enquiry, members, random=os.urandom, seconds=WAIT):
                answers.append((time.monotonic() - begun, one))
            return answers
        finally:
            await running.clients.close()
            running.writer.stop()

    return asyncio.run(arriving())


def test_a_silent_and_a_dead_city_delay_nobody(network: RunningNetwork) -> None:
    arrived = ask(network, [SILENT, DEAD, ALIVE], person(ALIVE))
    by_city = {one.member: (seconds, one) for seconds, one in arrived}
    seconds, answer = by_city[ALIVE]
    assert (answer.outcome, seconds < WAIT / 2) == ("answer", True)
    seconds, answer = by_city[DEAD]
    assert (answer.outcome, answer.slug, seconds < WAIT / 2) == ("no-answer", "unreachable", True)
    seconds, answer = by_city[SILENT]
    assert (answer.outcome, answer.slug) == ("no-answer", "timeout")
    assert WAIT - 0.2 < seconds < WAIT + 1.5
    assert [one.member for _, one in arrived][-1] == SILENT, "answers come as they arrive"


def test_each_city_has_its_own_outcome(network: RunningNetwork) -> None:
    nobody = Subject(id_type="01", id_number="442000199003070018", name="查无此人")
    ((_, answer),) = ask(network, [ALIVE], nobody)
    assert (answer.outcome, answer.lines) == ("none", ())
    ((_, answer),) = ask(network, [ALIVE], person(ALIVE))
    assert answer.withheld == ("employer",)
    assert all("employer" not in line for line in answer.lines)


def test_both_logs_hold_the_question_and_the_answer(network: RunningNetwork, tmp_path: Path) -> None:
    before = len(network.log_entries(ALIVE))
    ((_, answer),) = ask(network, [ALIVE], person(ALIVE))
    (theirs,) = [one for one in network.log_entries(ALIVE, after=before - 1) if one.get("jti") == answer.jti]
    ours = [one for one in network.log_entries(ASKING) if one.get("jti") == answer.jti]
    assert [(one["kind"], one["dir"]) for one in ours] == [("message", "out"), ("reply", "in")]
    assert theirs["request"] == ours[0]["request"] == ours[1]["request"]
    assert answer.log_index == theirs.get("index", answer.log_index)
    assert (theirs["item"], theirs["basis"]) == ("INS-CERT", "STATUTORY")
