"""The table of papers: which were printed, and whether they still stand. The bytes are in `storage/blobs.py`."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class Document(SQLModel, table=True):
    """One printed paper. What it says is in its file only; here stands what finds it and what became of it.

    `line` is the case, or the number itself where there is none; `part` tells several papers of one kind in a case
    apart (a letter number, a leg). `facts` is the digest of what it says without number and day, by which the same
    paper is found again. `state`: valid | replaced (`replaced_by` has the new number) | revoked.
    """

    __tablename__ = "document"
    __shard__ = "shard_key = shard_key(line)"
    __table_args__ = (
        # One valid paper of a kind, part and size in a case: who prints a changed one replaces it.
        Index(
            "document_valid",
            "shard_key",
            "line",
            "kind",
            "part",
            "size",
            unique=True,
            sqlite_where=text("state = 'valid'"),
            postgresql_where=text("state = 'valid'"),
        ),
        Index("document_by_number", "number"),
        Index("document_by_code", "code", unique=True),
    )

    shard_key: int = Field(primary_key=True)
    line: str = Field(primary_key=True, max_length=40)
    number: str = Field(primary_key=True, max_length=40)
    code: str = Field(max_length=16)
    kind: str = Field(max_length=24)
    part: str = Field(max_length=64)
    size: str = Field(max_length=8)
    facts: str = Field(max_length=64)
    digest: str = Field(max_length=64)
    length: int
    issued_on: str = Field(max_length=10)
    person: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """the masked name, encrypted"""
    fingerprint: str = Field(max_length=43)
    """of the certificate; empty where it was not signed here"""
    state: str = Field(max_length=8)
    replaced_by: str | None = Field(default=None, max_length=40)
    reason: str = Field(max_length=300)
    """why it was revoked"""
    printed_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
