"""When a case is due: promised and statutory limits of its item, from the clock that its events started and stopped.

An item may have a limit for the whole (`TOTAL`) and for its parts (`IN_REVIEW`, `OUT`, …): the state of a case says
which one counts now. Where several are recorded under one name, local ones of different cities, the longest counts:
nobody is late by another city's rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from node.cases.room import CHINA, Rules
from protocol.catalogue import Leg
from protocol.deadlines import Calendars, Due, Limit, Pause, due, due_minutes
from protocol.procedures.engine import CaseState, Span

TOTAL = "TOTAL"
FAST_TRACK = "FAST_TRACK"
FAST = "fast"
"""flag of a case for which the limit in minutes counts as well"""
MINUTE = "minute"


@dataclass(frozen=True, slots=True)
class Times:
    """Due days; None while the clock has not begun, stands still, or no limit is set."""

    promised: date | None
    statutory: date | None
    provisional: bool
    duty: date | None = None
    """until when whoever's turn it is should act, while no limit of the item counts"""


def times_of(rules: Rules, state: CaseState, calendars: Calendars) -> Times:
    """Return when a case is due.

    Raises:
        CalendarMissing: no calendar for a year on the way.
    """
    if state.clock_from is None:
        return _on_duty(rules, state, calendars, Times(None, None, False))
    begun = _day(state.clock_from)
    pauses = _pauses(state.pauses)
    promised = _due(limit_of(rules.item.promised_legs, state.limit), begun, calendars, pauses)
    statutory = _due(limit_of(rules.item.statutory_legs, state.limit), begun, calendars, pauses)
    known = [one for one in (promised, statutory) if one is not None]
    times = Times(
        promised.on if promised else None,
        statutory.on if statutory else None,
        any(one.provisional for one in known),
    )
    is_counting = state.clock_ended is None and (times.promised or times.statutory)
    return times if is_counting else _on_duty(rules, state, calendars, times)


def _on_duty(rules: Rules, state: CaseState, calendars: Calendars, times: Times) -> Times:
    stage = rules.procedure.stage(state.name)
    if stage.closed or state.since is None:
        return times
    last = due(_day(state.since), Limit(stage.within, "working_day"), calendars)
    return replace(times, duty=last.on, provisional=times.provisional or last.provisional)


def limit_of(legs: Sequence[Leg], name: str | None) -> Limit | None:
    """Return the limit in days that counts: that of this name, else the whole case's, else the only one there is."""
    days = [one for one in legs if one.limit.unit != MINUTE]
    for wanted in (name, TOTAL):
        named = [one.limit for one in days if one.leg == wanted]
        if named:
            return max(named, key=lambda limit: limit.value)
    return days[0].limit if len(days) == 1 else None


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minute clock of a case on the fast track: when it is due (None while it stands still), and minutes used."""

    due_at: datetime | None
    elapsed: int


def minutes_of(rules: Rules, state: CaseState, *, now: datetime) -> Minutes | None:
    """Return the minute clock of a case; None if it has none. Time of pauses is not counted."""
    limit = next((one.limit for one in rules.item.promised_legs if one.limit.unit == MINUTE), None)
    if limit is None or FAST not in state.flags or state.clock_from is None:
        return None
    begun = datetime.fromisoformat(state.clock_from)
    pauses = [
        (datetime.fromisoformat(one.started), datetime.fromisoformat(one.ended) if one.ended else None)
        for one in state.pauses
    ]
    ended = datetime.fromisoformat(state.clock_ended) if state.clock_ended else now
    paused = sum((max((stop or ended) - start, start - start) for start, stop in pauses), begun - begun)
    return Minutes(due_minutes(begun, limit, pauses), int((ended - begun - paused).total_seconds() // 60))


def _due(limit: Limit | None, begun: date, calendars: Calendars, pauses: Sequence[Pause]) -> Due | None:
    return due(begun, limit, calendars, pauses) if limit is not None else None


def _pauses(spans: Sequence[Span]) -> list[Pause]:
    return [Pause(_day(one.started), _day(one.ended) if one.ended else None) for one in spans]


def _day(instant: str) -> date:
    return datetime.fromisoformat(instant).astimezone(CHINA).date()
