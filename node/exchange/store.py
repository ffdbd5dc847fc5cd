"""Queries of the exchange's tables; nothing here commits."""

from datetime import datetime
from typing import Any

from sqlalchemy import insert, update
from sqlmodel import Session, col

from node.exchange.tables import Received, Sent
from node.storage.encryption import shard_key
from node.storage.lookups import Lookup
from node.storage.prepared import Prepared

RECEIVED = Lookup(Received, ("shard_key", "iss", "jti"), ("digest", "payload", "body", "body_type", "status"))
"""A message seen before."""
ADD_RECEIVED = Prepared(insert(Received))
"""The replay row; a second one with this sender and number is a unique violation."""


def received_key(iss: str, jti: str) -> tuple[int, str, str]:
    """Return the key of `RECEIVED`."""
    return shard_key(jti), iss, jti


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
