"""Whatever is changed on the way is refused; whatever is sealed is opened (threat T01)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.claims import Who, Why
from protocol.envelope import RawMessage, unseal
from tests.protocol.mutations import ACCEPTED, NOW, PEER, US, insider, make_target, outcome, run

TARGET = make_target()
MESSAGES = st.sampled_from(TARGET.messages)


def test_what_is_mutated_is_valid() -> None:
    assert {outcome(raw, TARGET.trust) for raw in TARGET.messages} == {ACCEPTED}


@pytest.mark.threat("T01")
def test_three_thousand_mutations_are_refused() -> None:
    counted, accepted = run(3_000, seed=20261124)
    assert accepted == []
    assert {"malformed", "bad-signature", "digest-mismatch"} <= counted.keys()


@pytest.mark.threat("T01")
def test_strange_claims_under_a_good_signature_are_read_or_refused() -> None:
    chance = random.Random(20261124)
    found = {outcome(insider(TARGET, chance), TARGET.trust) for _ in range(2_000)}
    assert {ACCEPTED, "malformed", "unsupported-version", "wrong-network"} <= found


@pytest.mark.threat("T01")
@given(MESSAGES, st.data())
def test_any_other_byte_anywhere_is_refused(raw: RawMessage, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["statement", "body"]))
    text = raw.statement if part == "statement" else raw.body
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[at]))
    changed = text[:at] + bytes([byte]) + text[at + 1 :]
    texts = (changed, raw.body) if part == "statement" else (raw.statement, changed)
    assert outcome(RawMessage(*texts, raw.content_type), TARGET.trust) != ACCEPTED


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(st.binary(max_size=2000), words, words, st.sampled_from(["clerk", "system"]))
def test_what_is_sealed_is_opened_unchanged(body: bytes, office: str, ref: str, role: str) -> None:
    why, who = Why(item="PEN-LUMPSUM", basis="STATUTORY", ref=ref), Who(office=office, role=role)
    raw = TARGET.network.seal(PEER, US, body, msg="record.query", why=why, who=who)
    message = unseal(raw, TARGET.trust, peer=PEER, now=NOW)
    assert (message.body, message.claims.why, message.claims.who) == (body, why, who)
