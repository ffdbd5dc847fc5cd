"""Tables of membership: manifests, CRLs and message certificates that this node relied on."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class ManifestVersion(SQLModel, table=True):
    """One accepted version of the manifest; none is ever removed."""

    __tablename__ = "manifest_version"
    __shard__ = "not sharded: a few rows a year"

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    digest: str = Field(max_length=43)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    accepted_at: datetime = Field(sa_type=UtcDateTime)


class MemberCrl(SQLModel, table=True):
    """One CRL of a member's CA; all that were relied on are kept as evidence."""

    __tablename__ = "member_crl"
    __shard__ = "not sharded: a row per CA and day at most"

    authority: str = Field(primary_key=True, max_length=43)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    member: str = Field(max_length=6, index=True)
    der: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime = Field(sa_type=UtcDateTime)


class MemberCertificate(SQLModel, table=True):
    """One message certificate, ours or a peer's, by its `x5t#S256`."""

    __tablename__ = "member_certificate"
    __shard__ = "not sharded: a few rows per member and year"

    fingerprint: str = Field(primary_key=True, max_length=43)
    member: str = Field(max_length=6)
    der: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at: datetime = Field(sa_type=UtcDateTime)


class TrustGeneration(SQLModel, table=True):
    """Counts changes of the tables above, so that every process notices within a second."""

    __tablename__ = "trust_generation"
    __shard__ = "not sharded: one row"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    generation: int


class SharedDocument(SQLModel, table=True):
    """A document that the network shares by its digest (hex): catalogue, calendar, procedures; never deleted."""

    __tablename__ = "shared_document"
    __shard__ = "not sharded: a few rows per year"

    digest: str = Field(primary_key=True, max_length=64)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    taken_at: datetime = Field(sa_type=UtcDateTime)
