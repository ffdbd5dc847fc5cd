"""Tables of the log: entries, openings, head, checkpoints, tiles (protocol §7).

`__shard__` says how a distributed PostgreSQL spreads a table (architecture, decisions already taken).
"""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class LogHead(SQLModel, table=True):
    """How many entries the log of one origin holds; its row lock orders the writers."""

    __tablename__ = "log_head"
    __shard__ = "not sharded: one row per origin, the one sequence of a node"

    origin: str = Field(primary_key=True, max_length=80)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))


class LogEntry(SQLModel, table=True):
    """One entry: the hashed bytes, their leaf hash, and columns to search by."""

    __tablename__ = "log_entry"
    __shard__ = "not sharded: written in order under the head's lock; range-partitioned by index when large"
    __table_args__ = (
        Index("log_entry_by_subject", "subject_index", "index"),
        Index("log_entry_by_peer", "peer", "index"),
        Index("log_entry_by_jti", "jti"),
    )

    index: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    time: datetime = Field(sa_type=UtcDateTime)
    kind: str = Field(max_length=40)
    peer: str | None = Field(default=None, max_length=6)
    jti: str | None = Field(default=None, max_length=36)
    item: str | None = Field(default=None, max_length=40)
    actor: str | None = Field(default=None, max_length=80)
    subject_index: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class LogOpening(SQLModel, table=True):
    """32 random bytes that open an entry's `subject`; deleted with the person's data, the log stays whole."""

    __tablename__ = "log_opening"
    __shard__ = "not sharded: same range partitions as log_entry"

    index: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    opening: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LogCheckpoint(SQLModel, table=True):
    """A signed head, and the frontier from which the next one continues."""

    __tablename__ = "log_checkpoint"
    __shard__ = "not sharded: one row per checkpoint"

    origin: str = Field(primary_key=True, max_length=80)
    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    note: str
    frontier: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    signed_at: datetime = Field(sa_type=UtcDateTime)


class LogTile(SQLModel, table=True):
    """Hashes of complete subtrees of 256**level entries; level 0 is read from the entries."""

    __tablename__ = "log_tile"
    __shard__ = "not sharded: 1/256 of the entries and less"

    origin: str = Field(primary_key=True, max_length=80)
    level: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
