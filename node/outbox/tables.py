"""Tables of the outbox: messages on their way, and peers that do not answer."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class OutboxMessage(SQLModel, table=True):
    """One message that must arrive (protocol §5.2): written with its cause, in order per `line`, under lease and fence.

    `line` is the case; only the message with `is_next` may be sent, and the one before it is settled then. `state`:
    waiting | delivered | refused (a final answer) | dead (people must act; the line stands still) | given-up.
    """

    __tablename__ = "outbox"
    __shard__ = "shard_key = shard_key(line)"
    __table_args__ = (
        Index("outbox_due", "state", "is_next", "peer", "next_at"),
        Index("outbox_by_peer", "peer", "state", "next_at"),
        Index("outbox_by_jti", "jti"),
    )

    shard_key: int = Field(primary_key=True)
    line: str = Field(primary_key=True, max_length=23)
    step: int = Field(primary_key=True)
    jti: str = Field(max_length=36)
    first_jti: str = Field(max_length=36)
    first_digest: str = Field(max_length=43)
    peer: str = Field(max_length=6)
    msg: str = Field(max_length=40)
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    state: str = Field(max_length=10)
    is_next: bool
    next_at: datetime = Field(sa_type=UtcDateTime)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    fence: int
    attempts: int
    is_unknown: bool
    slug: str = Field(max_length=64)
    detail: str = Field(max_length=500)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OutboxPeer(SQLModel, table=True):
    """A peer that does not answer: until when nothing is sent to it, and since when it is silent."""

    __tablename__ = "outbox_peer"
    __shard__ = "not sharded: a row per member"

    peer: str = Field(primary_key=True, max_length=6)
    silent_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    paused_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failures: int
    reason: str = Field(max_length=64)
