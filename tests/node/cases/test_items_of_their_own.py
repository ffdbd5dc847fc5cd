"""Items whose tables are their own: three departments and a minute clock, a call back, a loss report at once."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from node.cases import service, viewing
from node.cases.arithmetic import arithmetic_faults
from node.cases.room import local_time, rules_of
from node.cases.service import Opening, Person
from node.cases.timing import times_of
from protocol.errors import InvalidBody, InvalidTransition
from protocol.procedures.engine import begin
from protocol.procedures.pack import parse_pack
from tests.node.cases.two_cities import (
    ACCEPTING,
    CLERK,
    DOCUMENTS,
    OFFICER,
    RESPONSIBLE,
    REVIEWER,
    CaseCity,
    running,
    settle,
)
from tests.protocol import filling

Pair = tuple[CaseCity, CaseCity]
MEDICAL = Person("medical-442000", "o-medical", "中山医保", "medical")
HOUSING = Person("housing-442000", "o-housing", "中山公积金", "housing")
APPROVED = {"result": "APPROVED", "decided_at": "2026-11-24T16:00:00+08:00", "decided_by": "officer"}


def application(item: str, **changes: Any) -> dict[str, Any]:
    """Return an application whose materials were seen and not attached."""
    content = filling.application(filling.ITEMS[item], full=False)
    return dict(json.loads(json.dumps(content).replace("sha256:", "sm3:"))) | changes


def answer(item: str, **changes: Any) -> dict[str, Any]:
    content = filling.answer(filling.ITEMS[item], full=False)
    return dict(json.loads(json.dumps(content).replace("sha256:", "sm3:"))) | APPROVED | changes


async def opened(cities: Pair, item: str, **changes: Any) -> str:
    city, wanted = cities[0], Opening(item, RESPONSIBLE, application(item, **changes))
    done = await city.writer.submit(lambda tx: service.open_case(city.room, tx, wanted, CLERK))
    await settle(*cities)
    return done.number


async def do(cities: Pair, number: str, event: str, person: Person, /, **data: Any) -> None:
    await cities[0 if person is CLERK else 1].act(number, event, person, data)
    await settle(*cities)


def page(city: CaseCity, number: str) -> dict[str, Any]:
    with city.database.reading() as session:
        return viewing.page_of(city.room, session, service.read_case(session, number))


SUB_MATTERS = ["PEN_CALC", "MED_RETIREE", "HPF_WITHDRAW"]


def test_three_departments_decide_side_by_side_under_a_clock_of_minutes(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "PEN-RETIRE", sub_matters=SUB_MATTERS, retire_kind="NORMAL")
            begun = cities[0].wire.now()
            await do(cities, number, "sign", OFFICER)
            wrong = {"part": "MED_RETIREE", "result": "APPROVED"}
            for person in (OFFICER, HOUSING):
                with pytest.raises(InvalidTransition):
                    await do(cities, number, "sub-decide", person, **wrong)
            cities[0].wire.clock[0] += timedelta(minutes=12)
            for person, part in ((HOUSING, "HPF_WITHDRAW"), (MEDICAL, "MED_RETIREE")):
                await do(cities, number, "sub-decide", person, part=part, result="APPROVED")
            given = answer("PEN-RETIRE")
            with pytest.raises(InvalidTransition, match="parts"):
                await do(cities, number, "decide", OFFICER, answer=given)
            with pytest.raises(InvalidTransition):
                await do(cities, number, "sub-decide", MEDICAL, **wrong)
            await do(cities, number, "sub-decide", OFFICER, part="PEN_CALC", result="APPROVED")
            await do(cities, number, "decide", OFFICER, answer=given)
            await do(cities, number, "review", REVIEWER)
            shown = page(cities[0], number)
            assert shown["parts"] == dict.fromkeys(SUB_MATTERS, "APPROVED")
            assert shown["elapsed_minutes"] == 12
            due = begun + timedelta(minutes=30)
            assert shown["due_at"][:16] == local_time(due).isoformat()[:16]
            cities[0].wire.clock[0] += timedelta(days=2)
            assert page(cities[1], number)["elapsed_minutes"] == 12  # the clock has ended

    asyncio.run(story())


def test_a_paper_file_takes_the_case_off_the_fast_track(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "PEN-RETIRE", sub_matters=["PEN_CALC", "DEEMED_YEARS"], retire_kind="NORMAL")
            shown = page(cities[0], number)
            assert "due_at" not in shown
            assert (shown["due_on"], shown["statutory_due_on"]) == ("2026-11-27", "2026-12-22")

    asyncio.run(story())


def test_a_payment_account_changes_only_after_a_call_back(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "PAY-ACCOUNT")
            await do(cities, number, "sign", OFFICER)
            await do(cities, number, "decide", OFFICER, answer=answer("PAY-ACCOUNT"))
            with pytest.raises(InvalidTransition, match="first"):
                await do(cities, number, "review", REVIEWER)
            with pytest.raises(InvalidBody):
                await do(cities, number, "call-back", REVIEWER, spoke_to="person", number="records", confirmed="no")
            await do(cities, number, "call-back", REVIEWER, spoke_to="person", number="records", confirmed="yes")
            await do(cities, number, "review", REVIEWER)
            assert page(cities[0], number)["state"] == "DECIDED"

    asyncio.run(story())


@pytest.mark.parametrize(("service_wanted", "due"), [("LOSS_TEMP", "2026-11-24"), ("APPLY", "2026-12-01")])
def test_a_lost_card_is_blocked_on_the_day(cities: Pair, service_wanted: str, due: str) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "CARD-SERVICE", service=service_wanted)
            await do(cities, number, "sign", OFFICER)
            assert page(cities[0], number)["due_on"] == due
            assert page(cities[1], number)["accepting"] == ACCEPTING

    asyncio.run(story())


def test_a_limit_of_several_places_is_the_longest(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "PEN-DUPLICATE")
            shown = page(cities[0], number)
            assert (shown["due_on"], shown["statutory_due_on"]) == ("2026-12-01", "2026-12-24")

    asyncio.run(story())


@pytest.mark.parametrize(("kind", "fee"), [("ENTITLED", 2_308_500), ("RECEIVING", 2_308_500), ("EMPLOYED", 0)])
def test_the_fee_of_an_unemployment_transfer_is_that_of_the_rule(cities: Pair, kind: str, fee: int) -> None:
    given = {"info_sheet": {"months_paid": 80, "months_unused": 9, "standard_fen": 171_000}}
    with cities[0].database.reading() as session:
        documents = cities[0].room.documents
        found = rules_of(
            documents.catalogue_in_force(session), documents.procedures_in_force(session), "UI-TRANSFER",
            amounts=documents.amounts_in_force(session),
        )  # fmt: skip
    for amount, told in ((fee, []), (fee + 1, ["answer/fee_fen"])):
        data = {"answer": given | {"fee_fen": amount}}
        assert [one.at for one in arithmetic_faults(found, data, {"case_kind": kind})] == told


def test_the_next_certification_is_twelve_months_after_this_one(cities: Pair) -> None:
    async def story() -> None:
        async with running(*cities):
            number = await opened(cities, "ELIG-PENSION", certified_at="2026-11-24T01:30:00+08:00")
            await do(cities, number, "sign", OFFICER)
            for day, passes in (("2027-11-23", False), ("2027-11-25", False), ("2027-11-24", True)):
                given = answer("ELIG-PENSION", next_due=day)
                if passes:
                    await do(cities, number, "decide", OFFICER, answer=given)
                    break
                with pytest.raises(InvalidBody) as refused:
                    await do(cities, number, "decide", OFFICER, answer=given)
                assert [one["at"] for one in refused.value.facts["fields"]] == ["answer/next_due"]

    asyncio.run(story())


def test_two_cities_may_promise_each_other_less_than_the_catalogue_does(cities: Pair) -> None:
    pack = json.loads(DOCUMENTS["procedures"])
    promised = [{"leg": "TOTAL", "value": 2, "unit": "working_day"}]
    pack["pairs"] = [{"cities": [RESPONSIBLE, ACCEPTING], "item": "PEN-LUMPSUM", "mark": "D", "promised": promised}]
    with cities[0].database.reading() as session:
        documents = cities[0].room.documents
        catalogue, calendars = documents.catalogue_in_force(session), documents.calendars(session)
    rules = rules_of(catalogue, parse_pack(json.dumps(pack).encode()), "PEN-LUMPSUM")
    state = begin(rules.procedure, at=cities[0].wire.now(), officer="o")
    for one, other, due in (
        (ACCEPTING, RESPONSIBLE, "2026-11-26"),
        (RESPONSIBLE, ACCEPTING, "2026-11-26"),
        (ACCEPTING, "520300", "2026-12-01"),
    ):
        times = times_of(rules.between(one, other), state, calendars)
        assert (str(times.promised), str(times.statutory)) == (due, "2026-12-22")
