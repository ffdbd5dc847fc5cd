"""Bodies: strict models, bounded in every part, and faults that name the place but not the value (protocol §6)."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidBody, UnknownMessageType
from protocol.messages import (
    LINES,
    QUERIES,
    REPLIES,
    REPLY_OF,
    REQUESTS,
    WITHOUT_PURPOSE,
    Ping,
    RecordAnswer,
    RecordKind,
    RecordQuery,
    format_body,
    parse_body,
)

SALT = "m3Jv0C2a5v8Y0mO1nE0b9A"
SUBJECT = {"id_type": "01", "id_number": "442000199003070018", "name": "邓某"}
QUERY: dict[str, Any] = {"salt": SALT, "record": "balance", "subject": SUBJECT}
ANSWER: dict[str, Any] = {"salt": SALT, "found": False, "withheld": [], "as_of": "2026-11-24T11:00:00+08:00"}
LINE: dict[RecordKind, dict[str, Any]] = {
    RecordKind.ENROLMENT: {"insurance": "110", "status": "ACTIVE", "account_kind": "GENERAL", "started": "201003"},
    RecordKind.CONTRIBUTIONS: {
        "insurance": "110",
        "kind": "NORMAL",
        "started": "201003",
        "ended": "201112",
        "months": 22,
        "monthly_base_fen": 312_600,
        "employer_fen": 1_375_440,
        "personal_fen": 550_176,
    },
    RecordKind.BALANCE: {
        "insurance": "110",
        "until": "202610",
        "balance_fen": 1,
        "principal_fen": 1,
        "interest_fen": 0,
    },
    RecordKind.BENEFIT: {
        "insurance": "110",
        "benefit": "PENSION",
        "status": "PAYING",
        "since": "202001",
        "monthly_fen": 301_200,
    },
    RecordKind.VOUCHER: {
        "number": "PZ4420002026",
        "insurance": "110",
        "started": "201003",
        "ended": "201112",
        "months": 22,
        "balance_fen": 550_176,
        "status": "UNCONNECTED",
        "issued_on": "2026-11-24",
        "valid_until": "2027-02-22",
    },
    RecordKind.ELIGIBILITY: {
        "insurance": "110",
        "method": "SELF",
        "certified_on": "2026-01-10",
        "due_on": "2027-01-10",
    },
}


def read(body: Any, message_type: str = "record.query") -> Any:
    models = REQUESTS if message_type in REQUESTS else REPLIES
    return parse_body(models, message_type, body if isinstance(body, bytes) else json.dumps(body).encode())


def faults(body: Any, message_type: str = "record.query") -> list[dict[str, str]]:
    with pytest.raises(InvalidBody) as caught:
        read(body, message_type)
    found: list[dict[str, str]] = caught.value.facts["fields"]
    return found


def test_a_question_and_its_answer_are_read() -> None:
    question = read(QUERY)
    assert isinstance(question, RecordQuery)
    assert (question.record, question.subject.name, question.fields) == (RecordKind.BALANCE, "邓某", None)
    assert isinstance(read(ANSWER, "record.answer"), RecordAnswer)
    assert read({}, "ping") == Ping()


@pytest.mark.parametrize(
    "body", [QUERY, {**QUERY, "fields": ["until"], "period": {"started": "202001", "ended": "202012"}}]
)
def test_a_body_is_written_once_and_read_back(body: dict[str, Any]) -> None:
    question = read(body)
    assert json.loads(format_body(question)) == body
    assert read(format_body(question)) == question


def test_every_request_has_a_reply_and_every_kind_its_lines() -> None:
    assert REPLY_OF.keys() == REQUESTS.keys()
    assert set(REPLY_OF.values()) == REPLIES.keys()
    assert REQUESTS.keys() >= QUERIES
    assert WITHOUT_PURPOSE & REQUESTS.keys() == {"ping"}
    assert LINES.keys() == set(RecordKind)


@pytest.mark.parametrize("message_type", ["record.answer", "inquiry.open", "", "Ping"])
def test_a_type_that_is_not_known_here_is_refused(message_type: str) -> None:
    with pytest.raises(UnknownMessageType, match=r"case\.event, case\.open, ping, record\.query"):
        parse_body(REQUESTS, message_type, b"{}")


@pytest.mark.parametrize(
    ("body", "place", "rule"),
    [
        (b"", "", "json_invalid"),
        (b"\xff", "", "json_invalid"),
        (b'{"salt":NaN}', "salt", "string_type"),
        (b"[]", "", "model_type"),
        ({"record": "balance", "subject": SUBJECT}, "salt", "missing"),
        ({**QUERY, "salt": "short"}, "salt", "string_pattern_mismatch"),
        ({**QUERY, "salt": SALT + "="}, "salt", "string_pattern_mismatch"),
        ({**QUERY, "record": "everything"}, "record", "enum"),
        ({**QUERY, "subject": {**SUBJECT, "id_type": "99"}}, "subject/id_type", "literal_error"),
        ({**QUERY, "subject": {**SUBJECT, "id_number": ""}}, "subject/id_number", "string_too_short"),
        ({**QUERY, "subject": {**SUBJECT, "id_number": "4" * 33}}, "subject/id_number", "string_too_long"),
        ({**QUERY, "subject": {**SUBJECT, "id_number": 442000199003070018}}, "subject/id_number", "string_type"),
        ({**QUERY, "subject": {**SUBJECT, "name": "邓" * 201}}, "subject/name", "string_too_long"),
        ({**QUERY, "fields": []}, "fields", "too_short"),
        ({**QUERY, "fields": ["until"] * 41}, "fields", "too_long"),
        ({**QUERY, "fields": ["Until"]}, "fields/0", "string_pattern_mismatch"),
        ({**QUERY, "period": {"started": "202013", "ended": "202012"}}, "period/started", "string_pattern_mismatch"),
        ({**QUERY, "period": {"started": "20201", "ended": "202012"}}, "period/started", "string_pattern_mismatch"),
        ({**QUERY, "period": {"started": "2020٠1", "ended": "202012"}}, "period/started", "string_pattern_mismatch"),
    ],
)
def test_a_body_outside_its_model_is_refused_at_its_place(body: Any, place: str, rule: str) -> None:
    assert faults(body)[0] == {"at": place, "rule": rule}


@pytest.mark.parametrize(
    "change",
    [
        {"found": 1},
        {"found": "false"},
        {"withheld": ["A"]},
        {"withheld": ["a"] * 41},
        {"as_of": "2026-11-24"},
        {"as_of": "2026-11-24T03:00:00Z"},
        {"record": [{}] * 2001},
        {"record": {}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_an_answer_outside_its_model_is_refused(change: dict[str, Any]) -> None:
    assert faults({**ANSWER, **change}, "record.answer")


@pytest.mark.parametrize("kind", RecordKind)
def test_a_line_of_each_kind_is_read_and_no_field_of_it_may_be_strange(kind: RecordKind) -> None:
    model = LINES[kind]
    strange: list[Any] = [None, 1.5, "\u0663", [], "2026-13-01", 2**63]
    assert json.loads(format_body(model.model_validate_json(json.dumps(LINE[kind])))) == LINE[kind]
    for name, value in product(LINE[kind], strange):
        with pytest.raises(ValueError, match="validation error"):
            model.model_validate_json(json.dumps({**LINE[kind], name: value}))
    with pytest.raises(ValueError, match="extra_forbidden"):
        model.model_validate_json(json.dumps({**LINE[kind], "evil": 1}))


@given(st.text(min_size=1, max_size=30).filter(lambda text: text not in (*QUERY, "period", "fields")))
def test_an_unknown_field_is_refused_and_its_name_not_repeated(name: str) -> None:
    assert faults({**QUERY, name: 1}) == [{"at": "?", "rule": "extra_forbidden"}]


def test_an_unknown_field_is_refused_where_it_stands() -> None:
    assert faults({**QUERY, "subject": {**SUBJECT, "evil": 1}}) == [{"at": "subject/?", "rule": "extra_forbidden"}]


def test_faults_name_places_and_rules_and_no_values() -> None:
    secret = {"442000199003070018": "442000199003070018"}
    body = {"salt": "442000199003070018", "record": secret, "subject": {**SUBJECT, **secret, "id_type": secret}}
    found = faults(body)
    assert len(found) == 4
    assert "442000199003070018" not in json.dumps(found)


def test_at_most_twenty_faults_are_listed() -> None:
    assert len(faults({**QUERY, **{f"x{number}": 1 for number in range(50)}})) == 20
