"""The fund ledger: what was instructed, ordered, what came, and whether it is the same. It never moves money.

The money goes from bank to bank. The cases room calls these verbs in the transaction that applies an event of a leg,
so both cities of a leg keep the same ledger; what came and names no known order is kept, listed and matched later.
Nothing is overwritten: a corrected sheet is a new version, a top-up a second order, and a repeat of the same words
changes nothing; other words under the same number are refused.

    expected = total of the newest instruction; difference = expected - sum of arrivals; equal: RECONCILED
"""

import json
from dataclasses import asdict
from datetime import date
from typing import Any, Final

from sqlmodel import Session

from node.funds import store
from node.funds.carrying import (
    carry_nationally,
    claim_transfer,
    national_no_of,
    note_national_no,
    release_transfer,
    standing_of,
)
from node.funds.statement import Line, Statement, make_statement
from node.funds.tables import FundArrival, FundInstruction, FundOrder, FundReconciliation
from node.funds.values import Arrival, Bank, Claim, Instruction, Ledger, Order, Reconciled, State, check_pair, checked
from node.storage.encryption import shard_key
from node.storage.unit_of_work import Transaction
from protocol.errors import EditConflict, InvalidBody, NotFound, TooLarge

__all__ = [
    "Arrival", "Bank", "Claim", "Instruction", "Ledger", "Order", "Reconciled", "State", "arrived", "carry_nationally",
    "claim_transfer", "fund_of", "instruct", "list_funds", "match", "national_no_of", "note_national_no", "ordered",
    "reconcile", "release_transfer", "standing_of", "statement", "unmatched",
]  # fmt: skip

PAGE_MAX: Final = 200
STATEMENT_MAX: Final = 100_000
"""lines of one month and direction"""


def instruct(ledger: Ledger, transaction: Transaction, instruction: Instruction) -> int:
    """Write what is to be paid for a leg; return its version, 1 for the first.

    Raises:
        InvalidBody: an amount, a code or a text that cannot be, or a total that is not the sum of its parts.
    """
    checked(instruction)
    session, number = transaction.session, instruction.number
    before = store.newest_instruction(session, number, locked=True)
    if before is not None and _instruction_of(ledger, before) == instruction:
        return before.version
    version = before.version + 1 if before is not None else 1
    accounts = json.dumps({"payer": asdict(instruction.payer_bank), "payee": asdict(instruction.payee_bank)})
    store.add(
        session,
        FundInstruction,
        shard_key=shard_key(number),
        number=number,
        version=version,
        payer=instruction.payer,
        payee=instruction.payee,
        letter_no=instruction.letter_no,
        sheet_no=instruction.sheet_no,
        account_fen=instruction.account_fen,
        pooled_fen=instruction.pooled_fen,
        total_fen=instruction.total_fen,
        value_on=instruction.value_on,
        accounts=ledger.vault.encrypt(accounts.encode(), _context(number, version)),
        at=ledger.now(),
    )
    return version


def ordered(ledger: Ledger, transaction: Transaction, order: Order) -> list[str]:
    """Write an order of the paying city; return bank references that came before it and belong to it.

    Raises:
        InvalidBody: an amount, a code or a text that cannot be.
        EditConflict: that city has another order under the same number.
    """
    checked(order)
    session = transaction.session
    before = store.order(session, order.payer, order.order_no)
    if before is not None:
        _same(order, Order(**{name: getattr(before, name) for name in Order.__slots__}))
        return []
    values = {name: getattr(order, name) for name in Order.__slots__}
    store.add(session, FundOrder, shard_key=shard_key(order.order_no), **values, at=ledger.now())
    return _take_waiting(session, order.payer, order.order_no, order.number)


def _take_waiting(session: Session, payer: str, order_no: str, number: str) -> list[str]:
    came = [one.bank_ref for one in store.unmatched_of_order(session, payer, order_no)]
    for bank_ref in came:
        store.match_arrival(session, payer, bank_ref, number)
    return came


