"""Personal data at rest: what is stored tells nothing, and cannot be changed or moved."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.storage.encryption import CannotDecrypt, open_vault, shard_key

KEY = bytes(range(32))
PERSON = ("01", "442000199003070018")
VAULT = open_vault(KEY, os.urandom)


@given(st.binary(max_size=2000), st.binary(max_size=60))
def test_what_was_encrypted_reads_back_in_its_place(data: bytes, context: bytes) -> None:
    assert VAULT.decrypt(VAULT.encrypt(data, context), context) == data


def test_a_ciphertext_moved_to_another_row_is_refused() -> None:
    stored = VAULT.encrypt(b"balance", b"registry:balance:person-a")
    with pytest.raises(CannotDecrypt):
        VAULT.decrypt(stored, b"registry:balance:person-b")


def test_another_key_reads_nothing() -> None:
    stored = VAULT.encrypt(b"balance", b"place")
    with pytest.raises(CannotDecrypt):
        open_vault(KEY[::-1], os.urandom).decrypt(stored, b"place")


def test_every_changed_bit_is_found() -> None:
    stored = VAULT.encrypt(b"one yuan", b"place")
    for at, bit in itertools.product(range(len(stored)), range(8)):
        changed = bytearray(stored)
        changed[at] ^= 1 << bit
        with pytest.raises(CannotDecrypt):
            VAULT.decrypt(bytes(changed), b"place")


@pytest.mark.parametrize("length", [0, 1, 12, 13, 28])
def test_a_truncated_column_is_refused(length: int) -> None:
    with pytest.raises(CannotDecrypt):
        VAULT.decrypt(VAULT.encrypt(b"", b"place")[:length], b"place")


def test_the_refusal_and_the_vault_show_neither_data_nor_key() -> None:
    with pytest.raises(CannotDecrypt) as refused:
        VAULT.decrypt(VAULT.encrypt(b"secret", b"a"), b"b")
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert KEY.hex() not in repr(VAULT)
    assert "_index_key" not in repr(VAULT)


def test_the_same_data_is_stored_differently_each_time() -> None:
    assert len({VAULT.encrypt(b"same", b"place") for _ in range(50)}) == 50


def test_the_stored_form_is_version_nonce_ciphertext_and_tag() -> None:
    vault = open_vault(KEY, lambda count: b"\x07" * count)
    stored = vault.encrypt(b"12345", b"place")
    assert stored[:13] == b"\x01" + b"\x07" * 12
    assert len(stored) == 1 + 12 + 5 + 16


def test_equal_persons_have_equal_indexes_and_nobody_else() -> None:
    again = open_vault(KEY, os.urandom)
    assert VAULT.blind_index(*PERSON) == again.blind_index(*PERSON)
    assert VAULT.blind_index(*PERSON) != VAULT.blind_index("02", PERSON[1])
    assert VAULT.blind_index(*PERSON) != VAULT.blind_index("01", "450400199003070015")


def test_without_the_key_the_index_cannot_be_computed() -> None:
    other = open_vault(KEY[::-1], os.urandom)
    assert VAULT.blind_index(*PERSON) != other.blind_index(*PERSON)
    assert PERSON[1].encode() not in VAULT.blind_index(*PERSON)


def test_a_key_of_another_length_is_refused() -> None:
    for length in (0, 16, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            open_vault(bytes(length), os.urandom)


@given(st.text(max_size=40))
def test_a_shard_key_lies_between_0_and_4095_and_never_changes(identifier: str) -> None:
    assert 0 <= shard_key(identifier) < 4096
    assert shard_key(identifier) == shard_key(identifier.encode())


def test_shard_keys_of_known_identifiers_are_as_stored_in_databases() -> None:
    assert shard_key("019a0000-0000-7000-8000-000000000000") == 851
