"""One message, one effect, however often and wherever it arrives (protocol §5.1 step 8, threat T02)."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from protocol.envelope import RawMessage
from protocol.messages import RecordAnswer
from protocol.suites import parse_statement
from tests.processes.cities import query, some_person
from tests.processes.conftest import CODES, Pair
from tests.processes.wire import HttpAnswer, message_bytes

pytestmark = pytest.mark.threat("T02")
COPIES = 50


def payload_of(answer: HttpAnswer) -> bytes:
    """Return the exact payload of a reply, without header and signature."""
    return answer.raw_reply.statement.split(b".")[1]


def enquiry(pair: Pair, **changes: Any) -> RawMessage:
    """Return a query about somebody whom the receiver knows: its answer has a fresh salt every time it is made."""
    return pair.network.seal(
        pair.sender, pair.receiver, query(some_person(pair.receiver, CODES)), msg="record.query", **changes
    )


def rows_of(pair: Pair, raw: RawMessage) -> list[dict[str, Any]]:
    jti = parse_statement(raw.statement).claims["jti"]
    return [row for row in pair.network.received_rows(pair.receiver) if row["jti"] == jti]


def test_the_same_text_gets_the_same_reply_and_is_executed_once(pair: Pair) -> None:
    raw = enquiry(pair)
    first, second = pair.post(raw), pair.post(raw)
    assert first.status == second.status == 200
    assert first.body == second.body
    assert payload_of(first) == payload_of(second)
    assert RecordAnswer.model_validate_json(first.body).found
    assert len(rows_of(pair, raw)) == 1
    (entry,) = pair.new_entries("message")
    for answer in (first, second):
        reply = pair.network.reply(pair.sender, pair.receiver, raw, answer)
        assert reply.claims.log is not None
        assert reply.claims.log.index == entry["index"]


def test_another_text_under_a_used_number_is_a_conflict(pair: Pair) -> None:
    raw = enquiry(pair)
    claims = parse_statement(raw.statement).claims
    assert pair.post(raw).status == 200
    seen = pair.from_now()
    other = enquiry(pair, jti=claims["jti"], iat=claims["iat"], exp=claims["exp"] + 1)
    seen.assert_refused(seen.post(other), "replay-conflict", 409, other)
    assert [row["digest"] for row in rows_of(pair, raw)] == [row["digest"] for row in rows_of(pair, other)]


def test_the_same_number_of_another_sender_is_another_message(pair: Pair) -> None:
    raw = pair.seal()
    jti = parse_statement(raw.statement).claims["jti"]
    other = pair.network.seal(pair.third, pair.receiver, b"{}", msg="ping", jti=jti)
    assert pair.post(raw).status == 200
    assert pair.network.post(pair.third, pair.receiver, other.statement, other.body).status == 200
    assert {row["iss"] for row in rows_of(pair, raw)} == {pair.sender, pair.third}


def test_a_message_that_was_refused_may_pass_later(pair: Pair) -> None:
    """Refusals of steps 0 to 10 are not remembered: the same text with its own body is executed."""
    raw = pair.seal()
    assert pair.network.post(pair.sender, pair.receiver, raw.statement, b"{ }").status == 400
    assert pair.post(raw).status == 200


def test_the_reply_is_the_same_after_a_restart_of_the_receiver(pair: Pair) -> None:
    raw = enquiry(pair)
    first = pair.post(raw)
    assert first.status == 200
    assert pair.network.stop(pair.receiver) == 0
    pair.network.start(pair.receiver)
    again = pair.post(raw)
    assert (again.status, again.body, payload_of(again)) == (200, first.body, payload_of(first))
    assert len(pair.new_entries("message")) == len(rows_of(pair, raw)) == 1


def test_fifty_copies_at_once_have_one_effect_and_get_equal_replies(pair: Pair) -> None:
    network, raw = pair.network, enquiry(pair)
    assert pair.post(pair.seal()).status == 200  # the message certificate is known from here on
    seen = pair.from_now()

    def send(number: int) -> HttpAnswer:
        with network.connected(pair.sender, pair.receiver, seconds=30) as wire:
            wire.send(message_bytes(raw.statement, raw.body))
            return wire.answer()

    with ThreadPoolExecutor(max_workers=COPIES) as pool:
        answers = list(pool.map(send, range(COPIES)))
    assert {answer.status for answer in answers} == {200}, json.loads(answers[0].body)
    assert len({(payload_of(answer), answer.body) for answer in answers}) == 1
    assert len(rows_of(pair, raw)) == len(seen.new_entries("message")) == 1
