"""PEN-TRANSFER between four cities: a case, its legs, letters, sheets, funds, and every side road of both tables."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from node.cases import service
from node.cases.service import Opening, Person
from node.cases.transcripts import open_content
from node.funds import service as funds
from node.storage.unit_of_work import Database
from protocol.errors import EditConflict, InvalidBody, InvalidTransition, TransferStands
from tests.networks import TestNetwork, make_network
from tests.node.cases.two_cities import CLERK, NAMED, CaseCity, Wire, make_city, running, settle
from tests.node.exchange.receiving import NOW
from tests.protocol import filling
from tests.protocol.sheets import a_sheet, small_sheet

ACCEPTING, LEAD, OUT, OTHER_OUT = "450400", "520300", "442000", "360700"
CODES = (ACCEPTING, LEAD, OUT, OTHER_OUT)
ITEM = filling.ITEMS["PEN-TRANSFER"]
APPROVED = {"result": "APPROVED", "decided_at": "2026-11-24T16:00:00+08:00", "decided_by": "officer"}
JOINED = {**APPROVED, "decision_in": "APPROVED", "contact_letter_no": "LX-520300-442000"}
REFUSED = {
    **APPROVED, "result": "REJECTED", "reason_text": "不符合接收条件", "legal_ref": "国办发〔2009〕66号第五条",
    "remedy_text": "六十日内申请行政复议",
}  # fmt: skip
Cities = dict[str, CaseCity]


def person(city: str, role: str, name: str = "") -> Person:
    return Person(f"{role}{name}-{city}", f"o-{role}{name}", f"{city} 社保", role)


def org(division: str) -> dict[str, Any]:
    return {"division": division, "name": f"{division} 社会保险事业局"}


def application(lead: str = LEAD, outs: tuple[str, ...] = (OUT,)) -> dict[str, Any]:
    content = json.loads(json.dumps(filling.application(ITEM, full=False)).replace("sha256:", "sm3:"))
    content["material"] = [one for one in content["material"] if one["material_code"] in ("ID_CARD", "TRANSFER_FORM")]
    return content | {"transfer_in_org": org(lead), "transfer_out_orgs": [org(one) for one in outs]}


def letter(to: str, lead: str = LEAD) -> dict[str, Any]:
    block = filling.fill_all(filling.CATALOGUE.blocks["contact_letter"], full=False)
    return block | {"letter_no": f"LX-{lead}-{to}", "from_org": org(lead), "to_org": org(to)}


def order(total: int, number: int = 1) -> dict[str, Any]:
    block = filling.fill_all(filling.CATALOGUE.blocks["fund_order"], full=False)
    return block | {"order_no": f"HB-{number:04}", "total_fen": total, "account_fen": total, "pooled_fen": 0}


def arrival(fen: int, number: int = 1) -> dict[str, Any]:
    block = filling.fill_all(filling.CATALOGUE.blocks["fund_arrival"], full=False)
    return block | {"order_no": f"HB-{number:04}", "arrival_fen": fen}


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return make_network(list(CODES), NOW, documents=NAMED)


@pytest.fixture
def cities(network: TestNetwork, open_database: Callable[..., Database], new_database: Callable[[], str]) -> Cities:
    wire = Wire(network, [NOW])
    return {code: make_city(code, new_database(), open_database, wire) for code in CODES}


def play(cities: Cities, story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running(*cities.values()):
            await story()

    asyncio.run(whole())


async def opened(cities: Cities, at: str = ACCEPTING, outs: tuple[str, ...] = (OUT,)) -> str:
    wanted = Opening("PEN-TRANSFER", LEAD, application(outs=outs))
    city = cities[at]
    done = await city.writer.submit(lambda tx: service.open_case(city.room, tx, wanted, CLERK))
    await settle(*cities.values())
    return done.number


async def do(cities: Cities, at: str, number: str, event: str, role: str = "officer", **data: Any) -> None:
    await cities[at].act(number, event, person(at, role), data)
    await settle(*cities.values())


async def letters_sent(cities: Cities, number: str, *to: str) -> list[str]:
    """Sign, approve and send letters; return the numbers of their legs."""
    if cities[LEAD].row(number).state == "ACCEPTED":
        await do(cities, LEAD, number, "sign")
    known = set(legs(cities[LEAD], number))
    await do(cities, LEAD, number, "approve", letters=[letter(one) for one in to])
    await do(cities, LEAD, number, "send-letters", "reviewer")
    return [one for one in legs(cities[LEAD], number) if one not in known]


def legs(city: CaseCity, number: str) -> list[str]:
    return [one for (one,) in city.rows(f"SELECT number FROM cases WHERE follows = '{number}' ORDER BY number")]  # noqa: S608


async def sheet_sent(cities: Cities, out: str, leg: str, total: int) -> None:
    await do(cities, out, leg, "sign")
    await do(cities, out, leg, "take-up")
    await do(cities, out, leg, "sheet", sheet=small_sheet(total))
    await do(cities, out, leg, "review", "reviewer")


def state(cities: Cities, number: str, *at: str) -> str:
    """Return where a case stands, at both of its cities alike, transcripts included."""
    stands = {cities[one].row(number).state for one in at}
    heads = {bytes(cities[one].row(number).head) for one in at}
    assert len(stands) == len(heads) == 1, (stands, at)
    assert len({tuple(cities[one].transcript(number)) for one in at}) == 1
    return str(stands.pop())


def parts(city: CaseCity, number: str) -> dict[str, str]:
    return dict(json.loads(city.row(number).facts).get("parts", {}))


def test_two_legs_go_on_side_by_side_and_the_case_is_joined_when_both_are_over(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities, outs=(OUT, OTHER_OUT))
        first, second = await letters_sent(cities, number, OUT, OTHER_OUT)
        assert state(cities, number, ACCEPTING, LEAD) == "LETTERS_SENT"
        assert parts(cities[ACCEPTING], number) == {first: "open", second: "open"}
        out = {first: cities[LEAD].row(first).responsible, second: cities[LEAD].row(second).responsible}
        for leg, total in ((second, 90_000), (first, 4_497_235)):
            await sheet_sent(cities, out[leg], leg, total)
            assert state(cities, leg, LEAD, out[leg]) == "SHEET_SENT"
            await do(cities, out[leg], leg, "fund-order", "finance", order=order(total))
            await do(cities, LEAD, leg, "arrival", "finance", arrival=arrival(total))
            with pytest.raises(InvalidTransition):
                await do(cities, LEAD, number, "decide", answer=JOINED)
            await do(cities, LEAD, leg, "reconcile", "finance")
            assert state(cities, leg, LEAD, out[leg]) == "RECONCILED"
        assert state(cities, number, ACCEPTING, LEAD) == "TO_JOIN"
        assert parts(cities[ACCEPTING], number) == {first: "RECONCILED", second: "RECONCILED"}
        answer = APPROVED | {
            "decision_in": "APPROVED",
            "contact_letter_no": "LX-520300-442000",
            "months_recognised": 54,
        }
        await do(cities, LEAD, number, "decide", answer=answer)
        await do(cities, LEAD, number, "review", "reviewer")
        await do(cities, ACCEPTING, number, "handover", "clerk", received_by="person", received_on="2026-11-24")
        assert state(cities, number, ACCEPTING, LEAD) == "NOTIFIED"

    play(cities, story)


def test_what_arrives_must_be_what_was_expected_and_nothing_is_overwritten(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        (leg,) = await letters_sent(cities, number, OUT)
        await sheet_sent(cities, OUT, leg, 100_000)
        await do(cities, OUT, leg, "fund-order", "finance", order=order(100_000))
        await do(cities, LEAD, leg, "arrival", "finance", arrival=arrival(60_000))
        with pytest.raises(InvalidTransition, match="arrived"):
            await do(cities, LEAD, leg, "reconcile", "finance")
        await do(cities, LEAD, leg, "mismatch", "finance", text="少到 400 元")
        assert state(cities, leg, LEAD, OUT) == "MISMATCH"
        with pytest.raises(EditConflict):
            await do(cities, OUT, leg, "fund-order", "finance", order=order(30_000))
        await do(cities, OUT, leg, "fund-order", "finance", order=order(30_000, 2))
        await do(cities, LEAD, leg, "arrival", "finance", arrival=arrival(30_000, 2))
        with pytest.raises(InvalidTransition):
            await do(cities, LEAD, leg, "reconcile", "finance")
        await do(cities, LEAD, leg, "mismatch", "finance", text="仍少 100 元，请核对信息表")
        await do(cities, OUT, leg, "sheet", sheet=small_sheet(90_000, 2))
        await do(cities, OUT, leg, "review", "reviewer")
        await do(cities, LEAD, leg, "reconcile", "finance")
        assert state(cities, leg, LEAD, OUT) == "RECONCILED"
        for city in (LEAD, OUT):  # the ledgers of both cities have followed
            ledger = fund(cities[city], leg)
            assert (ledger["difference_fen"], ledger["arrived_fen"], ledger["state"]) == (0, 90_000, "RECONCILED")
            assert ledger["version"] == 2  # two sheets
        events = [event for (event,) in cities[OUT].rows(f"SELECT event FROM case_event WHERE number = '{leg}'")]  # noqa: S608
        assert (events.count("sheet"), events.count("arrival"), events.count("fund-order")) == (2, 2, 2)

    play(cities, story)


def fund(city: CaseCity, leg: str) -> dict[str, Any]:
    with city.database.reading() as session:
        return funds.fund_of(funds.Ledger(city.room.vault, city.room.now), session, leg)


def test_a_transfer_that_stands_is_not_opened_a_second_time(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        with pytest.raises(TransferStands) as refused:
            await opened(cities, at=LEAD)
        assert refused.value.facts["case"] == number
        again = await opened(cities)  # only the lead city knows
        assert (cities[ACCEPTING].row(again).halted, state(cities, number, LEAD)) == ("transfer-stands", "ACCEPTED")
        assert cities[LEAD].rows(f"SELECT count(*) FROM cases WHERE number = '{again}'") == [(0,)]  # noqa: S608
        await opened(cities, at=LEAD, outs=(OTHER_OUT,))
        await do(cities, ACCEPTING, number, "withdraw", "clerk", reason="本人不再申请")
        await opened(cities, at=LEAD)

    play(cities, story)


def test_a_returned_letter_may_be_sent_anew(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        (leg,) = await letters_sent(cities, number, OUT)
        await do(cities, OUT, leg, "sign")
        await do(cities, OUT, leg, "return-letter", code="IN_PAY", reason="正在缴费未停保")
        assert state(cities, leg, LEAD, OUT) == "LETTER_RETURNED"
        assert parts(cities[ACCEPTING], number) == {leg: "LETTER_RETURNED"}
        (again,) = await letters_sent(cities, number, OUT)
        assert parts(cities[ACCEPTING], number) == {leg: "LETTER_RETURNED", again: "open"}
        assert state(cities, number, ACCEPTING, LEAD) == "LETTERS_SENT"

    play(cities, story)


def test_the_lead_city_may_accept_its_own_application(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities, at=LEAD)
        (leg,) = await letters_sent(cities, number, OUT)
        await sheet_sent(cities, OUT, leg, 100)
        await do(cities, OUT, leg, "fund-order", "finance", order=order(100))
        await do(cities, LEAD, leg, "arrival", "finance", arrival=arrival(100))
        await do(cities, LEAD, leg, "reconcile", "finance")
        await do(cities, LEAD, number, "decide", answer=JOINED)
        with pytest.raises(InvalidTransition):
            await cities[LEAD].act(number, "review", Person("x", "o-officer", "y", "reviewer"), {})
        await do(cities, LEAD, number, "review", "reviewer")
        await do(cities, LEAD, number, "handover", "clerk", received_by="person", received_on="2026-11-24")
        assert state(cities, number, LEAD) == "NOTIFIED"
        assert cities[LEAD].rows(f"SELECT count(*) FROM outbox WHERE line = '{number}'") == [(0,)]  # noqa: S608

    play(cities, story)


def test_letters_go_only_to_members_that_the_application_names_and_once(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities, outs=(OUT, "653100", LEAD))
        await do(cities, LEAD, number, "sign")
        wanted = [letter(one) for one in (OUT, OUT, OTHER_OUT, "653100", LEAD)]
        with pytest.raises(InvalidBody) as refused:
            await do(cities, LEAD, number, "approve", letters=wanted)
        rules = {one["at"]: one["rule"] for one in refused.value.facts["fields"]}
        assert rules == {
            "letters/1/to_org/division": "open", "letters/2/to_org/division": "named",
            "letters/3/to_org/division": "member", "letters/4/to_org/division": "member",
        }  # fmt: skip
        with pytest.raises(InvalidBody) as refused:
            await do(cities, LEAD, number, "approve", letters=[{"letter_no": "x"}])
        assert {one["at"] for one in refused.value.facts["fields"]} >= {"letters/0/to_org", "letters/0/letter_no"}
        assert legs(cities[LEAD], number) == []

    play(cities, story)


def test_a_refusal_needs_its_grounds_and_two_persons_and_no_letter(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        await do(cities, LEAD, number, "sign")
        with pytest.raises(InvalidTransition):
            await do(
                cities,
                LEAD,
                number,
                "decide",
                answer=APPROVED | {"decision_in": "APPROVED", "contact_letter_no": "LX-0000-1"},
            )
        with pytest.raises(InvalidBody):
            await do(cities, LEAD, number, "decide", answer=APPROVED | {"result": "REJECTED"})
        await do(cities, LEAD, number, "decide", answer=REFUSED)
        await do(cities, LEAD, number, "review", "reviewer")
        assert state(cities, number, ACCEPTING, LEAD) == "DECIDED"

    play(cities, story)


def test_a_leg_takes_along_what_its_city_needs_and_nothing_else(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        (leg,) = await letters_sent(cities, number, OUT)
        brought = open_content(cities[OUT].room, cities[OUT].row(leg))
        assert set(brought) == {
            "person", "transfer_in_org", "transfer_kind", "in_insured_since", "hukou_division", "letter",
        }  # fmt: skip

    play(cities, story)


def test_a_wrong_sheet_is_refused_with_line_and_rule_and_nothing_is_corrected(cities: Cities) -> None:
    async def story() -> None:
        number = await opened(cities)
        (leg,) = await letters_sent(cities, number, OUT)
        for event in ("sign", "take-up"):
            await do(cities, OUT, leg, event)
        wrong = a_sheet()
        wrong["yearly_lines"][2]["wages_fen"] += 100
        wrong["totals"]["pooled_fen"] += 1
        with pytest.raises(InvalidBody) as refused:
            await do(cities, OUT, leg, "sheet", sheet=wrong)
        told = {one["at"]: (one["rule"], one["zh"]) for one in refused.value.facts["fields"]}
        assert told["sheet/yearly_lines/2/wages_fen"][0] == "wages"
        assert "第 3 行" in told["sheet/yearly_lines/2/wages_fen"][1]
        assert "sheet/totals/pooled_fen" in told
        assert cities[OUT].row(leg).state == "OUT_REVIEW"
        await do(cities, OUT, leg, "sheet", sheet=a_sheet())
        assert state(cities, leg, LEAD, OUT) == "SHEET_REVIEW"

    play(cities, story)


def test_inside_a_province_the_relation_moves_without_money(
    network: TestNetwork, open_database: Callable[..., Database], new_database: Callable[[], str]
) -> None:
    near = "522300"
    wire = Wire(make_network([LEAD, near], NOW, documents=NAMED), [NOW])
    cities = {code: make_city(code, new_database(), open_database, wire) for code in (LEAD, near)}

    async def story() -> None:
        number = await opened(cities, at=LEAD, outs=(near,))
        (leg,) = await letters_sent(cities, number, near)
        for event in ("sign", "take-up"):
            await do(cities, near, leg, event)
        with pytest.raises(InvalidTransition, match="kind"):
            await do(cities, near, leg, "fund-order", "finance", order=order(1))
        await do(cities, near, leg, "sheet", sheet=small_sheet(100))
        await do(cities, near, leg, "review", "reviewer")
        assert state(cities, leg, LEAD, near) == "SHEET_RECEIVED"
        await do(cities, LEAD, leg, "confirm")
        assert state(cities, leg, LEAD, near) == "CONFIRMED"
        assert state(cities, number, LEAD) == "TO_JOIN"

    play(cities, story)
