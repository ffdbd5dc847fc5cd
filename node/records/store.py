"""Queries of the records room; nothing here commits."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session, col

from node.records.tables import Consultation, RegistryImport, RegistryRecord, ReleaseRuleRow
from node.storage.encryption import shard_key

ANY_PEER = "*"


def record(session: Session, subject: bytes, kind: str) -> tuple[bytes, str, datetime] | None:
    """Return (content, import id, as_of) of one record."""
    found = session.execute(
        select(col(RegistryRecord.content), col(RegistryRecord.import_id), col(RegistryRecord.as_of)).where(
            col(RegistryRecord.shard_key) == shard_key(subject),
            col(RegistryRecord.subject) == subject,
            col(RegistryRecord.kind) == kind,
        )
    ).one_or_none()
    return found and (found[0], found[1], found[2])


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


def release_rule(session: Session, peer: str, item: str, record: str) -> str | None:
    """Return the fields, comma-separated, of the rule for this peer, else of the rule for any peer."""
    rows = session.execute(
        select(col(ReleaseRuleRow.peer), col(ReleaseRuleRow.fields)).where(
            col(ReleaseRuleRow.peer).in_((peer, ANY_PEER)),
            col(ReleaseRuleRow.item) == item,
            col(ReleaseRuleRow.record) == record,
        )
    ).all()
    by_peer = {row[0]: row[1] for row in rows}
    return by_peer.get(peer, by_peer.get(ANY_PEER))


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
