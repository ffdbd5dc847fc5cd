"""Tables of the exchange: what arrived, what was sent, and what was answered."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class Received(SQLModel, table=True):
    """One message that was executed, with the reply it got: replay store and evidence in one row.

    The row outlives everything (`jti` is unique per sender for ever); `body` holds the reply's body,
    encrypted, and is deleted once `exp` and skew are over: a later repeat is `stale` before it gets here.
    """

    __tablename__ = "received"
    __shard__ = "shard_key = shard_key(jti)"
    __table_args__ = (Index("received_by_body_until", "body_until"),)

    shard_key: int = Field(primary_key=True)
    iss: str = Field(primary_key=True, max_length=6)
    jti: str = Field(primary_key=True, max_length=36)
    digest: str = Field(max_length=43)
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    body_type: str = Field(max_length=80)
    status: int
    received_at: datetime = Field(sa_type=UtcDateTime)
    body_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Sent(SQLModel, table=True):
    """One message that this node signed, and the reply that it got; statements are kept as evidence."""

    __tablename__ = "sent"
    __shard__ = "shard_key = shard_key(jti)"

    shard_key: int = Field(primary_key=True)
    jti: str = Field(primary_key=True, max_length=36)
    aud: str = Field(max_length=6)
    msg: str = Field(max_length=40)
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sent_at: datetime = Field(sa_type=UtcDateTime)
    reply: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    status: int | None = Field(default=None)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
