"""Every token attack on both token types: a refusal, never an acceptance, never another error (figure 17)."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from protocol.claims import MESSAGE_TYP, REPLY_TYP
from protocol.envelope import RawMessage, RawReply, unseal, unseal_reply
from protocol.errors import Refusal
from tests.networks import make_network
from tests.protocol.token_attacks import attacks

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ASKING, ASKED = "450400", "442000"
NETWORK = make_network([ASKING, ASKED], NOW)
RAW = NETWORK.seal(ASKING, ASKED, b"{}", msg="record.query")
REQUEST = unseal(RAW, NETWORK.trust_of(ASKED), peer=ASKING, now=NOW)
ANSWER = NETWORK.answer(REQUEST, b"{}", msg="record.answer")
ON_MESSAGES = attacks(NETWORK[ASKING], MESSAGE_TYP)
ON_REPLIES = attacks(NETWORK[ASKED], REPLY_TYP)


def receive(statement: bytes) -> object:
    return unseal(RawMessage(statement, RAW.body, RAW.content_type), NETWORK.trust_of(ASKED), peer=ASKING, now=NOW)


def receive_reply(statement: bytes) -> object:
    raw = RawReply(ANSWER.status, statement, ANSWER.body, ANSWER.content_type)
    return unseal_reply(raw, REQUEST, NETWORK.trust_of(ASKING), server=ASKED, now=NOW)


def outcome(read: Callable[[bytes], object], statement: bytes) -> str:
    """Return "accepted" or the slug of the refusal; whatever else is raised is a fault of ours."""
    try:
        read(statement)
    except Refusal as refusal:
        return refusal.slug
    return "accepted"


def test_what_is_attacked_is_valid() -> None:
    assert outcome(receive, RAW.statement) == "accepted"
    assert outcome(receive_reply, ANSWER.statement) == "accepted"


@pytest.mark.threat("T01")
@pytest.mark.parametrize("name", ON_MESSAGES)
def test_no_attack_on_a_message_is_accepted(name: str) -> None:
    attacked = ON_MESSAGES[name](RAW.statement)
    assert attacked != RAW.statement
    assert outcome(receive, attacked) != "accepted"


@pytest.mark.threat("T01")
@pytest.mark.parametrize("name", ON_REPLIES)
def test_no_attack_on_a_reply_is_accepted(name: str) -> None:
    attacked = ON_REPLIES[name](ANSWER.statement)
    assert attacked != ANSWER.statement
    assert outcome(receive_reply, attacked) != "accepted"


@pytest.mark.threat("T02")
def test_one_token_type_never_passes_for_the_other() -> None:
    assert outcome(receive, ANSWER.statement) == "malformed"
    assert outcome(receive_reply, RAW.statement) == "malformed"
