"""Which characters a font can draw: the `cmap` table of an OpenType file or collection, and nothing else of it.

    covered = coverage(Path("NotoSansCJK-Regular.ttc"), index=2)
    0x20BB7 in covered        # 𠮷

OpenType 1.9: a collection begins with `ttcf` and the offsets of its fonts; a font lists its tables by tag; of the
subtables of `cmap` those for Unicode in the formats 12 (any plane) and 4 (basic plane) are read. Fonts come from the
operator's own folders; a file that does not hold what it promises covers nothing.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

CMAP_MAX_BYTES: Final = 8 * 1024 * 1024
_LAST: Final = 0x10FFFF
_UNICODE: Final = frozenset({(0, 3), (0, 4), (0, 6), (3, 1), (3, 10)})
"""(platform, encoding) of the subtables that map Unicode."""


def coverage(path: Path, index: int = 0) -> frozenset[int]:
    """Return the code points that one font of a file draws; none when the file is not a font. Cost: 20 ms, 4 MiB."""
    try:
        with path.open("rb") as file:
            ranges = _ranges(_table(file, index, b"cmap"))
            return frozenset(point for start, end in ranges for point in range(start, min(end, _LAST) + 1))
    except (OSError, struct.error, IndexError, ValueError):
        return frozenset()


def _table(file: BinaryIO, index: int, tag: bytes) -> bytes:
    start = 0
    if file.read(4) == b"ttcf":
        file.seek(8)
        (count,) = struct.unpack(">I", file.read(4))
        if index >= count:
            raise ValueError("no such font in the collection")
        file.seek(12 + 4 * index)
        (start,) = struct.unpack(">I", file.read(4))
    file.seek(start + 4)
    (count,) = struct.unpack(">H", file.read(2))
    file.seek(start + 12)
    for _ in range(count):
        name, _checksum, offset, length = struct.unpack(">4sIII", file.read(16))
        if name == tag and length <= CMAP_MAX_BYTES:
            file.seek(offset)
            return file.read(length)
    raise ValueError("no such table")


def _ranges(cmap: bytes) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">H", cmap, 2)
    seen = set()
    for number in range(count):
        platform, encoding, offset = struct.unpack_from(">HHI", cmap, 4 + 8 * number)
        if (platform, encoding) not in _UNICODE or offset in seen:
            continue
        seen.add(offset)
        (form,) = struct.unpack_from(">H", cmap, offset)
        if form == 12:
            yield from _segmented_coverage(cmap, offset)
        elif form == 4:
            yield from _segment_mapping(cmap, offset)


def _segmented_coverage(cmap: bytes, offset: int) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">I", cmap, offset + 12)
    for number in range(count):
        start, end, glyph = struct.unpack_from(">III", cmap, offset + 16 + 12 * number)
        # Glyph 0 is the box that stands for "none".
        if end > start or glyph:
            yield (start, end) if glyph else (start + 1, end)


def _segment_mapping(cmap: bytes, offset: int) -> Iterator[tuple[int, int]]:
    (double,) = struct.unpack_from(">H", cmap, offset + 6)
    count = double // 2
    ends: Sequence[int] = struct.unpack_from(f">{count}H", cmap, offset + 14)
    starts: Sequence[int] = struct.unpack_from(f">{count}H", cmap, offset + 16 + double)
    deltas: Sequence[int] = struct.unpack_from(f">{count}H", cmap, offset + 16 + 2 * double)
    base = offset + 16 + 3 * double
    for number, (start, end, delta) in enumerate(zip(starts, ends, deltas, strict=True)):
        (shift,) = struct.unpack_from(">H", cmap, base + 2 * number)
        for point in range(start, min(end, 0xFFFE) + 1):
            if shift:
                place = base + 2 * number + shift + 2 * (point - start)
                (glyph,) = struct.unpack_from(">H", cmap, place)
            else:
                glyph = (point + delta) & 0xFFFF
            if glyph:
                yield point, point
