"""The table of every item and of every leg, walked: no dead end, no state without an owner and a clock, and a refusal
that names its reason, its ground in law and its remedy."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.data import procedures_bytes
from protocol.catalogue_checks import check_answer
from protocol.catalogue_legs import leg_item
from protocol.errors import InvalidTransition
from protocol.procedures.engine import BOTH, OPEN, Act, CaseState, actions, begin, follow
from protocol.procedures.pack import Procedure, parse_pack
from tests.protocol.filling import CATALOGUE, ITEMS

PACK = parse_pack(procedures_bytes())
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
RESULTS = ("APPROVED", "REJECTED", None)
LEGS = [(item, leg) for item, handling in PACK.handling.items() for leg in handling.legs]


def procedure_of(item: str, leg: str = "") -> Procedure:
    handling = PACK.handling_of(item)
    return PACK.procedures[handling.legs[leg].procedure if leg else handling.procedure or ITEMS[item].mode]


EVERY = [(item, "") for item in ITEMS] + LEGS


def test_all_eighteen_items_have_a_table() -> None:
    assert len(ITEMS) == 18
    assert {item for item, _leg in LEGS} == {
        "PEN-TRANSFER", "PEN-BRIDGE", "PEN-PUBSEC", "RES-TRANSFER", "UI-TRANSFER",
    }  # fmt: skip
    assert {item for item in ITEMS if ITEMS[item].fund_leg} == {item for item, _leg in LEGS}


@pytest.mark.parametrize(("item", "leg"), EVERY)
def test_from_every_state_a_case_can_end(item: str, leg: str) -> None:
    procedure = procedure_of(item, leg)
    ending = {name for name, stage in procedure.stages.items() if stage.closed}
    while True:
        more = {
            origin
            for row in procedure.transitions
            for origin in row.origins
            if row.to in ending or (row.to == "(before)" and ending & _remembered(procedure, origin))
        } - ending
        if not more:
            break
        ending |= more
    assert ending == procedure.stages.keys()


def _remembered(procedure: Procedure, state: str) -> set[str]:
    """Return the states from which one comes to a state that remembers them."""
    return {one for row in procedure.transitions if row.to == state and row.remembers for one in row.origins}


@st.composite
def acts(draw: st.DrawFn, item: str, leg: str) -> tuple[CaseState, list[str]]:
    """Walk a table by what is offered; return where it ends, and the way."""
    procedure, reviewers = procedure_of(item, leg), ITEMS[item].reviewers
    parts = draw(st.lists(st.sampled_from(["PEN_CALC", "MED_RETIREE", "HPF_SEAL"]), unique=True))
    flags = draw(st.sampled_from([(), ("fund",)]))
    side = draw(st.sampled_from(["apart", BOTH])) if ITEMS[item].mode == "JOINT" and not leg else "apart"
    given_parts = parts if PACK.handling_of(item).parts and not leg else ()
    state = begin(procedure, at=NOW, officer="a", parts=given_parts, flags=flags)
    way = [state.name]
    for _ in range(draw(st.integers(0, 25))):
        offered = _offered(procedure, state, side, reviewers)
        if not offered:
            break
        act = draw(st.sampled_from(offered))
        state = follow(procedure, state, act, reviewers=reviewers)
        way.append(f"{act.event} → {state.name}")
    return state, way


def _offered(procedure: Procedure, state: CaseState, side: str, reviewers: int) -> list[Act]:
    """Return acts that must be possible, of people who have done nothing yet, with what they would say."""
    found: list[Act] = []
    for who in (BOTH,) if side == BOTH else ("accepting", "responsible"):
        for action in actions(procedure, state, who, reviewers=reviewers):
            role, officer = action.transition.roles[0], f"n-{len(found)}"
            found += [
                Act(action.event, who, role, officer, NOW, said.get("result"), said)
                for said in _sayings(procedure, state, action.event)
            ]
    return [one for one in found if _passes(procedure, state, one, reviewers)]


def _sayings(procedure: Procedure, state: CaseState, event: str) -> list[dict[str, Any]]:
    names = {one.name for one in procedure.fields_of(event)}
    if "part" in names:
        return [{"part": one, "result": "APPROVED"} for one in [*state.open_parts, f"KS{len(state.parts)}"]]
    if "arrival" in names:
        return [{"arrival": {"arrival_fen": fen}} for fen in (1, 5)]
    if "sheet" in names:
        return [{"sheet": {"totals": {"total_fen": fen}}} for fen in (5, 6)]
    if "order" in names:
        return [{"order": {"total_fen": 5}}]
    return [{"result": one} if one else {} for one in RESULTS]


def _passes(procedure: Procedure, state: CaseState, act: Act, reviewers: int) -> bool:
    try:
        follow(procedure, state, act, reviewers=reviewers)
    except InvalidTransition:
        return False
    return True


@pytest.mark.parametrize(("item", "leg"), EVERY)
@given(data=st.data())
def test_wherever_a_case_comes_somebody_is_to_act_by_a_day_and_can(item: str, leg: str, data: st.DataObject) -> None:
    state, way = data.draw(acts(item, leg))
    procedure, reviewers = procedure_of(item, leg), ITEMS[item].reviewers
    stage = procedure.stage(state.name)
    if stage.closed:
        assert all(one != OPEN for one in state.parts.values()) or PACK.handling_of(item).parts, way
        return
    assert stage.turn in ("accepting", "responsible"), way
    assert stage.within > 0, way
    assert state.since is not None
    offered = actions(procedure, state, stage.turn, reviewers=reviewers)
    assert [one for one in offered if one.event not in ("chase", "escalate", "remind")] or state.open_parts, way


@pytest.mark.parametrize("item", ITEMS)
def test_a_refusal_carries_its_reason_its_ground_and_its_remedy(item: str) -> None:
    bare = {"result": "REJECTED", "decided_at": "2026-11-24T16:00:00+08:00", "decided_by": "officer"}
    told = {one.at for one in check_answer(ITEMS[item], bare, today=NOW.date())}
    assert told >= {"reason_text", "legal_ref", "remedy_text"}
    grounds = {"reason_text": "不符合条件", "legal_ref": "社会保险法", "remedy_text": "可申请行政复议"}
    assert check_answer(ITEMS[item], bare | grounds, today=NOW.date()) == []


@pytest.mark.parametrize("item", ITEMS)
def test_every_material_that_may_be_demanded_has_its_ground_in_law(item: str) -> None:
    assert all(one.legal_ref.strip() for one in ITEMS[item].materials)


@pytest.mark.parametrize(("item", "leg"), LEGS)
def test_a_leg_asks_for_the_person_and_the_letter(item: str, leg: str) -> None:
    found = leg_item(CATALOGUE, ITEMS[item], PACK.handling_of(item).legs[leg])
    assert found is not None
    names = [one.name for one in found.application]
    assert names[0] == "person"
    assert names[-1] == "letter"
    assert set(PACK.handling_of(item).legs[leg].takes) == set(names) - {"letter"}
    assert found.materials == ()
