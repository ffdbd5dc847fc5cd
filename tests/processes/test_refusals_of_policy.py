"""Understood, authentic, and still no: protocol §5.1 steps 9 and 10 (threat T05)."""

import json
from typing import Any

import pytest

from node.records.service import release_rules, set_release_rules
from protocol.claims import Why
from protocol.envelope import RawMessage
from protocol.messages import RecordAnswer, RecordKind
from tests.processes.cities import now, query, some_person
from tests.processes.conftest import CODES, Pair, assert_no_echo
from tests.processes.forged import forged

pytestmark = pytest.mark.threat("T05")
REFERENCE = "ZX4504002026112400012"


def ask(pair: Pair, record: RecordKind = RecordKind.ENROLMENT, why: Why | None = None, **changes: Any) -> RawMessage:
    """Return a lawful question but for what is given."""
    body = query(some_person(pair.receiver, CODES), record, **changes)
    purpose = why or Why(item="INS-CERT", basis="STATUTORY", ref=REFERENCE)
    return pair.network.seal(pair.sender, pair.receiver, body, msg="record.query", why=purpose)


def test_a_lawful_question_is_answered_and_withheld_fields_are_named(pair: Pair) -> None:
    raw = ask(pair)
    answer = pair.post(raw)
    pair.network.reply(pair.sender, pair.receiver, raw, answer)
    said = RecordAnswer.model_validate_json(answer.body)
    assert said.found
    assert said.withheld == ["employer"]
    assert all("employer" not in line for line in said.record or [])


def test_an_unknown_type_is_refused(pair: Pair) -> None:
    raw = forged(pair, claims={"msg": "record.dump", "why": {"item": "INS-CERT", "basis": "STATUTORY"}, "who": {
        "office": "1", "officer": "o-1", "role": "clerk"}})  # fmt: skip
    pair.assert_refused(pair.post(raw), "unknown-message-type", 400, raw)


BODIES = {
    "no JSON": b"not json",
    "a list": b"[]",
    "a field nobody knows": b'{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","everything":true}',
    "nothing": b"",
}


@pytest.mark.parametrize("fault", BODIES)
def test_a_body_against_its_model_is_refused_without_repeating_it(pair: Pair, fault: str) -> None:
    raw = pair.network.seal(pair.sender, pair.receiver, BODIES[fault], msg="record.query")
    pair.assert_refused(pair.post(raw), "invalid-body", 422, raw)


@pytest.mark.threat("T21")
def test_a_wrong_number_of_a_person_is_never_repeated(pair: Pair) -> None:
    person = some_person(pair.receiver, CODES)
    check = "0" if person.id_number[-1] != "0" else "1"
    wrong = person.model_copy(update={"id_number": person.id_number[:-1] + check})
    raw = pair.network.seal(pair.sender, pair.receiver, query(wrong), msg="record.query")
    answer = pair.post(raw)
    pair.assert_refused(answer, "invalid-body", 422, raw)
    assert wrong.id_number.encode() not in answer.body
    assert wrong.name.encode() not in answer.body
    assert wrong.id_number not in pair.network.output(pair.receiver)
    assert not [one for one in pair.new_entries("refusal") if wrong.id_number in json.dumps(one, ensure_ascii=False)]


def test_a_question_without_case_or_consultation_is_refused(pair: Pair) -> None:
    raw = ask(pair, why=Why(item="INS-CERT", basis="STATUTORY"))
    pair.assert_refused(pair.post(raw), "policy-denied", 403, raw)


def test_a_question_on_no_legal_basis_is_refused(pair: Pair) -> None:
    raw = ask(pair, why=Why(item="INS-CERT", basis="CURIOSITY", ref=REFERENCE))
    pair.assert_refused(pair.post(raw), "policy-denied", 403, raw)


def test_consent_without_the_digest_of_the_consent_is_refused(pair: Pair) -> None:
    raw = ask(pair, why=Why(item="INS-CERT", basis="CONSENT", ref=REFERENCE))
    pair.assert_refused(pair.post(raw), "policy-denied", 403, raw)


def test_an_item_of_no_catalogue_is_refused(pair: Pair) -> None:
    raw = ask(pair, why=Why(item="NO-SUCH-ITEM", basis="STATUTORY", ref=REFERENCE))
    pair.assert_refused(pair.post(raw), "unknown-item", 422, raw)


def test_a_kind_of_record_that_the_item_does_not_need_is_refused(pair: Pair) -> None:
    raw = ask(pair, RecordKind.BALANCE, why=Why(item="CARD-SERVICE", basis="STATUTORY", ref=REFERENCE))
    pair.assert_refused(pair.post(raw), "policy-denied", 403, raw)


def test_a_field_that_is_not_released_is_refused_when_it_is_all_that_is_asked(pair: Pair) -> None:
    raw = ask(pair, fields=["employer"])
    pair.assert_refused(pair.post(raw), "policy-denied", 403, raw)


def test_a_field_that_is_not_released_is_withheld_among_others(pair: Pair) -> None:
    answer = pair.post(ask(pair, fields=["status", "employer"]))
    said = RecordAnswer.model_validate_json(answer.body)
    assert said.withheld == ["employer"]
    assert [set(line) for line in said.record or []] == [{"status"}] * len(said.record or [])


def test_a_field_that_no_record_has_is_refused(pair: Pair) -> None:
    raw = ask(pair, fields=["password"])
    pair.assert_refused(pair.post(raw), "invalid-body", 422, raw)


def test_too_many_messages_of_one_city_are_told_to_wait(pair: Pair) -> None:
    network = pair.network
    network.stop(pair.receiver)
    network.start(pair.receiver, TONGBAN_LIMITS__PEER_RPS="1")
    try:
        seen = pair.from_now()
        messages = [pair.seal() for _ in range(8)]
        answers = [(raw, pair.post(raw)) for raw in messages]
        limited = [(raw, answer) for raw, answer in answers if answer.status == 429]
        assert limited
        raw, answer = limited[0]
        reply = network.reply(pair.sender, pair.receiver, raw, answer)
        assert (reply.claims.msg, json.loads(answer.body)["slug"]) == ("refusal", "rate-limited")
        assert answer.headers["retry-after"] == "1"
        assert_no_echo(answer.body, raw)
        assert len(seen.new_entries("message")) == len(answers) - len(limited)
        assert {entry["slug"] for entry in seen.new_entries("refusal")} == {"rate-limited"}
        assert network.post(pair.third, pair.receiver, *_ping(pair)).status == 200  # nobody else has to wait
    finally:
        network.stop(pair.receiver)
        network.start(pair.receiver)


def _ping(pair: Pair) -> tuple[bytes, bytes]:
    raw = pair.network.seal(pair.third, pair.receiver, b"{}", msg="ping")
    return raw.statement, raw.body


def test_a_change_of_rules_holds_for_the_very_next_question(pair: Pair) -> None:
    """No process keeps a rule: another one, here the command line, changes them while the node serves."""
    node = pair.network.node(pair.receiver)
    with node.database.reading() as session:
        rules = release_rules(session)

    def change(given: list[dict[str, Any]]) -> None:
        node.database.write(lambda tx: set_release_rules(tx, given, items=node.items, actor="local:test", now=now()))

    assert pair.post(ask(pair)).status == 200
    try:
        for _ in range(5):
            change([rule for rule in rules if rule["item"] != "INS-CERT"])
            assert pair.post(ask(pair)).status == 403
            change(rules)
            assert pair.post(ask(pair)).status == 200
    finally:
        change(rules)
