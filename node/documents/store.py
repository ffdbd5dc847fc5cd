"""Queries of the table of papers; nothing here commits."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, update
from sqlmodel import Session, col

from node.documents.tables import Document
from node.storage.encryption import shard_key

VALID = "valid"


def valid(session: Session, line: str, kind: str, part: str, size: str) -> Document | None:
    """Return the paper that stands for this place in a case."""
    query = select(Document).where(
        _in(line),
        col(Document.kind) == kind,
        col(Document.part) == part,
        col(Document.size) == size,
        col(Document.state) == VALID,
    )
    return session.execute(query).scalars().first()


def of_line(session: Session, line: str) -> Sequence[Document]:
    """Return all papers of a case, in the order in which they were printed."""
    query = select(Document).where(_in(line)).order_by(col(Document.printed_at), col(Document.number))
    return session.execute(query).scalars().all()


def by_number(session: Session, number: str) -> Document | None:
    """Return the paper of a number."""
    return session.execute(select(Document).where(col(Document.number) == number)).scalars().first()


def by_code(session: Session, code: str) -> Document | None:
    """Return the paper of a verify code."""
    return session.execute(select(Document).where(col(Document.code) == code)).scalars().first()


def add(session: Session, row: Document) -> None:
    """Insert a paper."""
    session.add(row)
    session.flush()


def end(
    session: Session, row: Document, state: str, *, now: datetime, replaced_by: str | None = None, reason: str = ""
) -> bool:
    """Note that a valid paper stands no longer; False when somebody else has ended it."""
    changed = session.execute(
        update(Document)
        .where(_in(row.line), col(Document.number) == row.number, col(Document.state) == VALID)
        .values(state=state, replaced_by=replaced_by, reason=reason, ended_at=now)
    )
    return bool(getattr(changed, "rowcount", 0))


def _in(line: str) -> ColumnElement[bool]:
    return and_(col(Document.shard_key) == shard_key(line), col(Document.line) == line)
