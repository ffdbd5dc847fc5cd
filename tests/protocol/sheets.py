"""A sheet without a fault: example 1 of the vectors as the transfer-out city writes it."""

import copy
from typing import Any

from tests.protocol.amounts import vectors

_EXAMPLE = vectors("transfer_amounts.json")["examples"][0]
_SIGNED = {"sheet_no": "XX-442000-0001", "letter_no": "LX-520300-0001", "operator": "甲", "reviewer": "乙"}


def a_sheet(**changes: Any) -> dict[str, Any]:
    """Return the sheet of example 1; top-level fields may be changed."""
    lines = []
    for row, told in zip(_EXAMPLE["input"]["lines"], _EXAMPLE["expected"]["lines"], strict=True):
        line = {name: row[name] for name in row if name != "interest_rate_bp"}
        line |= {name: told[name] for name in ("wages_fen", "credited_fen", "interest_fen", "close_fen")}
        lines.append({**line, "unit_rate_bp": 1400, "personal_rate_bp": 800})
    wanted = _EXAMPLE["expected"]
    sheet = {
        **_SIGNED,
        "person": {"id_type": "01", "id_no": "520300198802290025", "name": "袁某", "phone": "08510000000"},
        "first_insured": "201907",
        "account_opened": "201907",
        "cut_off": "202312",
        "hukou_division": "520300",
        "account_kind": "GENERAL",
        "yearly_lines": lines,
        "totals": {
            "actual_months": wanted["months"],
            "deemed_months": 0,
            "personal_before_1998_fen": 0,
            "account_since_1998_fen": wanted["account_fen"],
            "pooled_fen": wanted["pooled_fen"],
            "total_fen": wanted["total_fen"],
        },
        "issued_on": "2024-03-04",
    }
    return copy.deepcopy({**sheet, **changes})


def small_sheet(total_fen: int, number: int = 1) -> dict[str, Any]:
    """Return a sheet without a fault over one month of December 2023: a fifth of its wages moves, without interest."""
    wages = total_fen * 5
    account, pooled = wages * 8 // 100, wages * 12 // 100
    assert account + pooled == total_fen
    line = {
        "year": 2023, "from": "202312", "to": "202312", "months": 1, "monthly_base_fen": wages, "wages_fen": wages,
        "unit_rate_bp": 1400, "personal_rate_bp": 800, "record_rate_bp": 800, "credited_fen": account,
        "interest_fen": 0, "close_fen": account, "kind": "NORMAL",
    }  # fmt: skip
    totals = {
        "actual_months": 1, "deemed_months": 0, "personal_before_1998_fen": 0, "account_since_1998_fen": account,
        "pooled_fen": pooled, "total_fen": total_fen,
    }  # fmt: skip
    return a_sheet(
        sheet_no=f"XX-442000-{number:04}", first_insured="202312", account_opened="202312", cut_off="202312",
        yearly_lines=[line], totals=totals,
    )  # fmt: skip
