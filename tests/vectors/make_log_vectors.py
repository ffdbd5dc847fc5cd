"""Make log.json: Merkle log vectors from the recursive definitions of RFC 6962, nothing of ours.

    python tests/vectors/make_log_vectors.py > tests/vectors/log.json

The functions follow RFC 6962 §2.1, §2.1.1 and §2.1.2 letter by letter: slow, whole lists of entries,
no cleverness. The tests of `protocol.log` use them as reference, too. Old vectors are never edited.
"""

import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

Entries = Sequence[bytes]


def mth(entries: Entries) -> bytes:
    """MTH(D[n]), RFC 6962 §2.1."""
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = largest_power_below(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Entries) -> list[bytes]:
    """PATH(m, D[n]), RFC 6962 §2.1.1."""
    if len(entries) == 1:
        return []
    k = largest_power_below(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: Entries) -> list[bytes]:
    """PROOF(m, D[n]) = SUBPROOF(m, D[n], true), RFC 6962 §2.1.2; 0 < m < n."""
    return subproof(m, entries, True)


def subproof(m: int, entries: Entries, complete: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), RFC 6962 §2.1.2."""
    n = len(entries)
    if m == n:
        return [] if complete else [mth(entries)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, entries[:k], complete), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tile(level: int, number: int, entries: Entries) -> bytes:
    """The n-th tile at level l: MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    span = 256**level
    starts = [(number * 256 + i) * span for i in range(256)]
    return b"".join(mth(entries[at : at + span]) for at in starts if at + span <= len(entries))


def sample_entry(index: int) -> bytes:
    """Entry `index` of the vectors' log: a JSON object with Chinese text, as the real ones have."""
    return f'{{"v":1,"kind":"示例","index":{index}}}'.encode()


def vectors() -> dict[str, Any]:
    """The content of log.json."""
    entries = [sample_entry(index) for index in range(21)]
    large = [sample_entry(index) for index in range(700)]
    sizes = [1, 2, 3, 4, 5, 7, 8, 13, 16, 21]
    return {
        "source": "RFC 6962 section 2.1, C2SP tlog-tiles; made by make_log_vectors.py",
        "entries": [entry.decode() for entry in entries],
        "leaf_hashes": [mth([entry]).hex() for entry in entries],
        "roots": [mth(entries[:size]).hex() for size in range(len(entries) + 1)],
        "inclusion": [
            {"index": index, "size": size, "proof": [each.hex() for each in path(index, entries[:size])]}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "new": new, "proof": [each.hex() for each in proof(old, entries[:new])]}
            for new in sizes
            for old in range(1, new)
        ],
        "tile_paths": [
            {"level": 0, "number": 0, "width": 256, "path": "tile/0/000"},
            {"level": 0, "number": 999, "width": 256, "path": "tile/0/999"},
            {"level": 0, "number": 1000, "width": 1, "path": "tile/0/x001/000.p/1"},
            {"level": 1, "number": 17, "width": 255, "path": "tile/1/017.p/255"},
            {"level": 0, "number": 1234067, "width": 256, "path": "tile/0/x001/x234/067"},
            {"level": 7, "number": 0, "width": 127, "path": "tile/7/000.p/127"},
        ],
        "tiles": {
            "size": len(large),
            "entry": '{"v":1,"kind":"示例","index":N}',
            "root": mth(large).hex(),
            "sha256_of_tile": {
                "tile/0/000": sha256(tile(0, 0, large)).hexdigest(),
                "tile/0/001": sha256(tile(0, 1, large)).hexdigest(),
                "tile/0/002.p/188": sha256(tile(0, 2, large)).hexdigest(),
                "tile/1/000.p/2": sha256(tile(1, 0, large)).hexdigest(),
            },
        },
    }


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")
