"""Identifiers against the shared vectors, and the properties that their check characters promise."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.identifiers import (
    PROVINCES,
    REASONS,
    CaseNumber,
    InvalidIdentifier,
    format_case_number,
    lookup_form_of_old_number,
    mask_name,
    mask_person_id,
    normalise_name,
    parse_case_number,
    parse_division,
    parse_member_id,
    parse_person_id,
    parse_uscc,
    person_check_character,
    province_of,
)

VECTORS = Path(__file__).parents[1] / "vectors"
PERSONS: dict[str, Any] = json.loads((VECTORS / "identity_numbers.json").read_text(encoding="utf-8"))
USCC: dict[str, Any] = json.loads((VECTORS / "uscc.json").read_text(encoding="utf-8"))
TODAY = date(2026, 11, 24)
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
OTHERS = PERSONS["other_documents"]

births = st.dates(date(1900, 1, 1), TODAY)
divisions = st.integers(110000, 659999).map(str)


@st.composite
def person_numbers(draw: st.DrawFn) -> str:
    first17 = f"{draw(divisions)}{draw(births):%Y%m%d}{draw(st.integers(0, 999)):03d}"
    return first17 + person_check_character(first17)


def reason_of(id_type: str, text: str) -> str:
    with pytest.raises(InvalidIdentifier) as refused:
        parse_person_id(id_type, text, today=TODAY)
    return refused.value.reason


@pytest.mark.parametrize("vector", PERSONS["valid"], ids=lambda one: one["input"])
def test_a_valid_number_gives_birth_date_sex_and_mask(vector: dict[str, str]) -> None:
    person = parse_person_id(vector["id_type"], vector["input"], today=TODAY)
    assert person.number == vector["canonical"]
    assert person.birth_date == date.fromisoformat(vector["birth_date"])
    assert person.sex == vector["sex"]
    assert mask_person_id(person.number) == vector["masked"]


@pytest.mark.parametrize("vector", PERSONS["invalid"], ids=lambda one: one["note"] or "empty")
def test_an_invalid_number_is_refused_for_the_first_reason(vector: dict[str, str]) -> None:
    assert reason_of(vector["id_type"], vector["input"]) == vector["reason"]


@pytest.mark.parametrize("vector", [one for one in OTHERS if one["valid"]], ids=lambda one: one["input"])
def test_a_document_without_check_is_taken_by_its_form(vector: dict[str, str]) -> None:
    person = parse_person_id(vector["id_type"], vector["input"], today=TODAY)
    assert (person.number, person.birth_date, person.sex) == (vector["input"], None, None)


@pytest.mark.parametrize("vector", [one for one in OTHERS if not one["valid"]], ids=lambda one: one["input"])
def test_a_document_of_the_wrong_form_is_refused(vector: dict[str, str]) -> None:
    assert reason_of(vector["id_type"], vector["input"]) == vector["reason"]


@pytest.mark.parametrize("vector", PERSONS["lookup_only"], ids=lambda one: one["input"])
def test_an_old_number_is_only_a_lookup_key(vector: dict[str, str]) -> None:
    assert lookup_form_of_old_number(vector["input"]) == vector["canonical"]
    assert reason_of(vector["id_type"], vector["input"]) == "length"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("1101054912310021", "length"),
        ("11010549123100X", "character"),
        ("110105491331002", "birth_date"),
    ],
)
def test_a_broken_old_number_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        lookup_form_of_old_number(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize("vector", PERSONS["check_characters"], ids=lambda one: one["first17"])
def test_check_characters_match_the_vectors(vector: dict[str, str]) -> None:
    assert person_check_character(vector["first17"]) == vector["check"]


@given(number=person_numbers(), place=st.integers(0, 17), digit=st.sampled_from("0123456789X"))
def test_any_change_of_one_character_is_detected(number: str, place: int, digit: str) -> None:
    changed = number[:place] + digit + number[place + 1 :]
    if changed == number:
        assert parse_person_id("01", changed, today=TODAY).number == number
    else:
        assert reason_of("01", changed) in {"check_character", "birth_date", "birth_in_future", "character"}


@given(number=person_numbers(), place=st.integers(0, 15))
def test_any_two_swapped_neighbours_are_detected(number: str, place: int) -> None:
    changed = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    if changed != number:
        assert reason_of("01", changed) in {"check_character", "birth_date", "birth_in_future"}


@given(id_type=st.sampled_from([f"0{n}" for n in range(10)]), text=st.text(max_size=40))
def test_no_text_makes_anything_but_a_person_or_a_named_reason(id_type: str, text: str) -> None:
    try:
        person = parse_person_id(id_type, text, today=TODAY)
    except InvalidIdentifier as refusal:
        refused = refusal
    else:
        assert parse_person_id(id_type, person.number, today=TODAY) == person
        return
    assert str(refused) == refused.rule_en == REASONS[refused.reason][1]


@pytest.mark.parametrize("id_type", ["", "00", "08", "1", "０１"])
def test_an_unknown_document_type_is_refused(id_type: str) -> None:
    assert reason_of(id_type, "450400195708151014") == "id_type"


def test_someone_born_today_is_accepted_and_tomorrow_refused() -> None:
    number = "44200020261124001" + person_check_character("44200020261124001")
    assert parse_person_id("01", number, today=TODAY).birth_date == TODAY
    with pytest.raises(InvalidIdentifier) as refused:
        parse_person_id("01", number, today=date(2026, 11, 23))
    assert refused.value.reason == "birth_in_future"


@pytest.mark.parametrize("number", ["E12345678", "H12345678", "12345678", "E1234", "E1"])
def test_the_mask_of_a_short_number_shows_its_last_two_at_most(number: str) -> None:
    assert mask_person_id(number) in {"*" * 10 + number[-2:], "*" * 10}


@pytest.mark.parametrize("vector", USCC["valid"], ids=lambda one: one["input"])
def test_a_valid_credit_code_gives_its_parts(vector: dict[str, str]) -> None:
    code = parse_uscc(vector["input"])
    assert code.text == vector["canonical"]
    for part in ("registration", "kind", "division", "organisation_code"):
        assert getattr(code, part) == vector[part]


@pytest.mark.parametrize("vector", USCC["invalid"], ids=lambda one: one["input"] or "empty")
def test_an_invalid_credit_code_is_refused_for_the_first_reason(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        parse_uscc(vector["input"])
    assert refused.value.reason == vector["reason"]


@given(
    code=st.sampled_from([one["canonical"] for one in USCC["valid"]]),
    place=st.integers(0, 17),
    character=st.sampled_from(USCC_ALPHABET),
)
def test_any_change_of_one_character_of_a_credit_code_is_detected(code: str, place: int, character: str) -> None:
    changed = code[:place] + character + code[place + 1 :]
    if changed == code:
        assert parse_uscc(changed).text == code
    else:
        with pytest.raises(InvalidIdentifier):
            parse_uscc(changed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("44200", "length"), ("4420000", "length"), ("44200O", "character"), ("44200０", "character")],
)
def test_a_member_is_six_ascii_digits(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        parse_member_id(text)
    assert refused.value.reason == reason


def test_a_division_lies_in_its_province() -> None:
    assert province_of(parse_division("442000")) == "440000"
    assert PROVINCES["44"] == ("广东省", "Guangdong")
    assert len(PROVINCES) == 34


def test_the_case_number_of_the_design_is_read_and_written() -> None:
    assert format_case_number("450400", date(2024, 12, 12), 1) == "KS450400202412120000014"
    assert parse_case_number("ks450400202412120000014") == CaseNumber(parse_member_id("450400"), date(2024, 12, 12), 1)


@given(member=divisions, day=st.dates(), sequence=st.integers(1, 999_999))
def test_a_case_number_comes_back_as_it_was(member: str, day: date, sequence: int) -> None:
    number = format_case_number(member, day, sequence)
    assert len(number) == 23
    assert parse_case_number(number) == CaseNumber(parse_member_id(member), day, sequence)


@given(sequence=st.integers(1, 999_999), place=st.integers(2, 22), digit=st.sampled_from("0123456789"))
def test_any_change_of_one_digit_of_a_case_number_is_detected(sequence: int, place: int, digit: str) -> None:
    number = format_case_number("450400", date(2024, 12, 12), sequence)
    changed = number[:place] + digit + number[place + 1 :]
    if changed != number:
        with pytest.raises(InvalidIdentifier):
            parse_case_number(changed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("KS45040020241212000001", "length"),
        ("XS450400202412120000014", "prefix_of_type"),
        ("KS45040020241212000001X", "character"),
        ("KS450400202413120000014", "date"),
        ("KS450400202412120000004", "sequence"),
        ("KS450400202412120000015", "check_character"),
    ],
)
def test_a_broken_case_number_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        parse_case_number(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize("sequence", [0, -1, 1_000_000])
def test_a_case_sequence_outside_its_six_digits_is_refused(sequence: int) -> None:
    with pytest.raises(InvalidIdentifier):
        format_case_number("450400", date(2024, 12, 12), sequence)


@pytest.mark.parametrize("dot", "·•‧∙⋅・･．᛫⸱⸳\u0387")
def test_every_interpunct_becomes_the_one_of_the_standard(dot: str) -> None:
    assert normalise_name(f"阿依古丽{dot}艾力") == "阿依古丽\u00b7艾力"
    assert normalise_name(f" 阿依古丽 {dot} 艾力\u3000") == "阿依古丽\u00b7艾力"


def test_rare_ideographs_stay_and_composed_letters_are_composed() -> None:
    assert normalise_name("𠮷田\U00030000") == "𠮷田\U00030000"
    assert normalise_name("Andre\u0301  Silva") == "Andr\u00e9 Silva"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\u3000 ", "empty"),
        ("邓\n国安", "character"),
        ("邓\u202e国安", "character"),
        ("邓\u200b安", "character"),
        ("邓\x00", "character"),
        ("邓" * 201, "length"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        normalise_name(text)
    assert refused.value.reason == reason


@given(st.text(max_size=60))
def test_normalising_a_name_twice_changes_nothing(text: str) -> None:
    try:
        once = normalise_name(text)
    except InvalidIdentifier:
        return
    assert normalise_name(once) == once


@pytest.mark.parametrize(
    ("name", "masked"), [("邓国安", "邓**"), ("邓安", "邓**"), ("阿依古丽·艾力", "阿**"), ("邓", "**")]
)
def test_a_masked_name_tells_its_first_character_only(name: str, masked: str) -> None:
    assert mask_name(name) == masked
