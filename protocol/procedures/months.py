"""Months as numbers, `YYYYMM` as text: periods, ages, and dates moved by whole months.

A month is counted from year 0: `month_of("202403")` is 24290, so that a difference is a difference of months.

    months_between(month_of("201907"), month_of("202312"))    # 54: both ends count
    moved(date(2024, 2, 29), 12)                              # 2025-02-28: months, not days
"""

import calendar
import re
from datetime import date
from typing import Final

FIRST: Final = 1900 * 12
END: Final = 2200 * 12
_TEXT: Final = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])")


def month_of(text: str) -> int:
    """Return the number of a month written `YYYYMM`.

    Raises:
        ValueError: not that form, or not from 1900 to 2199.
    """
    number = int(text[:4]) * 12 + int(text[4:]) - 1 if _TEXT.fullmatch(text) else -1
    if not FIRST <= number < END:
        raise ValueError("a month is YYYYMM, from 190001 to 219912")
    return number


def month_text(month: int) -> str:
    """Return a month as `YYYYMM`."""
    return f"{month // 12:04}{month % 12 + 1:02}"


def month_in(day: date) -> int:
    """Return the month in which a day lies."""
    return day.year * 12 + day.month - 1


def months_between(first: int, last: int) -> int:
    """Return how many months a period has, both ends counted."""
    return last - first + 1


def moved(day: date, months: int) -> date:
    """Return the day so many months later; the last day of the month where it has no such day.

    Raises:
        ValueError: outside the years that dates have.
    """
    month = month_in(day) + months
    year, place = month // 12, month % 12 + 1
    return date(year, place, min(day.day, calendar.monthrange(year, place)[1]))
