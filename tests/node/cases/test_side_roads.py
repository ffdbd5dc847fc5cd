"""Every refusal and side road of the procedure of PEN-LUMPSUM, between two real cities."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from node.cases.service import Person
from protocol.errors import EditConflict, InvalidBody, InvalidTransition, NotFound, Refusal, StorageFull
from tests.node.cases.two_cities import (
    CLERK,
    OFFICER,
    REVIEWER,
    CaseCity,
    answer,
    application,
    running,
    settle,
)

Pair = tuple[CaseCity, CaseCity]
DIRECTOR = Person("director-442000", "o-director", "中山社保", "director")
OTHER_REVIEWER = Person("officer-442000", OFFICER.officer, "中山社保", "reviewer")


def play(cities: Pair, story: Callable[[str], Awaitable[Any]]) -> Any:
    """Open a case, deliver it, and go on with a story."""

    async def played() -> Any:
        async with running(*cities):
            number = (await cities[0].open(application())).number
            await settle(*cities)
            return await story(number)

    return asyncio.run(played())


async def steps(cities: Pair, number: str, *wanted: tuple[str, Person, dict[str, Any]]) -> None:
    for event, person, data in wanted:
        city = cities[0] if person is CLERK else cities[1]
        await city.act(number, event, person, data)
        await settle(*cities)


def states(cities: Pair, number: str) -> list[str]:
    return [city.row(number).state for city in cities]


Step = tuple[str, Person, dict[str, Any]]
SIGN: Step = ("sign", OFFICER, {})
DECIDE: Step = ("decide", OFFICER, {"answer": answer()})


@pytest.mark.parametrize(
    ("way", "state"),
    [
        ([("withdraw", CLERK, {"reason": "本人不再申请"})], "WITHDRAWN"),
        ([("forward", OFFICER, {"to": "520300", "reason": "参保地在遵义"})], "FORWARDED"),
        ([SIGN, ("supplement", OFFICER, {"missing": ["银行卡复印件"]})], "SUPPLEMENT"),
        ([SIGN, ("supplement", OFFICER, {"missing": ["银行卡复印件"]}), ("supplemented", CLERK, {})], "IN_REVIEW"),
        ([("suspend", OFFICER, {"reason": "协查中"})], "SUSPENDED"),
        ([("suspend", OFFICER, {"reason": "协查中"}), ("resume", OFFICER, {})], "ACCEPTED"),
        ([SIGN, ("suspend", OFFICER, {"reason": "协查中"}), ("resume", OFFICER, {})], "IN_REVIEW"),
        ([SIGN, DECIDE, ("return", REVIEWER, {"reason": "金额与账户不符"})], "IN_REVIEW"),
        ([SIGN, ("chase", CLERK, {"text": "请尽快办理"})], "IN_REVIEW"),
        ([SIGN, DECIDE, ("review", REVIEWER, {}), ("dispute", CLERK, {"reason": "金额有误"})], "DISPUTED"),
        (
            [SIGN, DECIDE, ("review", REVIEWER, {}), ("dispute", CLERK, {"reason": "金额有误"}),
             ("reopen", REVIEWER, {"reason": "重新核定"})],
            "IN_REVIEW",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(one[0] for one in value),
)  # fmt: skip
def test_a_side_road_leads_to_the_same_state_in_both_cities(cities: Pair, way: list[Any], state: str) -> None:
    async def story(number: str) -> None:
        await steps(cities, number, *way)
        assert states(cities, number) == [state, state]
        assert cities[0].transcript(number) == cities[1].transcript(number)

    play(cities, story)


def test_a_rejection_needs_reason_ground_and_remedy_and_goes_through_two_persons(cities: Pair) -> None:
    async def story(number: str) -> None:
        await steps(cities, number, SIGN)
        bare = {"result": "REJECTED", "decided_at": answer()["decided_at"], "decided_by": "officer-442000"}
        with pytest.raises(InvalidBody) as refused:
            await cities[1].act(number, "decide", OFFICER, {"answer": bare})
        places = {one["at"] for one in refused.value.facts["fields"]}
        assert places == {"answer/reason_text", "answer/legal_ref", "answer/remedy_text"}
        grounds = {
            "reason_text": "缴费已满十五年",
            "legal_ref": "社会保险法第十六条",
            "remedy_text": "六十日内可申请行政复议",
        }
        await steps(cities, number, ("decide", OFFICER, {"answer": {**bare, **grounds}}), ("review", REVIEWER, {}))
        assert states(cities, number) == ["DECIDED", "DECIDED"]

    play(cities, story)


def test_the_person_who_decided_may_not_review(cities: Pair) -> None:
    async def story(number: str) -> None:
        await steps(cities, number, SIGN, DECIDE)
        with pytest.raises(InvalidTransition, match="the person who took the step"):
            await cities[1].act(number, "review", OTHER_REVIEWER)
        assert states(cities, number) == ["SECOND_REVIEW", "SECOND_REVIEW"]

    play(cities, story)


def test_a_supplement_is_asked_for_once(cities: Pair) -> None:
    async def story(number: str) -> None:
        asking = ("supplement", OFFICER, {"missing": ["银行卡复印件"]})
        await steps(cities, number, SIGN, asking, ("supplemented", CLERK, {}))
        with pytest.raises(InvalidTransition, match="only once"):
            await cities[1].act(number, "supplement", OFFICER, {"missing": ["再补一份"]})

    play(cities, story)


def test_the_clock_stands_still_during_a_supplement(cities: Pair) -> None:
    async def story(number: str) -> None:
        before = cities[1].row(number).due_on
        await steps(cities, number, SIGN, ("supplement", OFFICER, {"missing": ["银行卡复印件"]}))
        assert cities[1].row(number).due_on is None
        cities[0].wire.clock[0] += timedelta(days=2)
        await steps(cities, number, ("supplemented", CLERK, {}))
        rows = [city.row(number) for city in cities]
        assert [(row.due_on - before).days for row in rows] == [2, 2]

    play(cities, story)


@pytest.mark.parametrize(
    ("event", "person", "data", "refusal"),
    [
        ("review", REVIEWER, {}, InvalidTransition),
        ("sign", CLERK, {}, InvalidTransition),
        ("nothing", OFFICER, {}, InvalidTransition),
        ("forward", OFFICER, {"to": "x", "reason": "r"}, InvalidBody),
        ("forward", OFFICER, {"to": "520300"}, InvalidBody),
        ("suspend", OFFICER, {"reason": " "}, InvalidBody),
        ("suspend", OFFICER, {"reason": "r" * 4001}, InvalidBody),
        ("suspend", OFFICER, {"reason": "r", "unknown": 1}, InvalidBody),
    ],
)
def test_what_may_not_be_changes_nothing(
    cities: Pair, event: str, person: Person, data: dict[str, Any], refusal: type[Refusal]
) -> None:
    async def story(number: str) -> None:
        before = cities[1].transcript(number)
        with pytest.raises(refusal):
            await cities[1].act(number, event, person, data)
        assert cities[1].transcript(number) == before
        assert cities[1].waiting() == 0

    play(cities, story)


def test_bad_input_names_each_field_in_both_languages_and_leaves_no_half_case(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            wrong = application(months_total=-1, reason="SOMETHING")
            wrong["person"]["id_no"] = "450400195708151015"
            with pytest.raises(InvalidBody) as refused:
                await cities[0].open(wrong)
            told = {one["at"]: one for one in refused.value.facts["fields"]}
            assert set(told) == {"person/id_no", "reason", "months_total"}
            assert told["months_total"]["zh"] == "“累计缴费月数”不小于 0"
            assert "450400195708151015" not in str(refused.value.facts)
            assert cities[0].rows("SELECT count(*) FROM cases") == [(0,)]
            assert cities[0].rows("SELECT count(*) FROM outbox") == [(0,)]

    asyncio.run(story())


def test_a_case_goes_to_another_active_member(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            with pytest.raises(InvalidBody):
                await cities[0].open(application(), to="450400")
            with pytest.raises(Refusal) as refused:
                await cities[0].open(application(), to="659003")
            assert refused.value.slug == "not-a-member"

    asyncio.run(story())


def test_an_idempotency_key_gives_one_case_and_one_message(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            first, again = [await cities[0].open(application(), request="key-1") for _ in range(2)]
            assert first == again
            with pytest.raises(EditConflict):
                await cities[0].open(application(months_total=90), request="key-1")
            await settle(*cities)
            assert cities[1].rows("SELECT count(*) FROM cases") == [(1,)]
            done = [await cities[1].act(first.number, "sign", OFFICER, request="key-2") for _ in range(2)]
            assert done[0] == done[1]

    asyncio.run(story())


def test_whoever_looked_at_an_older_state_is_told_so(cities: Pair) -> None:
    async def story(number: str) -> None:
        with pytest.raises(EditConflict):
            await cities[1].act(number, "sign", OFFICER, seen="x" * 43)
        with pytest.raises(NotFound):
            await cities[1].act("KS450400202611240000128", "sign", OFFICER)

    play(cities, story)


def test_a_proposal_that_comes_too_late_is_refused_for_good_and_shown(cities: Pair) -> None:
    """The clerk withdraws while the officer has forwarded the case: the sequencer decides, and both agree."""
    accepting, responsible = cities

    async def story() -> str:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(*cities)
            del accepting.wire.cities[accepting.code]  # the event of the sequencer does not get through for now
            await responsible.act(number, "forward", OFFICER, {"to": "520300", "reason": "参保地在遵义"})
            await accepting.act(number, "withdraw", CLERK, {"reason": "本人不再申请"})
            accepting.wire.cities[accepting.code] = accepting
            await settle(*cities)
            return number

    number = asyncio.run(story())
    assert states(cities, number) == ["FORWARDED", "FORWARDED"]
    assert accepting.transcript(number) == responsible.transcript(number)
    refused = accepting.rows("SELECT event, refused FROM case_event WHERE seq IS NULL")
    assert refused == [("withdraw", "invalid-transition")]
    assert accepting.row(number).halted == ""


def test_an_item_that_the_other_city_does_not_know_is_refused_and_may_pass_later(cities: Pair) -> None:
    accepting, responsible = cities
    known = responsible.room.documents

    async def story() -> None:
        async with running(*cities):
            object.__setattr__(responsible.room, "documents", _without_catalogue(known))
            number = (await accepting.open(application())).number
            async with asyncio.timeout(10):
                while not accepting.rows("SELECT slug FROM outbox WHERE slug = 'unknown-item'"):
                    await asyncio.sleep(0.01)
            object.__setattr__(responsible.room, "documents", known)
            jti = accepting.rows("SELECT jti FROM outbox")[0][0]
            await accepting.writer.submit(lambda tx: accepting.room.outbox.retry(tx, jti, actor="sysadmin"))
            await settle(*cities)
            assert responsible.row(number).state == "ACCEPTED"

    asyncio.run(story())


def _without_catalogue(known: Any) -> Any:
    import dataclasses

    return dataclasses.replace(known, catalogue=lambda _session, _digest: None)


def test_a_full_disk_refuses_before_anything_is_written_and_recovers_by_itself(cities: Pair) -> None:
    accepting, responsible = cities

    async def story() -> None:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(*cities)
            accepting.wire.has_room = False
            for attempt in (accepting.open(application()), responsible.act(number, "sign", OFFICER)):
                with pytest.raises(StorageFull):
                    await attempt
            assert accepting.rows("SELECT count(*) FROM cases") == [(1,)]
            assert responsible.waiting() == 0
            accepting.wire.has_room = True
            await responsible.act(number, "sign", OFFICER)
            accepting.wire.has_room = False  # what is on its way waits until there is room again
            await asyncio.sleep(0.2)
            accepting.wire.has_room = True
            await settle(*cities)
            assert states(cities, number) == ["IN_REVIEW", "IN_REVIEW"]

    asyncio.run(story())


def test_a_city_that_is_away_for_three_days_gets_its_backlog_in_order_and_delays_only_its_own(cities: Pair) -> None:
    accepting, responsible = cities

    async def story() -> list[str]:
        async with running(accepting):
            numbers = [(await accepting.open(application())).number for _ in range(10)]
            for number in numbers:
                await accepting.act(number, "chase", CLERK, {"text": "请尽快"})
            async with asyncio.timeout(10):
                while not accepting.rows("SELECT peer FROM outbox_peer WHERE silent_since IS NOT NULL"):
                    await asyncio.sleep(0.01)
            accepting.wire.clock[0] += timedelta(days=3)
            assert accepting.waiting() == 20
            async with running(responsible):
                await settle(accepting, seconds=60)
            return numbers

    numbers = asyncio.run(story())
    assert all(len(responsible.transcript(number)) == 2 for number in numbers)
    order = accepting.rows("SELECT line, step FROM outbox ORDER BY settled_at")
    assert all([step for line, step in order if line == number] == [0, 1] for number in numbers)
    assert accepting.rows("SELECT silent_since FROM outbox_peer") == [(None,)]
