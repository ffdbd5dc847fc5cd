"""The vectors of amounts and benefit places, to the fen."""

from datetime import date
from typing import Any

import pytest

from config.data import calendar_bytes
from protocol.deadlines import Calendars, Limit, due, parse_calendar
from protocol.procedures.benefit_place import Stay, StayKind, benefit_place
from protocol.procedures.months import month_of, month_text
from protocol.procedures.one_off import OneOff, judge_one_off
from protocol.procedures.overlap import ChoiceRequired, Relation, clear_overlap
from protocol.procedures.transfer import Before1998, Transfer, transfer_amounts
from protocol.procedures.unemployment import unemployment_fee
from tests.protocol.amounts import RULES, lines_of, vectors

AMOUNTS = vectors("transfer_amounts.json")
EXAMPLES = {one["id"]: one for one in AMOUNTS["examples"]}
PLACES = vectors("benefit_place.json")
CALENDARS = Calendars({year: parse_calendar(data) for year, data in calendar_bytes().items()})


def transfer_of(asked: dict[str, Any], kind: str | None = None) -> Transfer:
    before = asked.get("before_1998")
    return Transfer(
        account_kind=kind or asked["account_kind"],
        from_division=asked.get("from_division", "442000"),
        to_division=asked.get("to_division", "520300"),
        lines=lines_of(asked["lines"]),
        before_1998=Before1998(before["months"], before["personal_principal_fen"], before["personal_interest_fen"])
        if before
        else Before1998(),
        with_interest=asked.get("interest") != "none",
    )


def test_the_rates_of_the_vectors_are_those_of_the_rules() -> None:
    assert {int(year): bp for year, bp in AMOUNTS["rules"]["rates_bp"].items()}.items() <= RULES.interest_bp.items()
    assert RULES.by_code["ACCOUNT_INTEREST"].mark == AMOUNTS["rules"]["rates_mark"]


def test_example_1_a_general_account_year_by_year() -> None:
    example = EXAMPLES["1"]
    found = transfer_amounts(transfer_of(example["input"]), RULES)
    wanted = example["expected"]
    for one, row in zip(found.years, wanted["lines"], strict=True):
        assert {name: getattr(one, name) for name in row} == row
    for name in ("months", "wages_fen", "account_principal_fen", "account_fen", "pooled_fen", "total_fen"):
        assert getattr(found, name) == wanted[name], name
    assert found.has_fund_leg
    assert found.fund_fen == found.total_fen
    assert found.years_without_rate == ()


def test_example_2_three_eras() -> None:
    example = EXAMPLES["2"]
    found, wanted = transfer_amounts(transfer_of(example["input"]), RULES), example["expected"]
    assert found.before_1998_fen == wanted["before_1998"]["account_fen"]
    for one, row in zip(found.years, wanted["lines"], strict=True):
        assert {name: getattr(one, name) for name in row} == row
    assert found.months == wanted["months"]
    for era, years in (("1998_2005", range(1998, 2006)), ("2006_2009", range(2006, 2010))):
        of_era = [one for one in found.years if one.year in years]
        assert sum(one.wages_fen for one in of_era) == wanted[f"wages_{era}_fen"]
        assert sum(one.credited_fen for one in of_era) == wanted[f"account_{era}_fen"]
        assert sum(one.pooled_fen for one in of_era) == wanted[f"pooled_{era}_fen"]
    assert found.account_principal_fen == wanted["account_principal_fen"]
    assert found.pooled_fen == wanted["pooled_fen"]
    assert found.account_principal_fen + found.pooled_fen == wanted["total_without_interest_fen"]
    assert found.total_fen == wanted["total_with_pre_1998_interest_fen"]


def test_example_3_a_temporary_account_moves_everything() -> None:
    example = EXAMPLES["3"]
    found, wanted = transfer_amounts(transfer_of(example["input"]), RULES), example["expected"]
    for one, row in zip(found.years, wanted["lines"], strict=True):
        assert (one.wages_fen, one.credited_fen, one.pooled_fen) == (
            row["wages_fen"],
            row["personal_fen"],
            row["unit_fen"],
        )
    assert (found.months, found.wages_fen) == (wanted["months"], wanted["wages_fen"])
    assert (found.account_fen, found.pooled_fen) == (wanted["personal_fen"], wanted["unit_fen"])
    assert found.total_fen == wanted["total_without_interest_fen"]
    general = transfer_amounts(transfer_of(example["input"], "GENERAL"), RULES)
    other = example["counterexample"]["if_general"]
    assert (general.account_principal_fen, general.pooled_fen, general.total_fen) == tuple(other.values())


