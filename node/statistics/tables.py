"""Tables of statistics: what the cases room has told, what was made of it, and how far that goes.

`statistics_told` is append-only and has no hot row: each event of a case writes a row of its own. One job takes the
rows away and adds them to `statistics_count` and `statistics_open`; `statistics_case` says which events of a case are
in there, so that nothing counts twice.
"""

from datetime import date, datetime

from sqlalchemy import BigInteger, Column, Text
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class ToldRow(SQLModel, table=True):
    """What one event of a case adds (`parts`), and how the case stands after it (`standing`), as JSON.

    `again` is 0 for the event itself; a row with a higher number says only that its due days have moved since.
    """

    __tablename__ = "statistics_told"
    __shard__ = "shard_key = shard_key(number)"

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    seq: int = Field(primary_key=True)
    again: int = Field(primary_key=True)
    item: str = Field(max_length=40)
    accepting: str = Field(max_length=6)
    responsible: str = Field(max_length=6)
    day: date
    parts: str = Field(sa_column=Column(Text, nullable=False))
    standing: str = Field(sa_column=Column(Text, nullable=False))


class CountedCase(SQLModel, table=True):
    """Up to which event a case is counted, and as what it stands in `statistics_open`."""

    __tablename__ = "statistics_case"
    __shard__ = "shard_key = shard_key(number)"

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    seq: int
    standing: str = Field(sa_column=Column(Text, nullable=False))


class CountRow(SQLModel, table=True):
    """Sums of a day, a month or a year (`day` is its first), by everything that an answer may be filtered by."""

    __tablename__ = "statistics_count"
    __shard__ = "not sharded: sums of a whole city, written by one job only"

    span: str = Field(primary_key=True, max_length=5)
    day: date = Field(primary_key=True)
    item: str = Field(primary_key=True, max_length=40)
    accepting: str = Field(primary_key=True, max_length=6)
    responsible: str = Field(primary_key=True, max_length=6)
    measure: str = Field(primary_key=True, max_length=12)
    leg: str = Field(primary_key=True, max_length=64)
    detail: str = Field(primary_key=True, max_length=40)
    n: int = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)
    promised: int = Field(sa_type=BigInteger)
    kept: int = Field(sa_type=BigInteger)


class OpenRow(SQLModel, table=True):
    """How many cases are open by due day; `leg` is empty for the case itself, whose day is its next one."""

    __tablename__ = "statistics_open"
    __shard__ = "not sharded: sums of a whole city, written by one job only"

    due_on: date = Field(primary_key=True)
    item: str = Field(primary_key=True, max_length=40)
    accepting: str = Field(primary_key=True, max_length=6)
    responsible: str = Field(primary_key=True, max_length=6)
    leg: str = Field(primary_key=True, max_length=64)
    n: int = Field(sa_type=BigInteger)


class FoldRow(SQLModel, table=True):
    """One row, locked by whoever folds: as of when the sums are, and where a rebuild stands (None: there is none)."""

    __tablename__ = "statistics_fold"
    __shard__ = "not sharded: one row, locked by the job that folds"

    name: str = Field(primary_key=True, max_length=4)
    as_of: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rebuilt_to: str | None = Field(default=None, max_length=23)
