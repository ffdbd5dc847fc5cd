"""One engine for every procedure: what may follow what is a table, and this module reads it (protocol §6, Cases).

A pack is a dated JSON document that the network shares by digest; a case stays with the pack under which it was opened.
Both cities fold the same transcript with the same table, so both stand in the same state, and the actions that a
person is offered are exactly the transitions whose guards hold::

    {"event": "review", "by": "responsible", "roles": ["reviewer"], "from": ["SECOND_REVIEW"], "to": "DECIDED",
     "other_than": "decide", "clock": "end", "data": {"text": {"zh": "意见", "en": "text", "type": "text"}}}

    from, to      states; `(same)` stays, `(before)` returns to the state that `remembers` had left
    by            which city may: accepting or responsible; `roles` which of its people
    once          at most one such event per case            after       only when that event has been
    other_than    another person than the last who did that  reviewers   only for items that want so many
    clock         begin, stop, run or end the time limit; `limit` says which one begins
    part, of      opens or closes a part of the case, a leg or a sub-matter, that `data.part` names; one of these
    parts         only while none is open, while that part is the last open one, or while more are
    results       only with one of these answers             flag        only for cases opened with it; `!` without
    amounts       sets or adds amounts that the event states  balance    only if the arrived is the expected, or differs
    opens_legs    the legs of the application are opened with it

A city that is both accepting and responsible acts as `both`: each row is its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from protocol.errors import InvalidTransition
from protocol.procedures.pack import Procedure, Transition

SAME: Final = "(same)"
BEFORE: Final = "(before)"
BOTH: Final = "both"
OPEN: Final = "open"
ANYBODY: Final = "*"
"""stands for an officer where the question is what a city may do, whoever acts"""


@dataclass(frozen=True, slots=True)
class Span:
    """A pause of the clock; open while `ended` is None. RFC 3339 with offset, as the events say it."""

    started: str
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class CaseState:
    """Where a case stands: everything that guards and clocks need, and nothing of the person."""

    name: str
    before: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    officers: Mapping[str, str] = field(default_factory=dict)
    """who did each event last: `side:pseudonym`"""
    clock_from: str | None = None
    clock_ended: str | None = None
    pauses: tuple[Span, ...] = ()
    result: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    """legs and sub-matters: `open`, or what became of them"""
    flags: tuple[str, ...] = ()
    limit: str | None = None
    """which limit of the item the clock counts against"""
    amounts: Mapping[str, int] = field(default_factory=dict)
    """in fen"""
    since: str | None = None
    """when it came to stand there"""

    @property
    def open_parts(self) -> list[str]:
        """Return the parts that are not done."""
        return [name for name, stand in self.parts.items() if stand == OPEN]


@dataclass(frozen=True, slots=True)
class Act:
    """An event as the engine sees it."""

    event: str
    side: str
    role: str
    officer: str | None
    at: datetime
    result: str | None = None
    """of an answer, or of a part"""
    data: Mapping[str, Any] | None = None
    """what it says; None where the question is only what may be done"""


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody may do now."""

    transition: Transition
    by: str

    @property
    def event(self) -> str:
        """Return the name of the event."""
        return self.transition.event


def begin(
    procedure: Procedure,
    *,
    at: datetime,
    officer: str | None,
    side: str = "accepting",
    parts: Sequence[str] = (),
    flags: Sequence[str] = (),
    limit: str | None = None,
) -> CaseState:
    """Return the state after `case.open`."""
    return CaseState(
        name=procedure.start,
        counts={"open": 1},
        officers={"open": f"{side}:{officer}"} if officer else {},
        clock_from=at.isoformat() if procedure.clock == "open" else None,
        parts=dict.fromkeys(parts, OPEN),
        flags=tuple(flags),
        limit=limit,
        since=at.isoformat(),
    )


def follow(procedure: Procedure, state: CaseState, act: Act, *, reviewers: int) -> CaseState:
    """Return the state after an event.

    Raises:
        InvalidTransition: not from this state, not by this city, role or person; `actions` names what is possible.
    """
    for transition in procedure.transitions:
        if transition.event == act.event and _fault(transition, state, act, reviewers) is None:
            return _moved(procedure, transition, state, act)
    raise InvalidTransition(
        _why(procedure, state, act, reviewers),
        state=state.name,
        actions=[one.event for one in actions(procedure, state, act.side, reviewers=reviewers)],
    )


def actions(
    procedure: Procedure,
    state: CaseState,
    side: str,
    *,
    reviewers: int,
    role: str | None = None,
    officer: str | None = None,
) -> list[Action]:
    """Return what a city may do now; with `role` and `officer` what that person may."""
    found: list[Action] = []
    for transition in procedure.transitions:
        if side not in (transition.by, BOTH) or (role is not None and role not in transition.roles):
            continue
        act = Act(transition.event, side, role or transition.roles[0], officer or ANYBODY, _NO_TIME)
        if _fault(transition, state, act, reviewers) is None:
            found.append(Action(transition, side))
    return found


def _fault(transition: Transition, state: CaseState, act: Act, reviewers: int) -> str | None:
    """Return the guard that does not hold, as a word, or None."""
    checks = (
        (act.side in (transition.by, BOTH), "city"),
        (state.name in transition.origins, "state"),
        (transition.reviewers in (None, reviewers), "reviewers"),
        (act.role in transition.roles, "role"),
        (not transition.once or not state.counts.get(transition.event), "once"),
        (transition.after is None or bool(state.counts.get(transition.after)), "after"),
        (transition.other_than is None or _is_another(state, transition.other_than, act), "person"),
        (transition.flag is None or _has_flag(state, transition.flag), "flag"),
        (transition.parts is None or _parts_are(state, transition, act), "parts"),
        (act.data is None or _is_its_part(state, transition, act.data), "part"),
        (act.data is None or not transition.results or act.result in transition.results, "result"),
        (transition.balance is None or _balance(state) == transition.balance, "balance"),
    )
    return next((word for holds, word in checks if not holds), None)


