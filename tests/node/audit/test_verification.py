"""The fast way and the one by one prove the same: on whole logs, on damaged ones, and while others write."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from node.audit import store, verification
from node.audit.service import Finding, LogDamaged, Verification, verify
from node.audit.tables import LogCheckpoint
from node.audit.verification import Walk
from node.storage.unit_of_work import Database
from protocol.checkpoints import Checkpoint, format_checkpoint
from protocol.growth import grow, leaf_hashes
from protocol.log import Frontier, leaf_hash, root_of
from protocol.notes import sign_note
from tests.node.audit.logs import KEY, LOG, NOTE_KEY, NOW, ORIGIN, change, flipped, sign, verified, write

LARGE = 65_536 + 1_200
DATA = [b"%d" % index for index in range(LARGE)]
LEAVES = leaf_hashes(DATA)
WHOLE = grow(Frontier(), LEAVES)
Damage = Callable[["Stored", random.Random], "Stored"]


@dataclass(frozen=True)
class Stored:
    """The entries of a log from some index on, its tiles and the checkpoints above that index."""

    start: int
    rows: list[tuple[int, bytes, bytes]]
    covered: int
    tiles: dict[tuple[int, int], bytes]
    signed: list[LogCheckpoint]

    def walk(self) -> Walk:
        def read_tile(level: int, number: int, width: int) -> bytes:
            return self.tiles.get((level, number), b"")[: width * 32]

        return Walk(ORIGIN, NOTE_KEY, self.covered, read_tile, WHOLE.frontier_at(self.start))


def a_checkpoint(size: int, root: bytes, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> LogCheckpoint:
    return noted(size, sign_note(format_checkpoint(Checkpoint(origin, size, root)), origin, key))


def noted(size: int, note: str) -> LogCheckpoint:
    return LogCheckpoint(origin=ORIGIN, size=size, note=note, frontier=b"", signed_at=NOW)


def a_log(start: int, count: int, sizes: Sequence[int]) -> Stored:
    rows = [(index, DATA[index], LEAVES[index]) for index in range(start, start + count)]
    covered = sizes[-1] if sizes else start
    tiles = {}
    for level in (1, 2):
        hashes = WHOLE.rows[8 * level][: covered >> (8 * level)]
        for number in range(-(-len(hashes) // 256)):
            tiles[level, number] = b"".join(hashes[256 * number : 256 * (number + 1)])
    return Stored(start, rows, covered, tiles, [a_checkpoint(n, root_of(WHOLE.frontier_at(n))) for n in sizes])


def outcome(stored: Stored, cuts: Sequence[int], take: Callable[..., Finding | None]) -> Any:
    """Walk over the rows, cut into runs, until something is found; return that, and how far it came."""
    walk, bounds = stored.walk(), [0, *cuts, len(stored.rows)]
    for first, last in pairwise(bounds):
        rows, size = stored.rows[first:last], walk.frontier.size
        due = [one for one in stored.signed if size < one.size <= size + len(rows)]
        found = take(walk, rows, due)
        if found is not None:
            break
    else:
        found = None
    return found, walk.frontier, walk.checked, walk.signed_size


@st.composite
def logs(draw: st.DrawFn) -> tuple[Stored, list[int]]:
    border, offset = draw(st.sampled_from([0, 256, 512, 65_536, 65_792])), draw(st.integers(-300, 3))
    start = max(border + offset, 0)
    count = draw(st.integers(1, 900))
    sizes = draw(st.sets(st.integers(start + 1, start + count), max_size=4))
    near = draw(st.sets(st.sampled_from([255, 256, 257, 512, 65_535, 65_536, 65_537, 65_792]), max_size=4))
    sizes |= {size for size in near if start < size <= start + count}
    cuts = draw(st.sets(st.integers(1, count), max_size=3))
    return a_log(start, count, sorted(sizes)), sorted(cuts)


@settings(max_examples=80, deadline=None)
@given(logs())
def test_a_whole_log_is_proven_both_ways(drawn: tuple[Stored, list[int]]) -> None:
    stored, cuts = drawn
    quick = outcome(stored, cuts, Walk.take)
    assert quick == outcome(stored, cuts, Walk._step_by_step)
    sizes = [one.size for one in stored.signed]
    assert quick == (None, WHOLE.frontier_at(stored.start + len(stored.rows)), len(sizes), max(sizes, default=0))


def test_a_whole_log_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(*_: Any) -> None:
        raise AssertionError("a whole log is walked entry by entry")

    stored = a_log(65_000, 1_500, [65_001, 65_536, 66_000, 66_500])
    with monkeypatch.context() as patched:
        patched.setattr(Walk, "_step_by_step", one_by_one)
        assert outcome(stored, [700], Walk.take)[0] is None


def changed_row(stored: Stored, at: int, **changes: Any) -> Stored:
    index, data, leaf = stored.rows[at]
    row = (changes.get("index", index), changes.get("data", data), changes.get("leaf", leaf))
    return replace(stored, rows=[*stored.rows[:at], row, *stored.rows[at + 1 :]])


def change_data(stored: Stored, dice: random.Random) -> Stored:
    at = dice.randrange(len(stored.rows))
    return changed_row(stored, at, data=flipped(stored.rows[at][1], 0))


def change_leaf(stored: Stored, dice: random.Random) -> Stored:
    at = dice.randrange(len(stored.rows))
    return changed_row(stored, at, leaf=flipped(stored.rows[at][2], dice.randrange(32)))


def cut_leaf(stored: Stored, dice: random.Random) -> Stored:
    at = dice.randrange(len(stored.rows))
    return changed_row(stored, at, leaf=stored.rows[at][2][:31])


def number_wrongly(stored: Stored, dice: random.Random) -> Stored:
    at = dice.randrange(len(stored.rows))
    return changed_row(stored, at, index=stored.rows[at][0] + dice.choice([-1, 1, 256, 1_000]))


def leave_gap(stored: Stored, dice: random.Random) -> Stored:
    if len(stored.rows) < 2:
        return change_data(stored, dice)
    at = dice.randrange(len(stored.rows) - 1)
    return replace(stored, rows=stored.rows[:at] + stored.rows[at + 1 :])


def repeat_row(stored: Stored, dice: random.Random) -> Stored:
    at = dice.randrange(len(stored.rows))
    return replace(stored, rows=[*stored.rows[: at + 1], *stored.rows[at:]])


def rewrite_below_checkpoint(stored: Stored, dice: random.Random) -> Stored:
    """As the city itself could: other data with the leaf that fits."""
    signed = stored.covered - stored.start
    if signed < 1:
        return change_data(stored, dice)
    return changed_row(stored, dice.randrange(signed), data=b"forged", leaf=leaf_hash(b"forged"))


def completed_tiles(stored: Stored) -> list[tuple[int, int, int]]:
    """(level, number, column) of the hashes that the rows complete below the newest checkpoint."""
    return [
        (level, *divmod(place, 256))
        for level in (1, 2)
        for place in range(stored.start >> (8 * level), stored.covered >> (8 * level))
    ]


def change_tile(stored: Stored, dice: random.Random) -> Stored:
    if not completed_tiles(stored):
        return change_leaf(stored, dice)
    level, number, column = dice.choice(completed_tiles(stored))
    tile = flipped(stored.tiles[level, number], 32 * column + dice.randrange(32))
    return replace(stored, tiles={**stored.tiles, (level, number): tile})


def shorten_tile(stored: Stored, dice: random.Random) -> Stored:
    if not completed_tiles(stored):
        return change_leaf(stored, dice)
    level, number, column = dice.choice(completed_tiles(stored))
    tile = stored.tiles[level, number][: 32 * column + dice.choice([0, 31])]
    return replace(stored, tiles={**stored.tiles, (level, number): tile})


def lose_tile(stored: Stored, dice: random.Random) -> Stored:
    if not completed_tiles(stored):
        return change_leaf(stored, dice)
    lost = dice.choice(completed_tiles(stored))[:2]
    return replace(stored, tiles={place: tile for place, tile in stored.tiles.items() if place != lost})


def change_checkpoint(stored: Stored, dice: random.Random) -> Stored:
    if not stored.signed:
        return change_data(stored, dice)
    at = dice.randrange(len(stored.signed))
    true, root = stored.signed[at], root_of(WHOLE.frontier_at(stored.signed[at].size))
    wrong = dice.choice(
        [
            a_checkpoint(true.size, flipped(root)),
            a_checkpoint(true.size, root, key=Ed25519PrivateKey.from_private_bytes(bytes(32))),
            a_checkpoint(true.size, root, origin="tongban/demo/450400/1"),
            noted(true.size, true.note[:-6]),
            noted(true.size, a_checkpoint(true.size - 1, root).note),
        ]
    )
    return replace(stored, signed=[*stored.signed[:at], wrong, *stored.signed[at + 1 :]])


DAMAGES: list[Damage] = [
    change_data, change_leaf, cut_leaf, number_wrongly, leave_gap, repeat_row, rewrite_below_checkpoint,
    change_tile, shorten_tile, lose_tile, change_checkpoint,
]  # fmt: skip


@pytest.mark.threat("T06")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@settings(max_examples=60, deadline=None)
@given(drawn=logs(), seed=st.integers(0, 2**32))
def test_damage_is_found_both_ways_and_named_alike(damage: Damage, drawn: tuple[Stored, list[int]], seed: int) -> None:
    stored, cuts = drawn
    damaged = damage(stored, random.Random(seed))
    quick = outcome(damaged, cuts, Walk.take)
    assert quick == outcome(damaged, cuts, Walk._step_by_step)
    assert quick[0] is not None


SIZE = 2_600
SIGNED = (1, 255, 256, 257, 600, 2_048, 2_049, 2_560)


def a_real_log(node: Database) -> None:
    done = 0
    for size in SIGNED:
        write(node, size - done)
        assert sign(node) == size
        done = size
    write(node, SIZE - done)


IN_SQL: dict[str, str] = {
    "data": 'UPDATE log_entry SET data = :other WHERE "index" = :at',
    "leaf": 'UPDATE log_entry SET leaf = :other WHERE "index" = :at',
    "both": 'UPDATE log_entry SET data = :forged, leaf = :fits WHERE "index" = :signed',
    "gap": 'DELETE FROM log_entry WHERE "index" = :at',
    "tail": 'DELETE FROM log_entry WHERE "index" >= :at',
    "shorter": "UPDATE log_head SET size = :signed",
    "longer": "UPDATE log_head SET size = size + :more",
    "moved": 'UPDATE log_entry SET "index" = "index" + 100000 WHERE "index" = :at',
    "tile": "UPDATE log_tile SET data = :other",
    "no tile": "DELETE FROM log_tile",
    "note": "UPDATE log_checkpoint SET note = replace(note, 'tongban', 'tongbam') WHERE size = :checkpoint",
    "size": "UPDATE log_checkpoint SET size = size - 1 WHERE size = 2048",
    "newest": "UPDATE log_checkpoint SET size = :beyond WHERE size = 2560",
    "zero": "UPDATE log_checkpoint SET size = 0 WHERE size = 1",
}


def values(statement: str, dice: random.Random) -> dict[str, Any]:
    near = [0, 255, 256, 257, 2_047, 2_048, 2_049, 2_559, 2_560, SIZE - 1, dice.randrange(SIZE)]
    known = {
        "other": dice.randbytes(dice.choice([0, 31, 32, 320, 600])),
        "at": dice.choice(near),
        "forged": b"forged",
        "fits": leaf_hash(b"forged"),
        "signed": dice.choice([one for one in near if one < SIGNED[-1]]),
        "more": dice.choice([1, 3_000]),
        "checkpoint": dice.choice(SIGNED),
        "beyond": dice.choice([SIZE, SIZE + 1, 10**9]),
    }
    return {name: value for name, value in known.items() if f":{name}" in statement}


def both_ways(session: Session, monkeypatch: pytest.MonkeyPatch) -> tuple[Verification, Verification]:
    quick = verify(session, LOG, NOTE_KEY)
    with monkeypatch.context() as patched:
        patched.setattr(Walk, "take", Walk._step_by_step)
        return quick, verify(session, LOG, NOTE_KEY)


@pytest.mark.threat("T06")
def test_damage_in_a_database_is_found_both_ways_and_named_alike(
    node: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_real_log(node)
    dice = random.Random(22)
    with node.reading() as session:
        quick, slow = both_ways(session, monkeypatch)
        assert quick == slow
        assert (quick.ok, quick.entries, quick.checkpoints) == (True, SIZE, len(SIGNED))
    for name, statement in IN_SQL.items():
        for _ in range(4 if ":" in statement else 1):
            given_values = values(statement, dice)
            with node.reading() as session:  # Nothing is committed: each damage stands alone.
                session.execute(text(statement), given_values)
                quick, slow = both_ways(session, monkeypatch)
            assert quick == slow, (name, given_values)
            assert not quick.ok, (name, given_values)
    assert verified(node).ok


@pytest.mark.parametrize("at", [0, 255, 256, 2_047, 2_048, 2_599])
def test_an_entry_that_does_not_fit_its_leaf_is_named_itself(node: Database, at: int) -> None:
    write(node, SIZE)
    change(node, 'UPDATE log_entry SET data = :other WHERE "index" = :at', other=b"other", at=at)
    finding = verified(node).finding
    assert finding is not None
    assert finding.index == at
    with pytest.raises(LogDamaged, match=f"entry {at} does not read back"):
        sign(node)


@pytest.mark.parametrize("at", [0, 255, 256, 2_047, 2_048, 2_599])
def test_an_entry_that_is_missing_is_named_itself(node: Database, at: int) -> None:
    write(node, SIZE)
    change(node, 'DELETE FROM log_entry WHERE "index" = :at', at=at)
    finding = verified(node).finding
    assert finding is not None
    assert finding.index == at
    with pytest.raises(LogDamaged, match=f"entry {at} "):
        sign(node)


def test_data_that_was_changed_to_text_by_hand_is_found(small_node: Database) -> None:
    write(small_node, 10)
    sign(small_node)
    change(small_node, "UPDATE log_entry SET data = replace(data, '450400', '450401') WHERE \"index\" = 7")
    finding = verified(small_node).finding
    assert finding is not None
    assert finding.index == 7


@pytest.mark.parametrize("sizes", [(300, 600), (255, 256, 257), (70, 2_500), (2_047, 2_048, 2_049), (65_536 + 700,)])
def test_checkpoints_signed_at_any_time_make_one_log_with_the_same_tiles(
    small_node: Database, sizes: tuple[int, ...]
) -> None:
    done = 0
    for size in sizes:
        write(small_node, size - done)
        assert sign(small_node) == size
        done = size
    with small_node.reading() as session:
        leaves = store.leaves(session, 0, done)
        whole = grow(Frontier(), [leaves[at : at + 32] for at in range(0, len(leaves), 32)])
        for level in (1, 2):
            hashes = b"".join(whole.rows[8 * level]) if len(whole.rows) > 8 * level else b""
            stored = b"".join(store.tile(session, ORIGIN, level, number, 256) for number in range(2))
            assert stored == hashes
    assert (verified(small_node).ok, verified(small_node).checkpoints) == (True, len(sizes))


def test_a_log_that_grows_and_is_signed_while_it_is_verified_is_whole(node: Database) -> None:
    write(node, 4_500)
    sign(node)

    def meanwhile(_done: int) -> None:
        write(node, 10)
        sign(node)

    with node.reading() as session:
        found = verify(session, LOG, NOTE_KEY, progress=meanwhile)
    assert (found.finding, found.entries, found.checkpoints) == (None, 4_500, 1)
    assert (verified(node).ok, verified(node).entries) == (True, 4_540)


def test_the_fast_way_never_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it wrong about a whole log, that would cost time, and no false finding would be shown."""
    stored = a_log(0, 700, [300, 600])
    monkeypatch.setattr(verification, "read_back", lambda *_: False)
    assert outcome(stored, [], Walk.take) == (None, WHOLE.frontier_at(700), 2, 600)


def test_a_log_is_read_a_bounded_number_of_entries_at_a_time(small_node: Database) -> None:
    write(small_node, SIZE)
    with small_node.reading() as session:
        runs = list(store.entries_from(session, 100, SIZE))
    assert [len(rows) for rows in runs] == [store.BATCH, SIZE - 100 - store.BATCH]
    assert [index for rows in runs for index, _, _ in rows] == list(range(100, SIZE))
