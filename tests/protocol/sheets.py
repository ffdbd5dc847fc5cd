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
        "person": {"id_type": "01", "id_no": "520300198902280012", "name": "袁某"},
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
