"""Tables of the fund ledger: instructions, orders, arrivals, reconciliations, and who carries which transfer.

Rows are added and never changed, with two exceptions that fill what was empty: an arrival gets the case that it
belongs to, a claim its national number. Money is integer fen in 64 bits.
"""

from datetime import date, datetime

from sqlalchemy import BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from node.storage.engine import UtcDateTime


class FundInstruction(SQLModel, table=True):
    """What is to be paid for a leg; a corrected sheet is a new version. `accounts` are both banks', encrypted."""

    __tablename__ = "fund_instruction"
    __shard__ = "shard_key = shard_key(number)"
    __table_args__ = (Index("fund_instruction_by_number", "number", "version"),)

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    version: int = Field(primary_key=True)
    payer: str = Field(max_length=6)
    payee: str = Field(max_length=6)
    letter_no: str = Field(max_length=64)
    sheet_no: str = Field(max_length=64)
    account_fen: int = Field(sa_type=BigInteger)
    pooled_fen: int = Field(sa_type=BigInteger)
    total_fen: int = Field(sa_type=BigInteger)
    value_on: date | None = None
    accounts: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: datetime = Field(sa_type=UtcDateTime)


class FundOrder(SQLModel, table=True):
    """An order that the paying city gave its bank; a top-up is a second one for the same leg."""

    __tablename__ = "fund_order"
    __shard__ = "shard_key = shard_key(order_no)"
    __table_args__ = (
        Index("fund_order_by_number", "number"),
        Index("fund_order_by_day", "payer", "payee", "value_on"),
    )

    shard_key: int = Field(primary_key=True)
    payer: str = Field(primary_key=True, max_length=6)
    order_no: str = Field(primary_key=True, max_length=64)
    payee: str = Field(max_length=6)
    number: str = Field(max_length=23)
    amount_fen: int = Field(sa_type=BigInteger)
    value_on: date
    at: datetime = Field(sa_type=UtcDateTime)


class FundArrival(SQLModel, table=True):
    """Money that came, once per bank reference; without `number` nobody knows yet for what."""

    __tablename__ = "fund_arrival"
    __shard__ = "shard_key = shard_key(bank_ref)"
    __table_args__ = (
        Index("fund_arrival_by_number", "number", "arrived_on"),
        Index("fund_arrival_by_order", "payer", "order_no"),
        Index("fund_arrival_by_day", "payer", "payee", "arrived_on"),
    )

    shard_key: int = Field(primary_key=True)
    payer: str = Field(primary_key=True, max_length=6)
    bank_ref: str = Field(primary_key=True, max_length=64)
    payee: str = Field(max_length=6)
    order_no: str = Field(max_length=64)
    number: str | None = Field(default=None, max_length=23)
    amount_fen: int = Field(sa_type=BigInteger)
    arrived_on: date
    at: datetime = Field(sa_type=UtcDateTime)


class FundReconciliation(SQLModel, table=True):
    """What a reconciliation of a leg found, each time that it found something new."""

    __tablename__ = "fund_reconciliation"
    __shard__ = "shard_key = shard_key(number)"

    shard_key: int = Field(primary_key=True)
    number: str = Field(primary_key=True, max_length=23)
    place: int = Field(primary_key=True)
    expected_fen: int = Field(sa_type=BigInteger)
    arrived_fen: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_type=UtcDateTime)


class TransferClaim(SQLModel, table=True):
    """Who carries the transfer of a person out of a city: a case of ours, the national system, or both.

    `subject` and `national` are blind indexes; the number of the national system itself is encrypted.
    """

    __tablename__ = "transfer_claim"
    __shard__ = "shard_key = shard_key(subject)"
    __table_args__ = (
        Index("transfer_claim_by_number", "number"),
        Index("transfer_claim_by_national", "national", unique=True),
    )

    shard_key: int = Field(primary_key=True)
    subject: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    out_city: str = Field(primary_key=True, max_length=6)
    number: str | None = Field(default=None, max_length=23)
    national: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    national_no: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    at: datetime = Field(sa_type=UtcDateTime)
