"""The Merkle log: leaf, root, inclusion and consistency proofs, tiles (protocol §7).

Hashing is that of RFC 6962 §2.1 with SHA-256::

    MTH({})       = SHA-256()
    leaf hash     = SHA-256(0x00 || entry)
    node hash     = SHA-256(0x01 || left || right)
    MTH(D[n])     = node hash(MTH(D[0:k]), MTH(D[k:n])), k the largest power of two below n

Proofs are those of RFC 9162 §2.1.3 and §2.1.4, hashes ordered from the leaf's side to the root's.
Tiles are those of C2SP tlog-tiles, 256 hashes of 32 bytes wide when full::

    tile/0/x001/x234/067        level 0, number 1234067, 256 hashes
    tile/1/000.p/17             level 1, number 0, 17 hashes: a tree of 70,000 entries has this one

A *subtree* (level, index) is the complete tree over the entries index * 2**level up to, not
including, (index + 1) * 2**level. Everything here needs nothing but hashes of such subtrees; where
they are stored is the caller's affair (`SubtreeReader`).

    >>> leaf_hash(b"").hex()
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'

Sizes run from 0 to MAX_SIZE = 2**63 - 1, so a proof has at most 63 hashes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
MAX_PROOF_HASHES = 63
TILE_HEIGHT = 8
TILE_WIDTH = 256
EMPTY_ROOT = sha256(b"").digest()

SubtreeReader = Callable[[int, int], bytes]
"""(level, index) -> the 32-byte hash of the complete subtree of 2**level entries at that index."""

TileReader = Callable[[int, int, int], bytes]
"""(level, number, width) -> the tile's bytes, width * 32 of them."""


class ProofInvalid(ValueError):
    """A proof or tile does not show what it was given for; the text holds sizes and indices only."""


# ---------------------------------------------------------------- hashing


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry's bytes (RFC 6962 §2.1). Cost: one SHA-256 over the entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two 32-byte hashes (RFC 6962 §2.1). Cost: one SHA-256 over 65 bytes."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that appending needs of a log: its size and the hashes of its complete subtrees.

    `hashes` holds one hash per 1-bit of `size`, the largest subtree first: 63 hashes at most.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a log of size {self.size} has no frontier of {len(self.hashes)} hashes")


def completed_by(frontier: Frontier, leaf: bytes) -> tuple[bytes, ...]:
    """Return the hashes of the subtrees that the next leaf hash completes, levels 0, 1, 2, …

    The subtree at level l has the index `frontier.size >> l`; the first hash is `leaf` itself. This
    is what a store must keep beside the leaf. Cost: one node hash per trailing 1-bit of the size,
    one on average, 62 at most.
    """
    completed = [leaf]
    for left in reversed(frontier.hashes):
        if not (frontier.size >> (len(completed) - 1)) & 1:
            break
        completed.append(node_hash(left, completed[-1]))
    return tuple(completed)


def append(frontier: Frontier, leaf: bytes) -> Frontier:
    """Return the frontier after one more leaf hash. Cost: as `completed_by`."""
    completed = completed_by(frontier, leaf)
    kept = len(frontier.hashes) - (len(completed) - 1)
    return Frontier(frontier.size + 1, (*frontier.hashes[:kept], completed[-1]))


def root_of(frontier: Frontier) -> bytes:
    """Return the root of the log that `frontier` stands for. Cost: at most 62 node hashes."""
    return _join(frontier.hashes)