def arrived(ledger: Ledger, transaction: Transaction, arrival: Arrival) -> str | None:
    """Write what came, once per reference of the bank; return the leg that it is for, None while nobody knows.

    Raises:
        InvalidBody: an amount, a code or a text that cannot be; the order is one of another leg.
        EditConflict: other words stand under this reference.
    """
    checked(arrival)
    session = transaction.session
    order = store.order(session, arrival.payer, arrival.order_no)
    if order is not None and arrival.number not in (None, order.number):
        raise InvalidBody("the order belongs to another leg", fields=[_fault("order_no", order.number)])
    number = arrival.number or (order.number if order is not None else None)
    before = store.arrival(session, arrival.payer, arrival.bank_ref)
    if before is None:
        values = {name: getattr(arrival, name) for name in Arrival.__slots__} | {"number": number}
        store.add(session, FundArrival, shard_key=shard_key(arrival.bank_ref), **values, at=ledger.now())
        return number
    _same(arrival, _arrival_of(before), but="number")
    if before.number is None and number is not None:
        store.match_arrival(session, arrival.payer, arrival.bank_ref, number)
    elif number not in (None, before.number):
        raise EditConflict("this arrival counts for another leg already", case=before.number)
    return before.number or number


def match(transaction: Transaction, payer: str, bank_ref: str, number: str) -> None:
    """Say for what an arrival is.

    Raises:
        NotFound: no such arrival, or no such leg.
        EditConflict: it counts for another leg.
    """
    before = store.arrival(transaction.session, payer, bank_ref)
    if before is None:
        raise NotFound("no arrival has this reference")
    if before.number is not None and before.number != number:
        raise EditConflict("this arrival counts for another leg already", case=before.number)
    if store.newest_instruction(transaction.session, number) is None and not store.orders(
        transaction.session, [number]
    ):
        raise NotFound("this leg has neither instruction nor order")
    store.match_arrival(transaction.session, payer, bank_ref, number)


def reconcile(ledger: Ledger, transaction: Transaction, number: str) -> Reconciled:
    """Compare what was expected for a leg with what came; what is found is kept when it is new.

    Raises:
        NotFound: nothing was instructed for this leg.
    """
    session = transaction.session
    instruction = store.newest_instruction(session, number, locked=True)
    if instruction is None:
        raise NotFound("nothing was instructed for this leg")
    for order in store.orders(session, [number]):
        # An arrival and its order that were written at the same moment did not see each other.
        _take_waiting(session, order.payer, order.order_no, number)
    found = Reconciled(instruction.total_fen, store.arrived_fen(session, number))
    before = store.newest_reconciliation(session, number)
    if before is None or Reconciled(before.expected_fen, before.arrived_fen) != found:
        place = before.place + 1 if before is not None else 1
        sums = {"expected_fen": found.expected_fen, "arrived_fen": found.arrived_fen}
        keys = {"shard_key": shard_key(number), "number": number, "place": place}
        store.add(session, FundReconciliation, **keys, **sums, at=ledger.now())
    return found


def fund_of(ledger: Ledger, session: Session, number: str) -> dict[str, Any]:
    """Return a leg as the ledger has it; accounts show their last four digits.

    Raises:
        NotFound: the ledger does not know this leg.
    """
    instruction = store.newest_instruction(session, number)
    orders, arrivals = store.orders(session, [number]), store.arrivals(session, [number])
    if instruction is None and not orders and not arrivals:
        raise NotFound("the ledger does not know this leg")
    sums = Reconciled(instruction.total_fen if instruction else 0, sum(one.amount_fen for one in arrivals))
    told: dict[str, Any] = {"number": number, "state": _state(session, instruction, orders, sums).value}
    if instruction is not None:
        given = _instruction_of(ledger, instruction)
        told |= {"version": instruction.version, **_shown(given)}
    return {
        **told,
        "arrived_fen": sums.arrived_fen,
        "difference_fen": sums.difference_fen if instruction else None,
        "orders": [
            {"order_no": one.order_no, "amount_fen": one.amount_fen, "value_on": one.value_on.isoformat()}
            for one in orders
        ],
        "arrivals": [_arrival_shown(one) for one in arrivals],
    }


def list_funds(ledger: Ledger, session: Session, *, after: str = "", limit: int = 50) -> list[dict[str, Any]]:
    """Return a page of legs by number, after one."""
    numbers = store.instructed_numbers(session, after=after, limit=max(1, min(limit, PAGE_MAX)))
    return [fund_of(ledger, session, number) for number in numbers]


def unmatched(session: Session, *, payer: str | None = None, limit: int = PAGE_MAX) -> list[dict[str, Any]]:
    """Return what came and belongs to no known order, oldest first."""
    rows = store.unmatched(session, payer=payer, limit=max(1, min(limit, PAGE_MAX)))
    return [{"payer": one.payer, "payee": one.payee, **_arrival_shown(one)} for one in rows]


