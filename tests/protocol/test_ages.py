"""Who takes a relation, when one retires, and when one is certified next: rules by month."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.procedures.benefit_place import (
    Joining,
    Taking,
    TemporaryEvent,
    fate_figures,
    hukou_at,
    taking_figures,
    temporary_fate,
    who_takes,
)
from protocol.procedures.eligibility import next_certification
from protocol.procedures.months import month_of, month_text, moved
from protocol.procedures.retirement import may_take_fast_track, minimum_months, retirement, retirement_figures
from tests.protocol.amounts import RULES


def joining(**changes: Any) -> Taking:
    """Return who takes a man born 1970-03 who joins 广东 in 2020-03, aged 50 in that month; hukou 贵州."""
    told = {"sex": "male", "birth_month": month_of("197003"), "month": month_of("202003"), "pool": "440000",
            "hukou": "520000", "has_general_elsewhere": True}  # fmt: skip
    return who_takes(Joining(**{**told, **changes}), RULES)


@pytest.mark.parametrize(
    ("changes", "holder", "kind", "rule"),
    [
        ({}, "OLD", "TEMPORARY", "TEMPORARY_AGE"),
        ({"month": month_of("202002")}, "NEW", "GENERAL", "TAKEN_AT_NEW_PLACE"),
        ({"sex": "female", "birth_month": month_of("198003")}, "OLD", "TEMPORARY", "TEMPORARY_AGE"),
        ({"sex": "female", "birth_month": month_of("198004")}, "NEW", "GENERAL", "TAKEN_AT_NEW_PLACE"),
        ({"hukou": "440000"}, "NEW", "GENERAL", "TAKEN_AT_HUKOU"),
        ({"approved_relocation": True}, "NEW", "GENERAL", "APPROVED_RELOCATION"),
        ({"insured_here_since": month_of("200912")}, "NEW", "GENERAL", "INSURED_BEFORE_AGE"),
        ({"insured_here_since": month_of("202003")}, "OLD", "TEMPORARY", "TEMPORARY_AGE"),
        ({"is_benefit_place": True}, "NEW", "GENERAL", "TAKEN_AT_BENEFIT_PLACE"),
        ({"has_general_elsewhere": False}, "HUKOU", "TEMPORARY", "FIRST_EVER_TEMPORARY"),
        ({"draws_pension": True, "hukou": "440000"}, None, None, "PENSION_DRAWN"),
    ],
)
def test_who_takes_the_relation(changes: dict[str, Any], holder: str | None, kind: str | None, rule: str) -> None:
    found = joining(**changes)
    assert (found.holder, found.account_kind, found.rules[0]) == (holder, kind, rule)
    assert [one.value for one in taking_figures(found, RULES)] == [holder, kind]


@pytest.mark.parametrize(
    ("event", "has_general", "becomes", "month", "by"),
    [
        (TemporaryEvent.HUKOU_MOVED_IN, True, "GENERAL", "202501", None),
        (TemporaryEvent.MOVES_ON, True, "SEALED", "202412", None),
        (TemporaryEvent.ARREARS_PAID, True, "TEMPORARY", "202412", None),
        (TemporaryEvent.BENEFIT_AGE, True, "CONSOLIDATED", "202412", "GENERAL_PLACE"),
        (TemporaryEvent.BENEFIT_AGE, False, "CONSOLIDATED", "202412", "HUKOU"),
    ],
)
def test_what_becomes_of_a_temporary_account(
    event: TemporaryEvent, has_general: bool, becomes: str, month: str, by: str | None
) -> None:
    found = temporary_fate(event, month_of("202412"), has_general=has_general)
    assert (found.becomes, month_text(found.from_month), found.taken_by) == (becomes, month, by)
    assert [one.value for one in fate_figures(found, RULES)] == [becomes, month]


def test_the_hukou_at_the_age_point_decides() -> None:
    moves = [(month_of("199001"), "520000"), (month_of("202005"), "440000")]
    assert hukou_at(moves, month_of("202004")) == "520000"
    assert hukou_at(moves, month_of("202005")) == "440000"
    assert hukou_at(moves, month_of("198001")) == "520000"


@pytest.mark.parametrize(
    ("birth", "category", "month", "delay"),
    [
        ("196412", "MALE", "202412", 0),
        ("196501", "MALE", "202502", 1),
        ("196504", "MALE", "202505", 1),
        ("196505", "MALE", "202507", 2),
        ("197608", "MALE", "203907", 35),
        ("197609", "MALE", "203909", 36),
        ("198001", "MALE", "204301", 36),
        ("197001", "FEMALE_55", "202502", 1),
        ("198109", "FEMALE_55", "203909", 36),
        ("197412", "FEMALE_50", "202412", 0),
        ("197501", "FEMALE_50", "202502", 1),
        ("197503", "FEMALE_50", "202505", 2),
        ("198411", "FEMALE_50", "203911", 60),
        ("199001", "FEMALE_50", "204501", 60),
    ],
)
def test_the_retirement_age_rises_by_steps(birth: str, category: str, month: str, delay: int) -> None:
    found = retirement(month_of(birth), category, RULES)
    assert (month_text(found.month), found.delay_months) == (month, delay)
    assert found.old_month <= found.earliest_month <= found.month <= found.latest_month
    assert all(one.is_uncertain for one in retirement_figures(found, RULES)), "own knowledge, not verified"


@given(st.integers(month_of("195001"), month_of("201012")), st.sampled_from(sorted(RULES.ages)))
def test_who_is_born_later_never_retires_earlier_and_never_beyond_the_most(birth: int, category: str) -> None:
    one, other = retirement(birth, category, RULES), retirement(birth + 1, category, RULES)
    assert one.month <= other.month
    assert one.age_months <= RULES.ages[category].most_months
    assert one.earliest_month >= one.old_month
    assert one.month - one.earliest_month <= RULES.flexible_months


def test_the_least_months_rise_from_2030_to_2039() -> None:
    assert [minimum_months(year, RULES) for year in (2024, 2029, 2030, 2031, 2038, 2039, 2060)] == [
        180, 180, 186, 192, 234, 240, 240,
    ]  # fmt: skip


def test_the_fast_track_is_for_age_and_months_without_deemed_time() -> None:
    found = retirement(month_of("196501"), "MALE", RULES)
    ways = [(found.month, 180, 0, True), (found.month - 1, 180, 0, False), (found.month, 179, 0, False),
            (found.month, 400, 1, False)]  # fmt: skip
    for month, paid, deemed, wanted in ways:
        assert may_take_fast_track(found, month, paid_months=paid, deemed_months=deemed, rules=RULES) is wanted


@pytest.mark.parametrize(
    ("certified", "due"),
    [
        ("2026-11-24", "2027-11-24"),
        ("2026-01-31", "2027-01-31"),
        ("2024-02-29", "2025-02-28"),
        ("2027-02-28", "2028-02-28"),
    ],
)
def test_the_cycle_rolls_by_months_not_days(certified: str, due: str) -> None:
    assert str(next_certification(date.fromisoformat(certified), RULES)) == due


@given(st.dates(date(1950, 1, 1), date(2100, 12, 31)), st.integers(-600, 600))
def test_a_day_moved_by_months_stays_in_the_month_that_is_meant(day: date, months: int) -> None:
    there = moved(day, months)
    assert (there.year * 12 + there.month) - (day.year * 12 + day.month) == months
    assert there.day == day.day or (there.day < day.day and moved(there, 0).day >= 28)