def _join(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees given in order, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def root_at(size: int, read: SubtreeReader) -> bytes:
    """Return the root of the first `size` entries, 0 <= size <= MAX_SIZE.

    Cost: one read per 1-bit of `size`, as many node hashes less one.

    Raises:
        ValueError: the size is out of range.
    """
    _require(0 <= size <= MAX_SIZE, f"no log has the size {size}")
    return _root_of_range(0, size, read)


def _root_of_range(low: int, high: int, read: SubtreeReader) -> bytes:
    """Return MTH(D[low:high]); `low` is a multiple of every power of two up to high - low."""
    hashes = []
    while low < high:
        level = (high - low).bit_length() - 1
        hashes.append(read(level, low >> level))
        low += 1 << level
    return _join(hashes)


def _split(count: int) -> int:
    """Return the largest power of two below `count` >= 2 (RFC 6962 §2.1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ValueError(text)


# ---------------------------------------------------------------- inclusion


def prove_inclusion(index: int, size: int, read: SubtreeReader) -> tuple[bytes, ...]:
    """Return the proof that entry `index` stands in the log of `size` entries, 0 <= index < size.

    RFC 9162 §2.1.3.1. Cost: at most 2 * 63 reads and 62 node hashes; 20 hashes for a million entries.

    Raises:
        ValueError: the index lies outside of the log.
    """
    _require(0 <= index < size <= MAX_SIZE, f"index {index} is not in a log of size {size}")
    low, high = 0, size
    path = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_root_of_range(middle, high, read))
            high = middle
        else:
            path.append(_root_of_range(low, middle, read))
            low = middle
    return tuple(reversed(path))


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if `proof` shows that the leaf *hash* `leaf` stands at `index` under `root`.

    Size and root must come together from a signed checkpoint: several sizes can share a path's shape.
    RFC 9162 §2.1.3.2, steps numbered as there. Cost: one node hash per proof hash, 63 at most.

    Raises:
        ProofInvalid: it does not, or a hash is not of 32 bytes.
    """
    _check_lengths((leaf, *proof, root))
    # 1. The index lies in the log.
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofInvalid(f"index {index} is not in a log of size {size}")
    # 2. and 3. `here` is the node's index at its level, `last` that of the level's last node.
    here, last, computed = index, size - 1, leaf
    # 4. Up, level by level.
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("the proof is longer than the path to the root")
        if here & 1 or here == last:
            computed = node_hash(sibling, computed)
            here, last = _skip_missing(here, last)
        else:
            computed = node_hash(computed, sibling)
        here, last = here >> 1, last >> 1
    # 5. All levels are used and the root is the one given.
    if last != 0:
        raise ProofInvalid("the proof is shorter than the path to the root")
    if computed != root:
        raise ProofInvalid(f"entry {index} does not stand under this root of size {size}")


def _skip_missing(here: int, last: int) -> tuple[int, int]:
    """Climb while the node is a left child without sibling: its hash is its parent's (step 4.1)."""
    while not here & 1 and here != 0:
        here, last = here >> 1, last >> 1
    return here, last


def _check_lengths(hashes: Sequence[bytes]) -> None:
    # A longer or shorter "hash" would move the border between left and right inside node_hash.
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofInvalid(f"a hash is not of {HASH_BYTES} bytes")


# ---------------------------------------------------------------- consistency


def prove_consistency(old: int, new: int, read: SubtreeReader) -> tuple[bytes, ...]:
    """Return the proof that the log of `new` entries begins with that of `old`, 0 <= old <= new.

    RFC 9162 §2.1.4.1; empty when old is 0 or equals new. Cost: at most 2 * 63 reads, 62 node hashes.

    Raises:
        ValueError: the sizes are out of range or order.
    """
    _require(0 <= old <= new <= MAX_SIZE, f"a log does not grow from {old} to {new}")
    if old in {0, new}:
        return ()
    low, high = 0, new
    path = []
    while old < high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_root_of_range(middle, high, read))
            high = middle
        else:
            path.append(_root_of_range(low, middle, read))
            low = middle
    # low == 0: what is left is the old tree itself, whose root the other side has.
    if low:
        path.append(_root_of_range(low, high, read))
    return tuple(reversed(path))


