"""Amounts in capital form: the examples of the rule, and any amount by another way of reckoning."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.amount_words import LARGEST_FEN, amount_digits, amount_words
from tests.protocol.capital import capital, reckon

AMOUNTS = st.one_of(
    st.integers(0, LARGEST_FEN),
    st.integers(0, 10**7),
    # Many zeros: where the rule has its cases.
    st.lists(st.sampled_from("000000012"), min_size=1, max_size=14).map(lambda digits: int("".join(digits))),
)


@pytest.mark.parametrize(
    ("fen", "words"),
    [
        (140_950, "壹仟肆佰零玖元伍角整"),
        (600_714, "陆仟零柒元壹角肆分"),
        (168_032, "壹仟陆佰捌拾元叁角贰分"),
        (10_700_053, "壹拾万柒仟元伍角叁分"),
        (1_640_902, "壹万陆仟肆佰零玖元零贰分"),
        (32_504, "叁佰贰拾伍元零肆分"),
        (0, "零元整"),
        (5, "伍分"),
        (30, "叁角整"),
        (10_000_000, "壹拾万元整"),
        (10_000_500, "壹拾万零伍元整"),
        (10_000_000_100, "壹亿零壹元整"),
        (10_000_123_400, "壹亿零壹仟贰佰叁拾肆元整"),
        (4_497_235, "肆万肆仟玖佰柒拾贰元叁角伍分"),
        (1_917_763, "壹万玖仟壹佰柒拾柒元陆角叁分"),
        (LARGEST_FEN, "玖仟玖佰玖拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分"),
    ],
)
def test_the_examples_of_the_rule(fen: int, words: str) -> None:
    assert amount_words(fen) == words


@given(AMOUNTS)
@example(100_010_000_000)
def test_two_ways_of_reckoning_write_the_same(fen: int) -> None:
    assert amount_words(fen) == capital(fen)


@given(AMOUNTS)
def test_what_is_written_means_the_amount(fen: int) -> None:
    assert reckon(amount_words(fen)) == fen


@given(AMOUNTS)
def test_no_two_zeros_stand_together_and_ten_begins_with_one(fen: int) -> None:
    words = amount_words(fen)
    assert "零零" not in words
    assert not words.startswith("拾")
    assert words.endswith("整") != words.endswith("分")


@pytest.mark.parametrize("fen", [-1, LARGEST_FEN + 1])
def test_what_cannot_be_written_is_refused(fen: int) -> None:
    with pytest.raises(ValueError, match="twelve digits"):
        amount_words(fen)


@given(AMOUNTS)
def test_digits_have_their_thousands_apart(fen: int) -> None:
    digits = amount_digits(fen)
    assert round(float(digits.replace(",", "")) * 100) == fen if fen < 2**50 else True
    assert all(len(part) == 3 for part in digits[:-3].split(",")[1:])


def test_a_difference_keeps_its_sign() -> None:
    assert amount_digits(-4_497_235) == "-44,972.35"
