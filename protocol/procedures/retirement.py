"""When a person retires, and how many months it takes (国务院关于渐进式延迟法定退休年龄的办法, in force 2025-01-01).

Whoever would have reached the old age in month M of the reform or later waits `(M - 202501) // step + 1` months longer,
up to the most: a man born 1965-01 retires in 2025-02, born 1965-05 in 2025-07, born 1977-01 in 2040-01 at 63. Flexible
by three years either way, never before the old age, and early only with the months that the year asks for.
"""

from dataclasses import dataclass

from protocol.procedures.months import month_text
from protocol.procedures.rules import Figure, Rules


@dataclass(frozen=True, slots=True)
class Retirement:
    """Months as numbers (`months`); `least_months` are those of contribution in the statutory month's year."""

    old_month: int
    month: int
    age_months: int
    delay_months: int
    earliest_month: int
    latest_month: int
    least_months: int


def retirement(birth_month: int, category: str, rules: Rules) -> Retirement:
    """Return the retirement of a person; `category` is MALE, FEMALE_55 (cadres) or FEMALE_50 (workers)."""
    steps = rules.ages[category]
    old = birth_month + steps.age_months
    delay = 0
    if old >= rules.reform_from:
        delay = min(steps.most_months - steps.age_months, (old - rules.reform_from) // steps.step_months + 1)
    month = old + delay
    return Retirement(
        old_month=old,
        month=month,
        age_months=steps.age_months + delay,
        delay_months=delay,
        earliest_month=max(old, month - rules.flexible_months),
        latest_month=month + rules.flexible_months if old >= rules.reform_from else month,
        least_months=minimum_months(month // 12, rules),
    )


def minimum_months(year: int, rules: Rules) -> int:
    """Return the least months of contribution for a retirement in a year: 180, 186 in 2030, 240 from 2039."""
    rule = rules.minimum
    more = max(0, year - rule.from_year + 1) * rule.step_months
    return min(rule.most_months, rule.months + more)


def may_take_fast_track(
    retiring: Retirement, month: int, *, paid_months: int, deemed_months: int, rules: Rules
) -> bool:
    """Say whether the paper file needs no review: age reached, months enough, and none of them deemed."""
    return month >= retiring.month and deemed_months == 0 and paid_months >= minimum_months(month // 12, rules)


def retirement_figures(retiring: Retirement, rules: Rules) -> list[Figure]:
    """Return the figures of a retirement."""
    rows = (
        ("retirement_month", ("法定退休年月", "statutory month of retirement"), month_text(retiring.month), "YYYYMM",
         ("RETIREMENT_AGE",)),
        ("retirement_age_months", ("法定退休年龄（月）", "statutory age in months"), retiring.age_months, "month",
         ("RETIREMENT_AGE",)),
        ("delay_months", ("延迟月数", "months later than before"), retiring.delay_months, "month",
         ("RETIREMENT_AGE",)),
        ("earliest_month", ("最早弹性退休年月", "earliest flexible month"), month_text(retiring.earliest_month),
         "YYYYMM", ("FLEXIBLE_RETIREMENT",)),
        ("latest_month", ("最晚弹性退休年月", "latest flexible month"), month_text(retiring.latest_month), "YYYYMM",
         ("FLEXIBLE_RETIREMENT",)),
        ("least_months", ("最低缴费月数", "least months of contribution"), retiring.least_months, "month",
         ("MINIMUM_MONTHS",)),
    )  # fmt: skip
    return [rules.figure(name, words, value, unit, *codes) for name, words, value, unit, codes in rows]
