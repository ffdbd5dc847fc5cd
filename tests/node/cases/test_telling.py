"""What cases tell statistics: at each event in both cities, and all of it again from the transcripts."""

import asyncio
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any

import pytest

from config.data import catalogue_bytes, procedures_bytes
from node.cases import store, telling, transcripts
from node.cases.room import Step, rules_of
from node.statistics import service
from node.statistics.service import Asked, Part
from node.storage.unit_of_work import Transaction
from protocol.catalogue import parse_catalogue
from protocol.deadlines import Calendars
from protocol.procedures.engine import CaseState, Span
from protocol.procedures.pack import parse_pack
from tests.node.cases.two_cities import CLERK, OFFICER, REVIEWER, STEPS, CaseCity, answer, application, running, settle

Pair = tuple[CaseCity, CaseCity]
YEARS = (date(2026, 1, 1), date(2027, 12, 31))
OF = {"item": "PEN-LUMPSUM", "accepting": "450400", "responsible": "442000"}
REJECTED = {
    "result": "REJECTED", "decided_at": "2026-11-24T16:00:00+08:00", "decided_by": "officer-442000",
    "reason_code": "NOT_INSURED", "reason_text": "r", "legal_ref": "l", "remedy_text": "m",
}  # fmt: skip


@pytest.fixture
def telling_cities(cities: Pair) -> Pair:
    for city in cities:
        object.__setattr__(city.room, "tell", partial(telling.tell, replace(city.room)))
    return cities


def statistics(city: CaseCity) -> dict[str, Any]:
    city.database.write(lambda tx: service.fold(tx, now=city.wire.now()))
    room = service.Room(city.wire.now, partial(telling.replay, city.room), partial(telling.days, city.room))
    with city.database.reading() as session:
        told = service.answer(room, session, Asked(*YEARS))
    return {name: told[name] for name in ("open", "volumes", "decisions", "refusals", "legs", "funds")}


def rebuilt(city: CaseCity) -> dict[str, Any]:
    city.database.write(service.begin_rebuild)
    while city.database.write(lambda tx: service.rebuild_step(tx, partial(telling.replay, city.room), limit=1)):
        pass
    return statistics(city)


async def play(cities: Pair, steps: Any, number: str = "") -> str:
    accepting, responsible = cities
    number = number or (await accepting.open(application())).number
    await settle(*cities)
    for event, person, data in steps:
        await (accepting if person is CLERK else responsible).act(number, event, person, data)
        await settle(*cities)
    return number


async def played(cities: Pair, *cases: Any) -> None:
    async with running(*cities):
        for steps in cases:
            await play(cities, steps)


def test_a_whole_case_is_counted_the_same_in_both_cities_and_from_its_transcript(telling_cities: Pair) -> None:
    asyncio.run(played(telling_cities, STEPS, STEPS[:1]))
    ours, theirs = (statistics(city) for city in telling_cities)
    assert ours == theirs
    assert ours["volumes"] == [{**OF, "opened": 2, "closed": 1}]
    assert ours["decisions"] == [{**OF, "result": "APPROVED", "count": 1}]
    assert ours["open"] == [{**OF, "leg": None, "open": 1, "due_soon": 0, "overdue": 0}]
    leg = {"finished": 1, "kept": 1, "taken": 0, "promised": 5, "average": 0.0, "average_promised": 5.0}
    assert ours["legs"] == [{**OF, "leg": "TOTAL", "unit": "working_day", **leg}]
    assert [rebuilt(city) for city in telling_cities] == [ours, ours]


def test_a_rejection_names_its_reason_and_a_withdrawal_takes_no_days(telling_cities: Pair) -> None:
    rejecting = [("sign", OFFICER, {}), ("decide", OFFICER, {"answer": REJECTED}), ("review", REVIEWER, {}), STEPS[-1]]
    withdrawing = [("sign", OFFICER, {}), ("withdraw", CLERK, {"reason": "本人不再申请"})]
    asyncio.run(played(telling_cities, rejecting, withdrawing))
    ours, theirs = (statistics(city) for city in telling_cities)
    assert ours == theirs
    assert ours["refusals"] == [{**OF, "reason": "NOT_INSURED", "count": 1}]
    assert ours["decisions"] == [{**OF, "result": "REJECTED", "count": 1}]
    assert [one["finished"] for one in ours["legs"]] == [1]
    assert [rebuilt(city) for city in telling_cities] == [ours, ours]


