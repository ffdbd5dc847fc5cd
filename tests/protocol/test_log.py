"""`protocol.log` against the recursive definitions of RFC 6962, and against those who attack it."""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import log
from protocol.log import Frontier, ProofInvalid, SubtreeReader
from tests.vectors import make_log_vectors as rfc6962

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "log.json").read_text("utf-8"))
SMALL = 70
ENTRIES = [rfc6962.sample_entry(index) for index in range(SMALL)]
LEAVES = [log.leaf_hash(entry) for entry in ENTRIES]
ROOTS = [rfc6962.mth(ENTRIES[:size]) for size in range(SMALL + 1)]
EVERY_SIZE = range(1, SMALL + 1)


@cache
def subtree(level: int, index: int) -> bytes:
    """The subtree over the sample entries, by the reference; any number of them."""
    return rfc6962.mth([rfc6962.sample_entry(at) for at in range(index << level, (index + 1) << level)])


def tiles_reader(size: int) -> tuple[dict[str, bytes], SubtreeReader]:
    """All tiles of a sample log by path, and a reader over exactly these."""
    tiles = {
        log.tile_path(each.level, each.number, each.width): log.make_tile(each, subtree) for each in log.tiles_of(size)
    }
    return tiles, log.subtree_from_tiles(lambda *place: tiles[log.tile_path(*place)], size)


def grown(size: int) -> Frontier:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier = log.append(frontier, leaf)
    return frontier


def refused_inclusion(index: int, size: int, proof: tuple[bytes, ...], *, leaf: bytes, root: bytes) -> bool:
    try:
        log.check_inclusion(leaf, index, size, proof, root)
    except ProofInvalid:
        return True
    return False


def refused_consistency(old: int, new: int, proof: tuple[bytes, ...], *, old_root: bytes, new_root: bytes) -> bool:
    try:
        log.check_consistency(old, new, proof, old_root, new_root)
    except ProofInvalid:
        return True
    return False


def spoiled(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """Every way of this test to break a proof: cut, extended, swapped, a bit flipped, other hash length."""
    flipped = [(*proof[:at], bytes([each[0] ^ 1]) + each[1:], *proof[at + 1 :]) for at, each in enumerate(proof)]
    swapped = [
        (*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :])
        for at in range(len(proof) - 1)
        if proof[at] != proof[at + 1]
    ]
    shortened = [proof[:-1], proof[1:], (proof[0][:-1], *proof[1:])] if proof else []
    extended = [(*proof, bytes(32)), (bytes(32), *proof), (*proof, b""), (*proof, *[bytes(32)] * 64)]
    return [*flipped, *swapped, *shortened, *extended]


# ---------------------------------------------------------------- vectors


def test_the_vectors_are_those_the_independent_generator_makes() -> None:
    assert rfc6962.vectors() == VECTORS


def test_hashes_and_roots_of_the_vectors() -> None:
    assert [log.leaf_hash(entry.encode()).hex() for entry in VECTORS["entries"]] == VECTORS["leaf_hashes"]
    frontier = Frontier()
    for size, root in enumerate(VECTORS["roots"]):
        assert log.root_of(frontier).hex() == root
        if size < len(VECTORS["entries"]):
            frontier = log.append(frontier, log.leaf_hash(VECTORS["entries"][size].encode()))


def test_inclusion_proofs_of_the_vectors() -> None:
    for case in VECTORS["inclusion"]:
        proof = log.prove_inclusion(case["index"], case["size"], subtree)
        assert [each.hex() for each in proof] == case["proof"]


def test_consistency_proofs_of_the_vectors() -> None:
    for case in VECTORS["consistency"]:
        proof = log.prove_consistency(case["old"], case["new"], subtree)
        assert [each.hex() for each in proof] == case["proof"]


def test_tile_paths_of_the_vectors() -> None:
    for case in VECTORS["tile_paths"]:
        place = case["level"], case["number"], case["width"]
        assert log.tile_path(*place) == case["path"]
        assert log.parse_tile_path(case["path"]) == log.Tile(*place)


