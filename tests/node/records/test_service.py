"""Records: what leaves the city, to whom, for which purpose, and what does not."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from node.records.service import (
    Enquiry,
    instant,
    look_up,
    new_salt,
    open_consultation,
    release_rules,
    set_release_rules,
)
from node.storage.unit_of_work import Database
from protocol.claims import Who, Why
from protocol.errors import InvalidBody, PolicyDenied, Refusal, UnknownItem
from protocol.identifiers import parse_case_number
from protocol.messages import Period, RecordKind, Subject, format_body
from tests.node.records.registry import (
    BALANCE,
    ITEMS,
    LOG,
    ME,
    NAME,
    NOW,
    OTHER,
    PERSON,
    REGISTRY,
    SUBJECT,
    VAULT,
    AnsweringCity,
    a_row,
    a_rule,
    make_city_that_answers,
    months,
)

CASE = "KS450400202611240000012"
WHY = Why(item="PEN-LUMPSUM", basis="STATUTORY", case=CASE)


@pytest.fixture
def city(open_database: Callable[..., Database], database_url: str) -> AnsweringCity:
    return make_city_that_answers(open_database(database_url, LOG.close_group))


def test_a_peer_with_a_rule_gets_the_released_fields_and_is_told_which_were_withheld(city: AnsweringCity) -> None:
    answer = city.ask()
    assert answer.found
    assert answer.record == [{"insurance": "110", "until": "202412", "balance_fen": 1917763}]
    assert answer.withheld == ["principal_fen", "interest_fen"]
    assert answer.as_of == "2026-11-24T11:12:44+08:00"


def test_only_the_fields_asked_for_are_released_or_named(city: AnsweringCity) -> None:
    answer = city.ask(fields=["balance_fen", "interest_fen"])
    assert answer.record == [{"balance_fen": 1917763}]
    assert answer.withheld == ["interest_fen"]


def test_two_answers_of_the_same_content_have_different_bytes(city: AnsweringCity) -> None:
    first, second = city.ask(), city.ask()
    assert first.salt != second.salt
    assert format_body(first) != format_body(second)


REFUSED: dict[str, tuple[dict[str, Any], type[Refusal], str]] = {
    "another peer": ({"sender": OTHER}, PolicyDenied, "no release rule"),
    "another kind": ({"record": "enrolment"}, PolicyDenied, "no release rule"),
    "another item": ({"why": WHY.model_copy(update={"item": "PEN-TRANSFER"})}, PolicyDenied, "no release rule"),
    "unknown item": ({"why": WHY.model_copy(update={"item": "PEN-OTHER"})}, UnknownItem, "catalogue"),
    "no case and no consultation": ({"why": WHY.model_copy(update={"case": None})}, PolicyDenied, "case or a regist"),
    "unknown basis": ({"why": WHY.model_copy(update={"basis": "CURIOSITY"})}, PolicyDenied, "legal basis"),
    "consent without its digest": ({"why": WHY.model_copy(update={"basis": "CONSENT"})}, PolicyDenied, "consent"),
    "only withheld fields": ({"fields": ["interest_fen"]}, PolicyDenied, "none of the fields"),
    "a field that the kind lacks": ({"fields": ["monthly_fen"]}, InvalidBody, "has the fields"),
    "a wrong check character": (
        {"subject": SUBJECT.model_copy(update={"id_number": "442000199003070019"})}, InvalidBody, "not valid",
    ),
    "a number in another form": (
        {"subject": Subject(id_type="01", id_number="11010519491231002x", name=NAME)}, InvalidBody, "canonical",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_question_is_refused_for(city: AnsweringCity, case: str) -> None:
    changes, refusal, words = REFUSED[case]
    with pytest.raises(refusal, match=words) as refused:
        city.ask(**changes)
    said = f"{refused.value} {refused.value.facts}"
    assert not re.search(r"\d{6,}|邓某", said), "a refusal repeats no personal data"


def test_an_invalid_number_is_refused_with_its_place_and_rule(city: AnsweringCity) -> None:
    with pytest.raises(InvalidBody) as refused:
        city.ask(subject=SUBJECT.model_copy(update={"id_number": "442000199003070019"}))
    assert refused.value.facts["fields"] == [{"at": "subject/id_number", "rule": "check_character"}]


def test_consent_with_its_digest_and_a_consultation_are_purposes(city: AnsweringCity) -> None:
    assert city.ask(why=WHY.model_copy(update={"basis": "CONSENT", "consent": "A" * 43})).found
    assert city.ask(why=WHY.model_copy(update={"case": None, "ref": "ZX450400202611240000012"})).found


def test_a_person_of_another_name_is_not_found(city: AnsweringCity) -> None:
    answer = city.ask(subject=SUBJECT.model_copy(update={"name": "王某"}))
    assert (answer.found, answer.record) == (False, None)


def test_whether_the_name_or_the_number_is_unknown_cannot_be_told_from_the_answer(city: AnsweringCity) -> None:
    other_name = city.ask(subject=SUBJECT.model_copy(update={"name": "王某"}))
    other_person = city.ask(subject=Subject(id_type="01", id_number="11010519491231002X", name=NAME))
    blank = {"salt": ""}
    assert other_name.model_copy(update=blank) == other_person.model_copy(update=blank)


def test_a_name_matches_in_any_of_its_written_forms(city: AnsweringCity) -> None:
    assert city.ask(subject=SUBJECT.model_copy(update={"name": "\u3000邓某 "})).found


def test_the_same_number_under_another_document_is_another_person(city: AnsweringCity) -> None:
    with pytest.raises(InvalidBody):
        city.ask(subject=SUBJECT.model_copy(update={"id_type": "03"}))


@pytest.mark.parametrize(
    ("started", "ended", "expected"),
    [
        ("200101", "200112", []),
        ("201001", "201012", ["201001"]),
        ("201012", "201101", ["201001", "201101"]),
        ("201106", "201106", ["201101"]),
        ("190001", "209912", ["201001", "201101"]),
        ("201112", "201001", []),
    ],
)
def test_only_lines_that_touch_the_period_are_given(
    city: AnsweringCity, started: str, ended: str, expected: list[str]
) -> None:
    city.fill(
        a_row(months("201001", "201012"), kind="contributions"),
        a_row(months("201101", "201112"), kind="contributions"),
        import_id="import-2",
    )
    city.release(a_rule(record="contributions", fields=["started"]))
    answer = city.ask("contributions", period=Period(started=started, ended=ended))
    assert [line["started"] for line in answer.record or []] == expected
    assert answer.found


def test_a_relation_that_goes_on_touches_every_later_period(city: AnsweringCity) -> None:
    line = {"insurance": "110", "status": "ACTIVE", "account_kind": "GENERAL", "started": "201001"}
    city.fill(a_row(line, kind="enrolment"), import_id="import-2")
    city.release(a_rule(record="enrolment", fields=["started"]))
    later, earlier = Period(started="202501", ended="202512"), Period(started="200001", ended="200912")
    assert city.ask("enrolment", period=later).record == [{"started": "201001"}]
    assert city.ask("enrolment", period=earlier).record == []


def test_a_rule_for_any_peer_holds_for_those_without_their_own(city: AnsweringCity) -> None:
    city.release(a_rule(peer="*", fields=["until"]), a_rule(fields=["balance_fen"]))
    assert city.ask(sender=OTHER).record == [{"until": "202412"}]
    assert city.ask().record == [{"balance_fen": 1917763}]


def test_a_rule_without_fields_shuts_out_a_peer_whom_the_rule_for_any_would_let_in(city: AnsweringCity) -> None:
    city.release(a_rule(peer="*"), a_rule(fields=[]))
    assert city.ask(sender=OTHER).found
    with pytest.raises(PolicyDenied):
        city.ask()


def test_setting_rules_replaces_all_and_is_logged_by_digest(city: AnsweringCity) -> None:
    rules = [a_rule(), a_rule(peer="*", record="voucher", fields=["number"])]
    assert city.release(*rules) == 2
    with city.database.reading() as session:
        assert release_rules(session) == sorted(rules, key=lambda rule: rule["peer"])
    first, second = city.log("policy")[0], city.log("policy")[1]
    assert first["request"] != second["request"]
    assert first["officer"] == VAULT.pseudonym("o-1")
    city.release()
    with pytest.raises(PolicyDenied):
        city.ask()


def test_the_same_rules_in_another_order_have_the_same_digest(city: AnsweringCity) -> None:
    city.release(a_rule(), a_rule(peer="*"))
    city.release(a_rule(peer="*"), a_rule())
    first, second = city.log("policy")[:2]
    assert first["request"] == second["request"]


BAD_RULES: dict[str, list[dict[str, Any]]] = {
    "two for one cell": [a_rule(), a_rule(fields=["until"])],
    "no peer": [{name: value for name, value in a_rule().items() if name != "peer"}],
    "something more": [a_rule(note="for now")],
    "a peer that is no member id": [a_rule(peer="45040")],
    "a peer in full-width digits": [a_rule(peer="４５０４００")],
    "an unknown item": [a_rule(item="PEN-OTHER")],
    "an unknown kind": [a_rule(record="photograph")],
    "a field of another kind": [a_rule(fields=["insurance", "monthly_fen"])],
    "fields that are no list": [a_rule(fields=None)],
}


@pytest.mark.parametrize("case", BAD_RULES)
def test_rules_are_refused_and_the_old_ones_stay_for(city: AnsweringCity, case: str) -> None:
    with pytest.raises(InvalidBody, match=r"rule [12]: "):
        city.release(*BAD_RULES[case])
    assert city.ask().found
    assert len(city.log("policy")) == 1


def open_one(city: AnsweringCity, reason: str = "当事人来电咨询", now: datetime = NOW) -> str:
    return city.database.write(lambda tx: open_consultation(tx, VAULT, reason, member=ME, actor="o-1", now=now))


def test_consultations_are_numbered_through_the_day_with_a_check_digit(city: AnsweringCity) -> None:
    numbers = [open_one(city) for _ in range(3)]
    assert [number[:22] for number in numbers] == [f"ZX4420002026112400000{n}" for n in (1, 2, 3)]
    for number in numbers:
        parse_case_number("KS" + number[2:])
    next_day = open_one(city, now=datetime(2026, 11, 24, 16, 0, tzinfo=UTC))
    assert next_day.startswith("ZX44200020261125000001"), "the day is that of China"


def test_officers_who_register_at_once_get_different_numbers(city: AnsweringCity) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda n: open_one(city), range(8)))
    assert len(set(numbers)) == 8
    assert sorted(int(number[16:22]) for number in numbers) == list(range(1, 9))


def test_the_reason_is_stored_encrypted_and_the_log_has_the_number_only_as_a_digest(city: AnsweringCity) -> None:
    number = open_one(city)
    with city.database.reading() as session:
        stored = bytes(session.execute(text("SELECT text FROM consultation")).scalar_one())
    assert "咨询".encode() not in stored
    assert VAULT.decrypt(stored, b"consultation:" + number.encode()).decode() == "当事人来电咨询"
    assert number not in str(city.log("consultation"))


@pytest.mark.parametrize("reason", ["", "   ", "长" * 501])
def test_a_consultation_without_a_usable_reason_is_refused(city: AnsweringCity, reason: str) -> None:
    with pytest.raises(InvalidBody, match="1 to 500"):
        open_one(city, reason)
    assert city.log("consultation") == []


def an_enquiry(**changes: Any) -> Enquiry:
    who = Who(office="窗口 2", officer="o-7f3c", role="clerk")
    return Enquiry(**{"record": RecordKind.BALANCE, "subject": SUBJECT, "why": WHY, "who": who, **changes})


def test_our_own_officer_sees_all_fields_and_leaves_the_same_trace(city: AnsweringCity) -> None:
    found = city.database.write(lambda tx: look_up(REGISTRY, tx, an_enquiry(), member=ME))
    assert (found.outcome, found.lines, found.withheld) == ("answer", (BALANCE,), ())
    entry = city.log("look-up")[0]
    assert (entry["item"], entry["case"], entry["officer"]) == ("PEN-LUMPSUM", CASE, "o-7f3c")
    assert PERSON[1] not in str(entry)
    assert BALANCE["balance_fen"] not in entry.values()


def test_our_own_officer_needs_a_purpose_too(city: AnsweringCity) -> None:
    for why, refusal in (
        (WHY.model_copy(update={"case": None}), PolicyDenied),
        (WHY.model_copy(update={"item": "X-Y"}), UnknownItem),
    ):
        with pytest.raises(refusal):
            city.database.write(lambda tx, why=why: look_up(REGISTRY, tx, an_enquiry(why=why), member=ME))  # type: ignore[misc]
    assert city.log("look-up") == []


def test_a_look_up_that_finds_nobody_is_logged_as_well(city: AnsweringCity) -> None:
    nobody = an_enquiry(subject=SUBJECT.model_copy(update={"name": "王某"}), fields=("until",))
    assert city.database.write(lambda tx: look_up(REGISTRY, tx, nobody, member=ME)).outcome == "none"
    assert len(city.log("look-up")) == 1


def test_values_that_show_persons_do_not_print_them(city: AnsweringCity) -> None:
    found = city.database.write(lambda tx: look_up(REGISTRY, tx, an_enquiry(), member=ME))
    assert PERSON[1] not in repr(an_enquiry())
    assert str(BALANCE["balance_fen"]) not in repr(found)


def test_a_salt_is_16_bytes_and_an_instant_is_at_eight_hours() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", new_salt(os.urandom))
    assert instant(NOW) == "2026-11-24T11:12:44+08:00"


def test_rules_are_set_for_items_of_the_catalogue_only(city: AnsweringCity) -> None:
    with pytest.raises(InvalidBody):
        city.database.write(
            lambda tx: set_release_rules(tx, [a_rule()], items=ITEMS - {"PEN-LUMPSUM"}, actor="o", now=NOW)
        )