def test_an_answer_that_was_returned_to_its_officer_does_not_count(telling_cities: Pair) -> None:
    again = ("decide", OFFICER, {"answer": answer()})
    steps = [("sign", OFFICER, {}), ("decide", OFFICER, {"answer": REJECTED}), ("return", REVIEWER, {"reason": "r"})]
    asyncio.run(played(telling_cities, [*steps, again, *STEPS[2:]]))
    told = statistics(telling_cities[0])
    assert (told["refusals"], [one["result"] for one in told["decisions"]]) == ([], ["APPROVED"])
    assert rebuilt(telling_cities[0]) == told


def test_due_days_that_move_are_told_and_are_no_event(telling_cities: Pair) -> None:
    asyncio.run(played(telling_cities, STEPS[:1]))
    city = telling_cities[0]
    before = statistics(city)
    told: list[Step] = []
    object.__setattr__(city.room, "tell", lambda _tx, step: told.append(step))
    number = city.rows("SELECT number FROM cases")[0][0]

    def move(transaction: Transaction) -> None:
        row = store.locked_case(transaction.session, number)
        assert row is not None
        store.change_case(transaction.session, row, due_on=date(2020, 1, 2))

    city.database.write(move)
    assert city.database.write(lambda tx: transcripts.count_time(city.room, tx, number))
    assert [(one.event, one.seq) for one in told] == [(None, 1)]
    city.database.write(lambda tx: telling.tell(city.room, tx, told[0]))
    assert statistics(city) == before


RULES = rules_of(parse_catalogue(catalogue_bytes()), parse_pack(procedures_bytes()), "PEN-LUMPSUM")
ENDED = "2026-11-24T09:40:30+08:00"
PAUSE = Span("2026-11-24T09:10:00+08:00", "2026-11-24T09:20:00+08:00")
DECIDED = CaseState(
    "DECIDED", clock_from="2026-11-24T09:00:00+08:00", clock_ended=ENDED, pauses=(PAUSE,), result="APPROVED"
)


def a_step(event: str, data: dict[str, Any], after: CaseState) -> Step:
    """Return a step from a running clock."""
    before = replace(DECIDED, clock_ended=None)
    return Step("KS1", 3, "450400", "442000", RULES, event, datetime.fromisoformat(ENDED), data, before, after)


def test_a_leg_whose_calendar_is_missing_is_finished_and_its_days_are_not_counted() -> None:
    told = telling.told_of(a_step("review", {}, DECIDED), Calendars({}), None)
    assert [one for one in told.parts if one.measure == "finished"] == [Part("finished", "TOTAL", "uncounted")]


PAID = {"expected": 4_497_235, "arrived": 4_497_228}


@pytest.mark.parametrize(
    ("event", "data", "parts"),
    [
        ("fund-order", {"order": {"total_fen": 4_497_235}}, [Part("instructed", total=4_497_235)]),
        ("reconcile", {}, [Part("reconciled", total=4_497_228)]),
        ("mismatch", {}, [Part("mismatched", total=7)]),
        ("decline", {"reason": "材料不齐"}, [Part("refused", detail="OTHER")]),
        ("return-letter", {"code": "NO_RELATION", "reason": "r"}, [Part("refused", detail="NO_RELATION")]),
    ],
)
def test_events_of_money_and_refusals(event: str, data: dict[str, Any], parts: list[Part]) -> None:
    step = a_step(event, data, replace(DECIDED, clock_ended=None, amounts=PAID))
    assert list(telling.told_of(step, Calendars({}), None).parts) == parts


def test_a_case_on_the_fast_track_has_taken_minutes_without_its_pauses() -> None:
    rules = rules_of(parse_catalogue(catalogue_bytes()), parse_pack(procedures_bytes()), "PEN-RETIRE")
    step = replace(a_step("review", {}, replace(DECIDED, flags=("fast",))), rules=rules)
    told = telling.told_of(step, Calendars({}), None)
    assert Part("finished", "FAST_TRACK", "minute", 1, 30, 30, 0) in told.parts, "thirty minutes and a half"