def test_tiles_of_the_vectors() -> None:
    large = VECTORS["tiles"]
    tiles, read = tiles_reader(large["size"])
    assert {path: sha256(tile).hexdigest() for path, tile in tiles.items()} == large["sha256_of_tile"]
    assert log.root_at(large["size"], read).hex() == large["root"]


# ---------------------------------------------------------------- against the definition, every small size


def test_the_empty_log_has_the_hash_of_nothing_as_root() -> None:
    assert log.root_of(Frontier()) == log.root_at(0, subtree) == sha256(b"").digest()


@pytest.mark.parametrize("size", EVERY_SIZE)
def test_the_root_is_that_of_the_definition(size: int) -> None:
    assert log.root_of(grown(size)) == log.root_at(size, subtree) == ROOTS[size]


def test_appending_names_each_completed_subtree_once() -> None:
    frontier, stored = Frontier(), {}
    for size, leaf in enumerate(LEAVES):
        for level, completed in enumerate(log.completed_by(frontier, leaf)):
            assert (level, size >> level) not in stored
            stored[level, size >> level] = completed
        frontier = log.append(frontier, leaf)
    assert stored == {(level, index): subtree(level, index) for level in range(7) for index in range(SMALL >> level)}


def test_a_frontier_has_one_hash_per_bit_of_its_size() -> None:
    with pytest.raises(ValueError, match="no frontier"):
        Frontier(3, (bytes(32),))


@pytest.mark.parametrize("size", EVERY_SIZE)
def test_every_entry_has_the_inclusion_proof_of_the_definition(size: int) -> None:
    for index in range(size):
        proof = log.prove_inclusion(index, size, subtree)
        assert list(proof) == rfc6962.path(index, ENTRIES[:size])
        log.check_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


@pytest.mark.parametrize("new", EVERY_SIZE)
def test_every_growth_has_the_consistency_proof_of_the_definition(new: int) -> None:
    for old in range(new + 1):
        proof = log.prove_consistency(old, new, subtree)
        assert list(proof) == (rfc6962.proof(old, ENTRIES[:new]) if old else [])
        log.check_consistency(old, new, proof, ROOTS[old], ROOTS[new])


def test_the_empty_log_is_consistent_with_itself_only() -> None:
    log.check_consistency(0, 0, (), log.EMPTY_ROOT, log.EMPTY_ROOT)
    assert refused_consistency(0, 0, (), old_root=log.EMPTY_ROOT, new_root=ROOTS[1])
    assert refused_consistency(0, 5, (), old_root=ROOTS[1], new_root=ROOTS[5])
    assert refused_consistency(0, 5, (ROOTS[1],), old_root=log.EMPTY_ROOT, new_root=ROOTS[5])


# ---------------------------------------------------------------- larger logs, and through tiles


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_proofs_made_from_tiles_hold_in_logs_of_any_size(data: st.DataObject) -> None:
    size = data.draw(st.integers(71, 3000) | st.sampled_from([255, 256, 257, 511, 512, 2048, 2304]), "size")
    index = data.draw(st.integers(0, size - 1), "index")
    old = data.draw(st.integers(1, size), "old")
    _, read = tiles_reader(size)
    root = log.root_at(size, read)
    old_root = log.root_at(old, tiles_reader(old)[1])
    assert (root, old_root) == (log.root_at(size, subtree), log.root_at(old, subtree))
    proof = log.prove_inclusion(index, size, read)
    log.check_inclusion(log.leaf_hash(rfc6962.sample_entry(index)), index, size, proof, root)
    growth = log.prove_consistency(old, size, read)
    log.check_consistency(old, size, growth, old_root, root)
    for broken in spoiled(growth):
        assert refused_consistency(old, size, broken, old_root=old_root, new_root=root)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, log.MAX_SIZE), st.data())
