"""Statistics over a million cases: `python -m bench.statistics`, the same as `tongban bench --only statistics`.

    statistics_answer_{sqlite,postgresql}_ms       slowest answer of any filter and range: median of seven, by the
                                                   route of the local interface, JSON included
    statistics_age_seconds                         time between two folds, and a fold of the most that an hour of the
                                                   busiest city brings at once (3,000 events), the slower database
    statistics_fold_{…}_per_second                 told events added to the sums

A million cases (`--size`) of five events each, over three years, 18 items and 30 pairs, are reckoned and written by the
functions of a fold; the last tenth is open. Only what a case tells is made here, not its transcript.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from starlette.testclient import TestClient

from bench.measuring import Figures, Options, Tell, main
from node.statistics import service, store
from node.statistics.api import StatisticsDoor, router
from node.statistics.reckoning import reckon
from node.statistics.service import Part, Room, Running, Told
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database, Transaction
from node.worker import FOLDED_EVERY
from protocol.identifiers import format_case_number
from tests.databases import binaries_of_postgresql, migrate, running_postgresql

LARGEST: Final = 1_000_000
FILLED_AT_ONCE: Final = 50_000
BURST: Final = 3_000
DAYS: Final = 1_095
BEGINS: Final = date(2023, 11, 27)
TODAY: Final = date(2026, 11, 24)
NOW: Final = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
ITEMS: Final = tuple(f"ITEM-{number}" for number in range(18))
PEERS: Final = tuple(str(code) for code in range(440_101, 440_116))
OWN: Final = "442000"
REASONS: Final = ("NO_RELATION", "ARREARS", "IN_PAY", "ID_MISMATCH", "OTHER")
REPEATED: Final = 7


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure both databases."""
    folds = []
    for kind in ("sqlite", "postgresql"):
        with _database(kind) as database:
            if database is None:
                tell("no PostgreSQL: left out")
                continue
            total = min(options.size, LARGEST)
            tell(f"{kind}: {total} cases")
            for first in range(0, total, FILLED_AT_ONCE):
                cases = range(first, min(first + FILLED_AT_ONCE, total))
                database.write(partial(_fill, cases=cases, total=total))
            _analyse(database)
            taken = [_burst(database, total + number * BURST, total) for number in range(options.rounds)]
            folds.append(max(taken))
            figures.add(f"statistics_fold_{kind}_per_second", [BURST / one for one in taken])
            slowest = max(_answers(database), key=lambda one: one[1])
            figures.add(f"statistics_answer_{kind}_ms", [slowest[1]])
            figures.tables[f"statistics_answer_{kind}_slowest"] = slowest[0]
            figures.tables[f"statistics_sums_{kind}"] = _rows(database)
    figures.add("statistics_age_seconds", [FOLDED_EVERY.total_seconds() + max(folds)])


@contextmanager
def _database(kind: str) -> Iterator[Database | None]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tongban-bench-"))
        url = f"sqlite:///{Path(folder) / 'node.db'}"
        if kind == "postgresql":
            binaries = binaries_of_postgresql()
            if binaries is None:
                yield None
                return
            url = stack.enter_context(running_postgresql(binaries)).url("migrated")
        engine = open_engine(migrate(url))
        stack.callback(engine.dispose)
        yield Database(engine, lambda _session, _pending: None)


def _fill(transaction: Transaction, cases: range, total: int) -> None:
    """Add some cases to the sums as a fold would, without the rows that wait for it."""
    store.apply(transaction.session, reckon({}, (told for place in cases for told in a_case(place, total))))


def _tell(transaction: Transaction, cases: range, total: int) -> None:
    for told in (one for place in cases for one in a_case(place, total)):
        service.tell(transaction, told)


