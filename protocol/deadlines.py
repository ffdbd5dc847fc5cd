"""When something is due: working days from signed calendars, calendar days, minutes, and pauses.

- The day of receipt is not counted (民法典 art. 201); working days leave out statutory holidays and take in make-up
  weekends (行政许可法 art. 82): a date in `work` is one; else a date in `off` is not; else Monday to Friday are.
- Calendar days: a last day that is no working day moves to the next one.
- A pause is a span: days after it began, up to and including the day it ended, are not counted, and nothing becomes
  due on one of them. Pauses may touch or overlap; a day is left out once.
- A year without a calendar is refused, never guessed; a provisional year makes the due day provisional (暂估).

    due(date(2026, 2, 13), Limit(2, "working_day"), calendars)    # 2026-02-24: a make-up Saturday, Spring Festival

A calendar is a JSON document of one year; more members may stand in it, for people::

    {"year":2026,"version":1,"status":"official","off":["2026-01-01",…],"work":["2026-01-04",…],"source_doc":"国办发明电〔2025〕7号"}
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from protocol.errors import Malformed
from protocol.suites import parse_json

CALENDAR_MAX_BYTES: Final = 64 * 1024
SOURCE_MAX: Final = 300
UNITS: Final = frozenset({"working_day", "calendar_day", "minute"})
ONE_DAY: Final = timedelta(days=1)
DAYS_MAX: Final = 3_660
MINUTES_MAX: Final = DAYS_MAX * 24 * 60
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class CalendarInvalid(ValueError):
    """Not a calendar; the text names the place."""


class CalendarMissing(LookupError):
    """No calendar for a year that has to be counted."""

    def __init__(self, year: int) -> None:
        super().__init__(f"there is no calendar for {year}")
        self.year = year


@dataclass(frozen=True, slots=True)
class Calendar:
    """The working days of one year; named by the SHA-256 (hex) of its document."""

    year: int
    is_provisional: bool
    off: frozenset[date]
    work: frozenset[date]
    version: int
    digest: str
    source: str = ""


def parse_calendar(data: bytes) -> Calendar:
    """Return a calendar.

    Raises:
        CalendarInvalid: too large, not strict JSON, a member missing, a date twice, of another year, or both off
            and work; the text names the place, and the number or status found.
    """
    if len(data) > CALENDAR_MAX_BYTES:
        raise CalendarInvalid(f"a calendar has at most {CALENDAR_MAX_BYTES} bytes")
    try:
        content = parse_json(data)
    except Malformed as fault:
        raise CalendarInvalid(fault.detail) from None
    year, version = _number(content, "year", 2000, 2200), _number(content, "version", 1, 10**6)
    status, source = content.get("status"), content.get("source_doc", "")
    if status not in ("official", "provisional"):
        raise CalendarInvalid("status is official or provisional")
    if not isinstance(source, str) or len(source) > SOURCE_MAX or not source.isprintable():
        raise CalendarInvalid(f"source_doc is a text of one line, at most {SOURCE_MAX} characters")
    off, work = _dates(content, "off", year), _dates(content, "work", year)
    if off & work:
        raise CalendarInvalid(f"{min(off & work)} is both off and work")
    return Calendar(year, status == "provisional", off, work, version, hashlib.sha256(data).hexdigest(), source)


def _number(content: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = content.get(name)
    if type(value) is not int or not least <= value <= most:
        raise CalendarInvalid(f"{name} is a number from {least} to {most}")
    return value


def _dates(content: Mapping[str, Any], name: str, year: int) -> frozenset[date]:
    values = content.get(name)
    if not isinstance(values, list):
        raise CalendarInvalid(f"{name} is a list of dates")
    days = [_date(name, one) for one in values]
    if len(set(days)) != len(days):
        raise CalendarInvalid(f"{name} holds a date twice")
    if any(day.year != year for day in days):
        raise CalendarInvalid(f"{name} holds a date of another year than {year}")
    return frozenset(days)


def _date(name: str, value: Any) -> date:
    """Return a date written `YYYY-MM-DD` and no other way: `fromisoformat` alone takes `20260101` and weeks, too."""
    try:
        if not isinstance(value, str) or _DATE.fullmatch(value) is None:
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise CalendarInvalid(f"{name} holds what is no date YYYY-MM-DD") from None


@dataclass(frozen=True, slots=True)
class Calendars:
    """The calendars in force, by year."""

    by_year: Mapping[int, Calendar] = field(default_factory=dict)

    def of(self, year: int) -> Calendar:
        """Return the calendar of a year.

        Raises:
            CalendarMissing: there is none.
        """
        if year not in self.by_year:
            raise CalendarMissing(year)
        return self.by_year[year]

    def is_working_day(self, day: date) -> bool:
        """Say whether offices work on that day.

        Raises:
            CalendarMissing: there is no calendar for its year.
        """
        calendar = self.of(day.year)
        return day in calendar.work or (day not in calendar.off and day.weekday() < 5)


@dataclass(frozen=True, slots=True)
class Limit:
    """How long something may take."""

    value: int
    unit: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A span that is not counted; open while `ended` is None."""

    started: date
    ended: date | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """The day that is the last; None while a pause is open. `years` are those that were counted."""

    on: date | None
    provisional: bool
    years: tuple[int, ...]


