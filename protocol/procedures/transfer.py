"""The amounts of a transfer of the pension relation, in whole fen: 国办发〔2009〕66号 art. 4 and 5.

General account, by the year y of contributions::

    credited_y = round(record rate x wages_y)      11% to 2005, 8% from 2006
    interest_y = round(rate_y x (open_y + Σ credit_m x (12 - m) / 12))      a month bears interest from the next one
    close_y    = open_y + credited_y + interest_y  also in years without contributions
    pooled_y   = round(12% x wages_y)              principal only, from 1998, for the months actually paid

Before 1998 the person's own contributions move with the interest that the transfer-out city gives: as `Before1998`;
or line by line, and then they stand in the balance. A temporary account moves everything, unit and person, with
interest. Within one pool (`Rules.pool_of`) the relation moves and no money does. The transfer-out city's interest is
authoritative: what is reckoned here checks it, and is told as such.

    transfer_amounts(Transfer("GENERAL", "442000", "520300", lines), rules).total_fen
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import add, gt, itemgetter, mul
from typing import Final, NamedTuple

from protocol.procedures.one_off import OneOff, untransferable
from protocol.procedures.rules import WHOLE, Figure, Rules, rounded

GENERAL: Final = "GENERAL"
TEMPORARY: Final = "TEMPORARY"


class Line(NamedTuple):
    """Contributions of months that follow one another within one year; made by `pay_line`."""

    year: int
    months: int
    wages_fen: int
    weighted_fen: int
    """Σ wages of month m x (12 - m): what bears interest in this year, in twelfths"""
    record_rate_bp: int
    personal_rate_bp: int
    unit_rate_bp: int
    interest_rate_bp: int | None
    first: int
    kind: str


_YEAR: Final = itemgetter(0)
_MONTHS: Final = itemgetter(1)
_FIRST: Final = itemgetter(8)


def pay_line(
    first: int,
    last: int,
    base_fen: int,
    rules: Rules,
    *,
    kind: str = "NORMAL",
    personal_rate_bp: int = 0,
    unit_rate_bp: int = 0,
    interest_rate_bp: int | None = None,
) -> Line:
    """Return a line of months `first` to `last` (numbers of `months`) with one monthly base.

    Raises:
        ValueError: the months are none, or lie in more than one year.
    """
    year, months = first // 12, last - first + 1
    if months < 1 or last // 12 != year:
        raise ValueError("a line has months of one year")
    early, late = first % 12 + 1, last % 12 + 1
    weighted = base_fen * (12 * months - (early + late) * months // 2)
    rate = rules.record_rate(first) or 0
    return Line(
        year, months, base_fen * months, weighted, rate, personal_rate_bp, unit_rate_bp, interest_rate_bp, first, kind
    )


@dataclass(frozen=True, slots=True)
class Before1998:
    """The person's own contributions before 1998, and their interest as the transfer-out city gives it."""

    months: int = 0
    principal_fen: int = 0
    interest_fen: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is asked: one relation that moves from one division to another."""

    account_kind: str
    from_division: str
    to_division: str
    lines: Sequence[Line]
    before_1998: Before1998 = Before1998()
    deemed_months: int = 0
    one_offs: Sequence[OneOff] = ()
    opening_fen: int = 0
    """balance of the account at the beginning of the first line's year"""
    through_year: int | None = None
    """last year for which interest is due; that of the last line where None"""
    transfer_year: int | None = None
    """year in which the fund moves, where it is known"""
    with_interest: bool = True


class YearAmount(NamedTuple):
    """One year; `pooled_fen` of a temporary account is what the unit paid, and has interest of its own."""

    year: int
    months: int
    wages_fen: int
    credited_fen: int
    interest_fen: int
    close_fen: int
    pooled_fen: int
    pooled_interest_fen: int


@dataclass(frozen=True, slots=True)
class Amounts:
    """What moves. `fund_fen` is what is ordered by bank: nothing within one pool."""

    account_kind: str
    years: tuple[YearAmount, ...]
    months: int
    deemed_months: int
    wages_fen: int
    before_1998_fen: int
    account_principal_fen: int
    account_fen: int
    pooled_principal_fen: int
    pooled_fen: int
    total_fen: int
    has_fund_leg: bool
    months_left: int
    """months of one-off payments that stay, with their money"""
    years_without_rate: tuple[int, ...]
    """years whose interest could not be reckoned"""

    @property
    def fund_fen(self) -> int:
        """Return what moves by bank."""
        return self.total_fen if self.has_fund_leg else 0