def a_case(place: int, total: int) -> Iterator[Told]:
    """Yield what one case tells in its life; days go up with its place, the last tenth is still open."""
    day = BEGINS + timedelta(days=DAYS * place // total)
    number = format_case_number(OWN, BEGINS + timedelta(days=place // 900_000), place % 900_000 + 1)
    of = (ITEMS[place % len(ITEMS)], *_pair(place))
    due = (Running("TOTAL", day + timedelta(days=7)),)
    taken = place * 13 % 9
    yield Told(number, 0, *of, day, (Part("opened"),), True, due)
    yield Told(number, 1, *of, day, (), True, due)
    if place >= total * 9 // 10:
        return
    ended = day + timedelta(days=taken)
    leg = Part("finished", "TOTAL", "working_day", 1, taken, 5, int(taken <= 5))
    refused = place % 20 == 0
    parts = [leg, Part("decided", detail="REJECTED" if refused else "APPROVED")]
    if refused:
        parts.append(Part("refused", detail=REASONS[place // 20 % len(REASONS)]))
    yield Told(number, 2, *of, ended, tuple(parts), True)
    yield Told(number, 3, *of, ended, (Part("instructed", total=4_497_235),) if place % 3 == 0 else (), True)
    money = (Part("reconciled", total=4_497_235),) if place % 3 == 0 else ()
    yield Told(number, 4, *of, ended + timedelta(days=1), (Part("closed"), *money), False)


def _pair(place: int) -> tuple[str, str]:
    """Return a pair so that every item meets every pair in both directions."""
    round_of, peer = divmod(place // len(ITEMS), len(PEERS))
    return (OWN, PEERS[peer]) if round_of % 2 else (PEERS[peer], OWN)


def _analyse(database: Database) -> None:
    with database.writing.begin() as connection:
        connection.exec_driver_sql("ANALYZE")


def _burst(database: Database, first: int, total: int) -> float:
    """Return the seconds of a fold of what came at once."""
    database.write(partial(_tell, cases=range(first, first + BURST // 2), total=total))
    begun = time.perf_counter()
    while database.write(partial(service.fold, now=NOW)):
        pass
    return time.perf_counter() - begun


def _answers(database: Database) -> Iterator[tuple[str, float]]:
    """Yield the median ms of an answer for each range and filter."""
    room = Room(lambda: NOW, lambda _session, _after, _limit: ([], ""), lambda _session: (TODAY, TODAY))
    app = FastAPI()
    app.include_router(router(StatisticsDoor(room, database, lambda: None)))
    ranges = {
        "all": ("2023-11-27", "2026-11-24"), "odd": ("2023-12-02", "2026-11-23"), "year": ("2025-11-25", "2026-11-24"),
        "month": ("2026-10-01", "2026-10-31"), "day": ("2026-05-05", "2026-05-05"),
    }  # fmt: skip
    filters: dict[str, dict[str, str]] = {
        "none": {}, "item": {"item": ITEMS[3]}, "pair": {"pair": f"{OWN}-{PEERS[4]}"}, "leg": {"leg": "TOTAL"},
    }  # fmt: skip
    with TestClient(app) as client:
        for name, (first, last) in ranges.items():
            for of, given in filters.items():
                yield f"{name}, {of}", _answer_ms(client, {"from": first, "to": last, **given})


def _answer_ms(client: Any, asked: dict[str, str]) -> float:
    taken = []
    for _ in range(REPEATED):
        begun = time.perf_counter()
        answered = client.get("/api/v1/statistics", params=asked)
        taken.append((time.perf_counter() - begun) * 1000)
        if not json.loads(answered.content)["volumes"] and "item" not in asked:
            raise RuntimeError(f"no answer for {asked}")
    return statistics.median(taken)


def _rows(database: Database) -> dict[str, int]:
    with database.engine.connect() as connection:
        return {
            name: int(connection.exec_driver_sql(f"SELECT count(*) FROM statistics_{name}").scalar_one())  # noqa: S608
            for name in ("case", "count", "open", "told")
        }


if __name__ == "__main__":
    main("statistics", run)
