"""Procedures: what the pack says, what the engine allows, and what an event must say."""

import copy
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.data import procedures_bytes
from protocol.cases import CaseEvent, CaseOpen
from protocol.errors import InvalidTransition
from protocol.procedures.engine import Act, CaseState, actions, begin, follow, format_state, parse_state
from protocol.procedures.facts import check_data
from protocol.procedures.pack import PACK_MAX_BYTES, EventField, PackInvalid, parse_pack
from protocol.transcript import opened, position

PACK = parse_pack(procedures_bytes())
UNIFORM = PACK.procedures["UNIFORM"]
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def act(event: str, role: str, officer: str | None = "b", *, side: str = "responsible", minutes: int = 0) -> Act:
    return Act(event, side, role, officer, NOW + timedelta(minutes=minutes))


def after(*acts: Act, reviewers: int = 2, procedure: Any = UNIFORM) -> CaseState:
    state = begin(procedure, at=NOW, officer="a")
    for one in acts:
        state = follow(procedure, state, one, reviewers=reviewers)
    return state


SIGN, DECIDE = act("sign", "officer"), act("decide", "officer")


def test_every_mode_starts_somewhere_and_every_state_but_the_closed_can_be_left() -> None:
    assert PACK.procedures.keys() == {
        "UNIFORM", "COLLECT", "JOINT", "TRANSFER", "TRANSFER_OUT", "RETIREMENT", "CALL_BACK",
    }  # fmt: skip
    for procedure in PACK.procedures.values():
        left = {origin for row in procedure.transitions for origin in row.origins}
        assert {name for name, stage in procedure.stages.items() if not stage.closed} <= left
        reached = {procedure.start} | {row.to for row in procedure.transitions}
        assert procedure.stages.keys() <= reached | {"(same)", "(before)"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda pack: pack.update(pack="other"), "not a pack"),
        (lambda pack: pack["procedures"]["UNIFORM"].update(start="NOWHERE"), "start"),
        (lambda pack: pack["procedures"]["UNIFORM"].update(clock="never"), "clock"),
        (lambda pack: pack["procedures"]["UNIFORM"]["states"]["ACCEPTED"].update(turn="citizen"), "turn"),
        (lambda pack: pack["procedures"]["UNIFORM"]["states"]["ACCEPTED"].update(within=0), "within"),
        (lambda pack: pack["procedures"]["TRANSFER"]["transitions"][0].update(parts="some"), "parts"),
        (lambda pack: pack["procedures"]["TRANSFER"]["transitions"][0].update(part="shut"), "parts"),
        (lambda pack: pack["procedures"]["TRANSFER"]["transitions"][0].update(balance="nearly"), "balance"),
        (lambda pack: pack["items"]["PEN-TRANSFER"].update(procedure="NONE"), "procedure"),
        (lambda pack: pack.update(pairs=[{"cities": ["442000"], "item": "X", "mark": "D", "promised": []}]), "cities"),
        (
            lambda pack: pack.update(
                pairs=[
                    {
                        "cities": ["442000", "520300"],
                        "item": "X",
                        "mark": "D",
                        "promised": [{"leg": "OUT", "value": 1, "unit": "week"}],
                    }
                ]
            ),
            "promised",
        ),
        (lambda pack: pack["items"]["PEN-TRANSFER"]["legs"]["OUT"].update(procedure="NONE"), "procedure of OUT"),
        (
            lambda pack: pack["items"]["PEN-TRANSFER"]["legs"].update(o=pack["items"]["PEN-TRANSFER"]["legs"]["OUT"]),
            "name of o",
        ),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update(by="citizen"), "by"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update(roles=[]), "roles"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update(roles=["king"]), "roles"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update({"from": ["X"]}), "from"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update(to="X"), "to"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][0].update(clock="wind"), "clock"),
        (lambda pack: pack["procedures"]["UNIFORM"]["transitions"][1]["data"]["text"].update(type="x"), "type of"),
        (lambda pack: pack.pop("items"), "KeyError"),
    ],
)
def test_a_pack_that_the_engine_could_not_run_is_refused(change: Any, place: str) -> None:
    pack = copy.deepcopy(json.loads(procedures_bytes()))
    change(pack)
    with pytest.raises(PackInvalid, match=place):
        parse_pack(json.dumps(pack).encode())


def test_a_pack_has_a_size_and_is_json() -> None:
    for data in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b" " * (PACK_MAX_BYTES + 1)):
        with pytest.raises(PackInvalid):
            parse_pack(data)


@given(st.binary(max_size=200))
def test_whatever_bytes_are_a_pack_or_refused(data: bytes) -> None:
    with pytest.raises(PackInvalid):
        parse_pack(data)


@pytest.mark.parametrize(
    ("acts", "why"),
    [
        ([act("sign", "clerk")], "role"),
        ([act("sign", "officer", side="accepting")], "city"),
        ([SIGN, SIGN], "state"),
        ([act("fly", "officer")], "knows no event"),
        ([SIGN, DECIDE, act("review", "reviewer")], "person"),
        ([SIGN, DECIDE, act("review", "reviewer", None)], "person"),
        ([act("escalate", "director", "a", side="accepting")], "something else comes first"),
    ],
)
def test_what_a_guard_forbids_says_why_and_what_is_possible(acts: list[Act], why: str) -> None:
    with pytest.raises(InvalidTransition, match=why) as refused:
        after(*acts)
    assert "actions" in refused.value.facts


