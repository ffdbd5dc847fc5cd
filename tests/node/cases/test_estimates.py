"""The what-if: figures with their rules, without a case, and nothing wrong goes unnamed."""

import json
from typing import Any

import pytest

from node.cases.estimates.asking import SECTIONS, read_question
from node.cases.estimates.service import LEGS, NAMES, estimate, rules_in_force
from node.cases.estimates.showing import shown, yuan
from protocol.errors import InvalidBody
from tests.node.cases.two_cities import CaseCity
from tests.protocol.amounts import RULES, vectors

Pair = tuple[CaseCity, CaseCity]
EXAMPLE = vectors("transfer_amounts.json")["examples"][0]
LINES = [
    {"from": one["from"], "to": one["to"], "monthly_base_fen": one["monthly_base_fen"]}
    for one in EXAMPLE["input"]["lines"]
]
TRANSFER = {"account_kind": "GENERAL", "from_division": "442000", "to_division": "520300", "lines": LINES}
QUESTION: dict[str, Any] = {
    "transfer": TRANSFER,
    "benefit_place": {
        "hukou_division": "450400",
        "history": [
            {"division": "442000", "kind": "GENERAL", "months": 144},
            {"division": "520300", "kind": "GENERAL", "months": 48},
            {"division": "520300", "kind": "TEMPORARY", "months": 12},
        ],
    },
    "joining": {
        "sex": "male", "birth_month": "197003", "month": "202003", "division": "442000", "hukou_division": "520300",
        "has_general_elsewhere": True,
    },
    "retirement": {"birth_month": "196501", "category": "MALE", "paid_months": 300},
    "unemployment": {"case_kind": "ENTITLED", "monthly_fen": 171_000, "months_unused": 9},
    "certification": {"certified_on": "2024-02-29"},
    "due": {"item": "PEN-TRANSFER", "received_on": "2026-11-23"},
}  # fmt: skip


def asked(city: CaseCity, question: Any) -> dict[str, Any]:
    with city.database.reading() as session:
        return estimate(city.room, session, question)