def test_proofs_hold_up_to_the_largest_size(size: int, data: st.DataObject) -> None:
    """All entries are equal, so that a subtree's hash depends on its level only."""
    levels = [log.leaf_hash(b"")]
    for _ in range(63):
        levels.append(log.node_hash(levels[-1], levels[-1]))

    def read(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size
        return levels[level]

    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    proof, root = log.prove_inclusion(index, size, read), log.root_at(size, read)
    assert len(proof) <= log.MAX_PROOF_HASHES
    log.check_inclusion(levels[0], index, size, proof, root)
    log.check_consistency(old, size, log.prove_consistency(old, size, read), log.root_at(old, read), root)


# ---------------------------------------------------------------- attacks


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 33, 64, 70])
def test_a_broken_inclusion_proof_is_refused(size: int) -> None:
    for index in range(size):
        proof, leaf, root = log.prove_inclusion(index, size, subtree), LEAVES[index], ROOTS[size]
        for broken in spoiled(proof):
            assert refused_inclusion(index, size, broken, leaf=leaf, root=root)
        assert refused_inclusion(index, size, proof, leaf=leaf, root=ROOTS[size - 1])
        assert refused_inclusion(index, size, proof, leaf=log.leaf_hash(b"forged"), root=root)
        assert refused_inclusion(index, size, proof, leaf=leaf[:-1], root=root)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 21, 70])
def test_an_entry_is_not_proved_at_another_index(size: int) -> None:
    for index in range(size):
        proof, leaf, root = log.prove_inclusion(index, size, subtree), LEAVES[index], ROOTS[size]
        for other in {*range(-1, size + 2), index + 64, 2**63, -(2**63)} - {index}:
            assert refused_inclusion(other, size, proof, leaf=leaf, root=root)


def test_a_subtree_does_not_pass_as_an_entry() -> None:
    """The top of a tree of 8 is a tree of 2 whose "leaves" are nodes: the check must know the size."""
    proof = log.prove_inclusion(0, 8, subtree)
    node = log.node_hash(LEAVES[0], LEAVES[1])
    assert refused_inclusion(0, 8, proof[1:], leaf=node, root=ROOTS[8])
    assert log.leaf_hash(LEAVES[0] + LEAVES[1]) != node


def test_a_proof_of_a_larger_log_does_not_pass_for_a_smaller_one() -> None:
    """Siblings on the left leave the index at 0: only counting the levels shows that there are too many."""
    proof = log.prove_inclusion(7, 8, subtree)
    assert refused_inclusion(0, 1, proof, leaf=LEAVES[7], root=ROOTS[8])
    growth = log.prove_consistency(67, 69, subtree)
    assert refused_consistency(3, 5, growth, old_root=ROOTS[67], new_root=ROOTS[69])


def test_a_proof_of_a_smaller_log_does_not_pass_for_a_larger_one() -> None:
    proof, growth = log.prove_inclusion(3, 5, subtree), log.prove_consistency(3, 5, subtree)
    assert refused_inclusion(67, 69, proof, leaf=LEAVES[3], root=ROOTS[5])
    assert refused_consistency(67, 69, growth, old_root=ROOTS[3], new_root=ROOTS[5])


def test_the_border_between_two_hashes_is_not_moved() -> None:
    proof, leaf = (LEAVES[0] + LEAVES[1][:1],), LEAVES[1][1:]
    assert log.node_hash(proof[0], leaf) == ROOTS[2]
    assert refused_inclusion(1, 2, proof, leaf=leaf, root=ROOTS[2])


@pytest.mark.parametrize("size", [2, 3, 7, 8, 9, 33, 69])
def test_an_inclusion_proof_does_not_hold_for_the_neighbouring_size_and_its_root(size: int) -> None:
    for index in range(size):
        proof, leaf = log.prove_inclusion(index, size, subtree), LEAVES[index]
        assert refused_inclusion(index, size + 1, proof, leaf=leaf, root=ROOTS[size + 1])
        assert refused_inclusion(index, size - 1, proof, leaf=leaf, root=ROOTS[size - 1])


@pytest.mark.parametrize("new", [1, 2, 3, 7, 8, 9, 33, 64, 70])
def test_a_broken_consistency_proof_is_refused(new: int) -> None:
    for old in range(1, new + 1):
        proof, old_root, new_root = log.prove_consistency(old, new, subtree), ROOTS[old], ROOTS[new]
        for broken in spoiled(proof):
            assert refused_consistency(old, new, broken, old_root=old_root, new_root=new_root)
        assert old == new or refused_consistency(old, new, (), old_root=old_root, new_root=new_root)
        assert refused_consistency(old, new, proof, old_root=ROOTS[old - 1], new_root=new_root)
        assert refused_consistency(old, new, proof, old_root=old_root, new_root=ROOTS[new - 1])
        assert refused_consistency(old, new, proof, old_root=old_root[:-1], new_root=new_root)


