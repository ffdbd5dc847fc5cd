"""Statistics of a city's cases: told with each event, folded by one job, answered from sums of days and months.

The cases room calls `tell` in the transaction that applies an event, so what is counted is what happened. `fold` runs
in the one process that does scheduled work; several folds at a time wait for each other on one locked row, and an event
that comes again adds nothing (`reckoning`). `rebuild` throws the sums away and tells every transcript anew, some cases
at a time; meanwhile nothing is folded, and events go on being told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlmodel import Session

from node.statistics import store
from node.statistics.reckoning import (
    NO_DUE,
    NOTHING,
    Part,
    Running,
    Sums,
    Told,
    plus,
    reason_of,
    reckon,
    spans_of,
)
from node.storage.unit_of_work import Reading, Transaction
from protocol.errors import InvalidBody

__all__ = ["NO_DUE", "Asked", "Part", "Replay", "Running", "Told", "answer", "fold", "reason_of", "tell", "tell_again"]

BATCH: Final = 2_000
CASES_AT_ONCE: Final = 200
CODE_LENGTH: Final = 6
STALE_SECONDS: Final = 60
"""older numbers are said to be so"""
Replay = Callable[[Session, str, int], tuple[list[Told], str]]
"""(session, after, limit) -> the events of some cases by number, and where to go on; empty at the end."""
Days = Callable[[Session], tuple[date, date]]
"""Today in Asia/Shanghai, and the last due day that is soon."""


@dataclass(frozen=True, slots=True)
class Room:
    """What statistics work with, as values; made by the composition root."""

    now: Callable[[], datetime]
    replay: Replay
    days: Days


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked; both days belong to it. `pair` is (accepting, responsible)."""

    first: date
    last: date
    item: str | None = None
    pair: tuple[str, str] | None = None
    leg: str | None = None


def tell(transaction: Reading, told: Told) -> None:
    """Keep what an event tells; it counts with the next fold. Cost: one insert, with those of the group."""
    store.tell(transaction, told)


def tell_again(transaction: Transaction, told: Told) -> None:
    """Keep that due days of a case have moved since its last event; nothing but its standing changes."""
    again = 1 + store.times_told(transaction.session, told.number, told.seq)
    store.tell(transaction, replace(told, parts=(), again=again))


def fold(transaction: Transaction, *, now: datetime, limit: int = BATCH) -> int:
    """Add what was told to the sums; return how many rows were taken, 0 at the end or while a rebuild goes on."""
    row = store.locked_fold(transaction.session)
    if row.rebuilt_to is not None:
        return 0
    told = store.take_told(transaction.session, limit)
    _count(transaction.session, told)
    if len(told) < limit:
        store.delete_empty(transaction.session)
        store.set_fold(transaction.session, as_of=now)
    return len(told)


def begin_rebuild(transaction: Transaction) -> None:
    """Throw all sums away; `rebuild_step` goes on from here, also after a crash."""
    store.locked_fold(transaction.session)
    store.clear(transaction.session)
    store.set_fold(transaction.session, as_of=None, rebuilt_to="")


def rebuild_step(transaction: Transaction, replay: Replay, *, limit: int = CASES_AT_ONCE) -> bool:
    """Count some cases from their transcripts; False when there is nothing to rebuild any more."""
    row = store.locked_fold(transaction.session)
    if row.rebuilt_to is None:
        return False
    told, after = replay(transaction.session, row.rebuilt_to, limit)
    _count(transaction.session, told)
    store.set_fold(transaction.session, rebuilt_to=after or None)
    return bool(after)


def is_rebuilding(session: Session) -> bool:
    """Say whether a rebuild has begun and not ended."""
    return store.fold_state(session)[1] is not None


def _count(session: Session, told: list[Told]) -> None:
    known = store.counted_cases(session, (one.number for one in told))
    store.apply(session, reckon(known, told))


def ask(room: Room, session: Session, *, first: date | None, last: date | None, **filters: str | None) -> Asked:
    """Return what is asked: without days the last twelve months; `filters` are item, pair (`442000-520300`) and leg.

    Raises:
        InvalidBody: the range ends before it begins, or the pair is none.
    """
    today, _ = room.days(session)
    last = last or today
    first = first or last.replace(day=1, year=last.year - 1)
    pair = (filters.get("pair") or "").split("-") if filters.get("pair") else None
    if pair is not None and not (len(pair) == len(("accepting", "responsible")) and all(map(_is_city, pair))):
        raise _refused("pair", "受理城市-责任城市，例如 442000-520300", "accepting-responsible, as in 442000-520300")
    if first > last:
        raise _refused("from", "开始日期晚于结束日期", "the range ends before it begins")
    return Asked(first, last, filters.get("item"), (pair[0], pair[1]) if pair else None, filters.get("leg"))


