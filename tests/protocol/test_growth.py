"""`protocol.growth` against appending one entry at a time, and against the definition of RFC 6962."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.growth import Growth, grow, leaf_hashes
from protocol.log import MAX_SIZE, Frontier, append, completed_by, leaf_hash, root_of
from tests.vectors import make_log_vectors as rfc6962

SMALL = 70
ENTRIES = [rfc6962.sample_entry(index) for index in range(SMALL)]
LEAVES = leaf_hashes(ENTRIES)
FRONTIERS = [Frontier()]
for one in LEAVES:
    FRONTIERS.append(append(FRONTIERS[-1], one))
MANY = leaf_hashes(b"%d" % index for index in range(1_500))
RUNS = st.tuples(st.integers(0, SMALL), st.integers(0, SMALL)).map(sorted)


def one_by_one(frontier: Frontier, leaves: list[bytes]) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    """The frontier after them, and each subtree that they complete by (level, index)."""
    completed = {}
    for leaf in leaves:
        for level, subtree in enumerate(completed_by(frontier, leaf)):
            completed[level, frontier.size >> level] = subtree
        frontier = append(frontier, leaf)
    return frontier, completed


def subtrees(growth: Growth) -> dict[tuple[int, int], bytes]:
    first = growth.before.size
    return {(level, (first >> level) + at): one for level, row in enumerate(growth.rows) for at, one in enumerate(row)}


def test_the_leaves_are_the_leaf_hashes_of_the_entries() -> None:
    assert [leaf_hash(entry) for entry in ENTRIES] == LEAVES


@pytest.mark.parametrize("size", range(SMALL + 1))
def test_a_log_grown_at_once_has_the_root_of_the_definition(size: int) -> None:
    assert root_of(grow(Frontier(), LEAVES[:size]).after) == rfc6962.mth(ENTRIES[:size])


@pytest.mark.parametrize("old", range(SMALL + 1))
def test_it_grows_as_if_one_by_one_and_completes_the_same_subtrees(old: int) -> None:
    for new in range(old, SMALL + 1):
        growth = grow(FRONTIERS[old], LEAVES[old:new])
        assert (growth.after, subtrees(growth)) == one_by_one(FRONTIERS[old], LEAVES[old:new])


@pytest.mark.parametrize("old", range(SMALL + 1))
def test_each_size_on_the_way_has_its_frontier(old: int) -> None:
    growth = grow(FRONTIERS[old], LEAVES[old:])
    assert [growth.frontier_at(size) for size in range(old, SMALL + 1)] == FRONTIERS[old:]
    for beyond in (old - 1, SMALL + 1):
        with pytest.raises(ValueError, match="had not the size"):
            growth.frontier_at(beyond)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_grows_so_from_any_size(data: st.DataObject) -> None:
    near_a_power = st.tuples(st.integers(9, 62), st.integers(-300, 300)).map(lambda drawn: (1 << drawn[0]) + drawn[1])
    size = min(data.draw(st.integers(0, MAX_SIZE) | near_a_power), MAX_SIZE - 1_500)
    before = Frontier(size, tuple(MANY[level] for level in range(size.bit_count())))
    leaves = MANY[: data.draw(st.integers(0, 1_500))]
    growth = grow(before, leaves)
    expected, completed = one_by_one(before, leaves)
    assert (growth.after, subtrees(growth)) == (expected, completed)
    cut = data.draw(st.integers(0, len(leaves)))
    assert growth.frontier_at(size + cut) == one_by_one(before, leaves[:cut])[0]
    gained = {
        (level, number, column + at): one
        for level, number, column, hashes in growth.tile_hashes()
        for at, one in enumerate(hashes)
    }
    assert gained == {
        (level // 8, *divmod(index, 256)): one for (level, index), one in completed.items() if level and level % 8 == 0
    }


def test_tiles_gain_what_they_lack_and_none_is_given_twice() -> None:
    size = 255 * 256 + 200
    growth = grow(Frontier(size, tuple(MANY[: size.bit_count()])), MANY[:700])
    places = [(level, number, column, len(hashes)) for level, number, column, hashes in growth.tile_hashes()]
    assert places == [(1, 0, 255, 1), (1, 1, 0, 2), (2, 0, 0, 1)]


def test_a_log_does_not_grow_beyond_the_largest_size() -> None:
    full = Frontier(MAX_SIZE, tuple(MANY[:63]))
    assert grow(full, []).after == full
    with pytest.raises(ValueError, match="no frontier"):
        grow(full, MANY[:1])