def check_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Return if `proof` shows that the new log begins with the entries of the old one.

    Each size and its root must come together from a signed checkpoint, as in `check_inclusion`.
    RFC 9162 §2.1.4.2, steps numbered as there. Cost: two node hashes per proof hash, 126 at most.

    Raises:
        ProofInvalid: it does not, or a hash is not of 32 bytes.
    """
    _check_lengths((*proof, old_root, new_root))
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofInvalid(f"a log does not grow from {old} to {new}")
    if old in {0, new}:
        expected = EMPTY_ROOT if old == 0 else new_root
        _check_trivial(proof, old_root == expected and (new != 0 or new_root == EMPTY_ROOT))
        return
    # 1. Something must be proved.
    if not proof:
        raise ProofInvalid(f"the proof from size {old} to {new} is empty")
    # 2. A complete old tree is a node of the new one; the proof leaves it out.
    path = (old_root, *proof) if old.bit_count() == 1 else tuple(proof)
    # 3. to 5. Start at the largest complete subtree that ends the old tree.
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_computed = new_computed = path[0]
    # 6. Up, level by level, building both roots.
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid("the proof is longer than the path to the root")
        if here & 1 or here == last:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
            here, last = _skip_missing(here, last)
        else:
            new_computed = node_hash(new_computed, sibling)
        here, last = here >> 1, last >> 1
    # 7. All levels are used and both roots are the ones given.
    if last != 0:
        raise ProofInvalid("the proof is shorter than the path to the root")
    if old_computed != old_root or new_computed != new_root:
        raise ProofInvalid(f"the log of size {new} does not begin with that of size {old}")


def _check_trivial(proof: Sequence[bytes], roots_agree: bool) -> None:
    """The two cases RFC 9162 leaves out: from nothing, and to the same size. Both have no proof."""
    if proof:
        raise ProofInvalid("a log that starts from nothing or did not grow has an empty proof")
    if not roots_agree:
        raise ProofInvalid("the roots of two logs of one size differ")


# ---------------------------------------------------------------- tiles


@dataclass(frozen=True, slots=True)
class Tile:
    """The place of a tile: level 0 to 63, number from 0, width 1 to 256 hashes (256 = full)."""

    level: int
    number: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (0 <= self.level <= 63 and 0 <= self.number <= MAX_SIZE and 1 <= self.width <= TILE_WIDTH):
            raise ValueError(f"no tile has level {self.level}, number {self.number}, width {self.width}")


_TILE_PATH = re.compile(r"tile/([0-9]{1,2})/((?:x[0-9]{3}/){0,6})([0-9]{3})(?:\.p/([0-9]{1,3}))?")


def tile_path(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile below the log's prefix (C2SP tlog-tiles).

    Raises:
        ValueError: no such tile can exist.
    """
    tile = Tile(level, number, width)
    *higher, lowest = f"{tile.number:,}".split(",")
    groups = [*(f"x{group:0>3}" for group in higher), f"{lowest:0>3}"]
    partial = "" if tile.width == TILE_WIDTH else f".p/{tile.width}"
    return f"tile/{tile.level}/{'/'.join(groups)}{partial}"


def parse_tile_path(path: str) -> Tile:
    """Return the tile that `path` names; each tile has exactly one path.

    Raises:
        ValueError: not a path that `tile_path` makes.
    """
    found = _TILE_PATH.fullmatch(path)
    if found is None:
        raise ValueError("not a tile path")
    level, higher, lowest, width = found.groups()
    number = int(higher.replace("x", "").replace("/", "") + lowest)
    tile = Tile(int(level), number, int(width) if width else TILE_WIDTH)
    _require(tile_path(tile.level, tile.number, tile.width) == path, "not the shortest path of this tile")
    return tile


def tile_width(level: int, number: int, size: int) -> int:
    """Return how many hashes that tile has in a log of `size` entries: 0 (no such tile) to 256."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - number * TILE_WIDTH))


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of a log of `size` entries, bottom up, left to right: about size / 255 tiles."""
    for level in range(0, MAX_PROOF_HASHES // TILE_HEIGHT + 1):
        for number in range(-(-(size >> (TILE_HEIGHT * level)) // TILE_WIDTH)):
            yield Tile(level, number, tile_width(level, number, size))


def make_tile(tile: Tile, read: SubtreeReader) -> bytes:
    """Return the bytes of a tile, 32 per hash. Cost: `tile.width` reads; none else."""
    first = tile.number * TILE_WIDTH
    return b"".join(read(TILE_HEIGHT * tile.level, first + each) for each in range(tile.width))


def subtree_from_tiles(read_tile: TileReader, size: int) -> SubtreeReader:
    """Return a reader of the subtrees of a log of `size` entries that gets them from its tiles.

    `read_tile` is asked only for tiles that a log of this size has, at the width they then have
    (C2SP: clients must not fetch other partial tiles). Nothing is proved by reading: compare
    `root_at(size, reader)` with a signed checkpoint, or check the proof that was made.
    Cost per read: one tile and up to 255 node hashes.

    The reader raises:
        ValueError: the subtree is not complete in a log of this size.
        ProofInvalid: the tile has not the length asked for.
    """

    def read(level: int, index: int) -> bytes:
        tile_level, inner_level = divmod(level, TILE_HEIGHT)
        number, first = divmod(index << inner_level, TILE_WIDTH)
        width, count = tile_width(tile_level, number, size), 1 << inner_level
        _require(number >= 0 and first + count <= width, f"subtree {level}/{index} is not in a log of size {size}")
        tile = read_tile(tile_level, number, width)
        if len(tile) != width * HASH_BYTES:
            raise ProofInvalid(f"tile {tile_path(tile_level, number, width)} has {len(tile)} bytes")
        row = [tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(first, first + count)]
        while len(row) > 1:
            row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    return read
