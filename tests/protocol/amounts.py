"""What the tests of amounts share: the rules in the box, the vectors, and lines from their rows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from config.data import amounts_bytes
from protocol.procedures.months import month_of
from protocol.procedures.rules_reading import parse_rules
from protocol.procedures.transfer import Line, pay_line

RULES: Final = parse_rules(amounts_bytes())
VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors"


def vectors(name: str) -> dict[str, Any]:
    """Return a file of vectors."""
    content: dict[str, Any] = json.loads((VECTORS / name).read_text("utf-8"))
    return content


def lines_of(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return lines from rows of a vector; their record rate must be that of the rules."""
    found = []
    for row in rows:
        line = pay_line(
            month_of(row["from"]), month_of(row["to"]), row["monthly_base_fen"], RULES, kind=row["kind"],
            personal_rate_bp=row.get("personal_rate_bp", 0), unit_rate_bp=row.get("unit_rate_bp", 0),
            interest_rate_bp=row.get("interest_rate_bp"),
        )  # fmt: skip
        assert (line.months, line.year) == (row["months"], row["year"])
        assert row.get("record_rate_bp", line.record_rate_bp) == line.record_rate_bp
        found.append(line)
    return found
