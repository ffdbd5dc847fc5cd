"""Tables of the batches room: a row per file, its bytes while they are needed, a row per row, what was opened."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class Batch(SQLModel, table=True):
    """One file with many applications for one item; `id` follows from item and bytes, so the same file is the same.

    `faults` say why a file was refused as a whole, or are empty. `state`: waiting, running, done, refused, failed.
    """

    __tablename__ = "batch"
    __shard__ = "not sharded: a row per file"
    __table_args__ = (Index("batch_by_state", "state", "created_at"),)

    id: str = Field(primary_key=True, max_length=32)
    item: str = Field(max_length=40)
    digest: str = Field(max_length=64)
    dry_run: bool
    state: str = Field(max_length=8)
    rows: int
    faults: str = Field(sa_column=Column(Text, nullable=False))
    attempts: int
    actor: str = Field(max_length=80)
    officer: str = Field(max_length=80)
    office: str = Field(max_length=200)
    role: str = Field(max_length=20)
    created_at: datetime = Field(sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)


class BatchFile(SQLModel, table=True):
    """The bytes of a file that was handed in and is not done, encrypted; deleted with its last row."""

    __tablename__ = "batch_file"
    __shard__ = "not sharded: a row per file under way"

    batch: str = Field(primary_key=True, max_length=32)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class BatchRow(SQLModel, table=True):
    """What became of one row: a case, or faults by cell (JSON, never a value); with neither it is valid (dry run).

    `earlier`: the case was opened by another batch, or by another row, that says exactly the same.
    """

    __tablename__ = "batch_row"
    __shard__ = "shard_key = shard_key(batch)"

    shard_key: int = Field(primary_key=True)
    batch: str = Field(primary_key=True, max_length=32)
    place: int = Field(primary_key=True)
    at: str = Field(max_length=48)
    number: str | None = Field(default=None, max_length=23)
    earlier: bool
    faults: str | None = Field(default=None, sa_column=Column(Text, nullable=True))


class BatchOpening(SQLModel, table=True):
    """A case that a batch opened, by the keyed index of what the row said: that it is unique opens it once."""

    __tablename__ = "batch_opening"
    __shard__ = "shard_key = shard_key(content)"

    shard_key: int = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    number: str = Field(max_length=23)
