"""A log that grows by many entries at once: the same hashes as one by one, at a fraction of the cost.

`grow` folds a run of leaf hashes level by level. Row k of what it returns holds the hashes of all subtrees of
2**k entries that the run completes, in order; the first of them has the index `before.size >> k`::

    before.size = 3, five leaves     row 0   3 4 5 6 7        leaves
                                     row 1     1   2   3      1 has its left half in `before`
                                     row 2         0   1
                                     row 3             0      now the whole log

From these rows come the frontier at any size on the way (for a checkpoint that was signed there) and the
hashes that the tiles gain.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from protocol.log import TILE_HEIGHT, TILE_WIDTH, Frontier


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each entry. Cost: one SHA-256 over each."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


@dataclass(frozen=True, slots=True)
class Growth:
    """What a run of leaves makes of a log; `rows` as in the module's docstring."""

    before: Frontier
    after: Frontier
    rows: tuple[Sequence[bytes], ...]

    def frontier_at(self, size: int) -> Frontier:
        """Return the frontier of the first `size` entries, before.size <= size <= after.size. Cost: no hash.

        Raises:
            ValueError: the log did not have that size on the way.
        """
        if not self.before.size <= size <= self.after.size:
            raise ValueError(f"a log that grew from {self.before.size} to {self.after.size} had not the size {size}")
        return Frontier(size, tuple(self._ending_at(size, level) for level in _bits(size)))

    def _ending_at(self, size: int, level: int) -> bytes:
        """Return the hash of the last complete subtree of that level; the level is a 1-bit of `size`."""
        fresh = (size >> level) - 1 - (self.before.size >> level)
        if fresh >= 0:
            return self.rows[level][fresh]
        # It was complete before, so the same bit is set in the size before.
        return self.before.hashes[(self.before.size >> (level + 1)).bit_count()]

    def tile_hashes(self) -> Iterator[tuple[int, int, int, Sequence[bytes]]]:
        """Yield (tile level above 0, number, column, hashes): what each tile gains, from that column on."""
        for level in range(TILE_HEIGHT, len(self.rows), TILE_HEIGHT):
            row, place = self.rows[level], self.before.size >> level
            while row:
                number, column = divmod(place, TILE_WIDTH)
                gained, row = row[: TILE_WIDTH - column], row[TILE_WIDTH - column :]
                yield level // TILE_HEIGHT, number, column, gained
                place += len(gained)


def grow(frontier: Frontier, leaves: Sequence[bytes]) -> Growth:
    """Return what the next leaf hashes make of a log. Cost: one node hash per leaf, and 62 at most besides.

    Raises:
        ValueError: the log would be larger than a log can be.
    """
    waiting, ends, rows, row = list(frontier.hashes), list[bytes](), list[Sequence[bytes]](), leaves
    while row:
        level = len(rows)
        rows.append(row)
        if frontier.size >> level & 1:
            row = [waiting.pop(), *row]
        if len(row) & 1:
            ends.append(row[-1])
        halves = iter(row)
        # `node_hash` without its call, of which there would be one per entry. The odd one at the end is left out.
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(halves, halves, strict=False)]
    return Growth(frontier, Frontier(frontier.size + len(leaves), (*waiting, *reversed(ends))), tuple(rows))


def _bits(size: int) -> Iterator[int]:
    """Yield the levels whose bit is set, the highest first."""
    return (level for level in reversed(range(size.bit_length())) if size >> level & 1)
