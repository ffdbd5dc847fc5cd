"""Lives of contributions by seed, and a second, naive reckoning of their amounts: fractions, month by month.

The reckoning here knows nothing of the rules in the box: rates and ages are written down again.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from random import Random
from typing import Final

from protocol.procedures.transfer import Line, pay_line
from tests.protocol.amounts import RULES

PUBLISHED: Final = {2016: 831, 2017: 712, 2018: 829, 2019: 761, 2020: 604, 2021: 669, 2022: 612, 2023: 397, 2024: 262}
POOLS: Final = ("440000", "450000", "520000", "660000", "650000")


@dataclass(frozen=True)
class Paid:
    """Months of one year with one base, as people would write it down."""

    first: tuple[int, int]
    last: tuple[int, int]
    base_fen: int
    personal_bp: int
    unit_bp: int

    def months(self) -> list[tuple[int, int]]:
        return [(self.first[0], month) for month in range(self.first[1], self.last[1] + 1)]


@dataclass(frozen=True)
class Life:
    """One person's contributions in one place."""

    temporary: bool
    paid: tuple[Paid, ...]

    def lines(self) -> list[Line]:
        """Return the same as lines of the program."""
        return [
            pay_line(
                one.first[0] * 12 + one.first[1] - 1, one.last[0] * 12 + one.last[1] - 1, one.base_fen, RULES,
                personal_rate_bp=one.personal_bp, unit_rate_bp=one.unit_bp,
            )
            for one in self.paid
        ]  # fmt: skip


def a_life(random: Random) -> Life:
    """Return a life of 1 to 30 years, with gaps and bases that change within a year."""
    year = random.randint(1998, 2022)
    month = random.randint(1, 12)
    end = min(2025, year + random.choice((0, 1, 2, 4, 8, 12, 29)))
    base = random.randint(20_000, 3_000_000)
    found = []
    while year <= end:
        last = min(12, month + random.randint(0, 11))
        if random.random() < 0.85:
            found.append(
                Paid((year, month), (year, last), base, random.choice((400, 800)), random.choice((1300, 2000)))
            )
        base = base if random.random() < 0.4 else random.randint(20_000, 3_000_000)
        year, month = (year + 1, 1) if last == 12 else (year, last + 1)
        if random.random() < 0.05:
            year, month = year + random.randint(1, 3), random.randint(1, 12)
    return Life(random.random() < 0.2, tuple(found))


@dataclass
class Naive:
    """What the naive reckoning says."""

    months: int = 0
    wages_fen: int = 0
    account_principal_fen: int = 0
    account_fen: int = 0
    pooled_fen: int = 0

    @property
    def total_fen(self) -> int:
        return self.account_fen + self.pooled_fen


def half_up(value: Fraction) -> int:
    """Return the nearest whole number, the half upwards."""
    return floor(value + Fraction(1, 2))


def reckon(life: Life, *, with_interest: bool = True) -> Naive:
    """Reckon a life month by month, in fractions; round at the end of each year."""
    by_month = {at: one for one in life.paid for at in one.months()}
    found, unit_balance = Naive(), 0
    years = [year for year, _ in by_month]
    for year in range(min(years), max(years) + 1) if years else ():
        rate = Fraction(PUBLISHED.get(year, 0), 10_000) if with_interest else Fraction(0)
        credit = interest = unit = unit_interest = wages = Fraction(0)
        for month in range(1, 13):
            one = by_month.get((year, month))
            if one is None:
                continue
            share = one.personal_bp if life.temporary else 1100 if year <= 2005 else 800
            paid = Fraction(one.base_fen * share, 10_000)
            by_unit = Fraction(one.base_fen * one.unit_bp, 10_000)
            found.months += 1
            wages += one.base_fen
            credit, unit = credit + paid, unit + by_unit
            for _ in range(12 - month):  # each month that follows bears a twelfth of the year's rate
                interest += paid * rate / 12
                unit_interest += by_unit * rate / 12
        found.wages_fen += int(wages)
        found.account_principal_fen += half_up(credit)
        found.account_fen += half_up(credit) + half_up(found.account_fen * rate + interest)
        if life.temporary:
            unit_balance += half_up(unit) + half_up(unit_balance * rate + unit_interest)
            found.pooled_fen = unit_balance
        else:
            found.pooled_fen += half_up(wages * Fraction(12, 100))
    return found
