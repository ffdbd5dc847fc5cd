"""When a case is due: promised and statutory limits of its item, from the clock that its events started and stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from node.cases.room import CHINA, Rules
from protocol.deadlines import Calendars, Due, Limit, Pause, due
from protocol.procedures.engine import CaseState, Span

TOTAL = "TOTAL"


@dataclass(frozen=True, slots=True)
class Times:
    """Due days; None while the clock has not begun, stands still, or no limit is set."""

    promised: date | None
    statutory: date | None
    provisional: bool


def times_of(rules: Rules, state: CaseState, calendars: Calendars) -> Times:
    """Return when a case is due.

    Raises:
        CalendarMissing: no calendar for a year on the way.
    """
    if state.clock_from is None:
        return Times(None, None, False)
    begun = _day(state.clock_from)
    pauses = _pauses(state.pauses)
    promised = _due(rules.item.promised, begun, calendars, pauses)
    statutory = _due(rules.item.statutory, begun, calendars, pauses)
    known = [one for one in (promised, statutory) if one is not None]
    return Times(
        promised.on if promised else None,
        statutory.on if statutory else None,
        any(one.provisional for one in known),
    )


def _due(limits: Sequence[Limit], begun: date, calendars: Calendars, pauses: Sequence[Pause]) -> Due | None:
    return due(begun, limits[0], calendars, pauses) if limits and limits[0].unit != "minute" else None


def _pauses(spans: Sequence[Span]) -> list[Pause]:
    return [Pause(_day(one.started), _day(one.ended) if one.ended else None) for one in spans]


def _day(instant: str) -> date:
    return datetime.fromisoformat(instant).astimezone(CHINA).date()
