"""A city that takes batches: the rooms of a city of the cases' tests, and makers of rows and files."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Any

from config.data import catalogue_bytes
from node.batches import service
from node.batches.columns import Layout, Path, layout_of
from node.batches.room import Batches, HandedIn
from node.cases.room import item_in_force
from node.cases.service import check_case, open_case
from node.simulation.batches import applications, flat_row, workbook_of
from protocol.catalogue import parse_catalogue
from tests.node.cases.two_cities import CLERK, RESPONSIBLE, CaseCity

TODAY = date(2026, 11, 24)
ITEM = "PEN-LUMPSUM"
ITEMS = parse_catalogue(catalogue_bytes()).items
LAYOUTS = {code: layout_of(item) for code, item in ITEMS.items()}
LAYOUT = LAYOUTS[ITEM]
Row = dict[Path, Any]


def path(name: str) -> Path:
    return tuple(name.split("."))


def good_rows(count: int, *, seed: int = 1) -> list[Row]:
    """Return rows that can be opened."""
    return [dict(flat_row(LAYOUT, RESPONSIBLE, one)) for one in applications(ITEM, count, seed=seed)]


def changed(row: Row, **changes: Any) -> Row:
    """Return a row with other cells; a name's dots are written as two underscores."""
    return {**row, **{path(name.replace("__", ".")): value for name, value in changes.items()}}


def a_file(rows: list[Row], layout: Layout = LAYOUT) -> bytes:
    return workbook_of(layout, rows)


def batches_of(city: CaseCity) -> Batches:
    """Return the batches room of a city."""
    room = city.room
    opening = (partial(item_in_force, room), partial(check_case, room), partial(open_case, room))
    return Batches(city.room.vault, city.writer, *opening, city.room.now)


async def run(batches: Batches, content: bytes, *, item: str = ITEM, dry_run: bool = False) -> dict[str, Any]:
    """Hand a file in, run it, and return how far it is."""
    handed = HandedIn(item, content, dry_run)
    await batches.writer.submit(lambda tx: service.hand_in(batches, tx, handed, CLERK, keep=False))
    await service.run(batches, handed, CLERK)
    with batches.writer.database.reading() as session:
        return service.progress(session, handed.number)


def reported(batches: Batches, number: str) -> list[dict[str, Any]]:
    with batches.writer.database.reading() as session:
        return list(service.whole_report(session, number))


def faults(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield cell, field and rule of every fault."""
    for row in rows:
        yield from ((one["cell"], one["field"], one["rule"]) for one in row["faults"])


def numbers(rows: list[dict[str, Any]]) -> list[str]:
    return [one["number"] for one in rows if one["number"]]