def _is_another(state: CaseState, event: str, act: Act) -> bool:
    """Say whether another person acts than the last who did that; an act of nobody is no second look."""
    return act.officer is not None and state.officers.get(event) != f"{act.side}:{act.officer}"


def _has_flag(state: CaseState, flag: str) -> bool:
    return flag[1:] not in state.flags if flag.startswith("!") else flag in state.flags


def _parts_are(state: CaseState, transition: Transition, act: Act) -> bool:
    count = len(state.open_parts)
    if act.data is None and transition.parts != "none":
        return count > 0
    return {"none": count == 0, "last": count == 1, "more": count > 1}[str(transition.parts)]


def _is_its_part(state: CaseState, transition: Transition, data: Mapping[str, Any]) -> bool:
    part = data.get("part")
    if transition.of and part not in transition.of:
        return False
    if transition.closes_part:
        return state.parts.get(str(part)) == OPEN
    return not transition.opens_part or str(part) not in state.parts


def _balance(state: CaseState) -> str:
    expected, arrived = state.amounts.get("expected"), state.amounts.get("arrived", 0)
    return "equal" if expected is not None and expected == arrived else "differs"


_NO_TIME: Final = datetime.min
_WORDS: Final = {
    "city": "the other city may do this",
    "state": "not in the present state",
    "reviewers": "not for this item",
    "role": "not in this role",
    "once": "it has been done once, and may be done only once",
    "after": "something else comes first",
    "person": "the person who took the step may not review it",
    "flag": "not for a case of this kind",
    "parts": "the other parts of the case decide whether it may be",
    "part": "no such part of the case is open",
    "result": "not with this result",
    "balance": "what has arrived and what was expected decide whether it may be",
}


def _why(procedure: Procedure, state: CaseState, act: Act, reviewers: int) -> str:
    """Return what kept the nearest transition from passing."""
    named = [one for one in procedure.transitions if one.event == act.event]
    if not named:
        return f"this procedure knows no event {act.event}"
    faults = [_fault(one, state, act, reviewers) or "state" for one in named]
    order = (
        "person", "once", "after", "part", "parts", "balance", "result", "flag", "role", "city", "reviewers", "state"
    )  # fmt: skip
    return f"{act.event} in {state.name}: {_WORDS[min(faults, key=order.index)]}"


def _moved(procedure: Procedure, transition: Transition, state: CaseState, act: Act) -> CaseState:
    target = {SAME: state.name, BEFORE: state.before or state.name}.get(transition.to, transition.to)
    moved = replace(
        state,
        name=target,
        before=state.name if transition.remembers else (None if transition.to == BEFORE else state.before),
        counts={**state.counts, act.event: state.counts.get(act.event, 0) + 1},
        officers={**state.officers, act.event: f"{act.side}:{act.officer}"} if act.officer else state.officers,
        result=state.result if transition.closes_part else act.result or state.result,
        parts=_parts_after(transition, state, act),
        limit=transition.limit or state.limit,
        amounts=_amounts_after(transition, state, act.data or {}),
        since=state.since if target == state.name else act.at.isoformat(),
    )
    return _clocked(moved, transition.clock, act.at.isoformat())


def _parts_after(transition: Transition, state: CaseState, act: Act) -> Mapping[str, str]:
    if act.data is None or not (transition.opens_part or transition.closes_part):
        return state.parts
    return {**state.parts, str(act.data.get("part")): OPEN if transition.opens_part else act.result or "DONE"}


def _amounts_after(transition: Transition, state: CaseState, data: Mapping[str, Any]) -> Mapping[str, int]:
    amounts = dict(state.amounts)
    for one in transition.amounts:
        stated = _stated(data, one.at)
        if stated is None or (one.how == "default" and one.name in amounts):
            continue
        amounts[one.name] = stated + (amounts.get(one.name, 0) if one.how == "add" else 0)
    return amounts


def _stated(data: Mapping[str, Any], at: Sequence[str]) -> int | None:
    value: Any = data
    for name in at:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if type(value) is int else None


def _clocked(state: CaseState, clock: str | None, at: str) -> CaseState:
    is_open = bool(state.pauses) and state.pauses[-1].ended is None
    if clock == "begin":
        return replace(state, clock_from=at, clock_ended=None, pauses=())
    if clock == "stop" and not is_open:
        return replace(state, pauses=(*state.pauses, Span(at)))
    if clock in ("run", "end") and is_open:
        state = replace(state, pauses=(*state.pauses[:-1], Span(state.pauses[-1].started, at)))
    return replace(state, clock_ended=at) if clock == "end" else state


def format_state(state: CaseState) -> dict[str, Any]:
    """Return a state as it is stored."""
    return {
        "name": state.name,
        "before": state.before,
        "counts": dict(state.counts),
        "officers": dict(state.officers),
        "clock_from": state.clock_from,
        "clock_ended": state.clock_ended,
        "pauses": [[one.started, one.ended] for one in state.pauses],
        "result": state.result,
        **{
            name: value
            for name, value in (
                ("parts", dict(state.parts)),
                ("flags", list(state.flags)),
                ("limit", state.limit),
                ("amounts", dict(state.amounts)),
                ("since", state.since),
            )
            if value
        },
    }


def parse_state(stored: Mapping[str, Any]) -> CaseState:
    """Return a stored state."""
    known = {**stored, "pauses": tuple(Span(*one) for one in stored["pauses"])}
    return CaseState(**{**known, "flags": tuple(stored.get("flags", ()))})
