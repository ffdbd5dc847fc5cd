"""The catalogue as checks: every item parses, what fits passes, and what does not is told where and why."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.data import read_catalogue
from protocol.catalogue import LEVELS_MAX, Item, attachments_named
from protocol.catalogue_checks import FAULTS_MAX, FieldFault, check_answer, check_application, check_materials
from protocol.catalogue_forms import filled_form
from tests.protocol import filling
from tests.protocol.filling import ITEMS, JSON, Breach, breaches, broken, every_place, missing

TODAY = date(2026, 11, 24)
CODES = sorted(ITEMS)
LUMPSUM = ITEMS["PEN-LUMPSUM"]
DOCUMENT = read_catalogue()


def told(faults: list[FieldFault]) -> list[tuple[str, str]]:
    """Return places and rules, in order."""
    return [(one.at, one.rule) for one in faults]


@pytest.mark.parametrize("full", [False, True], ids=["required fields", "all fields"])
@pytest.mark.parametrize("code", CODES)
def test_what_fits_passes(code: str, full: bool) -> None:
    item = ITEMS[code]
    assert check_application(item, filling.application(item, full=full), today=TODAY) == []
    assert check_answer(item, filling.answer(item, full=full), today=TODAY) == []


@pytest.mark.parametrize("code", CODES)
def test_one_thing_wrong_in_an_application_gives_exactly_its_place_and_rule(code: str) -> None:
    item = ITEMS[code]
    content = filling.application(item, full=True)
    count = 0
    for breach in breaches(item.application, content):
        changed = broken(content, breach)
        expected = missing(item, changed) | {(breach.at, breach.rule)}
        found = check_application(item, changed, today=TODAY)
        assert set(told(found)) == expected, breach
        assert len(found) == len(expected), breach
        count += 1
    assert count > 300


@pytest.mark.parametrize("code", CODES)
def test_one_thing_wrong_in_an_answer_gives_exactly_its_place_and_rule(code: str) -> None:
    item = ITEMS[code]
    content = filling.answer(item, full=True)
    for breach in breaches((*item.answer, *item.answer_when_approved), content):
        assert told(check_answer(item, broken(content, breach), today=TODAY)) == [(breach.at, breach.rule)], breach


def test_a_fault_names_the_field_by_its_label_and_says_the_bound() -> None:
    content = filling.application(LUMPSUM, full=False)
    content["months_total"] = -1
    del content["person"]["name"]
    content["person"]["id_no"] = "45040019570815101X"
    assert check_application(LUMPSUM, content, today=TODAY) == [
        FieldFault(
            "person/id_no", "check_character", "“证件号码”校验码不正确", "证件号码: the check character is wrong"
        ),
        FieldFault("person/name", "required", "“姓名”不能为空", "姓名 must not be empty"),
        FieldFault("months_total", "at_least", "“累计缴费月数”不小于 0", "累计缴费月数 is at least 0"),
    ]


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("AGE_LT15", []),
        ("DUPLICATE", []),
        ("NATIONALITY", ["NATIONALITY_PROOF"]),
        ("DEATH", ["DEATH_CERT", "INHERITANCE_PROOF"]),
    ],
)
def test_the_reason_decides_which_papers_a_lump_sum_needs(reason: str, wanted: list[str]) -> None:
    content = filling.application(LUMPSUM, full=False) | {"reason": reason}
    content["material"] = [one for one in content["material"] if one["material_code"] not in
                           ("NATIONALITY_PROOF", "DEATH_CERT", "INHERITANCE_PROOF")]  # fmt: skip
    assert told(check_application(LUMPSUM, content, today=TODAY)) == [(f"material/{one}", "material") for one in wanted]


@pytest.mark.parametrize(
    ("code", "holds", "fails", "place"),
    [
        ("PEN-TRANSFER", {"approved_relocation": True}, {"approved_relocation": False}, "approval_digest"),
        ("UI-TRANSFER", {"case_kind": "ENTITLED"}, {"case_kind": "EMPLOYED"}, "hukou_division"),
        ("CARD-SERVICE", {"delivery": "POST"}, {"delivery": "PICKUP"}, "address"),
        ("PAY-ACCOUNT", {"change": "ACCOUNT"}, {"change": "PHONE"}, "account"),
    ],
)
def test_a_field_is_required_when_the_document_says_so(code: str, holds: Any, fails: Any, place: str) -> None:
    content = filling.application(ITEMS[code], full=True)
    del content[place]
    assert told(check_application(ITEMS[code], content | holds, today=TODAY)) == [(place, "required")]
    assert check_application(ITEMS[code], content | fails, today=TODAY) == []


def test_a_condition_holds_for_its_very_values_only() -> None:
    item = ITEMS["PEN-TRANSFER"]
    content = filling.application(item, full=False) | {"approved_relocation": 1}
    content["material"] = [one for one in content["material"] if one["material_code"] != "RELOCATION_APPROVAL"]
    assert told(check_application(item, content, today=TODAY)) == [("approved_relocation", "boolean")]
    content["approved_relocation"] = True
    assert told(check_application(item, content, today=TODAY)) == [
        ("approval_digest", "required"),
        ("material/RELOCATION_APPROVAL", "material"),
    ]


def test_a_condition_of_the_answer_binds_approvals_only() -> None:
    item = ITEMS["PEN-TRANSFER"]
    said = filling.answer(item, full=False)
    del said["contact_letter_no"]
    assert told(check_answer(item, said, today=TODAY)) == [("contact_letter_no", "required")]
    assert check_answer(item, said | {"result": "WITHDRAWN"}, today=TODAY) == []


def test_a_form_speaks_of_the_whole_value() -> None:
    content = filling.application(LUMPSUM, full=False)
    content["account"]["account_no"] = "6" * 33
    assert told(check_application(LUMPSUM, content, today=TODAY)) == [("account/account_no", "pattern")]


def test_an_agent_of_a_card_needs_an_authorisation_and_every_agent_names_one_that_is_there() -> None:
    item = ITEMS["CARD-SERVICE"]
    content = filling.application(item, full=True)
    content["material"] = [one for one in content["material"] if one["material_code"] != "AGENT_AUTHORISATION"]
    assert told(check_application(item, content, today=TODAY)) == [
        ("material/AGENT_AUTHORISATION", "material"),
        ("agent/authorisation_material", "material"),
    ]
    del content["agent"]
    assert check_application(item, content, today=TODAY) == []


def test_another_paper_does_as_well_where_the_document_says_so() -> None:
    content = filling.application(LUMPSUM, full=False)
    bank = next(one for one in content["material"] if one["material_code"] == "BANK_ACCOUNT")
    bank["material_code"] = "SS_CARD"
    assert check_application(LUMPSUM, content, today=TODAY) == []
    bank["material_code"] = "HOUSEHOLD_BOOK"
    assert told(check_application(LUMPSUM, content, today=TODAY)) == [("material/BANK_ACCOUNT", "material")]


def test_everything_missing_is_told_at_once() -> None:
    faults = told(check_application(LUMPSUM, {}, today=TODAY))
    assert ("person", "required") in faults
    assert [at for at, rule in faults if rule == "material"] == [
        f"material/{one}" for one in ("ID_CARD", "TERMINATION_REQUEST", "RIGHTS_NOTICE", "BANK_ACCOUNT")
    ]
    assert told(check_application(LUMPSUM, [], today=TODAY)) == [("", "object")]


@pytest.mark.parametrize(
    ("id_type", "number", "rule"),
    [
        ("05", "E12345678", None),
        ("05", "e12345678", "capitals"),
        ("06", "H1234567", "length"),
        ("02", "450400195708151014", "prefix_of_type"),
        ("01", "450400202708151015", "birth_in_future"),
        ("01", "450400195702301019", "birth_date"),
    ],
)
def test_a_document_number_is_checked_by_the_rule_of_its_type(id_type: str, number: str, rule: str | None) -> None:
    content = filling.application(LUMPSUM, full=False)
    content["person"] |= {"id_type": id_type, "id_no": number}
    assert told(check_application(LUMPSUM, content, today=TODAY)) == ([("person/id_no", rule)] if rule else [])


@pytest.mark.parametrize(
    ("name", "rule"), [("阿依古丽•艾力", None), ("\U00030000国安", None), ("邓\u200b国安", "character")]
)
def test_names_of_persons_are_checked_as_names(name: str, rule: str | None) -> None:
    content = filling.application(LUMPSUM, full=False)
    content["person"]["name"] = name
    assert told(check_application(LUMPSUM, content, today=TODAY)) == ([("person/name", rule)] if rule else [])


@pytest.mark.parametrize("result", ["REJECTED", "SUPPLEMENT", "FORWARDED", "WITHDRAWN"])
def test_only_an_approval_needs_the_fields_of_the_item(result: str) -> None:
    said = {"result": result, "decided_at": "2026-11-24T10:00:00+08:00", "decided_by": "o"}
    grounds = {"reason_text": "不符合条件", "legal_ref": "社会保险法第十六条", "remedy_text": "可申请行政复议"}
    for item in ITEMS.values():
        wanted = [(one, "required") for one in grounds] if result == "REJECTED" else []
        assert told(check_answer(item, said, today=TODAY)) == wanted
        assert check_answer(item, said | grounds, today=TODAY) == []
        assert told(check_answer(item, said | dict.fromkeys(grounds, " "), today=TODAY)) == wanted
    wrong = check_answer(LUMPSUM, said | grounds | {"paid_fen": "7"}, today=TODAY)
    assert told(wrong) == [("paid_fen", "money_fen")]
    assert told(check_answer(LUMPSUM, None, today=TODAY)) == [("", "object")]


def test_materials_that_come_later_are_checked_by_themselves() -> None:
    one = filling.application(LUMPSUM, full=True)["material"][0]
    assert check_materials([one, one], LUMPSUM, today=TODAY) == []
    assert told(check_materials([one, one | {"digest": "x"}], LUMPSUM, today=TODAY)) == [("1/digest", "digest")]
    assert told(check_materials({}, LUMPSUM, today=TODAY)) == [("", "list")]


def test_at_most_fifty_faults_are_told() -> None:
    content = filling.application(LUMPSUM, full=False)
    content["material"] = [{}] * 500
    assert len(check_application(LUMPSUM, content, today=TODAY)) == FAULTS_MAX


def test_attachments_are_the_sha256_digests_each_once_in_order() -> None:
    a, b = "a" * 64, "b" * 64
    content = {"x": [{"digest": f"sha256:{b}"}, {"y": {"digest": f"sha256:{a}"}}], "z": f"sha256:{b}"}
    assert attachments_named(content) == (b, a)
    assert attachments_named({"digest": f"sm3:{a}", "text": f"see sha256:{a}", "upper": f"sha256:{a.upper()}"}) == ()
    deep: Any = f"sha256:{a}"
    for _ in range(LEVELS_MAX):
        deep = [deep]
    assert attachments_named({"data": deep}) == (a,)
    for item in ITEMS.values():
        for full in (filling.application(item, full=True), filling.answer(item, full=True)):
            assert attachments_named({"data": full}) == (("a" * 64,) if "sha256:" in json.dumps(full) else ())


CANARY = "Zz7"


def texts_of(faults: list[FieldFault]) -> str:
    """Return everything that faults say."""
    return "\n".join(f"{one.at} {one.rule} {one.zh} {one.en}" for one in faults)


@given(content=JSON)
def test_no_content_makes_a_check_fail(content: Any) -> None:
    for item in ITEMS.values():
        assert len(check_application(item, content, today=TODAY)) <= FAULTS_MAX
        assert len(check_answer(item, content, today=TODAY)) <= FAULTS_MAX
        assert len(check_materials(content, item, today=TODAY)) <= FAULTS_MAX
    attachments_named(content)


@given(data=st.data())
def test_an_odd_value_anywhere_makes_no_check_fail(data: st.DataObject) -> None:
    item: Item = ITEMS[data.draw(st.sampled_from(CODES))]
    for content, check in (
        (filling.application(item, full=True), check_application),
        (filling.answer(item, full=True), check_answer),
    ):
        path = data.draw(st.sampled_from(list(every_place(content))))
        changed = broken(content, Breach(path, data.draw(JSON), "", ""))
        assert len(check(item, changed, today=TODAY)) <= FAULTS_MAX
        filled_form(item, changed)


@given(data=st.data())
def test_faults_never_contain_what_was_typed(data: st.DataObject) -> None:
    item: Item = ITEMS[data.draw(st.sampled_from(CODES))]
    content = filling.application(item, full=True)
    path = data.draw(st.sampled_from(list(every_place(content))))
    typed = CANARY + data.draw(st.text(max_size=300))
    value = data.draw(st.sampled_from([typed, [typed], {typed: typed}, {"name": typed}]))
    faults = check_application(item, broken(content, Breach(path, value, "", "")), today=TODAY)
    assert CANARY not in texts_of(faults)
    renamed = broken(content, Breach((*path[:-1], typed) if isinstance(path[-1], str) else path, 1, "", ""))
    assert CANARY not in texts_of(check_application(item, renamed, today=TODAY))
