"""The information sheet: what is read, and that every wrong line is found, named and left as it is."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.data import read_catalogue
from protocol.procedures.sheet import LABELS, SheetInvalid, parse_sheet
from protocol.procedures.sheet_checks import FAULT, FINDINGS_MAX, WARNING, Finding, check_sheet, faults_of
from protocol.procedures.sheet_words import WORDS
from tests.protocol.amounts import RULES
from tests.protocol.sheets import a_sheet


def findings(sheet: dict[str, Any], **limits: Any) -> list[Finding]:
    return check_sheet(parse_sheet(sheet), RULES, **limits)


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    sheet = a_sheet()
    change(sheet)
    return sheet


def line(number: int, **changes: Any) -> dict[str, Any]:
    return changed(lambda sheet: sheet["yearly_lines"][number].update(changes))


def test_the_sheet_of_the_first_example_is_in_order() -> None:
    assert findings(a_sheet()) == []


def test_the_fields_are_those_of_the_catalogue() -> None:
    names: dict[str, str] = {}

    def collect(fields: list[dict[str, Any]]) -> None:
        for one in fields:
            names[one["name"]] = one["zh"]
            collect(one.get("fields", []) + one.get("items", {}).get("fields", []))

    collect(read_catalogue()["blocks"]["info_sheet"]["fields"])
    assert LABELS.keys() - {"?"} <= names.keys()


DEEMED = {"from": "201501", "to": "201812", "months": 48, "division": "520300", "basis": "档案"}
EARLIER = {"origin_division": "450400", "from": "201601", "to": "201805", "months": 29}
BOUGHT = {"from": "201001", "to": "201304", "months": 40, "paid_on": "2018-06-30"}
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("year", "yearly_lines/1/year", line(1, year=2021)),
    ("months", "yearly_lines/0/months", line(0, months=5)),
    ("months", "yearly_lines/1/months", line(1, **{"from": "202012", "to": "202001"})),
    ("no_months", "yearly_lines/1/wages_fen", line(1, months=0)),
    ("deemed_money", "yearly_lines/1/credited_fen", line(1, kind="DEEMED")),
    ("deemed_unnamed", "yearly_lines/1/kind", line(1, kind="DEEMED")),
    ("wages", "yearly_lines/2/wages_fen", line(2, wages_fen=4407607)),
    ("record_rate", "yearly_lines/0/record_rate_bp", line(0, record_rate_bp=1100)),
    ("credited", "yearly_lines/3/credited_fen", line(3, credited_fen=440449)),
    ("part", "yearly_lines/3/credited_personal_fen", line(3, credited_personal_fen=440449)),
    ("order", "yearly_lines/1/from", changed(lambda sheet: sheet["yearly_lines"].reverse())),
    ("overlap", "yearly_lines/1/from", changed(lambda sheet: sheet["yearly_lines"].insert(
        1, copy.deepcopy(sheet["yearly_lines"][0])))),
    ("overlap", "deemed_periods/0/from", a_sheet(deemed_periods=[{**DEEMED, "to": "201907", "months": 55}])),
    ("months", "deemed_periods/0/months", a_sheet(deemed_periods=[{**DEEMED, "months": 47}])),
    ("months", "earlier_transfers/0/months", a_sheet(earlier_transfers=[{**EARLIER, "months": 30,
     "account_fen": 0, "pooled_fen": 0}])),
    ("cut_off_later", "cut_off", a_sheet(cut_off="202404")),
    ("opened_earlier", "account_opened", a_sheet(account_opened="201906")),
    ("insured_later", "first_insured", a_sheet(first_insured="202401")),
    ("after_end", "yearly_lines/4/to", a_sheet(cut_off="202311")),
    ("before_insured", "yearly_lines/0/from", a_sheet(first_insured="201908", account_opened="201908")),
    ("paid_later", "one_off_payments/0/paid_on", a_sheet(one_off_payments=[{**BOUGHT, "paid_on": "2024-03-05"}])),
    ("document_later", "one_off_payments/0/document_date", a_sheet(one_off_payments=[
        {**BOUGHT, "document_kind": "COURT", "document_date": "2024-03-05"}])),
    ("months", "one_off_payments/0/months", a_sheet(one_off_payments=[{**BOUGHT, "months": 39}])),
    ("one_off_unnamed", "yearly_lines/1/kind", line(1, kind="ONE_OFF")),
    ("balance", "yearly_lines/2/close_fen", line(2, close_fen=905009)),
    ("sum_months", "totals/actual_months", changed(lambda sheet: sheet["totals"].update(actual_months=55))),
    ("sum_months", "totals/deemed_months", changed(lambda sheet: sheet["totals"].update(deemed_months=1))),
    ("sum_account", "totals/account_since_1998_fen",
     changed(lambda sheet: sheet["totals"].update(account_since_1998_fen=1917762))),
    ("sum_pooled", "totals/pooled_fen", changed(lambda sheet: sheet["totals"].update(pooled_fen=2579473))),
    ("sum_total", "totals/total_fen", changed(lambda sheet: sheet["totals"].update(total_fen=4497234))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "at", "sheet"), WRONG, ids=[f"{one[0]}-{one[1]}" for one in WRONG])
def test_a_wrong_sheet_is_refused_with_the_line_and_the_rule(rule: str, at: str, sheet: dict[str, Any]) -> None:
    before = copy.deepcopy(sheet)
    found = findings(sheet)
    assert (FAULT, at, rule) in [(one.severity, one.at, one.rule) for one in found], found
    assert sheet == before, "nothing is corrected"
    told = next(one for one in found if (one.at, one.rule) == (at, rule))
    part = at.split("/")
    if len(part) == 3:
        assert f"第 {int(part[1]) + 1} 行" in told.zh
        assert f"line {int(part[1]) + 1}" in told.en
    assert faults_of(found)


def test_every_rule_of_the_words_is_found_by_some_test() -> None:
    warned = {"mean_base", "interest", "interest_transfer_year", "overlap_earlier", "base_limits"}
    others = {"before_1998", "one_off_document", "sum_pooled_temporary"}
    assert {one[0] for one in WRONG} | warned | others == WORDS.keys()


def test_interest_warns_beyond_a_fen_a_month_and_never_refuses() -> None:
    def more(fen: int) -> dict[str, Any]:
        def change(sheet: dict[str, Any]) -> None:
            last = sheet["yearly_lines"][4]
            last["interest_fen"] += fen
            last["close_fen"] += fen
            sheet["totals"]["account_since_1998_fen"] += fen
            sheet["totals"]["total_fen"] += fen

        return changed(change)

    assert findings(more(12)) == []
    assert [(one.severity, one.rule, one.at) for one in findings(more(13))] == [
        (WARNING, "interest", "yearly_lines/4/interest_fen")
    ]
    assert [one.rule for one in findings({**a_sheet(), "issued_on": "2023-12-31"})] == ["interest_transfer_year"]


def test_a_mean_base_and_a_base_outside_the_city_limits_warn() -> None:
    assert [(one.severity, one.rule) for one in findings(line(0, monthly_base_fen=337601))] == [("fault", "wages")]

    def mean(sheet: dict[str, Any]) -> None:
        sheet["yearly_lines"][0]["wages_fen"] += 1
        sheet["yearly_lines"][0]["credited_fen"] = 162048

    assert ("warning", "mean_base") in [(one.severity, one.rule) for one in findings(changed(mean))]
    found = findings(a_sheet(), base_limits={2020: (400_000, 2_000_000), 2021: (1, 2), 2019: (0, 337_600)})
    assert [(one.severity, one.rule, one.at.split("/")[1]) for one in found] == [
        ("warning", "base_limits", "1"),
        ("warning", "base_limits", "2"),
    ]


def test_earlier_transfers_join_the_balance_and_every_total_line_by_line() -> None:
    earlier = [{**EARLIER, "account_fen": 1_000_000, "pooled_fen": 500_000}]

    def change(sheet: dict[str, Any]) -> None:
        sheet["earlier_transfers"] = earlier
        sheet["first_insured"] = sheet["account_opened"] = "201601"
        balance = 1_000_000
        for one, rate in zip(sheet["yearly_lines"], (761, 604, 669, 612, 397), strict=True):
            extra = RULES.rounded(balance * rate, 10_000)
            one["interest_fen"] += extra
            balance += extra
            one["close_fen"] += balance
        sheet["totals"].update(actual_months=83, pooled_fen=sheet["totals"]["pooled_fen"] + 500_000)
        sheet["totals"]["account_since_1998_fen"] += balance
        sheet["totals"]["total_fen"] += balance + 500_000

    assert findings(changed(change)) == []
    again = changed(change)
    again["earlier_transfers"][0]["to"] = "201908"
    assert ("warning", "overlap_earlier") in [(one.severity, one.rule) for one in findings(again)]


def bought(**document: str) -> dict[str, Any]:
    """Return a sheet with a line of twelve months out of forty that were bought in 2018."""

    def change(sheet: dict[str, Any]) -> None:
        line = {**sheet["yearly_lines"][0], "year": 2013, "from": "201301", "to": "201304", "months": 4,
                "kind": "ONE_OFF", "monthly_base_fen": 100_000, "wages_fen": 400_000, "credited_fen": 32_000,
                "interest_fen": 0, "close_fen": 32_000}  # fmt: skip
        sheet["yearly_lines"].insert(0, line)
        sheet["one_off_payments"] = [{**BOUGHT, **document}]

    return changed(change)


def test_bought_months_move_only_with_the_document() -> None:
    def found(sheet: dict[str, Any]) -> list[str]:
        return [one.rule for one in faults_of(findings(sheet))]

    assert "one_off_document" in found(bought())
    assert "one_off_document" in found(bought(document_kind="COURT", document_date="2019-01-10"))
    assert "one_off_document" not in found(bought(document_kind="COURT", document_date="2018-05-10"))
    assert "one_off_unnamed" not in found(bought())


def test_before_1998_and_temporary_accounts_have_sums_of_their_own() -> None:
    def early(sheet: dict[str, Any]) -> None:
        line = {**sheet["yearly_lines"][0], "year": 1997, "from": "199701", "to": "199712", "months": 12,
                "monthly_base_fen": 10_000, "wages_fen": 120_000, "personal_rate_bp": 400, "record_rate_bp": 0,
                "credited_fen": 4_800, "interest_fen": 200, "close_fen": 5_000}  # fmt: skip
        sheet["yearly_lines"].insert(0, line)
        sheet["first_insured"] = "199701"
        sheet["account_opened"] = "199801"
        sheet["totals"]["actual_months"] += 12
        sheet["totals"]["personal_before_1998_fen"] = 5_837
        sheet["totals"]["total_fen"] += 5_837

    assert findings(changed(early)) == []
    less = changed(early)
    less["totals"]["personal_before_1998_fen"] = 4_999
    assert "before_1998" in [one.rule for one in findings(less)]

    def temporary(sheet: dict[str, Any]) -> None:
        sheet["account_kind"] = "TEMPORARY"
        unit = sum(RULES.rounded(one["wages_fen"] * 1400, 10_000) for one in sheet["yearly_lines"])
        sheet["totals"]["total_fen"] += unit + 100 - sheet["totals"]["pooled_fen"]
        sheet["totals"]["pooled_fen"] = unit + 100

    assert findings(changed(temporary)) == []
    short = changed(temporary)
    short["totals"]["pooled_fen"] -= 101
    assert "sum_pooled_temporary" in [one.rule for one in findings(short)]


def test_a_year_without_contributions_may_have_a_line_for_its_interest() -> None:
    def gap(sheet: dict[str, Any]) -> None:
        lines = sheet["yearly_lines"]
        lines[1].update(months=0, wages_fen=0, credited_fen=0, interest_fen=9943, close_fen=174560)
        interest = RULES.rounded((12 * 10_000 * 174560 + 367300 * 66 * 800) * 669, 12 * 10_000 * 10_000)
        lines[2].update(interest_fen=interest, close_fen=174560 + 352608 + interest)
        del lines[3:]
        sheet["totals"].update(actual_months=18, account_since_1998_fen=lines[2]["close_fen"], pooled_fen=771984)
        sheet["totals"]["total_fen"] = lines[2]["close_fen"] + 771984
        sheet["cut_off"] = "202112"

    assert findings(changed(gap)) == []


@pytest.mark.parametrize(
    ("at", "rule", "sheet"),
    [
        ("first_insured", "required", a_sheet(first_insured=None)),
        ("cut_off", "month", a_sheet(cut_off="202313")),
        ("issued_on", "date", a_sheet(issued_on="2024-02-30")),
        ("hukou_division", "division", a_sheet(hukou_division="5203")),
        ("account_kind", "enum", a_sheet(account_kind="OTHER")),
        ("yearly_lines", "required", a_sheet(yearly_lines=[])),
        ("yearly_lines", "list", a_sheet(yearly_lines=[{}] * 501)),
        ("totals", "required", a_sheet(totals=None)),
        ("totals", "object", a_sheet(totals=[1])),
        ("yearly_lines/1/wages_fen", "money_fen", line(1, wages_fen=-1)),
        ("yearly_lines/1/wages_fen", "money_fen", line(1, wages_fen=1.5)),
        ("yearly_lines/1/months", "integer", line(1, months=13)),
        ("yearly_lines/1/months", "integer", line(1, months=True)),
    ],
)
def test_what_has_not_its_form_is_refused_by_place_and_rule(at: str, rule: str, sheet: dict[str, Any]) -> None:
    with pytest.raises(SheetInvalid) as refused:
        parse_sheet(sheet)
    assert (at, rule) in [(one.at, one.rule) for one in refused.value.faults]
    assert all(one.zh and one.en for one in refused.value.faults)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(LABELS)), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
def test_no_content_makes_the_reader_fail_otherwise(content: Any) -> None:
    with pytest.raises(SheetInvalid):
        parse_sheet(content)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["months", "wages_fen", "credited_fen", "close_fen"]),
                          st.integers(0, 12)), min_size=1, max_size=4))  # fmt: skip
def test_a_change_of_any_sum_is_found(changes: list[tuple[int, str, int]]) -> None:
    sheet = a_sheet()
    for number, name, value in changes:
        sheet["yearly_lines"][number][name] = value
    if sheet != a_sheet():
        assert faults_of(findings(sheet))
    assert len(findings(sheet)) <= FINDINGS_MAX
