"""What a registry holds of an invented person: record lines made from one life's stints (domain §3.6).

A *stint* is a span of months in one city. From it follow the yearly contribution lines, the account
(11 % of the base until 2005, 8 % since; interest once a year: opening balance x rate + monthly credit x
sum of (12 - month) x rate / 12, rounded once, half up), the benefit, the voucher and the certification.
Example (fen): base 337600 for 2019-07..2019-12 credits 162048 and earns 2569 at 7.61 %.

Lines are plain dictionaries in the JSON form of `protocol/messages.py`: 340,000 people are made in the
hot loop of the benchmarks, and a test holds a sample against the models. Months are counted as
`year * 12 + month - 1` in here. Deliberately absent: connected relations; the people who move are
exactly those whose relations still wait to be joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from protocol.messages import RecordKind

Lines = dict[RecordKind, list[dict[str, Any]]]

INTEREST_BP = {2016: 831, 2017: 712, 2018: 829, 2019: 761, 2020: 604, 2021: 669, 2022: 612, 2023: 397}
"""Interest of the individual account per year in basis points (2019-2023: transfer_amounts vectors)."""
EARLIER_INTEREST_BP = 250
LATER_INTEREST_BP = 262
FIRST_BASE_FEN = 120_000
BASE_GROWTH_PERCENT = 7
PENSION_MONTHS = 180
EMPLOYERS = (
    "示例电子有限公司",
    "示例家具厂",
    "示例灯饰有限公司",
    "示例物业服务有限公司",
    "示例建筑工程有限公司",
    "示例酒店",
    "灵活就业",
)


@dataclass(frozen=True, slots=True)
class Stint:
    """One span in one city, first and last month included; `temporary`: a temporary account (66号 第五条)."""

    city: str
    first: int
    last: int
    temporary: bool = False
    with_unemployment: bool = False


def month_text(month: int) -> str:
    """Return `YYYYMM` of a counted month."""
    return f"{month // 12:04d}{month % 12 + 1:02d}"


def month_of(day: date) -> int:
    """Return the counted month of a day."""
    return day.year * 12 + day.month - 1


def _first_day_after(month: int) -> date:
    return date((month + 1) // 12, (month + 1) % 12 + 1, 1)


def contributions(stint: Stint, level_percent: int) -> list[dict[str, Any]]:
    """Return one line per calendar year; the base grows each year, `level_percent` tells rich from poor."""
    lines: list[dict[str, Any]] = []
    start = stint.first
    while start <= stint.last:
        year = start // 12
        end = min(stint.last, year * 12 + 11)
        base = base_fen(year, level_percent)
        months = end - start + 1
        lines.append(
            {
                "insurance": "110",
                "kind": "NORMAL",
                "started": month_text(start),
                "ended": month_text(end),
                "months": months,
                "monthly_base_fen": base,
                "employer_fen": months * base * 16 // 100,
                "personal_fen": months * base * 8 // 100,
            }
        )
        start = end + 1
    return lines


def base_fen(year: int, level_percent: int) -> int:
    """Return the monthly base of a year in fen, whole yuan."""
    return _BASES[year - 1990] * level_percent // 10_000 * 100


_BASES: list[int] = [
    FIRST_BASE_FEN * (100 + BASE_GROWTH_PERCENT) ** max(0, n - 10) // 100 ** max(0, n - 10) for n in range(60)
]


def account(lines: Sequence[dict[str, Any]], until: int) -> tuple[int, int]:
    """Return principal and interest in fen of the account made by yearly `lines`, at the end of `until`.

    Interest is credited for whole years only; in the year of `until` the principal alone counts.
    """
    principal, interest = 0, 0
    by_year = {int(line["started"][:4]): line for line in lines}
    for year in range(min(by_year), until // 12 + 1):
        line = by_year.get(year)
        rate = INTEREST_BP.get(year, EARLIER_INTEREST_BP if year < 2016 else LATER_INTEREST_BP)
        weighted = (principal + interest) * 12
        if line is not None:
            first, last = int(line["started"][4:]), int(line["ended"][4:])
            monthly: int = line["monthly_base_fen"] * (11 if year < 2006 else 8) // 100
            weighted += monthly * sum(12 - month for month in range(first, last + 1))
            principal += monthly * line["months"]
        if year * 12 + 11 <= until:
            interest += (weighted * rate + 60_000) // 120_000
    return principal, interest


def lines_of(stint: Stint, person: Random, *, settled: bool, retires: int, as_of: date) -> Lines:
    """Return what the city of `stint` knows: every record kind, an empty list where there is nothing.

    `settled`: the person's last city; `retires`: the month of benefit age; `person`: this person's random source.
    """
    now = month_of(as_of)
    ongoing = stint.last >= now - 1 and retires >= now
    months = stint.last - stint.first + 1
    paid = contributions(stint, person.randrange(60, 200))
    pensioner = settled and months >= PENSION_MONTHS and retires < now
    until = min(retires, now - 1) if pensioner else now - 1
    principal, interest = account(paid, until)
    insurances = ("110", "210") if stint.with_unemployment else ("110",)
    if stint.with_unemployment:
        paid += [_unemployment(line) for line in paid]
    balance = {
        "insurance": "110",
        "until": month_text(until),
        "balance_fen": principal + interest,
        "principal_fen": principal,
        "interest_fen": interest,
    }
    employer = EMPLOYERS[person.randrange(len(EMPLOYERS))]
    return {
        RecordKind.ENROLMENT: [_enrolment(stint, one, employer, ongoing, pensioner) for one in insurances],
        RecordKind.CONTRIBUTIONS: paid,
        RecordKind.BALANCE: [balance],
        RecordKind.BENEFIT: [_pension(retires, months, principal + interest)] if pensioner else [],
        RecordKind.VOUCHER: [] if ongoing or pensioner else [_voucher(stint, person, principal + interest, as_of)],
        RecordKind.ELIGIBILITY: [_certification(person, retires, as_of)] if pensioner else [],
    }


def _unemployment(line: dict[str, Any]) -> dict[str, Any]:
    wages = line["months"] * line["monthly_base_fen"]
    return line | {"insurance": "210", "employer_fen": wages * 8 // 1000, "personal_fen": wages * 2 // 1000}


def _enrolment(stint: Stint, insurance: str, employer: str, ongoing: bool, pensioner: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "insurance": insurance,
        "status": "ACTIVE" if ongoing else "ENDED" if pensioner else "PAUSED",
        "account_kind": "TEMPORARY" if stint.temporary else "GENERAL",
        "started": month_text(stint.first),
    }
    if not ongoing:
        line["ended"] = month_text(stint.last)
    return line | {"employer": employer}


def _pension(retires: int, months: int, balance_fen: int) -> dict[str, Any]:
    basic = 400_000 * months // 1200
    return {
        "insurance": "110",
        "benefit": "PENSION",
        "status": "PAYING",
        "since": month_text(retires + 1),
        "monthly_fen": basic + balance_fen // 139,
    }


def _voucher(stint: Stint, person: Random, balance_fen: int, as_of: date) -> dict[str, Any]:
    issued = max(as_of - timedelta(days=person.randrange(400)), _first_day_after(stint.last))
    return {
        "number": f"{stint.city}{issued:%Y%m%d}{person.randrange(1_000_000):06d}",
        "insurance": "110",
        "started": month_text(stint.first),
        "ended": month_text(stint.last),
        "months": stint.last - stint.first + 1,
        "balance_fen": balance_fen,
        "status": "UNCONNECTED",
        "issued_on": issued.isoformat(),
        "valid_until": (issued + timedelta(days=90)).isoformat(),
    }


def _certification(person: Random, retires: int, as_of: date) -> dict[str, Any]:
    certified = max(as_of - timedelta(days=person.randrange(400)), _first_day_after(retires))
    # 29 February has no counterpart a year later; the domain's cycle is 12 months, so the month's last day.
    due = certified.replace(year=certified.year + 1, day=min(certified.day, 28 if certified.month == 2 else 31))
    return {
        "insurance": "110",
        "method": ("SELF", "COUNTER", "HOME_VISIT", "AGENT", "DATA_MATCH")[person.randrange(5)],
        "certified_on": certified.isoformat(),
        "due_on": due.isoformat(),
    }