def statement(session: Session, own: str, peer: str, month: str) -> Statement:
    """Return the statement (对账单) of a pair and month (YYYYMM), made from our ledger alone.

    Raises:
        InvalidBody: no such month, or the other city is none.
        TooLarge: more lines than a statement may have.
    """
    check_pair(own, peer)
    first, last = _days_of(month)
    lines: list[Line] = []
    waiting: list[Line] = []
    for payer, payee in ((own, peer), (peer, own)):
        ordered_then = store.orders_of_days(session, payer, payee, first, last, STATEMENT_MAX + 1)
        came = store.arrivals_of_days(session, payer, payee, first, last, STATEMENT_MAX + 1)
        if max(len(ordered_then), len(came)) > STATEMENT_MAX:
            raise TooLarge("a statement has too many lines", limit_lines=STATEMENT_MAX)
        lines += [Line("ORDER", payer, payee, one.number, one.order_no, "", one.value_on, one.amount_fen)
                  for one in ordered_then]  # fmt: skip
        for one in came:
            line = Line(
                "ARRIVAL", payer, payee, one.number or "", one.order_no, one.bank_ref, one.arrived_on, one.amount_fen
            )
            (lines if one.number else waiting).append(line)
    return make_statement(own, peer, month, lines, waiting, _expected(session, lines))


def _expected(session: Session, lines: list[Line]) -> dict[str, tuple[str, int]]:
    """Return sheet and expected amount by leg."""
    numbers = sorted({one.case for one in lines})
    found: dict[str, tuple[str, int]] = {}
    for place in range(0, len(numbers), PAGE_MAX):
        rows = store.instructions(session, numbers[place : place + PAGE_MAX])
        found |= {number: (row.sheet_no, row.total_fen) for number, row in rows.items()}
    return found


def _days_of(month: str) -> tuple[date, date]:
    try:
        if len(month) != len("YYYYMM") or not (month.isascii() and month.isdigit()):
            raise ValueError
        first = date(int(month[:4]), int(month[4:]), 1)
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    except ValueError:
        fault = {"at": "month", "rule": "form", "zh": "月份应为 YYYYMM", "en": "a month is YYYYMM"}
        raise InvalidBody("there is no such month", fields=[fault]) from None
    return first, date.fromordinal(following.toordinal() - 1)


def _state(session: Session, instruction: FundInstruction | None, orders: list[FundOrder], sums: Reconciled) -> State:
    if instruction is not None:
        last = store.newest_reconciliation(session, instruction.number)
        if last is not None and Reconciled(last.expected_fen, last.arrived_fen) == sums:
            return sums.state
    if sums.arrived_fen:
        return State.ARRIVED
    return State.ORDERED if orders else State.AWAITING


def _instruction_of(ledger: Ledger, row: FundInstruction) -> Instruction:
    accounts = json.loads(ledger.vault.decrypt(bytes(row.accounts), _context(row.number, row.version)))
    plain = {name: getattr(row, name) for name in Instruction.__slots__ if not name.endswith("_bank")}
    return Instruction(**plain, payer_bank=Bank(**accounts["payer"]), payee_bank=Bank(**accounts["payee"]))


def _arrival_of(row: FundArrival) -> Arrival:
    return Arrival(**{name: getattr(row, name) for name in Arrival.__slots__})


def _shown(given: Instruction) -> dict[str, Any]:
    return {
        "payer": given.payer,
        "payee": given.payee,
        "letter_no": given.letter_no,
        "sheet_no": given.sheet_no,
        "account_fen": given.account_fen,
        "pooled_fen": given.pooled_fen,
        "expected_fen": given.total_fen,
        "value_on": given.value_on.isoformat() if given.value_on else None,
        "payer_account": given.payer_bank.masked,
        "payee_account": given.payee_bank.masked,
    }


def _arrival_shown(one: FundArrival) -> dict[str, Any]:
    return {
        "bank_ref": one.bank_ref,
        "order_no": one.order_no,
        "amount_fen": one.amount_fen,
        "arrived_on": one.arrived_on.isoformat(),
    }


def _same(given: Order | Arrival, stored: Order | Arrival, *, but: str = "") -> None:
    differing = [name for name in given.__slots__ if name != but and getattr(given, name) != getattr(stored, name)]
    if differing:
        raise EditConflict(
            "other words stand under this number", fields=[_fault(name, "differs") for name in differing]
        )


def _fault(at: str, rule: str) -> dict[str, str]:
    return {"at": at, "rule": rule, "zh": "与已登记的不一致", "en": "is not what was written down before"}


def _context(number: str, version: int) -> bytes:
    return f"fund-instruction:{number}:{version}".encode()
