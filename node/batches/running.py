"""A run over a batch: read its rows, judge each as one case is, open groups of them, each group in one transaction."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta, timezone
from typing import Any, Final

import structlog
from sqlmodel import Session

from node.batches import store
from node.batches.columns import Layout, layout_of
from node.batches.judging import Filled, faults_at_cells, faults_of_refusal, fill
from node.batches.reading import BatchRefused, BatchRow, CellFault, read_batch
from node.batches.room import Batches, HandedIn
from node.cases.service import Opening, Person
from node.storage.unit_of_work import Transaction
from protocol.catalogue_checks import check_application
from protocol.errors import Busy, NotNow, Refusal

GROUP: Final = 64
BUSY_ATTEMPTS: Final = 5
BUSY_SECONDS: Final = 0.2
CHINA: Final = timezone(timedelta(hours=8))
Tell = Callable[[int, int], None]
"""(rows looked at, rows in all)"""

logger = structlog.get_logger("batches")


@dataclass(slots=True)
class Judged:
    """A row that was looked at: what it would open and the index of what it says, or its faults."""

    row: BatchRow
    filled: Filled
    opening: Opening | None = None
    content: bytes = b""
    faults: list[CellFault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over a batch: what is handed from step to step."""

    batches: Batches
    handed: HandedIn
    person: Person
    layout: Layout

    @property
    def number(self) -> str:
        return self.handed.number


async def run_rows(batches: Batches, handed: HandedIn, person: Person, tell: Tell) -> None:
    """Look at every row of a batch that was handed in, and open what can be opened.

    Raises:
        StorageFull, Busy: nothing more can be opened now; the same again goes on where this ended.
    """
    number, submit = handed.number, batches.writer.submit
    with batches.writer.database.reading() as session:
        this = _Run(batches, handed, person, layout_of(batches.item(session, handed.item)))
        opened = store.opened_places(session, number)
    try:
        rows = await asyncio.to_thread(read_batch, handed.content, this.layout)
    except BatchRefused as refused:
        faults = _text_of(refused.faults)
        await submit(lambda tx: _end(batches, tx, number, state=store.REFUSED, faults=faults))
        return
    total = len(rows)
    await submit(lambda tx: store.change_batch(tx.session, number, state=store.RUNNING, rows=total))
    left = [one for one in rows if one.place not in opened]
    for first in range(0, len(left), GROUP):
        tell(total - len(left) + first, total)
        group = left[first : first + GROUP]
        await _settle(this, await asyncio.to_thread(_judge_group, this, group))
    await submit(lambda tx: _end(batches, tx, number, state=store.DONE))
    tell(total, total)
    logger.info("batch.done", size=total)


def _judge_group(this: _Run, rows: Sequence[BatchRow]) -> list[Judged]:
    judged = [_filled(this, row) for row in rows]
    with this.batches.writer.database.reading() as session:
        known = store.openings(session, [one.content for one in judged if one.opening is not None])
        for one in judged:
            # What has its case already is not looked at again: it may be that it could not be opened any more today.
            if one.opening is not None and one.content not in known:
                _check(this, session, one, one.opening)
    return judged


def _filled(this: _Run, row: BatchRow) -> Judged:
    """Return what a row says; it says nothing for sure when a cell cannot be read."""
    filled, code = fill(row, this.layout), this.layout.item.code
    said = json.dumps([code, filled.to, filled.application], ensure_ascii=False, sort_keys=True)
    content = this.batches.vault.content_index(said.encode())
    judged = Judged(row, filled, Opening(code, filled.to, filled.application), content)
    if row.beyond or filled.faults:
        judged.opening = None
        today = this.batches.now().astimezone(CHINA).date()
        found = check_application(this.layout.item, filled.application, today=today)
        judged.faults = faults_at_cells(this.layout, filled, [asdict(one) for one in found])
    return judged


def _check(this: _Run, session: Session, judged: Judged, opening: Opening) -> None:
    """Look at a row as at one case, and change nothing."""
    try:
        this.batches.check(session, opening)
    except NotNow:
        raise
    except Refusal as refusal:
        judged.opening = None
        today = this.batches.now().astimezone(CHINA).date()
        judged.faults = _faults(this.layout, judged.filled, refusal, today=today)


def _faults(layout: Layout, filled: Filled, refusal: Refusal, *, today: date) -> list[CellFault]:
    """Return everything that is wrong with a row: one refusal may hide what would have been looked at after it."""
    found = [asdict(one) for one in check_application(layout.item, filled.application, today=today)]
    known = {(one["at"], one["rule"]) for one in found}
    found += [one for one in faults_of_refusal(filled, refusal) if (one["at"], one["rule"]) not in known]
    return faults_at_cells(layout, filled, found)


async def _settle(this: _Run, judged: Sequence[Judged]) -> None:
    """Open a group in one transaction; when one of it is refused after all, each in its own."""
    try:
        await _submit(this.batches, lambda tx: _write(this, tx, judged))
    except NotNow:
        raise
    except Refusal as refusal:
        if len(judged) > 1:
            for one in judged:
                await _settle(this, [one])
            return
        (only,) = judged
        if only.opening is None:
            raise
        only.opening = None
        only.faults = faults_at_cells(this.layout, only.filled, faults_of_refusal(only.filled, refusal))
        await _submit(this.batches, lambda tx: _write(this, tx, judged))


async def _submit(batches: Batches, work: Callable[[Transaction], None]) -> None:
    for attempt in range(1, BUSY_ATTEMPTS + 1):
        try:
            return await batches.writer.submit(work)
        except Busy:
            if attempt == BUSY_ATTEMPTS:
                raise
            await asyncio.sleep(BUSY_SECONDS * 2**attempt)


def _write(this: _Run, transaction: Transaction, judged: Sequence[Judged]) -> None:
    known: dict[bytes, str] = {}
    if not this.handed.dry_run:
        known = store.openings(transaction.session, [one.content for one in judged if one.opening is not None])
    rows = []
    for one in judged:
        case = known.get(one.content)
        is_earlier = case is not None
        if one.opening is not None and case is None and not this.handed.dry_run:
            case = known[one.content] = this.batches.open(transaction, one.opening, this.person).number
            store.add_opening(transaction, one.content, case)
        faults = _text_of(one.faults) if one.faults else None
        rows.append((one.row.place, one.row.at, case, is_earlier, faults))
    store.replace_rows(transaction, this.number, rows)
    store.change_batch(transaction.session, this.number, changed_at=this.batches.now())


def _end(batches: Batches, transaction: Transaction, number: str, **values: Any) -> None:
    store.change_batch(transaction.session, number, changed_at=batches.now(), **values)
    store.drop_file(transaction.session, number)


def _text_of(faults: Sequence[CellFault]) -> str:
    return json.dumps([asdict(one) for one in faults], ensure_ascii=False)