def test_one_reviewer_decides_at_once_and_two_in_two_steps() -> None:
    assert after(SIGN, DECIDE, reviewers=1).name == "DECIDED"
    assert after(SIGN, DECIDE, reviewers=2).name == "SECOND_REVIEW"
    assert after(SIGN, DECIDE, act("review", "reviewer", "c")).name == "DECIDED"


def test_the_clock_begins_stops_runs_and_ends() -> None:
    collect = PACK.procedures["COLLECT"]
    assert begin(collect, at=NOW, officer="a").clock_from is None
    assert after(act("sign", "officer"), procedure=collect).clock_from == NOW.isoformat()
    state = after(SIGN, act("supplement", "officer", minutes=1))
    assert [one.ended for one in state.pauses] == [None]
    state = follow(UNIFORM, state, act("supplemented", "clerk", "a", side="accepting", minutes=9), reviewers=2)
    assert [(one.started[14:16], (one.ended or "")[14:16]) for one in state.pauses] == [("01", "09")]
    ended = after(SIGN, act("withdraw", "clerk", "a", side="accepting", minutes=5))
    assert ended.clock_ended == (NOW + timedelta(minutes=5)).isoformat()


def test_a_suspended_case_returns_to_the_state_that_it_left() -> None:
    for way, name in (([], "ACCEPTED"), ([SIGN], "IN_REVIEW"), ([SIGN, DECIDE], "SECOND_REVIEW")):
        suspended = after(*way, act("suspend", "director"))
        assert suspended.name == "SUSPENDED"
        assert follow(UNIFORM, suspended, act("resume", "officer"), reviewers=2).name == name


@given(st.lists(st.sampled_from([row.event for row in UNIFORM.transitions]), max_size=12), st.data())
def test_what_is_offered_is_exactly_what_passes(events: list[str], data: st.DataObject) -> None:
    """On any way through the table: an action that is offered passes, one that is not is refused."""
    state = begin(UNIFORM, at=NOW, officer="a")
    for event in events:
        side = data.draw(st.sampled_from(["accepting", "responsible"]))
        role = data.draw(st.sampled_from(["clerk", "officer", "reviewer", "director"]))
        officer = data.draw(st.sampled_from("abc"))
        offered = {one.event for one in actions(UNIFORM, state, side, reviewers=2, role=role, officer=officer)}
        try:
            state = follow(UNIFORM, state, act(event, role, officer, side=side), reviewers=2)
        except InvalidTransition:
            assert event not in offered
        else:
            assert event in offered
        assert parse_state(json.loads(json.dumps(format_state(state)))) == state


FIELDS = (
    EventField("reason", "理由", "reason", "text", required=True),
    EventField("missing", "缺少", "missing", "lines"),
    EventField("on", "日期", "date", "date"),
    EventField("to", "城市", "city", "division"),
    EventField("by", "领取人", "by", "choice", choices=("person", "agent")),
)


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ({"reason": "r"}, []),
        ({}, [("reason", "required")]),
        ({"reason": "  "}, [("reason", "text")]),
        ({"reason": "r" * 4001}, [("reason", "text")]),
        ({"reason": "r\x00"}, [("reason", "text")]),
        ({"reason": 7}, [("reason", "text")]),
        ({"reason": "r", "other": 1}, [("?", "unknown")]),
        ({"reason": "r", "missing": ["a", "b"]}, []),
        ({"reason": "r", "missing": "a"}, [("missing", "lines")]),
        ({"reason": "r", "missing": ["a"] * 41}, [("missing", "lines")]),
        ({"reason": "r", "on": "2026-11-24"}, []),
        ({"reason": "r", "on": "2026-W48-2"}, [("on", "date")]),
        ({"reason": "r", "on": "2026-02-30"}, [("on", "date")]),
        ({"reason": "r", "to": "520300"}, []),
        ({"reason": "r", "to": "52030"}, [("to", "division")]),
        ({"reason": "r", "by": "agent"}, []),
        ({"reason": "r", "by": "king"}, [("by", "choice")]),
    ],
)
def test_the_data_of_an_event_has_the_fields_of_its_row(data: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    found = check_data(FIELDS, data, {})
    assert [(one.at, one.rule) for one in found] == faults
    assert all(one.zh and one.en for one in found)


def test_an_event_has_one_form() -> None:
    common: dict[str, Any] = {"salt": "A" * 22, "event": "sign", "data": {}, "attachments": []}
    assert CaseEvent(**common, seq=1, prev="A" * 43).is_proposal is False
    assert CaseEvent(**common, seen="A" * 43).is_proposal is True
    for wrong in ({}, {"seq": 1}, {"prev": "A" * 43}, {"seq": 1, "prev": "A" * 43, "seen": "A" * 43}):
        with pytest.raises(ValueError, match="seq and prev"):
            CaseEvent(**common, **wrong)
    with pytest.raises(ValueError, match="versions"):
        CaseOpen(salt="A" * 22, application={}, attachments=[])  # type: ignore[call-arg]


def test_the_head_is_the_chain_of_digests() -> None:
    """Computed here by hand: SHA-256 of the head before and the digest, raw bytes."""
    first, second = hashlib.sha256(b"open").digest(), hashlib.sha256(b"event").digest()
    assert (opened(first).seq, opened(first).raw) == (0, first)
    then = opened(first).after(second)
    assert (then.seq, then.raw) == (1, hashlib.sha256(first + second).digest())
    assert position(1, then.raw) == then
