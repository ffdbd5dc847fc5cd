"""Tables of the records room: registry, imports, release rules, consultations."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class RegistryRecord(SQLModel, table=True):
    """One kind of record of one person; `content` is encrypted and holds the name and the lines."""

    __tablename__ = "registry_record"
    __shard__ = "shard_key = shard_key(subject)"

    shard_key: int = Field(primary_key=True)
    subject: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    kind: str = Field(primary_key=True, max_length=20)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    import_id: str = Field(max_length=36)
    as_of: datetime = Field(sa_type=UtcDateTime)


class RegistryImport(SQLModel, table=True):
    """One import of a file: who, when, what, how far."""

    __tablename__ = "registry_import"
    __shard__ = "not sharded: a row per import"

    id: str = Field(primary_key=True, max_length=36)
    digest: str = Field(max_length=43)
    rows: int
    actor: str = Field(max_length=80)
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ReleaseRuleRow(SQLModel, table=True):
    """Which fields one peer may see for one item and kind; no row, no field. `*` stands for any peer."""

    __tablename__ = "release_rule"
    __shard__ = "not sharded: peers x items"

    peer: str = Field(primary_key=True, max_length=6)
    item: str = Field(primary_key=True, max_length=40)
    record: str = Field(primary_key=True, max_length=20)
    fields: str
    changed_at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=80)


class Consultation(SQLModel, table=True):
    """咨询登记: the registered reason of a question that belongs to no case; its text is encrypted."""

    __tablename__ = "consultation"
    __shard__ = "shard_key = shard_key(number)"

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    text: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    actor: str = Field(max_length=80)
    opened_at: datetime = Field(sa_type=UtcDateTime)
