"""Instructions, orders and arrivals for tests: 中山 pays 遵义."""

from datetime import date
from typing import Any

from node.funds.service import Arrival, Bank, Instruction, Order

PAYER, PAYEE = "442000", "520300"
LEG, SECOND = "KS520300202412120000013", "KS520300202412120000021"
ACCOUNT = "6217000000000001234"


def instruction(**changes: Any) -> Instruction:
    """Return the instruction of the article's transfer: 44,972.35 yuan."""
    given: dict[str, Any] = {
        "number": LEG, "payer": PAYER, "payee": PAYEE, "letter_no": "LX-1", "sheet_no": "XX-1",
        "account_fen": 1_917_763, "pooled_fen": 2_579_472, "total_fen": 4_497_235, "value_on": date(2024, 12, 16),
        "payer_bank": Bank("中山市社保基金", "工商银行", "2011000000009999"),
        "payee_bank": Bank("遵义市社保基金", "贵州银行", ACCOUNT),
    }  # fmt: skip
    return Instruction(**{**given, **changes})


def order(**changes: Any) -> Order:
    """Return an order for all of it."""
    given: dict[str, Any] = {
        "payer": PAYER, "order_no": "HB-1", "payee": PAYEE, "number": LEG, "amount_fen": 4_497_235,
        "value_on": date(2024, 12, 16),
    }  # fmt: skip
    return Order(**{**given, **changes})


def arrival(**changes: Any) -> Arrival:
    """Return the arrival of all of it."""
    given: dict[str, Any] = {
        "payer": PAYER, "bank_ref": "B-1", "payee": PAYEE, "order_no": "HB-1", "amount_fen": 4_497_235,
        "arrived_on": date(2024, 12, 17),
    }  # fmt: skip
    return Arrival(**{**given, **changes})
