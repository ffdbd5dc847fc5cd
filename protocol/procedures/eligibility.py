"""The cycle of benefit eligibility certification (待遇资格认证): rolling months from the last one, not days.

Certified on 2026-01-31 it is next due on 2027-01-31; on 2024-02-29, on 2025-02-28. Whichever the method, the new
certification begins the cycle anew (递延).
"""

from datetime import date

from protocol.procedures.months import moved
from protocol.procedures.rules import Figure, Rules


def next_certification(certified_on: date, rules: Rules) -> date:
    """Return the last day on which the next certification is in time."""
    return moved(certified_on, rules.cycle_months)


def certification_figures(certified_on: date, rules: Rules) -> list[Figure]:
    """Return the figures of a certification."""
    due = next_certification(certified_on, rules).isoformat()
    return [rules.figure("next_due", ("下次认证到期日", "next certification due"), due, "date", "CERTIFICATION_CYCLE")]