def by_name(answered: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{section['name']}.{one['name']}": one for section in answered["sections"] for one in section["figures"]}


def test_every_question_is_answered_with_its_rules_and_nothing_is_stored(cities: Pair) -> None:
    city = cities[0]
    tables = ("cases", "outbox", "log_entry")
    before = [count(city, one) for one in tables]
    answered = asked(city, QUESTION)
    json.dumps(answered)
    assert [one["name"] for one in answered["sections"]] == list(NAMES)
    found = by_name(answered)
    wanted = EXAMPLE["expected"]
    for name in ("months", "wages_fen", "account_principal_fen", "account_fen", "pooled_fen", "total_fen"):
        assert found[f"transfer.{name}"]["value"] == wanted[name]
    assert found["transfer.total_fen"]["shown"]["zh"] == "44,972.35 元"
    years = answered["sections"][0]["years"]
    assert [one["close_fen"] for one in years] == [one["close_fen"] for one in wanted["lines"]]
    assert found["benefit_place.benefit_place"]["value"] == "440000"
    assert found["benefit_place.temporary_to"]["value"] == "440000"
    assert found["joining.holder"]["shown"] == {"zh": "原参保地", "en": "the old place"}
    assert found["retirement.retirement_month"]["value"] == "202502"
    assert found["retirement.fast_track"]["value"] is True
    assert found["unemployment.fee_fen"]["value"] == 2_308_500
    assert found["certification.next_due"]["value"] == "2025-02-28"
    assert all(one["rules"] and all(rule["source"] for rule in one["rules"]) for one in found.values())
    assert [count(city, one) for one in tables] == before


def count(city: CaseCity, table: str) -> int:
    return int(city.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - names of this test


def test_uncertain_rules_are_marked_and_firm_ones_are_not(cities: Pair) -> None:
    found = by_name(asked(cities[0], QUESTION))
    assert found["retirement.retirement_month"]["uncertain"]
    assert found["transfer.account_fen"]["uncertain"], "interest and rounding are not verified"
    assert not found["transfer.months"]["uncertain"]
    assert not found["certification.next_due"]["uncertain"]
    for one in found.values():
        assert one["uncertain"] == any(rule["uncertain"] for rule in one["rules"])
        assert all(rule["uncertain"] == (rule["mark"] in "K?D") for rule in one["rules"])


def test_each_leg_follows_the_one_before_it(cities: Pair) -> None:
    found = by_name(asked(cities[0], {"due": QUESTION["due"]}))
    legs = [found[f"due.statutory_{one}"]["value"] for one in ("in_review", "out", "in_join")]
    assert legs[0] == "2026-12-14"
    assert legs == sorted(legs)
    assert found["due.statutory_untransferable_notice"]["value"] > legs[0]
    assert "note" not in found["due.statutory_in_review"]
    assert found["due.statutory_in_join"]["note"]["en"] == "provisional"
    assert found["due.promised_in_review"]["value"] == "2026-11-25"
    assert found["due.promised_in_review"]["uncertain"], "a promise is a default of ours"


def test_a_year_without_a_calendar_has_no_due_day_and_says_so(cities: Pair) -> None:
    found = by_name(asked(cities[0], {"due": {"item": "UI-BENEFIT", "received_on": "2027-12-30"}}))
    assert found["due.statutory_total"]["value"] is None
    assert "2028" in found["due.statutory_total"]["note"]["zh"]
    chained = by_name(asked(cities[0], {"due": {"item": "PEN-TRANSFER", "received_on": "2027-12-30"}}))
    assert chained["due.statutory_in_join"]["value"] is None
    assert chained["due.statutory_in_join"]["note"]["en"] == "the leg before it has no due day"


def test_every_leg_of_the_catalogue_has_words(cities: Pair) -> None:
    city = cities[0]
    with city.database.reading() as session:
        items = city.room.documents.catalogue_in_force(session).items.values()
    for item in items:
        assert {one.leg for one in (*item.statutory_legs, *item.promised_legs)} <= LEGS.keys()
        assert asked(city, {"due": {"item": item.code, "received_on": "2026-11-23"}})["sections"]


def test_a_line_over_several_years_is_cut_at_their_ends_and_order_does_not_matter(cities: Pair) -> None:
    whole = {**TRANSFER, "lines": [{"from": "201907", "to": "202312", "monthly_base_fen": 458_800}]}
    years = [("201907", "201912"), *((f"{year}01", f"{year}12") for year in (2023, 2022, 2021, 2020))]
    parts = {**TRANSFER, "lines": [{"from": one, "to": two, "monthly_base_fen": 458_800} for one, two in years]}
    assert asked(cities[0], {"transfer": whole}) == asked(cities[0], {"transfer": parts})


def test_in_the_year_of_the_transfer_the_other_city_credits_interest(cities: Pair) -> None:
    def account(**changes: Any) -> int:
        return int(by_name(asked(cities[0], {"transfer": {**TRANSFER, **changes}}))["transfer.account_fen"]["value"])

    before_2023 = 1_413_197
    assert account(transferred_in="202312") == before_2023 + 440_448
    assert account(transferred_in="202401") == account() == 1_917_763


WRONG: list[tuple[str, str, Any]] = [
    ("?", "required", {}),
    ("?", "unknown", {"other": 1}),
    ("transfer", "object", {"transfer": [1]}),
    ("transfer/?", "unknown", {"transfer": {**TRANSFER, "name": "x"}}),
    ("transfer/account_kind", "enum", {"transfer": {**TRANSFER, "account_kind": "X"}}),
    ("transfer/lines", "list", {"transfer": {**TRANSFER, "lines": [{}] * 1_001}}),
    ("transfer/lines/0/from", "month", {"transfer": {**TRANSFER, "lines": [{**LINES[0], "from": "2019"}]}}),
    ("transfer/lines/0/to", "order", {"transfer": {**TRANSFER, "lines": [{**LINES[0], "to": "201906"}]}}),
    ("transfer/lines/0/to", "order", {"transfer": {**TRANSFER, "lines": [{**LINES[0], "to": "219912"}]}}),
    ("transfer/lines/1/from", "overlap", {"transfer": {**TRANSFER, "lines": [LINES[0], LINES[0]]}}),
    ("transfer/lines/0/monthly_base_fen", "money_fen",
     {"transfer": {**TRANSFER, "lines": [{**LINES[0], "monthly_base_fen": 1.5}]}}),
    ("transfer/transferred_in", "order", {"transfer": {**TRANSFER, "transferred_in": "201901"}}),
    ("benefit_place/history/0/kind", "enum", {"benefit_place": {"hukou_division": "450400", "history": [
        {"division": "442000", "kind": "OTHER", "months": 1}]}}),
    ("joining/sex", "required", {"joining": {**QUESTION["joining"], "sex": ""}}),
    ("joining/draws_pension", "boolean", {"joining": {**QUESTION["joining"], "draws_pension": "no"}}),
    ("retirement/category", "enum", {"retirement": {"birth_month": "196501", "category": "MAN"}}),
    ("retirement/birth_month", "month", {"retirement": {"birth_month": "219901", "category": "MALE"}}),
    ("unemployment/months_unused", "integer", {"unemployment": {**QUESTION["unemployment"], "months_unused": -1}}),
    ("certification/certified_on", "date", {"certification": {"certified_on": "20240229"}}),
    ("due/item", "enum", {"due": {"item": "NONE", "received_on": "2026-11-23"}}),
]  # fmt: skip


@pytest.mark.parametrize(("at", "rule", "question"), WRONG, ids=[f"{one[0]}-{one[1]}" for one in WRONG])
def test_what_is_wrong_is_named_by_place_and_rule(at: str, rule: str, question: Any) -> None:
    _, faults = read_question(question, RULES, frozenset({"PEN-TRANSFER"}))
    assert (at, rule) in [(one.at, one.rule) for one in faults], faults
    assert all(one.zh and one.en for one in faults)


def test_a_question_with_a_fault_or_that_is_no_object_is_refused(cities: Pair) -> None:
    with pytest.raises(InvalidBody) as refused:
        asked(cities[0], {"certification": {"certified_on": "soon"}})
    assert [one["at"] for one in refused.value.facts["fields"]] == ["certification/certified_on"]
    with pytest.raises(InvalidBody):
        asked(cities[0], [])


def test_the_rules_in_force_are_told_with_source_and_mark(cities: Pair) -> None:
    with cities[0].database.reading() as session:
        told = rules_in_force(cities[0].room, session)
    assert {one["code"] for one in told["rules"]} >= {"POOLED_SHARE", "RETIREMENT_AGE"}
    assert all(one["source"] and one["mark"] and one["valid_from"] for one in told["rules"])
    assert set(NAMES) == SECTIONS


def test_values_are_shown_as_people_read_them() -> None:
    assert (yuan(4_497_235), yuan(5), yuan(-150)) == ("44,972.35", "0.05", "-1.50")
    assert shown(None, "date") == ("无", "none")
    assert shown(False, "boolean") == ("否", "no")
    assert shown(12, "month")[0] == "12 个月"
    assert shown("202502", "YYYYMM") == ("2025 年 02 月", "2025-02")
