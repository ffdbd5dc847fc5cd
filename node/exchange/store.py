"""Queries of the exchange's tables; nothing here commits."""

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlmodel import Session, col

from node.exchange.tables import Received, Sent
from node.storage.encryption import shard_key


def received(session: Session, iss: str, jti: str) -> tuple[str, bytes, bytes | None, str, int] | None:
    """Return (digest, payload, encrypted body, body type, status) of a message seen before."""
    found = session.execute(
        select(
            col(Received.digest),
            col(Received.payload),
            col(Received.body),
            col(Received.body_type),
            col(Received.status),
        ).where(col(Received.shard_key) == shard_key(jti), col(Received.iss) == iss, col(Received.jti) == jti)
    ).one_or_none()
    return found and (found[0], found[1], found[2], found[3], found[4])


def insert_received(session: Session, row: dict[str, Any]) -> None:
    """Insert the replay row; a second one with this sender and number is a unique violation."""
    session.execute(insert(Received), [{"shard_key": shard_key(row["jti"]), **row}])


def insert_sent(session: Session, row: dict[str, Any]) -> None:
    """Insert a message that was signed."""
    session.execute(insert(Sent), [{"shard_key": shard_key(row["jti"]), **row}])


def record_reply(session: Session, jti: str, *, reply: bytes, status: int, now: datetime) -> None:
    """Store the reply's statement beside the message."""
    session.execute(
        update(Sent)
        .where(col(Sent.shard_key) == shard_key(jti), col(Sent.jti) == jti)
        .values(reply=reply, status=status, answered_at=now)
    )


def delete_bodies(session: Session, *, now: datetime) -> int:
    """Delete the bodies of answers whose time is over; return how many."""
    result = session.execute(
        update(Received).where(col(Received.body_until) < now, col(Received.body).is_not(None)).values(body=None)
    )
    return int(getattr(result, "rowcount", 0))
