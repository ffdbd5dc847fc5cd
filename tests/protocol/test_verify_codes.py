"""Verify codes: 80 bits, read aloud and typed by people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.verify_codes import ALPHABET, CODE_BYTES, base32, format_verify_code, parse_verify_code


@given(st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES))
def test_a_code_has_all_its_bits_and_is_read_back_however_it_is_typed(random: bytes) -> None:
    code = format_verify_code(random)
    assert len(code) == 16
    number = 0
    for one in code:
        number = number * 32 + ALPHABET.index(one)
    assert number.to_bytes(CODE_BYTES) == random
    spoken = "-".join(code[at : at + 4] for at in range(0, 16, 4)).lower()
    assert parse_verify_code(spoken) == code
    assert parse_verify_code(code.replace("1", "l").replace("0", "o")) == code


@pytest.mark.parametrize(
    "text", ["", "7K2M", "7K2M9QTF0123ABCDE", "7K2M9QTF0123ABCU", "７K2M9QTF0123ABCD", "a" * 10_000]
)
def test_what_is_no_code_finds_nothing(text: str) -> None:
    assert parse_verify_code(text) is None


def test_a_code_of_another_length_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        format_verify_code(bytes(5))
    with pytest.raises(ValueError, match="multiple of five"):
        base32(bytes(4))
