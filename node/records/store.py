"""Queries of the records room; nothing here commits."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session, col

from node.records.tables import Consultation, RegistryImport, RegistryRecord, ReleaseRuleRow
from node.storage.encryption import shard_key
from node.storage.lookups import Lookup

ANY_PEER = "*"


RECORD = Lookup(RegistryRecord, ("shard_key", "subject", "kind"), ("content", "as_of"))
"""One record of one person."""
RULE = Lookup(ReleaseRuleRow, ("peer", "item", "record"), ("fields",))
"""What one peer, or any (`ANY_PEER`), may see: the fields, comma-separated."""


def record_key(subject: bytes, kind: str) -> tuple[int, bytes, str]:
    """Return the key of `RECORD`."""
    return shard_key(subject), subject, kind


def records(session: Session, kind: str, subjects: Sequence[bytes]) -> dict[bytes, tuple[bytes, str]]:
    """Return (content, import id) of the records that exist, by subject."""
    query = select(col(RegistryRecord.subject), col(RegistryRecord.content), col(RegistryRecord.import_id)).where(
        col(RegistryRecord.shard_key).in_({shard_key(one) for one in subjects}),
        col(RegistryRecord.subject).in_(subjects),
        col(RegistryRecord.kind) == kind,
    )
    return {subject: (content, import_id) for subject, content, import_id in session.execute(query)}


def put_records(session: Session, kind: str, rows: Sequence[dict[str, Any]], existing: Iterable[bytes]) -> None:
    """Insert or replace records of one kind."""
    known = set(existing)
    fresh = [
        {"shard_key": shard_key(row["subject"]), "kind": kind, **row} for row in rows if row["subject"] not in known
    ]
    if fresh:
        session.execute(insert(RegistryRecord), fresh)
    for row in rows:
        if row["subject"] in known:
            session.execute(
                update(RegistryRecord)
                .where(
                    col(RegistryRecord.shard_key) == shard_key(row["subject"]),
                    col(RegistryRecord.subject) == row["subject"],
                    col(RegistryRecord.kind) == kind,
                )
                .values(content=row["content"], import_id=row["import_id"], as_of=row["as_of"])
            )


def count_records(session: Session) -> int:
    """Return how many records the registry holds."""
    return int(session.execute(select(func.count()).select_from(RegistryRecord)).scalar_one())


def open_import(session: Session, row: dict[str, Any]) -> None:
    """Insert the row of an import that begins."""
    session.execute(insert(RegistryImport), [row])


def count_rows(session: Session, import_id: str, rows: int) -> None:
    """Count rows that an import has written."""
    session.execute(
        update(RegistryImport)
        .where(col(RegistryImport.id) == import_id)
        .values(rows=col(RegistryImport.rows) + rows)
        .execution_options(synchronize_session=False)
    )


def close_import(session: Session, import_id: str, *, now: datetime) -> None:
    """Mark an import as ended."""
    session.execute(update(RegistryImport).where(col(RegistryImport.id) == import_id).values(ended_at=now))


def release_rules(session: Session) -> list[ReleaseRuleRow]:
    """Return all rules, by peer, item and kind."""
    ordered = select(ReleaseRuleRow).order_by(
        col(ReleaseRuleRow.peer), col(ReleaseRuleRow.item), col(ReleaseRuleRow.record)
    )
    return list(session.execute(ordered).scalars())


def replace_release_rules(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Replace all rules."""
    session.execute(delete(ReleaseRuleRow))
    if rows:
        session.execute(insert(ReleaseRuleRow), list(rows))


def consultations_of_day(session: Session, prefix: str) -> int:
    """Return how many consultations were registered under a number prefix (city and day)."""
    counted = select(func.count()).select_from(Consultation).where(col(Consultation.number).startswith(prefix))
    return int(session.execute(counted).scalar_one())


def insert_consultation(session: Session, row: dict[str, Any]) -> None:
    """Insert a consultation."""
    session.execute(insert(Consultation), [{"shard_key": shard_key(row["number"]), **row}])
