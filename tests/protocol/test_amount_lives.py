"""Ten thousand generated lives: a second, naive reckoning agrees to the fen, and the laws of sums hold."""

import json
from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.data import amounts_bytes
from protocol.procedures.benefit_place import Stay, StayKind, benefit_place
from protocol.procedures.one_off import OneOff, judge_one_off
from protocol.procedures.rules_reading import parse_rules
from protocol.procedures.transfer import Amounts, Before1998, Line, Transfer, pay_line, transfer_amounts
from tests.protocol.amounts import RULES
from tests.protocol.lives import POOLS, Life, a_life, reckon

SEED, LIVES = 20241210, 10_000
NAMES = ("months", "wages_fen", "account_principal_fen", "account_fen", "pooled_fen", "total_fen")


def transfer_of(life: Life, **changes: object) -> Transfer:
    given = Transfer("TEMPORARY" if life.temporary else "GENERAL", "442000", "520300", life.lines())
    return replace(given, **changes)  # type: ignore[arg-type]


def amounts_of(life: Life, **changes: object) -> Amounts:
    return transfer_amounts(transfer_of(life, **changes), RULES)


@pytest.mark.parametrize("part", range(10))
def test_a_naive_reckoning_agrees_to_the_fen_on_ten_thousand_lives(part: int) -> None:
    random = Random(SEED + part)
    for number in range(LIVES // 10):
        life = a_life(random)
        found, wanted = amounts_of(life), reckon(life)
        assert [getattr(found, name) for name in NAMES] == [getattr(wanted, name) for name in NAMES], (part, number)


lives = st.integers(0, 2**32).map(lambda seed: a_life(Random(seed)))


@given(lives)
def test_parts_add_up_to_the_whole(life: Life) -> None:
    found = amounts_of(life)
    assert found.total_fen == found.account_fen + found.pooled_fen
    assert found.fund_fen == found.total_fen
    assert found.months == sum(one.months for one in found.years)
    assert found.wages_fen == sum(one.wages_fen for one in found.years)
    interest = sum(one.interest_fen for one in found.years)
    assert found.account_fen == found.account_principal_fen + interest
    extra = sum(one.pooled_interest_fen for one in found.years)
    assert found.pooled_fen == found.pooled_principal_fen + extra
    balance = 0
    for one in found.years:
        balance += one.credited_fen + one.interest_fen
        assert one.close_fen == balance
    principal = reckon(life, with_interest=False)
    assert amounts_of(life, with_interest=False).total_fen == principal.total_fen


@given(lives, st.integers(0, 400))
def test_moving_in_two_steps_loses_no_month_and_no_more_than_the_rounding_of_the_year_that_was_split(
    life: Life, place: int
) -> None:
    lines = [one for line in life.lines() for one in months_of(line)]
    if not lines or life.temporary:
        return
    cut = place % len(lines)
    split = lines[cut].year
    whole = amounts_of(life)
    # The first city moves the principal of the year in which the relation moves, the second credits its interest.
    first = amounts_of(life, lines=lines[:cut], transfer_year=split, through_year=split)
    before = [one for one in lines[:cut] if one.year < split]
    opening = amounts_of(life, lines=before, through_year=split - 1).account_fen
    kept = [one for one in lines if one.year >= split]
    second = amounts_of(life, lines=kept, opening_fen=opening)
    rest = amounts_of(life, lines=lines[cut:])
    assert first.months + rest.months == whole.months
    assert second.account_fen == whole.account_fen, "the year that was split is kept line by line"
    assert abs(first.pooled_fen + rest.pooled_fen - whole.pooled_fen) <= 1
    assert abs(first.account_principal_fen + rest.account_principal_fen - whole.account_principal_fen) <= 1
    in_split = [one for one in lines[:cut] if one.year == split]
    assert first.account_fen == opening + amounts_of(life, lines=in_split, with_interest=False).account_fen


def months_of(line: Line) -> list[Line]:
    base = line.wages_fen // line.months
    return [
        pay_line(
            line.first + one, line.first + one, base, RULES, personal_rate_bp=line.personal_rate_bp,
            unit_rate_bp=line.unit_rate_bp,
        )
        for one in range(line.months)
    ]  # fmt: skip


@given(lives)
def test_lines_by_month_and_lines_by_year_are_the_same_life(life: Life) -> None:
    by_month = [one for line in life.lines() for one in months_of(line)]
    assert amounts_of(life, lines=by_month) == amounts_of(life)


def test_within_one_pool_the_relation_moves_and_no_money_does() -> None:
    line = pay_line(2024 * 12, 2024 * 12 + 2, 500_000, RULES)
    for source, target, moves in (
        ("450400", "450900", False),
        ("450400", "442000", True),
        ("653100", "659003", True),
        ("659003", "659001", False),
        ("653100", "652900", False),
    ):
        found = transfer_amounts(Transfer("GENERAL", source, target, [line]), RULES)
        assert (found.has_fund_leg, bool(found.fund_fen)) == (moves, moves)
        assert (found.months, found.pooled_fen) == (3, 180_000), "what is recorded moves with the relation"


def test_bought_months_without_their_document_stay_with_their_money_and_the_rest_moves() -> None:
    january = 2010 * 12
    bought = [
        pay_line(january + 12 * year, january + 12 * year + 11, 300_000, RULES, kind="ONE_OFF") for year in range(4)
    ]
    normal = [pay_line(2014 * 12, 2014 * 12 + 11, 300_000, RULES)]
    payment = OneOff(january, january + 39, date(2018, 6, 30))
    found = transfer_amounts(Transfer("GENERAL", "442000", "520300", [*bought, *normal], one_offs=[payment]), RULES)
    assert (found.months_left, found.months) == (40, 20)
    assert found.pooled_fen == 20 * 36_000
    assert found.account_principal_fen == 20 * 24_000


def test_lines_out_of_order_or_twice_are_refused() -> None:
    first, second = (pay_line(2020 * 12 + one, 2020 * 12 + one + 1, 100, RULES) for one in (0, 1))
    for lines in ([second, first], [first, second]):
        with pytest.raises(ValueError, match="order of time"):
            transfer_amounts(Transfer("GENERAL", "442000", "520300", lines), RULES)
    for begun, ended in ((5, 4), (11, 12)):
        with pytest.raises(ValueError, match="one year"):
            pay_line(2020 * 12 + begun, 2020 * 12 + ended, 100, RULES)


def test_years_without_a_known_rate_are_told_and_gaps_bear_interest() -> None:
    lines = [pay_line(2015 * 12, 2015 * 12 + 11, 100_000, RULES), pay_line(2018 * 12, 2018 * 12, 100_000, RULES)]
    found = transfer_amounts(Transfer("GENERAL", "442000", "520300", lines, through_year=2025), RULES)
    assert found.years_without_rate == (2015, 2025)
    assert [one.year for one in found.years] == list(range(2015, 2025))
    assert found.years[1].interest_fen == 7978, "96,000 x 8.31%, rounded up"
    nothing = transfer_amounts(Transfer("GENERAL", "442000", "520300", [], Before1998(12, 600, 60)), RULES)
    assert (nothing.months, nothing.total_fen, nothing.years) == (12, 660, ())


KINDS = st.sampled_from(list(StayKind))
stays = st.lists(
    st.builds(Stay, st.sampled_from(POOLS), KINDS, st.integers(0, 200), st.sampled_from((0, 0, 36))), max_size=7
)


@given(st.sampled_from(POOLS), stays)
def test_the_benefit_place_is_total_and_unique(hukou: str, history: list[Stay]) -> None:
    found = benefit_place(hukou, history, RULES)
    assert found.pool in {hukou, *(one.pool for one in history if one.kind is StayKind.GENERAL)}
    assert found.rule in RULES.by_code
    assert found == benefit_place(hukou, history, RULES)
    # A second way: walk the general stays from the newest; the place is the first that may keep the person.
    general = [one.pool for one in history if one.kind is StayKind.GENERAL]
    counted = [(one.pool, one.deemed_months + (one.months if one.kind is StayKind.GENERAL else 0)) for one in history]
    enough = [pool for pool in general if sum(months for at, months in counted if at == pool) >= 120]
    wanted = hukou if not general or general[-1] == hukou or not enough else enough[-1]
    assert found.pool == wanted
    without = [replace(one, months=0) if one.kind is StayKind.TEMPORARY else one for one in history]
    assert benefit_place(hukou, without, RULES).pool == found.pool, "months of temporary accounts make no place"


def test_deemed_time_counts_where_it_was_worked_and_temporary_months_nowhere() -> None:
    general = Stay("440000", StayKind.GENERAL, 84)
    for other, place in (
        (Stay("440000", StayKind.DEEMED, 0, 36), "440000"),
        (Stay("440000", StayKind.TEMPORARY, 12, 36), "440000"),
        (Stay("440000", StayKind.TEMPORARY, 36), "520000"),
        (Stay("450000", StayKind.DEEMED, 0, 120), "520000"),
    ):
        assert benefit_place("520000", [other, general], RULES).pool == place


@pytest.mark.parametrize(
    ("paid_on", "kind", "made", "stays"),
    [
        (date(2016, 11, 27), "COMMITMENT", None, False),
        (date(2016, 11, 28), "COMMITMENT", None, True),
        (date(2016, 11, 27), "COURT", date(2016, 11, 26), False),
        (date(2018, 6, 30), "AUDIT", date(2018, 6, 29), False),
        (date(2018, 6, 30), "AUDIT", date(2018, 6, 30), True),
        (date(2018, 6, 30), "ARBITRATION", None, True),
    ],
)
def test_the_document_is_made_before_the_payment_and_a_commitment_is_for_the_time_before_the_day(
    paid_on: date, kind: str, made: date | None, stays: bool
) -> None:
    found = judge_one_off(OneOff(24_000, 24_035, paid_on, kind, made), RULES)
    assert found.months_not_transferred == (36 if stays else 0)


def test_a_pack_may_begin_the_pooled_part_within_a_year() -> None:
    content = json.loads(amounts_bytes())
    share = next(one for one in content["rules"] if one["code"] == "POOLED_SHARE")
    share["value"]["from"] = "199807"
    rules = parse_rules(json.dumps(content).encode())
    lines = [pay_line(1998 * 12 + one, 1998 * 12 + one, 100_000, rules) for one in range(12)]
    assert transfer_amounts(Transfer("GENERAL", "442000", "520300", lines), rules).pooled_fen == 6 * 12_000