def due(received: date, limit: Limit, calendars: Calendars, pauses: Sequence[Pause] = ()) -> Due:
    """Return when something received on a day is due. Cost: one look per day on the way, and per pause.

    A limit of no working days is due on the day of receipt (即办). While a pause is open there is no due day.

    Raises:
        CalendarMissing: a year on the way has no calendar; so no pause can be too long to count.
        ValueError: the unit is no day, or the limit is no count of days.
    """
    if limit.unit not in ("working_day", "calendar_day") or not 0 <= limit.value <= DAYS_MAX:
        raise ValueError(f"a limit of days has 0 to {DAYS_MAX} working or calendar days")
    if any(one.ended is None for one in pauses):
        return Due(None, False, ())
    last, left, counted = received, limit.value, {received.year: calendars.of(received.year)}
    for day in _days_after(received):
        if left == 0 and (limit.unit == "working_day" or _may_end(last, calendars, pauses)):
            break
        last = day
        counted[day.year] = calendars.of(day.year)
        if left and not _is_paused(day, pauses):
            left -= limit.unit == "calendar_day" or calendars.is_working_day(day)
    provisional = any(one.is_provisional for one in counted.values())
    return Due(last, provisional, tuple(sorted(counted)))


def _may_end(day: date, calendars: Calendars, pauses: Sequence[Pause]) -> bool:
    return calendars.is_working_day(day) and not _is_paused(day, pauses)


def _days_after(day: date) -> Iterator[date]:
    while True:
        day += ONE_DAY
        yield day


def _is_paused(day: date, pauses: Sequence[Pause]) -> bool:
    return any(one.started < day and (one.ended is None or day <= one.ended) for one in pauses)


def days_taken(received: date, ended: date, unit: str, calendars: Calendars, pauses: Sequence[Pause] = ()) -> int:
    """Return the days that something took, counted as `due` counts them: 0 when it ended on the day of receipt.

    Raises:
        CalendarMissing: a year on the way has no calendar.
        ValueError: the unit is no day.
    """
    if unit not in ("working_day", "calendar_day"):
        raise ValueError("days are working or calendar days")
    between = (received + timedelta(days=one) for one in range(1, (ended - received).days + 1))
    counted = (day for day in between if not _is_paused(day, pauses))
    return sum(unit == "calendar_day" or calendars.is_working_day(day) for day in counted)


def due_minutes(
    received: datetime, limit: Limit, pauses: Sequence[tuple[datetime, datetime | None]] = ()
) -> datetime | None:
    """Return when something that may take minutes is due; None while a pause is open that began before that.

    Time of a pause after its beginning up to its end is not counted; what begins when the minutes are over, or ended
    before the receipt, moves nothing. Pauses may overlap.

    Raises:
        ValueError: the unit is not minutes, or the limit is no count of them.
    """
    if limit.unit != "minute" or not 0 <= limit.value <= MINUTES_MAX:
        raise ValueError(f"a limit of minutes has 0 to {MINUTES_MAX} of them")
    end, seen = received + timedelta(minutes=limit.value), received
    for started, ended in sorted(pauses, key=lambda one: one[0]):
        began = max(started, seen)
        if began >= end:
            break
        if ended is None:
            return None
        end += max(ended - began, timedelta())
        seen = max(seen, ended)
    return end


def working_days_left(today: date, due_on: date, calendars: Calendars) -> int:
    """Return the working days after today up to and including the due day; 0 on it, negative when it has passed.

    Overdue are at least one, also on the Saturday after a Friday. Cost: one look per day between.

    Raises:
        CalendarMissing: a year between has no calendar.
    """
    first, last = sorted((today, due_on))
    between = (first + timedelta(days=one) for one in range(1, (last - first).days + 1))
    count = sum(calendars.is_working_day(day) for day in between)
    return count if due_on >= today else -max(count, 1)


def standing(left: int, *, due_soon: int) -> str:
    """Return `overdue`, `due_soon` or `normal` for so many working days left."""
    return "overdue" if left < 0 else "due_soon" if left <= due_soon else "normal"
