"""Tables of the cases room: a row per case, a row per event, counters of numbers, kept requests."""

from datetime import date, datetime

from sqlalchemy import Column, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class CaseRow(SQLModel, table=True):
    """One case as this city holds it; `content` is the application, encrypted.

    `box` is todo, sent or done, as the lists show it; `due_key` orders them: the promised day, or 9999-12-31 for none.
    `halted` is the slug for which the transcript cannot go on until people settle it.
    """

    __tablename__ = "cases"
    __shard__ = "shard_key = shard_key(number)"
    __table_args__ = (
        Index("cases_by_box", "box", "due_key", "number"),
        Index("cases_by_peer", "box", "peer", "due_key", "number"),
        Index("cases_by_item", "box", "item", "due_key", "number"),
        Index("cases_by_state", "box", "state", "due_key", "number"),
        Index("cases_by_number", "number", unique=True),
        Index("cases_by_subject", "subject", "number"),
    )

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    item: str = Field(max_length=40)
    accepting: str = Field(max_length=6)
    responsible: str = Field(max_length=6)
    peer: str = Field(max_length=6)
    side: str = Field(max_length=11)
    state: str = Field(max_length=30)
    box: str = Field(max_length=4)
    due_key: str = Field(max_length=10)
    seq: int
    head: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    facts: str = Field(sa_column=Column(Text, nullable=False))
    subject: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    catalogue: str = Field(max_length=64)
    procedures: str = Field(max_length=64)
    amounts: str | None = Field(default=None, max_length=64)
    follows: str | None = Field(default=None, max_length=23)
    leg: str = Field(max_length=16)
    """which leg of the case that it follows; empty for one that a person opened"""
    halted: str = Field(max_length=64)
    opened_at: datetime = Field(sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)
    due_on: date | None = None
    statutory_due_on: date | None = None
    due_provisional: bool


class CaseEventRow(SQLModel, table=True):
    """One event of a case, by the number of its message; `seq` is None while a proposal of ours has no place.

    A receipt may give a place before its predecessors have come: `waiting_seq` and `waiting_head` hold it until then.
    """

    __tablename__ = "case_event"
    __shard__ = "shard_key = shard_key(number)"
    __table_args__ = (UniqueConstraint("shard_key", "number", "seq", name="case_event_place"),)

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    jti: str = Field(primary_key=True, max_length=36)
    seq: int | None = None
    iss: str = Field(max_length=6)
    event: str = Field(max_length=30)
    statement: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    head: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    waiting_seq: int | None = None
    waiting_head: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    receipt: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    refused: str = Field(max_length=64)


class CaseCounter(SQLModel, table=True):
    """How many cases this city has opened on a day (Asia/Shanghai)."""

    __tablename__ = "case_counter"
    __shard__ = "not sharded: a row per day"

    day: date = Field(primary_key=True)
    last: int


class CaseRequest(SQLModel, table=True):
    """A request to write with an idempotency key: a repeat is told the same, another text under the key is refused."""

    __tablename__ = "case_request"
    __shard__ = "shard_key = shard_key(key)"
    __table_args__ = (Index("case_request_by_time", "at"),)

    shard_key: int = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=100)
    actor: str = Field(max_length=80)
    digest: str = Field(max_length=43)
    number: str = Field(max_length=23)
    jti: str = Field(max_length=36)
    at: datetime = Field(sa_type=UtcDateTime)
