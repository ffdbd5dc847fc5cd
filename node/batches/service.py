"""Batches: many applications of one item from a workbook, each judged and opened as one case is (批量受理).

Rows are looked at in groups; a group is one transaction, in which its cases are opened, their messages lie in the
outbox and its rows say so. A run that is cut anywhere goes on where the last group ended, and the same file again
opens nothing twice: a batch is named by item and bytes, a row by its place, and beyond the file an application by what
it says. So a file in which some cells were mended is handed in whole again: only the mended rows are opened.

A row with faults never stops the others. What is wrong stands at its cell; values are never repeated.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from sqlmodel import Session

from node.batches import store
from node.batches.reading import LIMITS
from node.batches.room import Batches, HandedIn
from node.batches.running import Tell, run_rows
from node.batches.tables import Batch
from node.batches.workbooks import report_of, template_of
from node.cases.service import Person
from node.storage.unit_of_work import Transaction
from protocol.errors import NotFound, NotNow, TooLarge

ATTEMPTS: Final = 5
"""runs of one batch that may end in a fault nobody foresaw"""
PAGE_MAX: Final = 1_000

logger = structlog.get_logger("batches")


async def collect(stream: AsyncIterator[bytes], limit: int = LIMITS.max_workbook_bytes) -> bytes:
    """Return a body that comes in parts.

    Raises:
        TooLarge: it has more bytes than a batch may have.
    """
    parts, size = [], 0
    async for part in stream:
        size += len(part)
        if size > limit:
            raise TooLarge(f"a batch has at most {limit} bytes", limit=limit)
        parts.append(part)
    return b"".join(parts)


def hand_in(batches: Batches, transaction: Transaction, handed: HandedIn, person: Person, *, keep: bool) -> str:
    """Store that a file was handed in, or again, and return its number; `keep` its bytes for `run_next`.

    Raises:
        UnknownItem: the catalogue has no such item.
        TooLarge: more bytes than a batch may have.
    """
    batches.item(transaction.session, handed.item)
    if len(handed.content) > LIMITS.max_workbook_bytes:
        raise TooLarge(f"a batch has at most {LIMITS.max_workbook_bytes} bytes", limit=LIMITS.max_workbook_bytes)
    number, now, session = handed.number, batches.now(), transaction.session
    acting = {"actor": person.account, "officer": person.officer, "office": person.office, "role": person.role}
    fresh = {"state": store.WAITING, "faults": "[]", "attempts": 0, "changed_at": now, **acting}
    if store.batch(session, number) is None:
        named = {"id": number, "item": handed.item, "digest": handed.digest, "dry_run": handed.dry_run}
        store.add_batch(session, {**named, "rows": 0, "created_at": now, **fresh})
    else:
        store.change_batch(session, number, **fresh)
    if keep:
        store.keep_file(session, number, batches.vault.encrypt(handed.content, _context(number)))
    return number


async def run(batches: Batches, handed: HandedIn, person: Person, tell: Tell = lambda _done, _rows: None) -> None:
    """Look at every row of a batch that was handed in, and open what can be opened.

    Raises:
        StorageFull, Busy: nothing more can be opened now; the same again goes on where this ended.
    """
    await run_rows(batches, handed, person, tell)


async def run_next(batches: Batches) -> bool:
    """Run the oldest batch whose bytes are here and which is not done; False when there is none, or none can now."""
    with batches.writer.database.reading() as session:
        row = store.next_with_file(session)
        stored = store.file_of(session, row.id) if row is not None else None
    if row is None or stored is None:
        return False
    person = Person(row.actor, row.officer, row.office, row.role)
    try:
        content = batches.vault.decrypt(stored, _context(row.id))
        await run(batches, HandedIn(row.item, content, row.dry_run), person)
    except NotNow:
        logger.warning("batch.waits")
        return False
    except Exception:
        await batches.writer.submit(lambda tx: _failed(batches, tx, row))
        raise
    return True


def clerk(batches: Batches, account: str, office: str, role: str) -> Person:
    """Return who hands a file in at the command line: a clerk, unless another role is named."""
    return Person(account, batches.vault.pseudonym(account), office, "clerk" if role == "system" else role)


def _failed(batches: Batches, transaction: Transaction, row: Batch) -> None:
    """Count an attempt that nobody foresaw; after some, others have their turn."""
    is_last = row.attempts + 1 >= ATTEMPTS
    state = store.FAILED if is_last else store.WAITING
    store.change_batch(transaction.session, row.id, state=state, attempts=row.attempts + 1, changed_at=batches.now())
    if is_last:
        store.drop_file(transaction.session, row.id)


def progress(session: Session, number: str) -> dict[str, Any]:
    """Return how far a batch is.

    Raises:
        NotFound: there is no such batch.
    """
    row = store.batch(session, number)
    if row is None:
        raise NotFound("there is no such batch here")
    return _progress(session, row)


def newest(session: Session) -> list[dict[str, Any]]:
    """Return how far the newest batches are, the newest first."""
    return [_progress(session, row) for row in store.newest(session)]


def _progress(session: Session, row: Batch) -> dict[str, Any]:
    looked, opened, earlier, faulty = store.counts(session, row.id)
    return {
        "id": row.id,
        "item": row.item,
        "dry_run": row.dry_run,
        "state": row.state,
        "rows": row.rows,
        "done": looked,
        "opened": opened,
        "earlier": earlier,
        "faulty": faulty,
        "faults": json.loads(row.faults),
        "created_at": row.created_at.isoformat(timespec="seconds"),
        "changed_at": row.changed_at.isoformat(timespec="seconds"),
    }


def report(
    session: Session, number: str, *, after: int = 0, limit: int = PAGE_MAX, faulty: bool = False
) -> tuple[list[dict[str, Any]], int | None]:
    """Return what became of rows, in the order of the file, and where the next page begins.

    Raises:
        NotFound: there is no such batch.
    """
    if store.batch(session, number) is None:
        raise NotFound("there is no such batch here")
    rows = store.rows_after(session, number, after=after, limit=limit + 1, faulty=faulty)
    found = [
        {
            "at": one.at,
            "number": one.number,
            "earlier": one.earlier,
            "faults": json.loads(one.faults) if one.faults else [],
        }
        for one in rows[:limit]
    ]
    return found, (rows[limit - 1].place if len(rows) > limit else None)


def whole_report(session: Session, number: str) -> Iterator[dict[str, Any]]:
    """Yield what became of every row.

    Raises:
        NotFound: there is no such batch.
    """
    after: int | None = 0
    while after is not None:
        found, after = report(session, number, after=after)
        yield from found


def report_workbook(session: Session, number: str) -> bytes:
    """Return the report as a workbook.

    Raises:
        NotFound: there is no such batch.
    """
    faults = progress(session, number)["faults"]
    return report_of(faults, whole_report(session, number))


def report_file(session: Session, number: str, suffix: str) -> bytes:
    """Return the report as a file of a kind: `.xlsx`, or JSON.

    Raises:
        NotFound: there is no such batch.
    """
    if suffix == ".xlsx":
        return report_workbook(session, number)
    whole = {**progress(session, number), "report": list(whole_report(session, number))}
    return json.dumps(whole, ensure_ascii=False, indent=1).encode()


def template(batches: Batches, session: Session, item: str) -> bytes:
    """Return the blank workbook of an item.

    Raises:
        UnknownItem: the catalogue has no such item.
    """
    return template_of(batches.item(session, item))


def read_file(path: Path, limit: int = LIMITS.max_workbook_bytes) -> bytes:
    """Return the bytes of a file.

    Raises:
        TooLarge: it has more bytes than a batch may have.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(f"a batch has at most {limit} bytes", limit=limit)
    return content


def _context(number: str) -> bytes:
    return f"batch:{number}".encode()
