"""What statistics count, as arithmetic: from what an event tells to sums, and from sums to an answer; no database.

An event adds *parts*, each once, known by case and sequence number. How the case stands after it replaces how it stood
before. So the sums depend on which events there are, and not on how often or in which groups they were told::

    Told("KS…", 3, "PEN-TRANSFER", "520300", "442000", day, (Part("finished", leg="OUT", detail="working_day", …),), …)

Reasons are codes (`NO_RELATION`); any other text becomes `OTHER`, for it may name a person.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, NamedTuple

DAY: Final = "day"
MONTH: Final = "month"
YEAR: Final = "year"
NO_DUE: Final = date(9999, 12, 31)
OTHER: Final = "OTHER"
MEASURES: Final = ("opened", "closed", "decided", "refused", "finished", "instructed", "reconciled", "mismatched")
ONE_DAY: Final = timedelta(days=1)
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,39}")


class Part(NamedTuple):
    """What an event adds: `n` times a measure; `total`, `promised` are units of time or fen, `kept` legs in time."""

    measure: str
    leg: str = ""
    detail: str = ""
    n: int = 1
    total: int = 0
    promised: int = 0
    kept: int = 0


class Running(NamedTuple):
    """A leg whose clock runs or stands still; without a due day there is `NO_DUE`."""

    leg: str
    due_on: date = NO_DUE


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a case, as the cases room tells it; `day` is its day in Asia/Shanghai.

    `running` are the legs of an open case, in any order; a closed case has none.
    """

    number: str
    seq: int
    item: str
    accepting: str
    responsible: str
    day: date
    parts: tuple[Part, ...]
    is_open: bool
    running: tuple[Running, ...] = ()
    again: int = 0


class CountKey(NamedTuple):
    """By what sums are kept."""

    span: str
    day: date
    item: str
    accepting: str
    responsible: str
    measure: str
    leg: str
    detail: str


class OpenKey(NamedTuple):
    """By what open cases are counted."""

    due_on: date
    item: str
    accepting: str
    responsible: str
    leg: str


class Sums(NamedTuple):
    """The sums of one key."""

    n: int
    total: int
    promised: int
    kept: int


NOTHING: Final = Sums(0, 0, 0, 0)


class Counted(NamedTuple):
    """Up to which event a case is counted, and as what it stands."""

    seq: int
    standing: tuple[OpenKey, ...]


@dataclass(slots=True)
class Change:
    """What a fold changes: sums to be added, and the new places of cases."""

    counts: dict[CountKey, Sums] = field(default_factory=dict)
    opens: Counter[OpenKey] = field(default_factory=Counter)
    cases: dict[str, Counted] = field(default_factory=dict)


def reason_of(text: object) -> str:
    """Return the code of a reason; a text that is no code may name a person, and is counted as `OTHER`."""
    return text if isinstance(text, str) and _CODE.fullmatch(text) else OTHER


def standing_of(told: Told) -> tuple[OpenKey, ...]:
    """Return as what a case stands among the open ones: itself, by its next due day, and each of its legs."""
    if not told.is_open:
        return ()
    of = (told.item, told.accepting, told.responsible)
    nearest = min((one.due_on for one in told.running), default=NO_DUE)
    return (OpenKey(nearest, *of, ""), *sorted(OpenKey(one.due_on, *of, one.leg) for one in told.running))


def reckon(known: Mapping[str, Counted], told: Iterable[Told]) -> Change:
    """Return what told events change, given how their cases are counted; those counted before add nothing again."""
    change = Change(cases=dict(known))
    for one in sorted(told, key=lambda each: (each.number, each.seq, each.again)):
        before = change.cases.get(one.number, Counted(-1, ()))
        if one.seq > before.seq:
            _add_parts(change.counts, one)
        elif one.seq < before.seq or not one.again:
            continue
        standing = standing_of(one)
        change.opens.subtract(before.standing)
        change.opens.update(standing)
        change.cases[one.number] = Counted(one.seq, standing)
    change.opens = Counter({key: n for key, n in change.opens.items() if n})
    change.cases = {number: to for number, to in change.cases.items() if known.get(number) != to}
    return change


