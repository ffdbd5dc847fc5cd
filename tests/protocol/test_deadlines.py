"""Deadlines against the vectors, against counting day by day, and what a calendar must not hold."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deadlines import (
    CALENDAR_MAX_BYTES,
    DAYS_MAX,
    Calendar,
    CalendarInvalid,
    Calendars,
    Limit,
    Pause,
    days_taken,
    due,
    due_minutes,
    parse_calendar,
    standing,
    working_days_left,
)
from protocol.deadlines import CalendarMissing as Missing

HERE = Path(__file__).parents[1]
VECTORS: dict[str, Any] = json.loads((HERE / "vectors" / "working_days.json").read_text(encoding="utf-8"))
FILES = sorted((HERE.parent / "config" / "calendars").glob("*.json"))
SHIPPED = Calendars({one.year: one for one in (parse_calendar(path.read_bytes()) for path in FILES)})
ONE_DAY = timedelta(days=1)
GOOD = {"year": 2026, "version": 1, "status": "official", "off": ["2026-01-01"], "work": ["2026-01-04"]}


def day(text: str) -> date:
    return date.fromisoformat(text)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pauses_of(vector: dict[str, Any]) -> list[Pause]:
    return [Pause(day(began), day(ended) if ended else None) for began, ended in vector["pauses"]]


def why(vector: Any) -> str:
    return str(vector["why"])


# Vectors


@pytest.mark.parametrize("vector", VECTORS["due"], ids=why)
def test_a_limit_of_days_is_due_as_the_vectors_say(vector: dict[str, Any]) -> None:
    limit = Limit(vector["limit"], vector["unit"])
    found = due(day(vector["received"]), limit, SHIPPED, pauses_of(vector))
    assert (found.on and found.on.isoformat(), found.provisional) == (vector["due"], vector["provisional"])


@pytest.mark.parametrize("vector", VECTORS["due_minutes"], ids=why)
def test_a_limit_of_minutes_is_due_as_the_vectors_say(vector: dict[str, Any]) -> None:
    pauses = [(instant(began), instant(ended) if ended else None) for began, ended in vector["pauses"]]
    found = due_minutes(instant(vector["received"]), Limit(vector["limit"], "minute"), pauses)
    assert found == (instant(vector["due"]) if vector["due"] else None)


@pytest.mark.parametrize("vector", VECTORS["standing"], ids=why)
def test_how_many_working_days_are_left_and_how_that_stands(vector: dict[str, Any]) -> None:
    left = working_days_left(day(vector["today"]), day(vector["due"]), SHIPPED)
    assert (left, standing(left, due_soon=1)) == (vector["left"], vector["standing"])


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=why)
def test_a_year_without_a_calendar_is_refused_and_named(vector: dict[str, Any]) -> None:
    known = Calendars({year: SHIPPED.of(year) for year in vector["calendars"]})
    limit = Limit(vector["limit"], vector["unit"])
    with pytest.raises(Missing, match=str(vector["missing"])) as caught:
        due(day(vector["received"]), limit, known, pauses_of(vector))
    assert caught.value.year == vector["missing"]


@pytest.mark.parametrize(("year", "count"), VECTORS["working_days_of_the_year"].items())
def test_a_year_has_as_many_working_days_as_the_notice_gives_it(year: str, count: int) -> None:
    days = [date(int(year), 1, 1) + n * ONE_DAY for n in range(366)]
    assert sum(SHIPPED.is_working_day(one) for one in days if one.year == int(year)) == count


def test_weekends_are_worked_only_where_the_notice_says_so() -> None:
    days = [date(2026, 1, 1) + n * ONE_DAY for n in range(365)]
    worked = [one.isoformat() for one in days if one.weekday() > 4 and SHIPPED.is_working_day(one)]
    assert worked == VECTORS["worked_weekends_of_2026"]


# Properties, against counting day by day

YEARS = (2023, 2024, 2025, 2026)
DATES = st.dates(date(2023, 1, 1), date(2024, 12, 31))
UNITS = st.sampled_from(["working_day", "calendar_day"])
VALUES = st.integers(0, 90)
CLOSED = st.tuples(DATES, st.integers(0, 40)).map(lambda one: Pause(one[0], one[0] + one[1] * ONE_DAY))
PAUSES = st.lists(CLOSED, max_size=4)


@st.composite
def some_calendars(draw: st.DrawFn) -> Calendars:
    found = {}
    for year in YEARS:
        days = draw(st.sets(st.dates(date(year, 1, 1), date(year, 12, 31)), max_size=24))
        off = draw(st.sets(st.sampled_from(sorted(days)))) if days else set()
        found[year] = Calendar(year, draw(st.booleans()), frozenset(off), frozenset(days - off), 1, "")
    return Calendars(found)


def is_worked(one: date, calendars: Calendars) -> bool:
    calendar = calendars.by_year[one.year]
    if one in calendar.work:
        return True
    return one.isoweekday() not in (6, 7) and one not in calendar.off


def is_paused(one: date, pauses: Sequence[Pause]) -> bool:
    return any(one in struck_out(pause) for pause in pauses)


def struck_out(pause: Pause) -> list[date]:
    """The days of a pause that has ended, one by one."""
    assert pause.ended is not None
    return [pause.started + (n + 1) * ONE_DAY for n in range((pause.ended - pause.started).days)]


def naive_due(received: date, limit: Limit, calendars: Calendars, pauses: Sequence[Pause]) -> date:
    """Lay out three years of days, strike out what does not count, and take the one with the right number."""
    days = [received + (n + 1) * ONE_DAY for n in range((date(2026, 12, 31) - received).days)]
    running = [one for one in days if not is_paused(one, pauses)]
    worked = [one for one in running if is_worked(one, calendars)]
    if limit.unit == "working_day":
        return worked[limit.value - 1] if limit.value else received
    last = running[limit.value - 1] if limit.value else received
    if is_worked(last, calendars) and not is_paused(last, pauses):
        return last
    return next(one for one in worked if one > last)


@given(DATES, VALUES, UNITS, some_calendars(), PAUSES)
def test_the_due_day_is_the_one_found_by_striking_out_days(
    received: date, value: int, unit: str, calendars: Calendars, pauses: list[Pause]
) -> None:
    found = due(received, Limit(value, unit), calendars, pauses)
    assert found.on == naive_due(received, Limit(value, unit), calendars, pauses)
    assert found.years == tuple(range(received.year, found.on.year + 1))
    assert found.provisional == any(calendars.of(year).is_provisional for year in found.years)


@given(DATES, VALUES, UNITS, some_calendars(), PAUSES)
def test_more_time_is_never_due_earlier_and_each_working_day_more_is_a_later_day(
    received: date, value: int, unit: str, calendars: Calendars, pauses: list[Pause]
) -> None:
    first = due(received, Limit(value, unit), calendars, pauses).on
    second = due(received, Limit(value + 1, unit), calendars, pauses).on
    assert first is not None
    assert second is not None
    assert second > first if unit == "working_day" else second >= first


@given(DATES, st.integers(1, 90), UNITS, some_calendars(), PAUSES)
def test_nothing_is_due_on_a_day_off_or_within_a_pause(
    received: date, value: int, unit: str, calendars: Calendars, pauses: list[Pause]
) -> None:
    found = due(received, Limit(value, unit), calendars, pauses).on
    assert found is not None
    assert calendars.is_working_day(found)
    assert not is_paused(found, pauses)


@given(DATES, st.integers(1, 60), some_calendars(), st.data())
def test_a_pause_within_the_limit_moves_it_by_its_working_days(
    received: date, value: int, calendars: Calendars, data: st.DataObject
) -> None:
    plain = due(received, Limit(value, "working_day"), calendars).on
    assert plain is not None
    began = received + data.draw(st.integers(0, max(0, (plain - received).days - 1))) * ONE_DAY
    ended = began + data.draw(st.integers(0, 40)) * ONE_DAY
    pause = Pause(began, ended)
    struck = sum(is_worked(one, calendars) for one in struck_out(pause))
    paused = due(received, Limit(value, "working_day"), calendars, [pause])
    assert paused.on == due(received, Limit(value + struck, "working_day"), calendars).on


@given(DATES, VALUES, UNITS, some_calendars(), PAUSES, st.data())
def test_the_order_of_pauses_or_one_that_is_told_twice_changes_nothing(
    received: date, value: int, unit: str, calendars: Calendars, pauses: list[Pause], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(pauses + pauses[:1]))
    assert due(received, Limit(value, unit), calendars, pauses) == due(received, Limit(value, unit), calendars, other)


@given(DATES, VALUES, UNITS, some_calendars(), PAUSES)
def test_while_one_pause_is_open_there_is_no_due_day(
    received: date, value: int, unit: str, calendars: Calendars, pauses: list[Pause]
) -> None:
    found = due(received, Limit(value, unit), calendars, [*pauses, Pause(received)])
    assert (found.on, found.provisional, found.years) == (None, False, ())


@given(DATES, st.integers(0, 90), some_calendars())
def test_what_is_left_on_the_day_of_receipt_is_the_limit(received: date, value: int, calendars: Calendars) -> None:
    found = due(received, Limit(value, "working_day"), calendars).on
    assert found is not None
    assert working_days_left(received, found, calendars) == value


MOMENT = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
MINUTES = st.integers(-60, 200)
SPANS = st.lists(st.tuples(MINUTES, st.integers(0, 60)).map(lambda one: (one[0], one[0] + one[1])), max_size=4)


@given(st.integers(0, 120), SPANS)
def test_minutes_are_due_when_so_many_have_passed_outside_pauses(value: int, spans: list[tuple[int, int]]) -> None:
    minute, left = 0, value
    while left:
        minute += 1
        left -= not any(began < minute <= ended for began, ended in spans)
    pauses = [(MOMENT + timedelta(minutes=began), MOMENT + timedelta(minutes=ended)) for began, ended in spans]
    assert due_minutes(MOMENT, Limit(value, "minute"), pauses) == MOMENT + timedelta(minutes=minute)


# What is no limit


@pytest.mark.parametrize("limit", [Limit(-1, "working_day"), Limit(DAYS_MAX + 1, "calendar_day"), Limit(5, "minute"),
                                   Limit(5, "weeks")])  # fmt: skip
def test_what_is_no_limit_of_days_is_refused(limit: Limit) -> None:
    with pytest.raises(ValueError, match="limit of days"):
        due(day("2026-03-02"), limit, SHIPPED)


@pytest.mark.parametrize("limit", [Limit(-1, "minute"), Limit(10**9, "minute"), Limit(5, "working_day")])
def test_what_is_no_limit_of_minutes_is_refused(limit: Limit) -> None:
    with pytest.raises(ValueError, match="limit of minutes"):
        due_minutes(MOMENT, limit)


def test_a_pause_of_centuries_ends_at_the_first_year_without_a_calendar() -> None:
    with pytest.raises(Missing, match="2028"):
        due(day("2026-03-02"), Limit(5, "calendar_day"), SHIPPED, [Pause(day("2026-03-03"), date.max)])


# Calendars


def written(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_a_calendar_is_read_and_named_by_its_digest() -> None:
    data = written(source_doc="国办发明电〔2025〕7号", note="for people")
    found = parse_calendar(data)
    assert replace(found, digest="") == Calendar(
        2026, False, frozenset({day("2026-01-01")}), frozenset({day("2026-01-04")}), 1, "", "国办发明电〔2025〕7号"
    )
    assert len(found.digest) == 64
    assert parse_calendar(data + b" ").digest != found.digest


def test_the_calendars_that_come_with_the_software_are_official_but_the_last() -> None:
    assert {year: one.is_provisional for year, one in SHIPPED.by_year.items()} == {
        2024: False,
        2025: False,
        2026: False,
        2027: True,
    }


BAD = {
    "nothing": b"",
    "no object": b"[]",
    "a member twice": written().replace(b'"year"', b'"off": [], "year"', 1),
    "a fraction": written(version=1).replace(b'"version": 1', b'"version": 1.0'),
    "a byte-order mark": b"\xef\xbb\xbf" + written(),
    "another encoding": written().decode().encode("utf-16"),
    "no lists": b'{"year":2026,"version":1,"status":"official"}',
    "a year that is a truth value": written(year=True),
    "a year long ago": written(year=1999, off=[], work=[]),
    "no version": written(version=None),
    "version nought": written(version=0),
    "a status of its own": written(status="draft"),
    "a status that is a list": written(status=["official"]),
    "a date twice": written(off=["2026-01-01", "2026-01-01"]),
    "a date of another year": written(off=["2025-12-31"]),
    "a working day of another year": written(work=["2027-01-01"]),
    "a date both off and work": written(work=["2026-01-01"]),
    "a date without hyphens": written(off=["20260101"]),
    "a date by its week": written(off=["2026-W01-4"]),
    "a date that is none": written(off=["2026-02-30"]),
    "a date with a time": written(off=["2026-01-01T00:00"]),
    "a date in other digits": written(off=["２０２６-01-01"]),
    "a number for a date": written(off=[20260101]),
    "an object for a list": written(off={"2026-01-01": 1}),
    "a text for a list": written(off=""),
    "a source of two lines": written(source_doc="one\ntwo"),
    "a source that steers a terminal": written(source_doc="\x1b[2J"),
    "a source that is no text": written(source_doc=7),
    "a source that does not end": written(source_doc="x" * 301),
    "deep nesting": b'{"off":' + b"[" * 60_000,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_calendar_is_refused(data: bytes) -> None:
    with pytest.raises(CalendarInvalid):
        parse_calendar(data)


def test_a_calendar_has_a_size() -> None:
    fits = written(note="x" * (CALENDAR_MAX_BYTES - len(written(note=""))))
    assert len(fits) == CALENDAR_MAX_BYTES
    assert parse_calendar(fits).year == 2026
    with pytest.raises(CalendarInvalid, match="at most"):
        parse_calendar(fits + b" ")


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_arrives_is_a_calendar_or_refused(data: bytes) -> None:
    with pytest.raises(CalendarInvalid):
        parse_calendar(data)


@given(
    st.dates(date(2024, 1, 1), date(2026, 6, 30)), st.integers(0, 30), st.sampled_from(["working_day", "calendar_day"])
)
def test_what_ends_on_its_due_day_has_taken_no_less_than_its_limit(received: date, value: int, unit: str) -> None:
    last = due(received, Limit(value, unit), SHIPPED).on
    assert last is not None
    taken = days_taken(received, last, unit, SHIPPED)
    assert taken == value if unit == "working_day" else taken >= value
    assert days_taken(received, received, unit, SHIPPED) == 0


def test_days_taken_leave_out_pauses_and_are_days() -> None:
    pause = [Pause(date(2026, 11, 24), date(2026, 11, 26))]
    assert days_taken(date(2026, 11, 23), date(2026, 11, 27), "working_day", SHIPPED, pause) == 2
    with pytest.raises(ValueError, match="working or calendar"):
        days_taken(date(2026, 11, 23), date(2026, 11, 27), "minute", SHIPPED)
