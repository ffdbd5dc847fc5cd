"""Folding: the sums depend on what happened, not on how often, in which groups or by which way it was counted."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlmodel import Session

from node.statistics import service, store
from node.statistics.reckoning import NOTHING, Counted, Part, Running, Sums, Told, plus, reckon, spans_of
from node.statistics.service import Asked
from node.statistics.tables import OpenRow
from node.storage.unit_of_work import Database
from protocol.errors import InvalidBody
from tests.node.statistics.telling import FIRST, histories, naive_open, naive_sums

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
WIDE = (date(2025, 1, 1), date(2026, 12, 31))
ON_BOTH = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sums_of(session: Session, first: date, last: date) -> dict[tuple[Any, ...], list[int]]:
    return {key: list(sums) for key, sums in service._sums(session, Asked(first, last)).items()}


def open_of(session: Session) -> Counter[tuple[Any, ...]]:
    rows = session.execute(select(OpenRow)).scalars()
    return +Counter({(row.item, row.accepting, row.responsible, row.leg, row.due_on): row.n for row in rows})


def clear(database: Database) -> None:
    def work(transaction: Any) -> None:
        service.begin_rebuild(transaction)
        service.rebuild_step(transaction, lambda _session, _after, _limit: ([], ""))
        store.take_told(transaction.session, 10_000)

    database.write(work)


def tell(database: Database, told: Told) -> None:
    database.write(lambda tx: service.tell_again(tx, told) if told.again else service.tell(tx, told))


def fold_all(database: Database, limit: int) -> None:
    while database.write(lambda tx: service.fold(tx, now=NOW, limit=limit)) == limit:
        pass


def replaying(cases: Sequence[Sequence[Told]]) -> service.Replay:
    """Return a source of what the cases room would tell anew: events once, each case as it stands at its end."""

    def replay(_session: Session, after: str, limit: int) -> tuple[list[Told], str]:
        rest = [told for told in cases if told[0].number > after][:limit]
        events: list[Told] = []
        for told in rest:
            whole = [one for one in told if not one.again]
            last = told[-1]
            whole[-1] = Told(
                last.number, last.seq, last.item, last.accepting, last.responsible, whole[-1].day, whole[-1].parts,
                last.is_open, last.running,
            )  # fmt: skip
            events += whole
        return events, rest[-1][0].number if len(rest) == limit else ""

    return replay


@ON_BOTH
@given(cases=histories(), data=st.data())
def test_folded_equals_counted_naively_equals_rebuilt(database: Database, cases: Any, data: st.DataObject) -> None:
    clear(database)
    waiting = [list(told) for told in cases]
    while any(waiting):
        tell(database, data.draw(st.sampled_from([one for one in waiting if one])).pop(0))
        if data.draw(st.booleans()):
            database.write(lambda tx: service.fold(tx, now=NOW, limit=data.draw(st.integers(1, 3))))
    fold_all(database, 2)
    first = data.draw(st.integers(-5, 110).map(lambda n: FIRST + timedelta(days=n)))
    ranges = (WIDE, (first, first + timedelta(days=data.draw(st.integers(0, 90)))))
    events = [one for told in cases for one in told]
    with database.reading() as session:
        for begin, end in ranges:
            assert sums_of(session, begin, end) == naive_sums(events, begin, end)
        assert open_of(session) == naive_open(cases)
        before = sums_of(session, *WIDE), open_of(session)
    database.write(service.begin_rebuild)
    while database.write(lambda tx: service.rebuild_step(tx, replaying(cases), limit=2)):
        pass
    with database.reading() as session:
        assert (sums_of(session, *WIDE), open_of(session)) == before


@given(cases=histories(), data=st.data())
def test_what_is_told_again_and_in_other_groups_adds_nothing(cases: Any, data: st.DataObject) -> None:
    told = [one for case in cases for one in case if not one.again]
    repeated = told + [data.draw(st.sampled_from(told)) for _ in range(data.draw(st.integers(0, 5)))]
    known: dict[str, Counted] = {}
    counts: dict[Any, Sums] = {}
    for group in _groups(repeated, data):
        change = reckon(known, group)
        known |= change.cases
        for key, sums in change.counts.items():
            counts[key] = plus(counts.get(key, NOTHING), sums)
    assert counts == reckon({}, told).counts
    assert known == reckon({}, told).cases


def _groups(told: list[Told], data: st.DataObject) -> list[list[Told]]:
    groups: list[list[Told]] = [[]]
    for one in told:
        groups[-1].append(one)
        if data.draw(st.booleans()):
            groups.append([])
    return groups


A_CASE = Told(
    "KS442000202601050000011", 0, "PEN-TRANSFER", "520300", "442000", date(2026, 1, 5), (Part("opened"),), True,
    (Running("OUT", date(2026, 1, 12)),),
)  # fmt: skip


def finished(seq: int = 1, *, taken: int = 3) -> Told:
    parts = (Part("finished", "OUT", "working_day", total=taken, promised=5, kept=1), Part("closed"))
    return Told(
        A_CASE.number, seq, *(A_CASE.item, A_CASE.accepting, A_CASE.responsible), date(2026, 1, 8), parts, False
    )


class Stopped(Exception):
    """The process ends here."""


def test_a_fold_that_is_cut_leaves_everything_to_the_next(database: Database) -> None:
    for one in (A_CASE, finished()):
        tell(database, one)

    def cut(transaction: Any) -> None:
        assert service.fold(transaction, now=NOW) == 2
        raise Stopped

    with pytest.raises(Stopped):
        database.write(cut)
    with database.reading() as session:
        assert sums_of(session, *WIDE) == {}
        assert store.fold_state(session) == (None, None)
    fold_all(database, 100)
    with database.reading() as session:
        assert sums_of(session, *WIDE) == naive_sums([A_CASE, finished()], *WIDE)


def test_a_rebuild_that_is_cut_goes_on_and_what_comes_meanwhile_is_counted_once(database: Database) -> None:
    second = Told("KS5", 0, "PEN-LUMPSUM", "450400", "442000", date(2026, 1, 6), (Part("opened"),), True)
    for one in (A_CASE, second):
        tell(database, one)
    fold_all(database, 100)
    replay = replaying([[A_CASE], [second]])
    database.write(service.begin_rebuild)
    assert database.write(lambda tx: service.rebuild_step(tx, replay, limit=1))
    tell(database, finished())
    assert database.write(lambda tx: service.fold(tx, now=NOW)) == 0, "nothing is folded while a rebuild goes on"
    with database.reading() as session:
        assert answer(session)["rebuilding"]
        assert answer(session)["stale"]
    while database.write(lambda tx: service.rebuild_step(tx, replay, limit=1)):
        pass
    fold_all(database, 100)
    with database.reading() as session:
        assert sums_of(session, *WIDE) == naive_sums([A_CASE, second, finished()], *WIDE)
        assert open_of(session) == naive_open([[A_CASE, finished()], [second]])


def room_at(moment: datetime) -> service.Room:
    today, soon = date(2026, 1, 12), date(2026, 1, 13)
    return service.Room(lambda: moment, replaying([]), lambda _session: (today, soon))


def answer(session: Session, later: float = 0, **asked: Any) -> dict[str, Any]:
    return service.answer(room_at(NOW + timedelta(seconds=later)), session, Asked(*WIDE, **asked))


def test_the_answer_says_days_against_promise_and_how_old_it_is(database: Database) -> None:
    with database.reading() as session:
        assert (answer(session)["age_seconds"], answer(session)["stale"]) == (None, True)
    tell(database, A_CASE)
    fold_all(database, 100)
    of = {"item": "PEN-TRANSFER", "accepting": "520300", "responsible": "442000"}
    with database.reading() as session:
        told = answer(session, 30)
        assert (told["age_seconds"], told["stale"]) == (30.0, False)
        assert told["open"] == [{**of, "leg": None, "open": 1, "due_soon": 1, "overdue": 0}]
        assert answer(session, 61)["stale"]
        assert answer(session, leg="OUT")["open"] == [{**of, "leg": "OUT", "open": 1, "due_soon": 1, "overdue": 0}]
        assert answer(session, pair=("442000", "520300"))["open"] == []
    tell(database, finished())
    fold_all(database, 100)
    leg = {
        "leg": "OUT", "unit": "working_day", "finished": 1, "kept": 1, "taken": 3, "promised": 5, "average": 3.0,
        "average_promised": 5.0,
    }  # fmt: skip
    with database.reading() as session:
        told = answer(session, item="PEN-TRANSFER")
        assert told["legs"] == [{**of, **leg}]
        assert told["volumes"] == [{**of, "opened": 1, "closed": 1}]
        assert (told["open"], answer(session, leg="IN_JOIN")["legs"], answer(session, item="X")["volumes"]) == (
            [],
            [],
            [],
        )


def test_a_moved_due_day_moves_the_case_and_nothing_else(database: Database) -> None:
    tell(database, A_CASE)
    moved = replace(A_CASE, running=(Running("OUT", date(2026, 1, 9)),))
    database.write(lambda tx: service.tell_again(tx, moved))
    database.write(lambda tx: service.tell_again(tx, A_CASE))
    database.write(lambda tx: service.tell_again(tx, moved))
    fold_all(database, 1)
    with database.reading() as session:
        assert [one["overdue"] for one in answer(session)["open"]] == [1]
        assert answer(session)["volumes"][0]["opened"] == 1


@pytest.mark.parametrize(
    ("first", "last", "spans"),
    [
        ("2026-01-01", "2026-01-31", ["+month 2026-01-01 2026-01-31"]),
        ("2026-01-02", "2026-01-31", ["+month 2026-01-01 2026-01-31", "-day 2026-01-01 2026-01-01"]),
        ("2026-01-20", "2026-01-31", ["+day 2026-01-20 2026-01-31"]),
        ("2026-01-31", "2026-02-01", ["+day 2026-01-31 2026-01-31", "+day 2026-02-01 2026-02-01"]),
        ("2023-12-31", "2026-02-01", ["+day 2023-12-31 2023-12-31", "+year 2024-01-01 2025-12-31",
                                      "+month 2026-01-01 2026-01-31", "+day 2026-02-01 2026-02-01"]),
        ("2025-11-30", "2026-12-31", ["+day 2025-11-30 2025-11-30", "+month 2025-12-01 2025-12-31",
                                      "+year 2026-01-01 2026-12-31"]),
        ("2026-02-02", "2026-02-01", []),
    ],
)  # fmt: skip
def test_a_range_is_whole_years_months_and_parts_of_months(first: str, last: str, spans: list[str]) -> None:
    found = spans_of(date.fromisoformat(first), date.fromisoformat(last))
    assert [f"{'+' if one.sign > 0 else '-'}{one.name} {one.first} {one.last}" for one in found] == spans


@given(st.dates(date(2024, 1, 1), date(2026, 12, 31)), st.integers(0, 1_200))
def test_spans_hold_each_day_of_a_range_once_and_few_days(first: date, days: int) -> None:
    last, seen, by_days = first + timedelta(days=days), Counter[date](), 0
    for span in spans_of(first, last):
        length = (span.last - span.first).days + 1
        by_days += length if span.name == "day" else 0
        for n in range(length):
            seen[span.first + timedelta(days=n)] += span.sign
    assert +seen == Counter(first + timedelta(days=n) for n in range(days + 1))
    assert not -seen
    assert by_days <= 30


def test_a_reason_that_may_name_a_person_is_no_reason() -> None:
    told: Callable[[object], str] = service.reason_of
    assert [told(one) for one in ("NO_RELATION", "邓国安未到场", None, "lower", "A" * 41)] == ["NO_RELATION"] + [
        "OTHER"
    ] * 4


@pytest.mark.parametrize(
    "asked",
    [{"pair": "442000"}, {"pair": "442000-52030x"}, {"pair": "442000-520300-1"}, {"first": date(2026, 1, 13)},
     {"first": date(2026, 2, 2), "last": date(2026, 2, 1)}],
)  # fmt: skip
def test_a_range_that_is_none_and_a_pair_that_is_none_are_refused(database: Database, asked: dict[str, Any]) -> None:
    with database.reading() as session, pytest.raises(InvalidBody) as refused:
        service.ask(room_at(NOW), session, **{"first": None, "last": None, **asked})
    assert refused.value.facts["fields"][0]["zh"]


def test_without_days_the_last_twelve_months_are_asked(database: Database) -> None:
    with database.reading() as session:
        asked = service.ask(room_at(NOW), session, first=None, last=None, pair="442000-520300", item="PEN-TRANSFER")
    assert asked == Asked(date(2025, 1, 1), date(2026, 1, 12), "PEN-TRANSFER", ("442000", "520300"))
