"""Which fonts a paper is set in (experience (g)): the operator's own, else the system's Noto CJK, else `make fonts`.

    1. the folders of `documents.font_dirs`, every family in them
    2. Noto Sans CJK SC or Noto Sans SC of the system (Debian: fonts-noto-cjk)
    3. Noto Sans SC as `make fonts` brings it, under the environment's own prefix

The families go to typst in this order, and a character is drawn with the first that has it: Noto Sans SC has no 𠮷,
Noto Sans CJK SC has. Fonts are never part of the repository or the wheel.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typst import FontInfo, Fonts

from node.documents.glyphs import coverage

NOTO: Final = ("Noto Sans SC", "Noto Sans CJK SC")
SYSTEM: Final = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
FETCHED: Final = Path(sys.prefix) / "share" / "fonts" / "tongban"
"""Where `make fonts` puts them."""
PROBE: Final = "参保缴费凭证壹贰叁元整"
"""Who cannot draw this draws no paper of ours."""
REGULAR: Final = 400


class NoFont(Exception):
    """No font that draws Chinese was found."""


@dataclass(frozen=True, slots=True)
class Typefaces:
    """The fonts in use: typst's own object, families in their order, what they draw, and a digest of their files."""

    fonts: Fonts
    families: tuple[str, ...]
    covered: frozenset[int]
    digest: str

    def lacks(self, text: str) -> bool:
        """Say whether a character of the text cannot be drawn; line ends are none."""
        return any(ord(one) not in self.covered for one in text if one != "\n")


def find_typefaces(own: Sequence[Path], system: Iterable[Path] = SYSTEM, fetched: Path = FETCHED) -> Typefaces:
    """Return the fonts of this machine. Cost: 0.1 s, the files are read once for their digest.

    Raises:
        NoFont: none that draws Chinese.
    """
    places = [*own, *(place for root in system for place in _noto_folders(root)), *_noto_folders(fetched)]
    fonts = Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(place) for place in places])
    regular = [one for one in fonts.fonts() if one.path and one.style == "normal" and one.weight == REGULAR]
    chosen = [one for one in regular if one.family in NOTO or _is_in(one, own)]
    chosen.sort(key=lambda one: (_rank(one, own), one.family not in NOTO, one.family))
    # One file of a family is enough: the first in the order of the places.
    by_family: dict[str, FontInfo] = {}
    for one in chosen:
        by_family.setdefault(one.family, one)
    covered: set[int] = set()
    for one in by_family.values():
        covered |= coverage(Path(one.path or ""), one.index)
    if any(ord(one) not in covered for one in PROBE):
        raise NoFont
    return Typefaces(fonts, tuple(by_family), frozenset(covered), _digest(fonts.fonts(), by_family))


def _noto_folders(root: Path) -> list[Path]:
    """Return the folders below a root that hold Noto Sans for Chinese: no other font is even opened."""
    if not root.is_dir():
        return []
    return sorted({file.parent for form in ("NotoSansCJK*", "NotoSansSC*") for file in root.rglob(form)})


def _is_in(font: FontInfo, places: Sequence[Path]) -> bool:
    return any(Path(font.path or "").is_relative_to(place) for place in places)


def _rank(font: FontInfo, own: Sequence[Path]) -> int:
    """Return 0 for the operator's own, 1 for the system's, 2 for those that were fetched."""
    if _is_in(font, own):
        return 0
    return 2 if _is_in(font, [FETCHED]) else 1


def _digest(fonts: Sequence[FontInfo], families: Iterable[str]) -> str:
    """Return a digest of the files of some families: with other fonts the same words are other bytes."""
    known, whole = set(families), hashlib.sha256()
    for path in sorted({Path(one.path) for one in fonts if one.path and one.family in known}):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
