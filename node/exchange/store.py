"""Queries of the exchange's tables; nothing here commits."""

from datetime import datetime

from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, col

from node.exchange.tables import Received, Sent
from node.storage.encryption import shard_key
from node.storage.lookups import Lookup
from node.storage.prepared import Prepared, Row

RECEIVED = Lookup(
    Received, ("shard_key", "iss", "jti"), ("digest", "payload", "body", "body_type", "status", "statement")
)
"""A message seen before."""
ADD_RECEIVED = Prepared(insert(Received))
"""The replay row; a second one with this sender and number is a unique violation."""

ADD_SENT = Prepared(insert(Sent))
"""A message that was signed: `sent_row`."""
SET_REPLY = Prepared(
    update(Sent)
    .where(col(Sent.shard_key) == bindparam("of_shard"), col(Sent.jti) == bindparam("of_jti"))
    .values(reply=bindparam("statement"), status=bindparam("answered"), answered_at=bindparam("now")),
    "of_shard",
    "of_jti",
    "statement",
    "answered",
    "now",
)
"""The reply to a message that was sent: `reply_row`."""


def received_key(iss: str, jti: str) -> tuple[int, str, str]:
    """Return the key of `RECEIVED`."""
    return shard_key(jti), iss, jti


def sent_row(jti: str, *, aud: str, msg: str, statement: bytes, now: datetime) -> Row:
    """Return a row for `ADD_SENT`: no reply yet."""
    return shard_key(jti), jti, aud, msg, statement, now, None, None, None


def reply_row(jti: str, *, reply: bytes, status: int, now: datetime) -> Row:
    """Return a row for `SET_REPLY`: the reply's statement."""
    return shard_key(jti), jti, reply, status, now


def delete_bodies(session: Session, *, now: datetime) -> int:
    """Delete the bodies of answers whose time is over; return how many."""
    result = session.execute(
        update(Received).where(col(Received.body_until) < now, col(Received.body).is_not(None)).values(body=None)
    )
    return int(getattr(result, "rowcount", 0))
