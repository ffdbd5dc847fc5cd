"""Queries of the fund ledger; nothing here commits."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlmodel import Session, col

from node.funds.tables import FundArrival, FundInstruction, FundOrder, FundReconciliation, TransferClaim
from node.storage.encryption import shard_key


def newest_instruction(session: Session, number: str, *, locked: bool = False) -> FundInstruction | None:
    """Return the instruction that counts for a leg; `locked` lets nobody else change this leg meanwhile."""
    wanted = (
        select(FundInstruction)
        .where(col(FundInstruction.shard_key) == shard_key(number), col(FundInstruction.number) == number)
        .order_by(col(FundInstruction.version).desc())
        .limit(1)
    )
    return session.execute(wanted.with_for_update() if locked else wanted).scalar_one_or_none()


def instructions(session: Session, numbers: Sequence[str]) -> dict[str, FundInstruction]:
    """Return the instruction that counts for each of these legs."""
    wanted = (
        select(FundInstruction).where(col(FundInstruction.number).in_(numbers)).order_by(col(FundInstruction.version))
    )
    return {row.number: row for row in session.execute(wanted).scalars()}


def instructed_numbers(session: Session, *, after: str, limit: int) -> list[str]:
    """Return legs that have an instruction, by number, after one."""
    wanted = (
        select(col(FundInstruction.number))
        .where(col(FundInstruction.number) > after)
        .distinct()
        .order_by(col(FundInstruction.number))
        .limit(limit)
    )
    return list(session.execute(wanted).scalars())


def add(session: Session, table: Any, **values: Any) -> None:
    """Insert a row of the ledger."""
    session.execute(insert(table).values(**values))


def order(session: Session, payer: str, order_no: str) -> FundOrder | None:
    """Return an order of a paying city."""
    return session.get(FundOrder, (shard_key(order_no), payer, order_no), populate_existing=True)


def orders(session: Session, numbers: Sequence[str]) -> list[FundOrder]:
    """Return the orders of legs, by value day."""
    wanted = select(FundOrder).where(col(FundOrder.number).in_(numbers))
    return list(session.execute(wanted.order_by(col(FundOrder.value_on), col(FundOrder.order_no))).scalars())


def arrival(session: Session, payer: str, bank_ref: str) -> FundArrival | None:
    """Return an arrival by the bank's reference."""
    key = (shard_key(bank_ref), payer, bank_ref)
    return session.get(FundArrival, key, populate_existing=True, with_for_update=True)


def arrivals(session: Session, numbers: Sequence[str]) -> list[FundArrival]:
    """Return the arrivals of legs, by day."""
    wanted = select(FundArrival).where(col(FundArrival.number).in_(numbers))
    return list(session.execute(wanted.order_by(col(FundArrival.arrived_on), col(FundArrival.bank_ref))).scalars())


def unmatched_of_order(session: Session, payer: str, order_no: str) -> list[FundArrival]:
    """Return arrivals that named an order before it was known."""
    wanted = select(FundArrival).where(
        col(FundArrival.payer) == payer, col(FundArrival.order_no) == order_no, col(FundArrival.number).is_(None)
    )
    return list(session.execute(wanted).scalars())


def unmatched(session: Session, *, limit: int, payer: str | None = None) -> list[FundArrival]:
    """Return arrivals of which nobody knows for what they are, oldest first."""
    wanted = select(FundArrival).where(col(FundArrival.number).is_(None))
    if payer is not None:
        wanted = wanted.where(col(FundArrival.payer) == payer)
    ordered = wanted.order_by(col(FundArrival.arrived_on), col(FundArrival.bank_ref)).limit(limit)
    return list(session.execute(ordered).scalars())


def match_arrival(session: Session, payer: str, bank_ref: str, number: str) -> None:
    """Say for what an arrival is; only where that was not known."""
    session.execute(
        update(FundArrival)
        .where(
            col(FundArrival.shard_key) == shard_key(bank_ref),
            col(FundArrival.payer) == payer,
            col(FundArrival.bank_ref) == bank_ref,
            col(FundArrival.number).is_(None),
        )
        .values(number=number)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def arrived_fen(session: Session, number: str) -> int:
    """Return the sum of what came for a leg."""
    wanted = select(func.coalesce(func.sum(col(FundArrival.amount_fen)), 0)).where(col(FundArrival.number) == number)
    return int(session.execute(wanted).scalar_one())


def newest_reconciliation(session: Session, number: str) -> FundReconciliation | None:
    """Return what the last reconciliation of a leg found."""
    wanted = (
        select(FundReconciliation)
        .where(col(FundReconciliation.shard_key) == shard_key(number), col(FundReconciliation.number) == number)
        .order_by(col(FundReconciliation.place).desc())
        .limit(1)
    )
    return session.execute(wanted).scalar_one_or_none()


def orders_of_days(session: Session, payer: str, payee: str, first: date, last: date, limit: int) -> list[FundOrder]:
    """Return orders of one direction by value day, both days included."""
    wanted = select(FundOrder).where(
        col(FundOrder.payer) == payer,
        col(FundOrder.payee) == payee,
        col(FundOrder.value_on) >= first,
        col(FundOrder.value_on) <= last,
    )
    return list(session.execute(wanted.limit(limit)).scalars())


def arrivals_of_days(
    session: Session, payer: str, payee: str, first: date, last: date, limit: int
) -> list[FundArrival]:
    """Return arrivals of one direction by day, both days included, matched or not."""
    wanted = select(FundArrival).where(
        col(FundArrival.payer) == payer,
        col(FundArrival.payee) == payee,
        col(FundArrival.arrived_on) >= first,
        col(FundArrival.arrived_on) <= last,
    )
    return list(session.execute(wanted.limit(limit)).scalars())


def claim(session: Session, subject: bytes, out_city: str) -> TransferClaim | None:
    """Return who carries the transfer of a person out of a city, and let nobody else change that meanwhile."""
    key = (shard_key(subject), subject, out_city)
    return session.get(TransferClaim, key, populate_existing=True, with_for_update=True)


def claim_of_national(session: Session, national: bytes) -> TransferClaim | None:
    """Return the transfer that has a number of the national system, by its blind index."""
    return session.execute(select(TransferClaim).where(col(TransferClaim.national) == national)).scalar_one_or_none()


def claims_of(session: Session, number: str) -> list[TransferClaim]:
    """Return the transfers that a case of ours carries: one per transfer-out city."""
    return list(session.execute(select(TransferClaim).where(col(TransferClaim.number) == number)).scalars())


def change_claim(session: Session, subject: bytes, out_city: str, **values: Any) -> None:
    """Fill what a claim lacked."""
    session.execute(
        update(TransferClaim)
        .where(
            col(TransferClaim.shard_key) == shard_key(subject),
            col(TransferClaim.subject) == subject,
            col(TransferClaim.out_city) == out_city,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def delete_claims(session: Session, number: str) -> int:
    """Give up what a case carried; return how many transfers."""
    result = session.execute(delete(TransferClaim).where(col(TransferClaim.number) == number))
    return int(getattr(result, "rowcount", 0))
