"""Catching up by `GET /v1/cases/{case}/events`: what is served, to whom, and what is taken (protocol §6)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from node.cases import service
from node.cases.catching_up import CaseCatchUp
from node.storage.writer import Writer
from node.transport.client import NoAnswer, PeerAnswer
from protocol.envelope import RawMessage, RawReply
from protocol.errors import DigestMismatch, NotFound
from tests.node.cases.two_cities import ACCEPTING, CLERK, OFFICER, RESPONSIBLE, CaseCity, application, running, settle

Pair = tuple[CaseCity, CaseCity]


class Serving:
    """The client of the accepting city: asks the responsible one without a wire; `change` alters what it serves."""

    def __init__(self, city: CaseCity, change: Callable[[dict[str, Any]], Any] = lambda content: content) -> None:
        self.city, self.change, self.asked = city, change, 0

    async def request(self, _member: Any, _method: str, path: str, *, seconds: float) -> PeerAnswer:
        self.asked += 1
        number, _, after = path.removeprefix("/v1/cases/").partition("/events?after=")
        with self.city.database.reading() as session:
            content = service.transcript_for(self.city.room, session, number, ACCEPTING, after=int(after))
        return PeerAnswer(200, {}, json.dumps(self.change(content)).encode(), RESPONSIBLE)


def behind(cities: Pair) -> str:
    """Let the responsible city go on by three events that do not arrive, with a proposal of ours among them."""
    accepting, responsible = cities

    async def lossy(
        source: str, _target: str, _raw: RawMessage, deliver: Callable[[], Awaitable[RawReply]]
    ) -> RawReply:
        if source == RESPONSIBLE:
            raise NoAnswer("timeout", "lost")
        answer = await deliver()
        if lost:
            raise NoAnswer("timeout", "the answer was lost")
        return answer

    lost: list[int] = []

    async def play() -> str:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(accepting)
            accepting.wire.between = lossy
            lost.append(1)
            await responsible.act(number, "sign", OFFICER)
            await accepting.act(number, "chase", CLERK, {"text": "请尽快"})
            async with asyncio.timeout(20):
                while len(responsible.transcript(number)) < 3:
                    await asyncio.sleep(0.01)
            await responsible.act(number, "suspend", OFFICER, {"reason": "协查中"})
            return number

    return asyncio.run(play())


def catch_up(city: CaseCity, number: str, clients: Any) -> None:
    async def fetch() -> None:
        writer = Writer(city.database)  # the city's own has ended with its loop
        writer.start()
        try:
            await CaseCatchUp(city.room, writer, clients).fetch(number, RESPONSIBLE)
        finally:
            writer.stop()

    asyncio.run(fetch())


def test_what_is_lacking_is_fetched_and_a_proposal_of_ours_finds_its_place(cities: Pair) -> None:
    accepting, responsible = cities
    number = behind(cities)
    assert [len(city.transcript(number)) for city in cities] == [1, 4]
    catch_up(accepting, number, Serving(responsible))
    assert accepting.transcript(number) == responsible.transcript(number)
    assert accepting.row(number).state == "SUSPENDED"


def cut(content: dict[str, Any]) -> dict[str, Any]:
    content["events"] = content["events"][1:]
    return content


def swapped(content: dict[str, Any]) -> dict[str, Any]:
    first, second, third = content["events"]
    content["events"] = [{**third, "seq": 1}, second, first]
    return content


def forged(content: dict[str, Any]) -> dict[str, Any]:
    content["events"][0]["body"] = content["events"][2]["body"]
    return content


@pytest.mark.parametrize(("change", "taken"), [(cut, 1), (swapped, 2), (forged, 1)])
def test_what_does_not_continue_our_transcript_is_not_taken(cities: Pair, change: Any, taken: int) -> None:
    accepting, responsible = cities
    number = behind(cities)
    with suppress(DigestMismatch):
        catch_up(accepting, number, Serving(responsible, change))
    assert accepting.transcript(number) == responsible.transcript(number)[:taken]
    assert accepting.row(number).halted == ""


def test_only_the_other_city_of_a_case_may_read_its_transcript(cities: Pair) -> None:
    responsible = cities[1]
    number = behind(cities)
    with responsible.database.reading() as session:
        for member in ("520300", RESPONSIBLE):
            with pytest.raises(NotFound):
                service.transcript_for(responsible.room, session, number, member, after=-1)
        with pytest.raises(NotFound):
            service.transcript_for(responsible.room, session, "KS450400202411249999990", ACCEPTING, after=-1)
        served = service.transcript_for(responsible.room, session, number, ACCEPTING, after=0)
    assert [one["seq"] for one in served["events"]] == [1, 2, 3]
