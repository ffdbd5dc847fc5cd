"""Tables of attachments: what was brought by whom, and which case names it. The bytes are in `storage/blobs.py`."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class Attachment(SQLModel, table=True):
    """One attachment as one uploader brought it: a member, or `local` for this city.

    Each uploader proves by its own upload that it has the bytes: who knows a digest only gets nothing by naming it.
    How far an upload came, its file says.
    """

    __tablename__ = "attachment"
    __shard__ = "shard_key = shard_key(digest)"
    __table_args__ = (
        Index("attachment_by_uploader", "uploader"),
        Index("attachment_by_state", "state", "begun_at"),
    )

    shard_key: int = Field(primary_key=True)
    digest: str = Field(primary_key=True, max_length=64)
    uploader: str = Field(primary_key=True, max_length=6)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    type: str = Field(max_length=80)
    state: str = Field(max_length=8)
    begun_at: datetime = Field(sa_type=UtcDateTime)
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    scanned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AttachmentUse(SQLModel, table=True):
    """A case names an attachment: as long as this row stands, it is never cleaned away."""

    __tablename__ = "attachment_use"
    __shard__ = "shard_key = shard_key(digest)"
    __table_args__ = (Index("attachment_use_by_case", "case_number"),)

    shard_key: int = Field(primary_key=True)
    digest: str = Field(primary_key=True, max_length=64)
    case_number: str = Field(primary_key=True, max_length=23)
    used_at: datetime = Field(sa_type=UtcDateTime)
