"""Filling the registry from a file: check everything first, then write in batches.

A file with one bad cell changes nothing. Of a person who appears in the file, the records of that kind are
replaced by the file's lines; persons who do not appear keep theirs. An import that is cut off is simply
run again: the outcome is the same.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from node.audit.service import Entry
from node.records import store
from node.records.connectors.builtin import context_of, format_content
from node.records.importing import CellError, ParsedRow, read_rows
from node.storage.encryption import Vault
from node.storage.unit_of_work import Database, Transaction
from protocol.messages import RecordKind
from protocol.suites import encode

BATCH_ROWS: Final = 2_000
ERRORS_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of the first pass: how many rows, and what is wrong (at most 200 are kept)."""

    rows: int
    errors: tuple[CellError, ...]
    error_count: int


@dataclass(frozen=True, slots=True)
class Filling:
    """Who fills the registry, with what id, at what time."""

    database: Database
    vault: Vault
    import_id: str
    actor: str
    now: datetime


def check_file(
    path: Path, kind: RecordKind | None, *, now: datetime, progress: Callable[[int], None] = lambda done: None
) -> Checked:
    """Read the whole file and collect its errors; nothing is written."""
    rows, count, errors = 0, 0, list[CellError]()
    for row in read_rows(path, kind, today=now.date()):
        if isinstance(row, CellError):
            count += 1
            if len(errors) < ERRORS_SHOWN:
                errors.append(row)
        else:
            rows += 1
        if (rows + count) % 500 == 0:
            progress(rows + count)
    return Checked(rows, tuple(errors), count)


def fill_from_file(
    filling: Filling, path: Path, kind: RecordKind | None, *, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Write a file that `check_file` found clean; return the number of lines written.

    Raises:
        ValueError: the file has changed since it was checked and is not clean any more.
    """
    return fill(filling, _clean(read_rows(path, kind, today=filling.now.date())), digest_of(path), progress=progress)


def fill(
    filling: Filling, rows: Iterable[ParsedRow], digest: str, *, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Write rows in batches, each one transaction; the last books the import in the log."""
    begun = {"id": filling.import_id, "digest": digest, "rows": 0, "actor": filling.actor, "started_at": filling.now}
    filling.database.write(lambda transaction: store.open_import(transaction.session, begun))
    written = 0
    waiting = iter(rows)
    while batch := list(islice(waiting, BATCH_ROWS)):
        filling.database.write(lambda transaction, batch=batch: _write(filling, transaction, batch))  # type: ignore[misc]
        written += len(batch)
        progress(written)
    filling.database.write(lambda transaction: _book(filling, transaction, digest))
    return written


def digest_of(path: Path) -> str:
    """Return SHA-256 of a file, base64url; bounded memory."""
    with path.open("rb") as file:
        return encode(hashlib.file_digest(file, "sha256").digest())


def _clean(rows: Iterator[ParsedRow | CellError]) -> Iterator[ParsedRow]:
    for row in rows:
        if isinstance(row, CellError):
            raise ValueError("the file has changed since it was checked; check it again")
        yield row


def _write(filling: Filling, transaction: Transaction, batch: list[ParsedRow]) -> None:
    grouped: dict[RecordKind, dict[bytes, tuple[str, list[dict[str, Any]]]]] = {}
    for row in batch:
        subject = filling.vault.blind_index(row.person.id_type, row.person.number)
        grouped.setdefault(row.kind, {}).setdefault(subject, (row.name, []))[1].append(row.line)
    for kind, people in grouped.items():
        existing = store.records(transaction.session, kind.value, list(people))
        rows = [_row(filling, kind, subject, *lines, existing.get(subject)) for subject, lines in people.items()]
        store.put_records(transaction.session, kind.value, rows, existing)
    store.count_rows(transaction.session, filling.import_id, len(batch))


def _row(
    filling: Filling,
    kind: RecordKind,
    subject: bytes,
    name: str,
    lines: list[dict[str, Any]],
    existing: tuple[bytes, str] | None,
) -> dict[str, Any]:
    context = context_of(subject, kind)
    if existing is not None and existing[1] == filling.import_id:
        # This import has met the person in an earlier batch: its lines go on, they do not start anew.
        lines = [*json.loads(filling.vault.decrypt(existing[0], context))["lines"], *lines]
    content = filling.vault.encrypt(format_content(name, lines), context)
    return {"subject": subject, "content": content, "import_id": filling.import_id, "as_of": filling.now}


def _book(filling: Filling, transaction: Transaction, digest: str) -> None:
    store.close_import(transaction.session, filling.import_id, now=filling.now)
    transaction.append(Entry(kind="import", dir="local", time=filling.now, request=digest, actor=filling.actor))
