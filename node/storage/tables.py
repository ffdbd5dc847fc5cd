"""Tables of storage itself: who leads, and which scheduled ticks were taken (assurance C26, C27)."""

from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class LeaseRow(SQLModel, table=True):
    """Who leads under a name, until when by the database's clock; `epoch` grows with each takeover."""

    __tablename__ = "lease"
    __shard__ = "not sharded: one row per name"

    name: str = Field(primary_key=True, max_length=40)
    holder: str = Field(max_length=80)
    epoch: int = Field(sa_column=Column(BigInteger, nullable=False))
    until: datetime = Field(sa_type=UtcDateTime)


class JobTick(SQLModel, table=True):
    """One due time of a scheduled job; that the row is unique makes the job run once."""

    __tablename__ = "job_tick"
    __shard__ = "not sharded: a few rows a minute, old ones are deleted"

    job: str = Field(primary_key=True, max_length=60)
    due_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