def _add_parts(counts: dict[CountKey, Sums], told: Told) -> None:
    for part in told.parts:
        for span, day in ((DAY, told.day), (MONTH, told.day.replace(day=1)), (YEAR, told.day.replace(month=1, day=1))):
            of = (told.item, told.accepting, told.responsible, part.measure, part.leg, part.detail)
            key = CountKey(span, day, *of)
            counts[key] = plus(counts.get(key, NOTHING), Sums(part.n, part.total, part.promised, part.kept))


def plus(one: Sums, other: Sums, sign: int = 1) -> Sums:
    """Return two sums together, or what is left of one without the other."""
    return Sums(*(a + sign * b for a, b in zip(one, other, strict=True)))


class Span(NamedTuple):
    """Days whose sums are added, or taken away again (`sign` -1); both days belong to it."""

    name: str
    first: date
    last: date
    sign: int = 1


def spans_of(first: date, last: date) -> Iterator[Span]:
    """Yield what covers the days from `first` to `last`: whole years, the months around them, and parts of months.

    Of a month of which more than half is asked, the rest is taken away: no more than two halves of months by days.
    """
    if first > last:
        return
    if first.replace(day=1) == last.replace(day=1):
        yield from _within_month(first, last)
        return
    months = (first if first.day == 1 else _next_month(first)), (last + ONE_DAY).replace(day=1)
    if first < months[0]:
        yield from _within_month(first, months[0] - ONE_DAY)
    yield from _whole(*months)
    if months[1] <= last:
        yield from _within_month(months[1], last)


def _whole(begin: date, end: date) -> Iterator[Span]:
    """Yield whole years and the months around them; `end` is the first day that does not belong to it."""
    january = begin if begin.month == 1 else date(begin.year + 1, 1, 1)
    years = (january, end.replace(month=1)) if january < end.replace(month=1) else (end, end)
    for name, since, until in ((MONTH, begin, years[0]), (YEAR, *years), (MONTH, years[1], end)):
        if since < until:
            yield Span(name, since, until - ONE_DAY)


def _within_month(first: date, last: date) -> Iterator[Span]:
    begin, end = first.replace(day=1), _next_month(first) - ONE_DAY
    if 2 * ((last - first).days + 1) <= end.day:
        yield Span(DAY, first, last)
        return
    yield Span(MONTH, begin, end)
    for since, until in ((begin, first - ONE_DAY), (last + ONE_DAY, end)):
        if since <= until:
            yield Span(DAY, since, until, -1)


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def format_parts(parts: Sequence[Part]) -> str:
    """Return parts as they are stored."""
    return json.dumps([list(one) for one in parts], separators=(",", ":"))


def parse_parts(text: str) -> tuple[Part, ...]:
    """Return stored parts."""
    return tuple(Part(*one) for one in json.loads(text))


def format_running(told: Told) -> str:
    """Return how a case stands as it is stored with what was told: null when it is closed."""
    running = [[one.leg, one.due_on.isoformat()] for one in told.running] if told.is_open else None
    return json.dumps(running, separators=(",", ":"))


def parse_running(text: str) -> tuple[bool, tuple[Running, ...]]:
    """Return whether a case is open, and its legs."""
    stored = json.loads(text)
    return stored is not None, tuple(Running(leg, date.fromisoformat(due)) for leg, due in stored or ())


def format_standing(standing: Sequence[OpenKey]) -> str:
    """Return a standing as it is stored."""
    return json.dumps([[one.due_on.isoformat(), *one[1:]] for one in standing], separators=(",", ":"))


def parse_standing(text: str) -> tuple[OpenKey, ...]:
    """Return a stored standing."""
    return tuple(OpenKey(date.fromisoformat(one[0]), *one[1:]) for one in json.loads(text))
