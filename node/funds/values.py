"""What the ledger is told and tells, as values; `checked` refuses amounts, codes and texts that cannot be."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from node.storage.encryption import Vault
from protocol.errors import InvalidBody

FEN_MAX: Final = 10**13
"""A hundred milliard yuan: more than any city pays at once, and its sums fit 64 bits."""
_CITY: Final = re.compile(r"[1-9][0-9]{5}")
_CASE: Final = re.compile(r"KS[0-9]{21}")
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_LONG: Final = re.compile(r"[^\x00-\x1f\x7f]{0,200}")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the verbs of this room need."""

    vault: Vault
    now: Callable[[], datetime]


class State(StrEnum):
    """Where the money of a leg stands: 待划转, 已划转, 已到账, 已对账, 有差额."""

    AWAITING = "AWAITING"
    ORDERED = "ORDERED"
    ARRIVED = "ARRIVED"
    RECONCILED = "RECONCILED"
    MISMATCH = "MISMATCH"


@dataclass(frozen=True, slots=True)
class Bank:
    """An account at a bank."""

    name: str = field(default="", repr=False)
    bank: str = field(default="", repr=False)
    account_no: str = field(default="", repr=False)

    @property
    def masked(self) -> str | None:
        """Return the last four digits, as screens show an account."""
        return f"****{self.account_no[-4:]}" if self.account_no else None


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a paying city is to pay for a leg: `number` is the case of that leg."""

    number: str
    payer: str
    payee: str
    letter_no: str
    sheet_no: str
    account_fen: int
    pooled_fen: int
    total_fen: int
    value_on: date | None
    payer_bank: Bank
    payee_bank: Bank


@dataclass(frozen=True, slots=True)
class Order:
    """An order that a paying city gave its bank."""

    payer: str
    order_no: str
    payee: str
    number: str
    amount_fen: int
    value_on: date


@dataclass(frozen=True, slots=True)
class Arrival:
    """Money that came; `order_no` as the remark of the bank has it, `number` where the leg is known."""

    payer: str
    bank_ref: str
    payee: str
    order_no: str
    amount_fen: int
    arrived_on: date
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was expected for a leg, and what came."""

    expected_fen: int
    arrived_fen: int

    @property
    def difference_fen(self) -> int:
        """Return what is missing; negative when too much came."""
        return self.expected_fen - self.arrived_fen

    @property
    def state(self) -> State:
        """Return RECONCILED or MISMATCH."""
        return State.MISMATCH if self.difference_fen else State.RECONCILED


@dataclass(frozen=True, slots=True)
class Claim:
    """That a transfer is carried: `subject` is the blind index of the person, `number` a case of ours."""

    subject: bytes = field(repr=False)
    out_city: str
    number: str | None = None
    national_no: str | None = field(default=None, repr=False)


def checked(given: Instruction | Order | Arrival) -> None:
    """Refuse what cannot be.

    Raises:
        InvalidBody: the fields are listed, without values.
    """
    patterns = {"payer": _CITY, "payee": _CITY, "number": _CASE, "letter_no": _TEXT, "sheet_no": _TEXT,
                "order_no": _TEXT, "bank_ref": _TEXT}  # fmt: skip
    faults = []
    for name in given.__slots__:
        value = getattr(given, name)
        if name in patterns and not (value is None and name == "number") and not patterns[name].fullmatch(str(value)):
            faults.append(_fault(name, "form", "格式不正确", "has the wrong form"))
        if name.endswith("_fen") and not (type(value) is int and _least(name) <= value <= FEN_MAX):
            faults.append(_fault(name, "amount", "金额超出范围", "is no amount in fen that can be"))
        if isinstance(value, Bank) and not all(map(_LONG.fullmatch, (value.name, value.bank, value.account_no))):
            faults.append(_fault(name, "form", "格式不正确", "has the wrong form"))
    if given.payer == given.payee:
        faults.append(_fault("payee", "own", "收付双方应为不同城市", "is the paying city itself"))
    if isinstance(given, Instruction) and not faults and given.total_fen != given.account_fen + given.pooled_fen:
        faults.append(_fault("total_fen", "sum", "合计不等于两部分之和", "is not the sum of its two parts"))
    if faults:
        raise InvalidBody("this cannot stand in the ledger", fields=faults)


def check_pair(own: str, peer: str) -> None:
    """Refuse what is no other city.

    Raises:
        InvalidBody: not six digits, or ourselves.
    """
    if peer == own or not _CITY.fullmatch(peer):
        fault = _fault("peer", "form", "应为另一城市的六位代码", "is not the six digits of another city")
        raise InvalidBody("this is no other city", fields=[fault])


def _least(name: str) -> int:
    return 1 if name == "amount_fen" else 0


def _fault(at: str, rule: str, zh: str, en: str) -> dict[str, str]:
    return {"at": at, "rule": rule, "zh": zh, "en": en}
