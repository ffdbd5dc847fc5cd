"""The verification of a stored log: every entry re-hashed, and tiles and checkpoints held against the tree.

A `Walk` takes the stored entries run by run. The fast way hashes and folds a whole run and compares what comes
out; it only ever says whether *all* is as it must be. When it is not, the run is walked again entry by entry
from where it began, and that walk names the first thing that is wrong. Both ways prove the same; the tests hold
one against the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from node.audit.tables import LogCheckpoint
from protocol.checkpoints import open_checkpoint
from protocol.growth import grow, leaf_hashes
from protocol.log import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    TileReader,
    append,
    completed_by,
    leaf_hash,
    root_of,
)
from protocol.notes import NoteInvalid, NoteKey
from protocol.suites import encode

Row = tuple[int, bytes, bytes]
"""index, data, leaf: as they are stored"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it must be: the first entry that is not proven, what was expected, what was found."""

    index: int
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` proved, and the first thing that it could not."""

    origin: str
    entries: int
    checkpoints: int
    root: str
    signed_size: int
    finding: Finding | None

    @property
    def ok(self) -> bool:
        """Say whether everything was as it must be."""
        return self.finding is None


@dataclass(slots=True)
class Walk:
    """How far a verification has come, and what it needs to go on."""

    origin: str
    key: NoteKey
    covered: int
    """entries under the newest checkpoint: only their tiles are complete"""
    read_tile: TileReader
    """may give fewer hashes than asked for: what is there"""
    frontier: Frontier = field(default_factory=Frontier)
    checked: int = 0
    signed_size: int = 0

    def take(self, rows: Sequence[Row], due: Sequence[LogCheckpoint]) -> Finding | None:
        """Go over the next entries, and the checkpoints of the sizes that the log has among them, in order.

        Returns the first thing that is wrong; the walk ends there. Cost: two hashes per entry, one signature per
        checkpoint.
        """
        return None if self._all_agree(rows, due) else self._step_by_step(rows, due)

    def _all_agree(self, rows: Sequence[Row], due: Sequence[LogCheckpoint]) -> bool:
        if not read_back(self.frontier.size, rows):
            return False
        growth, signed_size = grow(self.frontier, [leaf for _, _, leaf in rows]), self.signed_size
        if not all(self._is_in_its_tile(*gained) for gained in growth.tile_hashes()):
            return False
        for row in due:
            if _checkpoint_fault(row, growth.frontier_at(row.size), self.key, self.origin, signed_size) is not None:
                return False
            signed_size = row.size
        self.frontier, self.checked, self.signed_size = growth.after, self.checked + len(due), signed_size
        return True

    def _is_in_its_tile(self, level: int, number: int, column: int, hashes: Sequence[bytes]) -> bool:
        ends = min(column + len(hashes), (self.covered >> (TILE_HEIGHT * level)) - number * TILE_WIDTH)
        if ends <= column:
            return True
        stored = self.read_tile(level, number, ends)[column * HASH_BYTES :]
        return stored == b"".join(hashes[: ends - column])

    def _step_by_step(self, rows: Sequence[Row], due: Sequence[LogCheckpoint]) -> Finding | None:
        waiting = iter(due)
        upcoming = next(waiting, None)
        for index, data, leaf in rows:
            finding = entry_fault(self.frontier.size, index, data, leaf)
            if finding is None and index < self.covered:
                finding = self._tile_fault(leaf)
            if finding is not None:
                return finding
            self.frontier = append(self.frontier, leaf)
            if upcoming is not None and upcoming.size == self.frontier.size:
                finding = _checkpoint_fault(upcoming, self.frontier, self.key, self.origin, self.signed_size)
                if finding is not None:
                    return finding
                self.checked, self.signed_size, upcoming = self.checked + 1, upcoming.size, next(waiting, None)
        return None

    def _tile_fault(self, leaf: bytes) -> Finding | None:
        for level, place, subtree in _tile_hashes(self.frontier, leaf):
            number, column = divmod(place, TILE_WIDTH)
            stored = self.read_tile(level, number, column + 1)[column * HASH_BYTES :]
            if stored != subtree:
                first, where = place * TILE_WIDTH**level, f"hash {column} of tile {level}/{number}"
                found = f"{encode(subtree)} from entries {first} to {self.frontier.size}"
                return Finding(first, f"{where}: {encode(stored) or 'nothing'}", found)
        return None


def read_back(start: int, rows: Sequence[Row]) -> bool:
    """Say whether rows are numbered from `start` without gap, each with the leaf that its data has."""
    if not rows:
        return True
    indices, entries, leaves = zip(*rows, strict=True)
    return indices == tuple(range(start, start + len(rows))) and leaf_hashes(entries) == list(leaves)


def entry_fault(expected: int, index: int, data: bytes, leaf: bytes) -> Finding | None:
    """Return what is wrong with one stored entry."""
    if index != expected:
        return Finding(expected, f"entry {expected}", f"entry {index}")
    actual = leaf_hash(data)
    return None if actual == leaf else Finding(index, f"leaf {encode(leaf)}", f"leaf {encode(actual)}")


def _tile_hashes(frontier: Frontier, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tile level, place in that level, hash) of the subtrees of 256**level entries that `leaf` completes."""
    if (frontier.size + 1) % TILE_WIDTH:
        return
    for height, subtree in enumerate(completed_by(frontier, leaf)):
        if height and height % TILE_HEIGHT == 0:
            yield height // TILE_HEIGHT, frontier.size >> height, subtree


def _checkpoint_fault(row: LogCheckpoint, frontier: Frontier, key: NoteKey, origin: str, proven: int) -> Finding | None:
    try:
        signed = open_checkpoint(row.note, key).checkpoint
    except NoteInvalid as fault:
        return Finding(proven, f"a checkpoint of size {row.size} signed by this log", str(fault))
    if (signed.origin, signed.size) != (origin, row.size):
        return Finding(proven, f"a checkpoint of {origin} at {row.size}", f"one of {signed.origin} at {signed.size}")
    if signed.root == root_of(frontier):
        return None
    found = f"root {encode(root_of(frontier))} with entries {proven} to {row.size - 1}"
    return Finding(proven, f"root {encode(signed.root)} at {signed.size}", found)
