"""The rules of amounts, ages and places as values: each with its source and how well it is evidenced.

They come from a dated pack (`rules_reading.parse_rules`), never from code. What is reckoned is handed out as a
`Figure`, which names the rules that gave it; one that rests on a weak mark is uncertain, and whoever shows it says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

WEAK_MARKS: Final = frozenset({"K", "?", "D"})
"""own knowledge, uncertain, design default"""
WHOLE: Final = 10_000
"""basis points of the whole"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it says, where it stands, and how well that is evidenced."""

    code: str
    zh: str
    en: str
    source: str
    mark: str
    valid_from: date | None = None

    @property
    def is_uncertain(self) -> bool:
        """Say whether people must be told that this has not been verified."""
        return self.mark in WEAK_MARKS


@dataclass(frozen=True, slots=True)
class Figure:
    """One result: an amount in fen, a count of months, a month `YYYYMM`, a date, a place, or a choice."""

    name: str
    zh: str
    en: str
    value: int | str | bool | None
    unit: str
    rules: tuple[Rule, ...]

    @property
    def is_uncertain(self) -> bool:
        """Say whether one of its rules is."""
        return any(one.is_uncertain for one in self.rules)


@dataclass(frozen=True, slots=True)
class RatePeriod:
    """A rate and the months for which it holds; without an end when `last` is None."""

    first: int
    last: int | None
    rate_bp: int


@dataclass(frozen=True, slots=True)
class OneOffRule:
    """When a one-off payment needs a document, and which."""

    months: int
    commitment_before: date
    commitment: frozenset[str]
    legal: frozenset[str]
    notice_working_days: int


@dataclass(frozen=True, slots=True)
class AgeSteps:
    """How the retirement age of one kind of person rises: a month for each `step_months` after the beginning."""

    age_months: int
    most_months: int
    step_months: int


@dataclass(frozen=True, slots=True)
class MinimumRule:
    """Least months of contribution: `months`, and from a year on so many more each year, up to `most_months`."""

    months: int
    from_year: int
    step_months: int
    most_months: int


@dataclass(frozen=True, slots=True)
class Rules:
    """A pack, named by the SHA-256 (hex) of its bytes; the figures of its rules by their own names."""

    digest: str
    version: str
    valid_from: date
    by_code: Mapping[str, Rule]
    record_rates: Sequence[RatePeriod]
    pooled_from: int
    pooled_bp: int
    rounding: str
    interest_bp: Mapping[int, int]
    transfer_year_by_in: bool
    """the transfer-in city credits the interest of the year of the transfer"""
    pools: Sequence[tuple[str, str]]
    """(beginning of a division, pool) where the pool is not the province"""
    one_off: OneOffRule
    temporary_age_months: Mapping[str, int]
    benefit_months: int
    fee_extra_bp: int
    fee_kinds: frozenset[str]
    reform_from: int
    ages: Mapping[str, AgeSteps]
    flexible_months: int
    minimum: MinimumRule
    cycle_months: int

    def of(self, *codes: str) -> tuple[Rule, ...]:
        """Return rules by code."""
        return tuple(self.by_code[one] for one in codes)

    def figure(self, name: str, words: tuple[str, str], value: Any, unit: str, *codes: str) -> Figure:
        """Return a figure that these rules gave."""
        return Figure(name, words[0], words[1], value, unit, self.of(*codes))

    def record_rate(self, month: int) -> int | None:
        """Return the record rate of a month in basis points; None where there was no account."""
        for one in self.record_rates:
            if one.first <= month and (one.last is None or month <= one.last):
                return one.rate_bp
        return None

    def pool_of(self, division: str) -> str:
        """Return the pooling region of a division: its province-level unit."""
        for beginning, pool in self.pools:
            if division.startswith(beginning):
                return pool
        return f"{division[:2]}0000"

    def rounded(self, numerator: int, denominator: int) -> int:
        """Return a fraction as whole fen."""
        return rounded(numerator, denominator, self.rounding)


def rounded(numerator: int, denominator: int, mode: str = "HALF_UP") -> int:
    """Return a fraction that is not negative as a whole number, half up or down."""
    if mode == "HALF_UP":
        return (2 * numerator + denominator) // (2 * denominator)
    return numerator // denominator


ROUNDINGS: Final = frozenset({"HALF_UP", "DOWN"})
CODES: Final = frozenset(
    {
        "RECORD_RATE", "POOLED_SHARE", "BEFORE_1998", "DEEMED_NO_MONEY", "ROUNDING", "ACCOUNT_INTEREST",
        "INTEREST_OF_TRANSFER_YEAR", "TEMPORARY_FULL", "SAME_PROVINCE", "POOLS", "ONE_OFF_PAYMENT", "OVERLAP",
        "TEMPORARY_AGE", "AGE_AT_JOINING", "TAKEN_AT_HUKOU", "TAKEN_AT_NEW_PLACE", "APPROVED_RELOCATION",
        "TAKEN_AT_BENEFIT_PLACE", "PENSION_DRAWN", "FIRST_EVER_TEMPORARY", "INSURED_BEFORE_AGE", "HUKOU_MOVED_IN",
        "TEMPORARY_SEALED", "TEMPORARY_TO_GENERAL_PLACE", "TEMPORARY_TO_HUKOU", "ARREARS_STAY_TEMPORARY",
        "HUKOU_AT_AGE", "ONLY_TEMPORARY", "CURRENT_IS_HUKOU", "CURRENT_TEN_YEARS", "LAST_PLACE_WITH_TEN_YEARS",
        "CONSOLIDATE_AT_HUKOU", "UNEMPLOYMENT_FEE", "UNEMPLOYMENT_NO_FEE", "RETIREMENT_AGE", "FLEXIBLE_RETIREMENT",
        "MINIMUM_MONTHS", "FAST_TRACK", "CERTIFICATION_CYCLE",
    }
)  # fmt: skip
"""The rules that are reckoned by: a pack has each once, and no other."""
