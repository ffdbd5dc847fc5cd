"""Cases over a wire that loses, repeats, delays and reorders: nothing is lost, nothing happens twice (assurance P2)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest

from node.cases import service
from node.cases.service import Person
from node.transport.client import NoAnswer
from protocol.cases import CaseEvent
from protocol.claims import Why
from protocol.envelope import RawMessage, RawReply
from protocol.errors import InvalidTransition, NotFound
from protocol.messages import format_body
from tests.node.cases.two_cities import (
    ACCEPTING,
    CLERK,
    OFFICER,
    RESPONSIBLE,
    STEPS,
    CaseCity,
    application,
    running,
    settle,
)

Pair = tuple[CaseCity, CaseCity]
Deliver = Callable[[], Awaitable[RawReply]]
CASES = 15


class Hostile:
    """Loses a message or its answer, repeats it, answers late; nothing of it after `calm`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.calm = False
        self.late: set[asyncio.Task[RawReply]] = set()
        self.lost = 0

    async def __call__(self, _source: str, _target: str, _raw: RawMessage, deliver: Deliver) -> RawReply:
        if self.calm:
            return await deliver()
        dice = self.random.random()
        if dice < 0.2:
            self.lost += 1
            raise NoAnswer("interrupted", "lost on the way")
        if dice < 0.4:
            await deliver()
            self.lost += 1
            raise NoAnswer("interrupted", "the answer was lost")
        if dice < 0.6:
            copies = [deliver() for _ in range(3)]
            return (await asyncio.gather(*copies))[self.random.randrange(3)]
        if dice < 0.7:
            self.late.add(asyncio.create_task(self._later(deliver)))
            raise NoAnswer("timeout", "it arrives when nobody waits any more")
        return await deliver()

    async def _later(self, deliver: Deliver) -> RawReply:
        await asyncio.sleep(self.random.random() / 5)
        return await deliver()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_case_arrives_once_and_both_transcripts_are_equal(cities: Pair, seed: int) -> None:
    accepting, responsible = cities
    hostile = Hostile(seed)
    accepting.wire.between = hostile

    async def one(number: str) -> None:
        for event, person, data in STEPS:
            city = accepting if person is CLERK else responsible
            await until(city, number, event, person, data)

    async def play() -> list[str]:
        async with running(*cities):
            numbers = [(await accepting.open(application())).number for _ in range(CASES)]
            await asyncio.gather(*(one(number) for number in numbers))
            hostile.calm = True
            await settle(*cities, seconds=60)
            await asyncio.gather(*hostile.late)
            return numbers

    numbers = asyncio.run(play())
    assert hostile.lost > CASES, "the wire was hostile"
    for number in numbers:
        assert accepting.transcript(number) == responsible.transcript(number)
        assert accepting.row(number).state == responsible.row(number).state == "HANDED_OVER"
        assert len(accepting.transcript(number)) == 5
    assert responsible.rows("SELECT count(*) FROM cases") == [(CASES,)]


async def until(city: CaseCity, number: str, event: str, person: Person, data: dict[str, object]) -> None:
    """Act as soon as the case has come so far."""
    async with asyncio.timeout(60):
        while not await acted(city, number, event, person, data):
            await asyncio.sleep(0.02)


async def acted(city: CaseCity, number: str, event: str, person: Person, data: dict[str, object]) -> bool:
    with suppress(InvalidTransition, NotFound):
        await city.act(number, event, person, data)
        return True
    return False


def test_an_event_before_its_predecessor_waits_out_of_sequence(cities: Pair) -> None:
    accepting = cities[0]

    async def play() -> None:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(*cities)
            event = CaseEvent(
                salt="A" * 22, event="sign", data={}, attachments=[], seq=7, prev="A" * 43
            )  # the city signs what its own rules would never give
            network = accepting.wire.network
            why = network.seal(RESPONSIBLE, ACCEPTING, event, msg="case.event", why=_why(number))
            sealed = await accepting.pipeline.receive(why, network[RESPONSIBLE].tls.certificate)
            assert (sealed.status, b"out-of-sequence" in sealed.body) == (409, True)
            assert accepting.row(number).seq == 0
            assert accepting.rows("SELECT count(*) FROM received") == [(0,)], "it may pass later"

    asyncio.run(play())


@pytest.mark.threat("T24")
def test_an_event_that_contradicts_our_transcript_halts_the_case_and_is_refused_for_good(cities: Pair) -> None:
    accepting, responsible = cities

    async def play() -> None:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(*cities)
            await responsible.act(number, "sign", OFFICER)
            await settle(*cities)
            network = accepting.wire.network
            other = CaseEvent(salt="A" * 22, event="chase", data={}, attachments=[], seq=1, prev="A" * 43)
            raw = network.seal(RESPONSIBLE, ACCEPTING, other, msg="case.event", why=_why(number))
            for _ in range(2):
                sealed = await accepting.pipeline.receive(raw, network[RESPONSIBLE].tls.certificate)
                assert (sealed.status, b"invalid-transition" in sealed.body) == (409, True)
            row = accepting.row(number)
            assert (row.halted, row.box, row.seq) == ("fork", "todo", 1)
            with pytest.raises(InvalidTransition, match="stands still"):
                await accepting.act(number, "withdraw", CLERK, {"reason": "r"})
            settled = {"reason": "电话核对", "actor": "director"}
            await accepting.writer.submit(lambda tx: service.settle_halt(accepting.room, tx, number, **settled))
            await accepting.act(number, "withdraw", CLERK, {"reason": "r"})
            with pytest.raises(NotFound):
                await accepting.writer.submit(lambda tx: service.settle_halt(accepting.room, tx, number, **settled))

    asyncio.run(play())


def _why(number: str) -> object:
    return Why(item="PEN-LUMPSUM", basis="STATUTORY", case=number)


def test_format_body_is_what_is_signed() -> None:
    event = CaseEvent(salt="A" * 22, event="sign", data={}, attachments=[], seen="A" * 43)
    assert (
        format_body(event)
        == b'{"salt":"' + b"A" * 22 + b'","event":"sign","data":{},"attachments":[],"seen":"' + b"A" * 43 + b'"}'
    )