def transfer_amounts(transfer: Transfer, rules: Rules) -> Amounts:
    """Return the amounts of a transfer. Cost: linear in its lines, a few sums per year.

    Raises:
        ValueError: the lines are not in order of time, or a month stands in two of them.
    """
    stay = untransferable(transfer.one_offs, rules)
    lines = _moving(transfer.lines, stay) if stay else transfer.lines
    firsts = list(map(_FIRST, lines))
    if any(map(gt, map(add, firsts, map(_MONTHS, lines)), firsts[1:])):
        raise ValueError("lines are in order of time, each month in one of them")
    temporary = transfer.account_kind == TEMPORARY
    years, without = _years(lines, transfer, rules, temporary=temporary)
    before = transfer.before_1998
    credited, pooled, extra = (sum(map(itemgetter(place), years)) for place in (3, 6, 7))
    balance = years[-1].close_fen if years else transfer.opening_fen
    before_fen = before.principal_fen + before.interest_fen
    account = before_fen + balance
    return Amounts(
        account_kind=transfer.account_kind,
        years=years,
        months=before.months + sum(map(itemgetter(1), years)),
        deemed_months=transfer.deemed_months,
        wages_fen=sum(map(itemgetter(2), years)),
        before_1998_fen=before_fen,
        account_principal_fen=before.principal_fen + credited,
        account_fen=account,
        pooled_principal_fen=pooled,
        pooled_fen=pooled + extra,
        total_fen=account + pooled + extra,
        has_fund_leg=rules.pool_of(transfer.from_division) != rules.pool_of(transfer.to_division),
        months_left=sum(one.last - one.first + 1 for one in stay),
        years_without_rate=without,
    )


def _moving(lines: Sequence[Line], stay: Sequence[OneOff]) -> list[Line]:
    """Return the lines without the months that stay: those of refused one-off payments."""
    kept: list[Line] = []
    for line in lines:
        months = range(line.first, line.first + line.months)
        left = [month for month in months if not _stays(month, line.kind, stay)]
        if len(left) == line.months:
            kept.append(line)
            continue
        base = line.wages_fen // line.months
        kept += [
            line._replace(months=1, wages_fen=base, weighted_fen=base * (11 - month % 12), first=month)
            for month in left
        ]
    return kept


def _stays(month: int, kind: str, stay: Sequence[OneOff]) -> bool:
    return kind == "ONE_OFF" and any(one.first <= month <= one.last for one in stay)


def _years(
    lines: Sequence[Line], transfer: Transfer, rules: Rules, *, temporary: bool
) -> tuple[tuple[YearAmount, ...], tuple[int, ...]]:
    """Return the years from the first line on, and those without a rate; a gap bears interest, too."""
    found: list[YearAmount] = []
    without: list[int] = []
    balance, unit_balance = transfer.opening_fen, 0
    paid = {year: tuple(zip(*group, strict=True)) for year, group in groupby(lines, key=_YEAR)}
    first = lines[0].year if lines else 0
    last = max(lines[-1].year, transfer.through_year or 0) if lines else -1
    for year in range(first, last + 1):
        columns = paid.get(year)
        rate = _rate(year, columns, transfer, rules)
        if rate is None:
            without.append(year)
        one = _year(year, columns, (balance, unit_balance, rate or 0), rules, temporary=temporary)
        if columns or one.interest_fen or one.pooled_interest_fen:
            found.append(one)
        balance, unit_balance = one.close_fen, unit_balance + one.pooled_fen + one.pooled_interest_fen
        unit_balance = unit_balance if temporary else 0
    return tuple(found), tuple(without)


def _rate(year: int, columns: tuple[tuple[int, ...], ...] | None, transfer: Transfer, rules: Rules) -> int | None:
    """Return the interest rate of a year; 0 where none is due here, None where it is not known."""
    if not transfer.with_interest or (rules.transfer_year_by_in and year == transfer.transfer_year):
        return 0
    told = next((one for one in columns[7] if one is not None), None) if columns else None
    return told if told is not None else rules.interest_bp.get(year)


