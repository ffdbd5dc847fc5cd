"""The pack of amount rules: every rule has its source and mark, and what is not understood is refused."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from config.data import amounts_bytes, read_catalogue
from protocol.procedures.rules import CODES, WEAK_MARKS
from protocol.procedures.rules_reading import RULES_MAX_BYTES, RulesInvalid, parse_rules
from protocol.procedures.sheet import DOCUMENTS
from tests.protocol.amounts import RULES

CONTENT = json.loads(amounts_bytes())


def test_every_rule_has_words_source_mark_and_date() -> None:
    assert RULES.by_code.keys() == CODES
    assert RULES.digest == hashlib.sha256(amounts_bytes()).hexdigest()
    for one in RULES.by_code.values():
        assert one.zh
        assert one.en
        assert one.source
        assert one.mark in CONTENT["marks"]
        assert one.valid_from is not None
        assert one.valid_from.year >= 2009
        assert one.is_uncertain == (one.mark in WEAK_MARKS)


def test_the_documents_of_one_off_payments_are_those_of_the_catalogue() -> None:
    fields = {one["name"]: one for one in read_catalogue()["blocks"]["info_sheet"]["fields"]}
    rows = {one["name"]: one for one in fields["one_off_payments"]["items"]["fields"]}
    kinds = {one["value"] for one in rows["document_kind"]["enum"]}
    assert kinds == DOCUMENTS == RULES.one_off.legal | RULES.one_off.commitment


def test_a_figure_on_a_weak_rule_is_uncertain() -> None:
    words = ("数", "figure")
    assert not RULES.figure("x", words, 1, "fen", "POOLED_SHARE").is_uncertain
    assert RULES.figure("x", words, 1, "fen", "POOLED_SHARE", "ROUNDING").is_uncertain


def rule(content: dict[str, Any], code: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in content["rules"] if one["code"] == code)
    return found


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another document": lambda content: content.update(amounts="other"),
    "no version": lambda content: content.pop("version"),
    "a rule missing": lambda content: content["rules"].pop(),
    "an unknown rule": lambda content: content["rules"][0].update(code="OTHER"),
    "a rule twice": lambda content: content["rules"].append(content["rules"][0]),
    "an unknown member": lambda content: content["rules"][0].update(more=1),
    "no source": lambda content: content["rules"][0].update(source=""),
    "an unknown mark": lambda content: content["rules"][0].update(mark="X"),
    "no date": lambda content: content["rules"][0].update(valid_from="2010"),
    "a gap in rates": lambda content: rule(content, "RECORD_RATE")["value"]["periods"][1].update({"from": "200602"}),
    "rates that end": lambda content: rule(content, "RECORD_RATE")["value"]["periods"][1].update({"to": "203012"}),
    "a rate above the whole": lambda content: rule(content, "POOLED_SHARE")["value"].update(bp=10_001),
    "another rounding": lambda content: rule(content, "ROUNDING")["value"].update(mode="BANKERS"),
    "rounding of another thing": lambda content: rule(content, "ROUNDING")["value"].update(of="line"),
    "a year twice": lambda content: rule(content, "ACCOUNT_INTEREST")["value"]["years"].append({"year": 2019, "bp": 1}),
    "nobody credits": lambda content: rule(content, "INTEREST_OF_TRANSFER_YEAR")["value"].update(credited_by="X"),
    "a category missing": lambda content: rule(content, "RETIREMENT_AGE")["value"]["categories"].pop(),
    "a step of nothing": lambda content: rule(content, "RETIREMENT_AGE")["value"]["categories"][0].update(
        step_months=0
    ),
    "a month that is none": lambda content: rule(content, "RETIREMENT_AGE")["value"].update({"from": "202513"}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_pack_that_is_not_understood_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(amounts_bytes())
    change(content)
    with pytest.raises(RulesInvalid):
        parse_rules(json.dumps(content, ensure_ascii=False).encode())


def test_what_is_too_large_or_no_json_is_refused() -> None:
    for data in (b"[]", b"{", b"{}", b" " * (RULES_MAX_BYTES + 1)):
        with pytest.raises(RulesInvalid):
            parse_rules(data)


def test_rounding_may_be_down_by_the_pack() -> None:
    content = json.loads(amounts_bytes())
    rule(content, "ROUNDING")["value"]["mode"] = "DOWN"
    assert parse_rules(json.dumps(content).encode()).rounded(19_999, 10_000) == 1
    assert RULES.rounded(15_000, 10_000) == 2
