"""Batches: a year's applications from one workbook, until every case is opened and its message lies in the outbox.

    python -m bench.batch                       ten thousand rows, on each kind of database
    python -m bench.batch --size 2000           fewer

    batch_10000_seconds_*         from the bytes of the file to the last case in the outbox, as `tongban case batch`
    batch_10000_again_seconds_*   the same file once more: every row is found to have its case
    batch_10000_mended_seconds_*  another file, in which all rows but one say the same

The node is this process: keys, trust, writer and log as `tongban serve` has them. Nothing is delivered meanwhile. Every
round has other invented people. The item is PEN-TRANSFER, or PEN-LUMPSUM where the procedures in force lack the former;
the raw data say which it was.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import uvloop
from sqlalchemy import text

from bench.measuring import Figures, Options, Tell, main, on_cores
from node.__main__ import Opening
from node.app import Node, Running, start
from node.batches import service
from node.batches.columns import Layout, layout_of
from node.batches.room import HandedIn
from node.cases.service import Person
from node.simulation.batches import IN_CITY, batch_of
from node.simulation.demo import new_root
from node.simulation.network import DemoCity, free_base, make_network
from node.terminal import Terminal
from protocol.errors import UnknownItem
from tests.databases import binaries_of_postgresql, running_postgresql

ITEMS: Final = ("PEN-TRANSFER", "PEN-LUMPSUM")
ROWS: Final = 10_000
ROUNDS_MAX: Final = 3
OURS: Final = "450400"
CORE: Final = 0
PERSON: Final = Person("clerk", "o-7f3c", "梧州窗口", "clerk")


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure both databases."""
    opening = Opening(Terminal(lang="en"))
    for database in ("sqlite", "postgresql"):
        with _city(database, opening, tell) as city, on_cores(CORE):
            if city is not None:
                node = opening.at(city.home).node()
                uvloop.run(_measure(node, database, options, figures, tell))


@contextmanager
def _city(database: str, opening: Opening, tell: Tell) -> Iterator[DemoCity | None]:
    members = [one for one in opening.demo_members() if one["division"] in (OURS, IN_CITY)]
    root = new_root()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        pattern = "sqlite:///data/tongban.db"
        if database == "postgresql":
            binaries = binaries_of_postgresql()
            if binaries is None:
                tell("no PostgreSQL: left out")
                yield None
                return
            pattern = stack.enter_context(running_postgresql(binaries)).pattern([one["division"] for one in members])
        cities = make_network(
            root, members, free_base(36_000, 2), network="bench-batch", opening=opening, database=pattern
        )
        yield next(one for one in cities if one.code == OURS)


async def _measure(node: Node, database: str, options: Options, figures: Figures, tell: Tell) -> None:
    running = await start(node)
    try:
        await running.adopt_own()
        layout = _layout(running)
        figures.tables[f"batch_{database}_item"] = layout.item.code
        rows = min(options.size, ROWS)
        first, again, mended = [], [], []
        for place in range(min(options.rounds, ROUNDS_MAX)):
            tell(f"{database}: {rows} rows of {layout.item.code}, round {place + 1}")
            seed = options.seed + place
            content = batch_of(layout, rows, to=IN_CITY, seed=seed)
            first.append(await _run(running, layout, content, rows))
            again.append(await _run(running, layout, content, rows))
            mended.append(await _run(running, layout, batch_of(layout, rows - 1, to=IN_CITY, seed=seed), rows - 1))
        _check(running, rows * len(first))
    finally:
        await running.stop()
    figures.add(f"batch_10000_seconds_{database}", first)
    figures.add(f"batch_10000_again_seconds_{database}", again)
    figures.add(f"batch_10000_mended_seconds_{database}", mended)


def _layout(running: Running) -> Layout:
    with running.node.database.reading() as session:
        for code in ITEMS:
            try:
                return layout_of(running.batches.item(session, code))
            except UnknownItem:
                continue
    raise RuntimeError("none of the items can be opened here")


async def _run(running: Running, layout: Layout, content: bytes, rows: int) -> float:
    """Return the seconds from the bytes to the last case in the outbox."""
    batches, handed = running.batches, HandedIn(layout.item.code, content)
    begun = time.monotonic()
    await running.writer.submit(lambda tx: service.hand_in(batches, tx, handed, PERSON, keep=False))
    await service.run(batches, handed, PERSON)
    took = time.monotonic() - begun
    with running.node.database.reading() as session:
        page = service.progress(session, handed.number)
    if (page["state"], page["opened"], page["faulty"]) != ("done", rows, 0):
        raise RuntimeError(f"not every row was opened: {page['state']}, {page['opened']} of {rows}")
    return took


def _check(running: Running, cases: int) -> None:
    """Make sure that every case, and no other, is there and in the outbox."""
    with running.node.database.engine.connect() as connection:
        for table in ("cases", "outbox", "batch_opening"):
            found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our names
            if found != cases:
                raise RuntimeError(f"{table} has {found} rows, not {cases}")


if __name__ == "__main__":
    main("batch", run)