def test_example_4_a_part_year_counts_its_months() -> None:
    example = EXAMPLES["4"]
    found, wanted = transfer_amounts(transfer_of(example["input"]), RULES), example["expected"]
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert found.pooled_fen != example["counterexample"]["pooled_for_12_months_fen"]


def test_example_5_overlap_is_refunded_from_the_account_and_only_by_choice() -> None:
    asked, wanted = EXAMPLES["5"]["input"], EXAMPLES["5"]["expected"]
    relations = []
    for one in asked["relations"]:
        row = {"monthly_base_fen": 0, "year": 2021, "months": 6, "kind": "NORMAL", **one}
        relations.append(Relation(one["division"], lines_of([row])))
    found = clear_overlap(relations, asked["person_keeps"], signed_choice=asked["signed_choice"], rules=RULES)
    assert [month_text(one) for one in found.months] == wanted["overlap_months"]
    assert len(found.months) == wanted["months_overlapped"]
    assert found.refund_account_principal_fen == wanted["refund_account_principal_fen"]
    assert found.refund_pooled_fen == wanted["refund_pooled_fen"]
    assert found.months_change == wanted["recognised_months_change"]
    with pytest.raises(ChoiceRequired, match=EXAMPLES["5"]["refusals"][0]["error"]):
        clear_overlap(relations, asked["person_keeps"], signed_choice=False, rules=RULES)
    with pytest.raises(ChoiceRequired, match="all months"):
        clear_overlap(relations, "450400", signed_choice=True, rules=RULES)


ONE_OFFS = [EXAMPLES["6"], *EXAMPLES["6"]["variants"]]


@pytest.mark.parametrize("example", ONE_OFFS, ids=range(len(ONE_OFFS)))
def test_example_6_one_off_payments(example: dict[str, Any]) -> None:
    asked, wanted = example["input"].get("one_off", example["input"]), example["expected"]
    document = asked["document"] or {}
    made = document.get("date")
    payment = OneOff(
        month_of("199501"),
        month_of("199501") + asked["months"] - 1,
        date.fromisoformat(asked["paid_on"]),
        document.get("kind"),
        date.fromisoformat(made) if made else None,
    )
    found = judge_one_off(payment, RULES)
    assert found.document_required == wanted["document_required"]
    assert found.months_not_transferred == wanted["months_not_transferred"]


def test_the_person_is_told_within_ten_working_days_of_the_letter() -> None:
    asked, wanted = EXAMPLES["6"]["input"], EXAMPLES["6"]["expected"]
    limit = Limit(RULES.one_off.notice_working_days, "working_day")
    on = due(date.fromisoformat(asked["contact_letter_received"]), limit, CALENDARS).on
    assert str(on) == wanted["notice_to_person_due"]


def test_the_unemployment_fee() -> None:
    (example,) = AMOUNTS["other_amounts"]
    found = unemployment_fee("ENTITLED", example["input"]["monthly_fen"], example["input"]["months_unused"], RULES)
    assert (found.benefit_fen, found.fee_fen) == tuple(example["expected"].values())
    assert unemployment_fee("EMPLOYED", 171_000, 9, RULES).fee_fen == 0


@pytest.mark.parametrize("case", PLACES["cases"], ids=lambda case: case["id"])
def test_benefit_places(case: dict[str, Any]) -> None:
    asked, wanted = case["input"], case["expected"]
    stays = [
        Stay(one["pool"], StayKind(one["kind"]), one["months"], one.get("deemed_months", 0)) for one in asked["history"]
    ]
    found = benefit_place(asked["hukou"], stays, RULES)
    assert (found.pool, found.rule) == (wanted["place"], wanted["rule"])
    if "temporary_accounts_move_to" in wanted:
        assert found.temporary_to == wanted["temporary_accounts_move_to"]