def _year(
    year: int,
    columns: tuple[tuple[int, ...], ...] | None,
    before: tuple[int, int, int],
    rules: Rules,
    *,
    temporary: bool,
) -> YearAmount:
    balance, unit_balance, rate = before
    if columns is None:
        interest, extra = (rounded(one * rate, WHOLE, rules.rounding) for one in (balance, unit_balance))
        return YearAmount(year, 0, 0, 0, interest, balance + interest, 0, extra)
    _, months, wages, weighted, record, personal, unit, _, first, _ = columns
    total = sum(wages)
    # A temporary account and the years before 1998 have what was paid, not the share that is recorded.
    account = personal if temporary or not any(record) else record
    credited, interest = _credit(wages, weighted, account, balance, rate, rules.rounding)
    if temporary:
        pooled, extra = _credit(wages, weighted, unit, unit_balance, rate, rules.rounding)
    else:
        start = rules.pooled_from
        counted = total if first[0] >= start else sum(one for one, at in zip(wages, first, strict=True) if at >= start)
        pooled, extra = rounded(counted * rules.pooled_bp, WHOLE, rules.rounding), 0
    return YearAmount(year, sum(months), total, credited, interest, balance + credited + interest, pooled, extra)


def _credit(
    wages: tuple[int, ...], weighted: tuple[int, ...], shares: tuple[int, ...], balance: int, rate: int, mode: str
) -> tuple[int, int]:
    """Return what is credited in a year, and its interest: each rounded once."""
    credited = rounded(sum(map(mul, wages, shares)), WHOLE, mode)
    if not rate:
        return credited, 0
    twelfths = 12 * WHOLE * balance + sum(map(mul, weighted, shares))
    return credited, rounded(twelfths * rate, 12 * WHOLE * WHOLE, mode)


def amount_figures(amounts: Amounts, rules: Rules) -> list[Figure]:
    """Return the figures of a transfer, each with the rules that gave it."""
    temporary, interest = amounts.account_kind == TEMPORARY, ("ACCOUNT_INTEREST", "INTEREST_OF_TRANSFER_YEAR")
    share = ("TEMPORARY_FULL",) if temporary else ("RECORD_RATE",)
    pooled = ("TEMPORARY_FULL", *interest) if temporary else ("POOLED_SHARE",)
    fund = ("SAME_PROVINCE", "POOLS") if not amounts.has_fund_leg else ("POOLS",)
    rows = [
        ("months", ("实际缴费月数", "months paid"), amounts.months, "month", ("POOLED_SHARE",)),
        ("deemed_months", ("视同缴费月数", "deemed months"), amounts.deemed_months, "month", ("DEEMED_NO_MONEY",)),
        ("months_left", ("不予转移的月数", "months that stay"), amounts.months_left, "month", ("ONE_OFF_PAYMENT",)),
        ("wages_fen", ("缴费工资合计", "wages"), amounts.wages_fen, "fen", ("POOLED_SHARE",)),
        ("before_1998_fen", ("1998年前个人缴费本息", "own contributions before 1998 with interest"),
         amounts.before_1998_fen, "fen", ("BEFORE_1998",)),
        ("account_principal_fen", ("个人账户本金", "account, principal"), amounts.account_principal_fen, "fen",
         (*share, "ROUNDING")),
        ("account_fen", ("个人账户本息", "account with interest"), amounts.account_fen, "fen",
         (*share, "ROUNDING", *interest)),
        ("pooled_fen", ("统筹基金转移额", "pooled part"), amounts.pooled_fen, "fen", (*pooled, "ROUNDING")),
        ("total_fen", ("转移总额", "total"), amounts.total_fen, "fen", (*share, *pooled, "ROUNDING", *interest)),
        ("fund_fen", ("应划资金", "to be moved by bank"), amounts.fund_fen, "fen", fund),
    ]  # fmt: skip
    found = [rules.figure(name, words, value, unit, *dict.fromkeys(codes)) for name, words, value, unit, codes in rows]
    if amounts.years_without_rate:
        words = ("未计利息的年度（无已知利率）", "years without interest, no rate being known")
        told = " ".join(map(str, amounts.years_without_rate))
        found.append(rules.figure("years_without_rate", words, told, "text", "ACCOUNT_INTEREST"))
    return found
