"""How many persons' transfer amounts are reckoned in a second: `python -m bench.amounts`.

    amounts_persons_per_second          goal 2,000: 30 years of monthly lines, amounts with interest, one core
    amounts_sheets_per_second           an information sheet of 30 yearly lines read, and checked

A person has 360 lines of one month, each with a base of its own, from 1996 to 2025; lines are made before the clock
runs, as they are when a city's records have been read. What is reckoned is compared with fractions for some persons
before anything is measured.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from math import floor
from typing import Any, Final

from bench.measuring import Figures, Options, Tell, main, on_cores
from protocol.procedures.months import month_text
from protocol.procedures.rules import Rules
from protocol.procedures.rules_reading import parse_rules
from protocol.procedures.sheet import parse_sheet
from protocol.procedures.sheet_checks import check_sheet
from protocol.procedures.transfer import Amounts, Transfer, pay_line, transfer_amounts

FIRST: Final = 1996 * 12
MONTHS: Final = 360
PERSONS: Final = 400
CHECKED: Final = 20
CORE: Final = 0


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Make persons and sheets, check some, then measure by turns."""
    rules = parse_rules(files("config").joinpath("policy", "amounts.json").read_bytes())
    dice = random.Random(options.seed)
    bases = [[dice.randint(300_000, 3_000_000) for _ in range(MONTHS)] for _ in range(PERSONS)]
    persons = [_person(one, rules) for one in bases]
    for one, told in zip(persons[:CHECKED], bases, strict=False):
        _prove(transfer_amounts(one, rules), told)
    sheets = [_sheet(one, rules) for one in persons[:CHECKED]]
    measures: dict[str, Callable[[], float]] = {
        "amounts_persons_per_second": lambda: _rate(persons, lambda one: transfer_amounts(one, rules), options.seconds),
        "amounts_sheets_per_second": lambda: _rate(sheets, lambda one: _read(one, rules), options.seconds),
    }
    rates: dict[str, list[float]] = {name: [] for name in measures}
    with on_cores(CORE):
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}")
            for name, measure in measures.items():
                rates[name].append(measure())
    for name, runs in rates.items():
        figures.add(name, runs)
    figures.tables["amounts"] = {"persons": PERSONS, "lines_per_person": MONTHS, "lines_per_sheet": MONTHS // 12}


def _person(bases: Sequence[int], rules: Rules) -> Transfer:
    lines = [
        pay_line(FIRST + month, FIRST + month, base, rules, personal_rate_bp=400) for month, base in enumerate(bases)
    ]
    return Transfer("GENERAL", "442000", "520300", lines, transfer_year=2026)


def _prove(found: Amounts, bases: Sequence[int]) -> None:
    """Compare the pooled part with fractions; a wrong one ends the run."""
    years = [sum(bases[first : first + 12]) for first in range(24, MONTHS, 12)]
    if found.pooled_fen != sum(floor(Fraction(12 * one, 100) + Fraction(1, 2)) for one in years):
        raise RuntimeError("the amounts are wrong")


def _rate(subjects: Sequence[Any], work: Callable[[Any], Any], seconds: float) -> float:
    """Return how many subjects a second are worked through, in whole rounds of all of them."""
    begun, done, taken = time.perf_counter(), 0, 0.0
    while taken < seconds:
        for one in subjects:
            work(one)
        done, taken = done + len(subjects), time.perf_counter() - begun
    return done / taken


def _read(content: Any, rules: Rules) -> None:
    if check_sheet(parse_sheet(content), rules):
        raise RuntimeError("a sheet in order has findings")


def _sheet(person: Transfer, rules: Rules) -> dict[str, Any]:
    """Return a sheet of the same wages, one base a year, without interest before the national rates."""
    lines: list[dict[str, Any]] = []
    means = [sum(one.wages_fen for one in person.lines[first : first + 12]) // 12 for first in range(0, MONTHS, 12)]
    months = range(FIRST, FIRST + MONTHS, 12)
    paid = [pay_line(one, one + 11, base, rules, personal_rate_bp=400) for one, base in zip(months, means, strict=True)]
    early, late = (transfer_amounts(replace(person, lines=one), rules) for one in (paid[:2], paid[2:]))
    for line, base, year in zip(paid, means, (*early.years, *late.years), strict=True):
        lines.append({
            "year": line.year, "from": month_text(line.first), "to": month_text(line.first + 11), "months": 12,
            "monthly_base_fen": base, "wages_fen": line.wages_fen, "unit_rate_bp": 1400, "personal_rate_bp": 400,
            "record_rate_bp": line.record_rate_bp, "credited_fen": year.credited_fen,
            "interest_fen": year.interest_fen, "close_fen": year.close_fen, "kind": "NORMAL",
        })  # fmt: skip
    return _with_totals(lines, late.pooled_fen)


def _with_totals(lines: list[dict[str, Any]], pooled: int) -> dict[str, Any]:
    """Return a whole sheet; the years before 1998 are a chain of their own."""
    before, balance = lines[1]["close_fen"], 0
    for one in lines[2:]:
        balance += one["credited_fen"] + one["interest_fen"]
        one["close_fen"] = balance
    totals = {
        "actual_months": MONTHS,
        "deemed_months": 0,
        "personal_before_1998_fen": before,
        "account_since_1998_fen": balance,
        "pooled_fen": pooled,
        "total_fen": before + balance + pooled,
    }
    return {
        "first_insured": "199601",
        "account_opened": "199801",
        "cut_off": "202512",
        "hukou_division": "520300",
        "account_kind": "GENERAL",
        "yearly_lines": lines,
        "totals": totals,
        "issued_on": "2026-03-02",
    }


if __name__ == "__main__":
    main("amounts", run)
