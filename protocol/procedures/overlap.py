"""Months that were paid in two places (重复缴费): transfer first, then clear (先转后清).

人社部发〔2010〕70号 art. 10: the person chooses in writing which relation is kept. Of the others the account part of
the overlapping months is refunded with its interest, the pooled part is not, and the recognised months fall. Interest
is the city's: only the principal is reckoned here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.procedures.rules import WHOLE, Figure, Rules
from protocol.procedures.transfer import Line


class ChoiceRequired(ValueError):
    """The person's written choice is required; the text says what is lacking, in both languages."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True)
class Relation:
    """What was paid in one division."""

    division: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What clearing gives: the months that count once only, and what goes back to the person."""

    months: tuple[int, ...]
    refund_account_principal_fen: int
    refund_pooled_fen: int
    months_change: int


def clear_overlap(relations: Sequence[Relation], keeps: str, *, signed_choice: bool, rules: Rules) -> Cleared:
    """Return what is refunded of relations that are not kept.

    Raises:
        ChoiceRequired: months overlap and the written choice is missing, or says nothing of some of them.
    """
    covered = [(one, {month: line for line in one.lines for month in _months(line)}) for one in relations]
    counted = Counter(month for _, by_month in covered for month in by_month)
    overlap = {month for month, times in counted.items() if times > 1}
    if overlap and not signed_choice:
        raise ChoiceRequired("须有本人书面选择", "the person's written choice is required")
    kept = {month for one, by_month in covered if one.division == keeps for month in by_month}
    if overlap - kept:
        raise ChoiceRequired(
            "所选关系不含部分重复月份，须另行选择", "the relation chosen does not have all months that overlap"
        )
    refunds = [_refund(by_month, overlap, rules) for one, by_month in covered if one.division != keeps]
    change = sum(len(overlap & by_month.keys()) for one, by_month in covered if one.division != keeps)
    return Cleared(tuple(sorted(overlap)), sum(refunds), 0, -change)


def _months(line: Line) -> range:
    return range(line.first, line.first + line.months)


def _refund(by_month: dict[int, Line], overlap: set[int], rules: Rules) -> int:
    """Return the account part of the months that overlap, rounded once a year."""
    years: Counter[int] = Counter()
    for month in overlap & by_month.keys():
        line = by_month[month]
        years[line.year] += line.wages_fen // line.months * line.record_rate_bp
    return sum(rules.rounded(one, WHOLE) for one in years.values())


def overlap_figures(cleared: Cleared, rules: Rules) -> list[Figure]:
    """Return the figures of a clearing."""
    rows = (
        ("months_overlapped", ("重复月数", "months that overlap"), len(cleared.months), "month"),
        ("refund_account_principal_fen", ("应退个人账户本金", "account part refunded, principal"),
         cleared.refund_account_principal_fen, "fen"),
        ("refund_pooled_fen", ("统筹部分退还", "pooled part refunded"), cleared.refund_pooled_fen, "fen"),
        ("recognised_months_change", ("认定月数变化", "change of recognised months"), cleared.months_change, "month"),
    )  # fmt: skip
    return [rules.figure(name, words, value, unit, "OVERLAP", "RECORD_RATE") for name, words, value, unit in rows]
