"""Damage to the log: whatever is changed in the database is found, and nothing is signed over it (T06, T19)."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.audit import store
from node.audit.service import (
    Finding,
    LogDamaged,
    entry,
    prove,
    read_checkpoint,
)
from node.storage.unit_of_work import Database
from protocol.checkpoints import check_proof, parse_proof
from protocol.errors import NotFound
from protocol.log import (
    ProofInvalid,
    leaf_hash,
)
from protocol.notes import sign_note
from tests.node.audit.logs import LOG, NOTE_KEY, ORIGIN, change, flipped, sign, verified, write


def damage_data(node: Database) -> None:
    with node.reading() as session:
        data = entry(session, 7)[0]
    change(node, 'UPDATE log_entry SET data = :data WHERE "index" = 7', data=flipped(data))


def damage_leaf(node: Database) -> None:
    with node.reading() as session:
        leaf = store.leaves(session, 7, 1)
    change(node, 'UPDATE log_entry SET leaf = :leaf WHERE "index" = 7', leaf=flipped(leaf))


def delete_entry(node: Database) -> None:
    change(node, 'DELETE FROM log_entry WHERE "index" = 7')


def delete_last(node: Database) -> None:
    change(node, 'DELETE FROM log_entry WHERE "index" = 9')


def delete_last_and_shorten(node: Database) -> None:
    delete_last(node)
    change(node, "UPDATE log_head SET size = 9")


def swap_entries(node: Database) -> None:
    for old, new in ((7, 1007), (8, 7), (1007, 8)):
        change(node, 'UPDATE log_entry SET "index" = :new WHERE "index" = :old', old=old, new=new)


def rewrite_entry(node: Database) -> None:
    """As the city itself could: other data, with the leaf that fits."""
    data = b'{"v":1,"kind":"forged"}'
    statement = 'UPDATE log_entry SET data = :data, leaf = :leaf WHERE "index" = 7'
    change(node, statement, data=data, leaf=leaf_hash(data))


DAMAGES = [damage_data, damage_leaf, delete_entry, delete_last, swap_entries, rewrite_entry, delete_last_and_shorten]


@pytest.mark.threat("T06")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_below_a_checkpoint_is_found_and_the_first_unproven_entry_named(
    node: Database, damage: Callable[[Database], None]
) -> None:
    write(node, 6)
    assert sign(node) == 6
    write(node, 4)
    assert sign(node) == 10
    assert verified(node).ok
    damage(node)
    found = verified(node)
    # What does not fit its own leaf is named itself; what does, only by the checkpoint: entries from 6 on are unproven.
    named: dict[Any, int] = {damage_data: 7, damage_leaf: 7, delete_entry: 7, delete_last: 9}
    assert not found.ok
    assert found.finding is not None
    assert found.finding.index == {**named, delete_last_and_shorten: 9}.get(damage, 6)
    assert found.checkpoints == 1


@pytest.mark.threat("T19")
@pytest.mark.parametrize("damage", [damage_data, damage_leaf, delete_entry, delete_last], ids=lambda one: one.__name__)
def test_no_checkpoint_is_signed_over_damage(node: Database, damage: Callable[[Database], None]) -> None:
    write(node, 10)
    damage(node)
    with pytest.raises(LogDamaged):
        sign(node)
    with node.reading() as session, pytest.raises(NotFound):
        read_checkpoint(session, LOG)


@pytest.mark.threat("T19")
def test_no_checkpoint_is_signed_over_a_log_that_has_become_shorter(node: Database) -> None:
    write(node, 10)
    sign(node)
    delete_last_and_shorten(node)
    with pytest.raises(LogDamaged, match="missing"):
        sign(node)


def test_every_flipped_bit_of_a_stored_leaf_is_found(small_node: Database) -> None:
    write(small_node, 1)
    with small_node.reading() as session:
        leaf = store.leaves(session, 0, 1)
    for at in range(len(leaf)):
        change(small_node, "UPDATE log_entry SET leaf = :leaf", leaf=flipped(leaf, at))
        assert not verified(small_node).ok
        with pytest.raises(LogDamaged):
            sign(small_node)


@pytest.mark.threat("T06")
def test_a_changed_checkpoint_is_found(node: Database) -> None:
    write(node, 10)
    sign(node)
    with node.reading() as session:
        note = read_checkpoint(session, LOG).note
    other = Ed25519PrivateKey.generate()
    forged = sign_note(note.split("\n\n")[0] + "\n", ORIGIN, other)
    for changed in (note.replace("\n10\n", "\n11\n"), forged, note[:-5] + "AAA=\n", ""):
        change(node, "UPDATE log_checkpoint SET note = :note", note=changed)
        assert verified(node).finding == Finding(0, "a checkpoint of size 10 signed by this log", ANY)
    change(node, "UPDATE log_checkpoint SET note = :note", note=note)
    assert verified(node).ok


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


ANY: Any = _Any()


def test_a_true_checkpoint_under_another_size_is_found(node: Database) -> None:
    write(node, 5)
    sign(node)
    write(node, 5)
    change(node, "UPDATE log_checkpoint SET size = 8")
    finding = verified(node).finding
    assert finding is not None
    assert finding.expected.endswith("at 8")


def test_an_entry_beyond_the_head_is_found(node: Database) -> None:
    write(node, 3)
    change(node, "UPDATE log_head SET size = 2")
    assert verified(node).finding == Finding(2, "2 entries", "an entry 2 beyond the head")


def test_a_changed_or_missing_tile_is_found_with_the_entries_it_stands_for(small_node: Database) -> None:
    write(small_node, 600)
    sign(small_node)
    with small_node.reading() as session:
        tile = store.tile(session, ORIGIN, 1, 0, 256)
    assert len(tile) == 2 * 32
    for changed in (flipped(tile, 40), tile[:32]):
        change(small_node, "UPDATE log_tile SET data = :data", data=changed)
        finding = verified(small_node).finding
        assert finding is not None
        assert finding.index == 256
        assert finding.expected.startswith("hash 1 of tile 1/0")


@pytest.mark.threat("T06")
def test_an_old_receipt_does_not_fit_a_rewritten_log_signed_anew_with_the_true_key(node: Database) -> None:
    places = write(node, 10)
    rewrite_entry(node)
    sign(node)
    with node.reading() as session:
        proof = parse_proof(prove(session, LOG, 7))
    with pytest.raises(ProofInvalid):
        check_proof(proof, places[7].leaf, NOTE_KEY, [])