@pytest.mark.parametrize("new", [3, 7, 8, 9, 33, 64, 69])
def test_a_consistency_proof_does_not_hold_for_neighbouring_sizes_and_their_roots(new: int) -> None:
    for old in range(1, new):
        proof = log.prove_consistency(old, new, subtree)
        for other_old, other_new in ((old + 1, new), (old - 1, new), (old, new + 1), (old, new - 1), (new, old)):
            refused = refused_consistency(
                other_old, other_new, proof, old_root=ROOTS[other_old], new_root=ROOTS[other_new]
            )
            assert refused, (old, new, other_old, other_new)


def test_a_rewritten_log_has_no_consistency_proof_with_its_past() -> None:
    rewritten = [*ENTRIES[:3], b"rewritten", *ENTRIES[4:]]
    for old in range(4, 20):
        proof = tuple(rfc6962.proof(old, rewritten[:20]))
        assert refused_consistency(old, 20, proof, old_root=ROOTS[old], new_root=rfc6962.mth(rewritten[:20]))


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (0, 2**63)])
def test_no_inclusion_proof_is_made_outside_of_the_log(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a log"):
        log.prove_inclusion(index, size, subtree)


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5), (1, 2**63)])
def test_no_consistency_proof_is_made_backwards(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="does not grow"):
        log.prove_consistency(old, new, subtree)


# ---------------------------------------------------------------- tiles


def test_the_tiles_of_the_example_in_the_specification() -> None:
    """C2SP tlog-tiles: 273 full and one partial of 112; one full and one of 17; one of 1."""
    tiles = list(log.tiles_of(70_000))
    assert [sum(each.level == level and each.width == 256 for each in tiles) for level in (0, 1, 2)] == [273, 1, 0]
    assert [(each.level, each.width) for each in tiles if each.width < 256] == [(0, 112), (1, 17), (2, 1)]
    assert list(log.tiles_of(256)) == [log.Tile(0, 0), log.Tile(1, 0, 1)]
    assert not list(log.tiles_of(0))


@given(st.integers(0, 63), st.integers(0, log.MAX_SIZE), st.integers(1, 256))
def test_each_tile_has_one_path(level: int, number: int, width: int) -> None:
    assert log.parse_tile_path(log.tile_path(level, number, width)) == log.Tile(level, number, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/07",
        "tile/0/000.p/",
        "tile/0/000.p/1\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../000",
        "tile/8/0/000",
        "tile/entries/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_no_other_text_is_a_tile_path(path: str) -> None:
    with pytest.raises(ValueError, match="tile"):
        log.parse_tile_path(path)


def test_a_reader_of_tiles_asks_only_for_tiles_the_log_has() -> None:
    """A server may answer 404 to every other width."""
    size, asked = 600, set()

    def read_tile(level: int, number: int, width: int) -> bytes:
        asked.add(log.Tile(level, number, width))
        return log.make_tile(log.Tile(level, number, width), subtree)

    read = log.subtree_from_tiles(read_tile, size)
    for old in (1, 255, 256, 300, 599):
        log.prove_consistency(old, size, read)
    assert asked <= set(log.tiles_of(size))


@pytest.mark.parametrize(("level", "index"), [(0, 600), (0, -1), (8, 2), (9, 1), (3, 75), (16, 0)])
def test_a_reader_of_tiles_knows_no_incomplete_subtree(level: int, index: int) -> None:
    _, read = tiles_reader(600)
    with pytest.raises(ValueError, match="not in a log"):
        read(level, index)


def test_a_tile_of_another_length_is_refused() -> None:
    read = log.subtree_from_tiles(lambda level, number, width: bytes(32 * width - 1), 600)
    with pytest.raises(ProofInvalid, match="bytes"):
        read(0, 5)