def _is_city(text: str) -> bool:
    return len(text) == CODE_LENGTH and text.isascii() and text.isdigit()


def _refused(at: str, zh: str, en: str) -> InvalidBody:
    return InvalidBody("this cannot be asked", fields=[{"at": at, "rule": "range", "zh": zh, "en": en}])


def answer(room: Room, session: Session, asked: Asked) -> dict[str, Any]:
    """Return the statistics of a range of days, and how old they are. Cost: sums of years, months and days.

    `leg` filters legs, and what is open by leg; volumes, decisions and funds are those of whole cases.
    """
    today, due_soon_until = room.days(session)
    now = room.now()
    as_of, rebuilt_to = store.fold_state(session)
    age = max(0.0, (now - as_of).total_seconds()) if as_of is not None else None
    sums = _sums(session, asked)
    return {
        "from": asked.first.isoformat(),
        "to": asked.last.isoformat(),
        "as_of": as_of.isoformat() if as_of else None,
        "age_seconds": round(age, 1) if age is not None else None,
        "stale": age is None or age > STALE_SECONDS or rebuilt_to is not None,
        "rebuilding": rebuilt_to is not None,
        "open": _open(session, asked, today, due_soon_until),
        "volumes": _rows(sums, ("opened", "closed"), _volume),
        "decisions": _rows(sums, ("decided",), lambda by: {"count": by["decided"].n}),
        "refusals": _rows(sums, ("refused",), lambda by: {"count": by["refused"].n}, detail="reason"),
        "legs": _rows(sums, ("finished",), _leg, leg=asked.leg, detail="unit"),
        "funds": _rows(sums, ("instructed", "reconciled", "mismatched"), _funds),
    }


Summed = dict[tuple[str, ...], Sums]
"""By item, accepting, responsible, measure, leg, detail."""


def _sums(session: Session, asked: Asked) -> Summed:
    found: Summed = {}
    for span in spans_of(asked.first, asked.last):
        for row in store.counts(session, span, _matching(asked)):
            key, sums = tuple(row[:6]), Sums(*map(int, row[6:]))
            found[key] = plus(found.get(key, NOTHING), sums, span.sign)
    return {key: sums for key, sums in found.items() if sums != NOTHING}


def _matching(asked: Asked) -> dict[str, str]:
    accepting, responsible = asked.pair or (None, None)
    wanted = {"item": asked.item, "accepting": accepting, "responsible": responsible}
    return {name: value for name, value in wanted.items() if value is not None}


def _open(session: Session, asked: Asked, today: date, soon: date) -> list[dict[str, Any]]:
    rows = store.opens(session, today, soon, {**_matching(asked), "leg": asked.leg or ""})
    names = ("item", "accepting", "responsible", "leg", "open", "due_soon", "overdue")
    lines = [dict(zip(names, (*row[:3], row[3] or None, *map(int, row[4:])), strict=True)) for row in sorted(rows)]
    return [line for line in lines if line["open"]]


def _rows(
    sums: Summed,
    measures: tuple[str, ...],
    told: Callable[[Mapping[str, Sums]], dict[str, Any]],
    *,
    leg: str | None = None,
    detail: str = "result",
) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Sums]] = {}
    for (item, accepting, responsible, measure, of_leg, of), one in sums.items():
        if measure in measures and leg in (None, of_leg):
            row = found.setdefault((item, accepting, responsible, of_leg, of), dict.fromkeys(measures, NOTHING))
            row[measure] = one
    lines = []
    for key, by in sorted(found.items()):
        line = {"item": key[0], "accepting": key[1], "responsible": key[2]}
        line |= {name: value for name, value in (("leg", key[3]), (detail, key[4])) if value}
        lines.append({**line, **told(by)})
    return lines


def _volume(by: Mapping[str, Sums]) -> dict[str, Any]:
    return {"opened": by["opened"].n, "closed": by["closed"].n}


def _leg(by: Mapping[str, Sums]) -> dict[str, Any]:
    """Say how long legs took; averages are hundredths, cut: sums stand beside them."""
    of = by["finished"]
    return {
        "finished": of.n,
        "kept": of.kept,
        "taken": of.total,
        "promised": of.promised,
        "average": of.total * 100 // of.n / 100 if of.n else None,
        "average_promised": of.promised * 100 // of.n / 100 if of.n else None,
    }


def _funds(by: Mapping[str, Sums]) -> dict[str, Any]:
    return {
        "instructed": by["instructed"].n,
        "instructed_fen": by["instructed"].total,
        "reconciled": by["reconciled"].n,
        "reconciled_fen": by["reconciled"].total,
        "mismatched": by["mismatched"].n,
        "difference_fen": by["mismatched"].total,
    }
