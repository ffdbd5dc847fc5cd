"""A place in the catalogue's document: reads one member as what it must be, or refuses with the place.

Place(content, "items/1").text("name_zh")    # CatalogueInvalid: items/1/name_zh is no text
"""

import re
from dataclasses import dataclass
from typing import Any, Final

TEXT_MAX: Final = 4_000
ROWS_MAX: Final = 1_000
PATTERN_MAX: Final = 200


class CatalogueInvalid(ValueError):
    """Not a catalogue that this version can read; the text names the place, and never what stands there."""


@dataclass(frozen=True, slots=True)
class Place:
    """A JSON object and where it stands: members by name, rows by number."""

    content: dict[str, Any]
    at: str

    def wrong(self, name: str, what: str) -> CatalogueInvalid:
        """Return the refusal of a member."""
        return CatalogueInvalid(f"{self._of(name)} {what}")

    def has(self, name: str) -> bool:
        """Say whether the member is there."""
        return name in self.content

    def only(self, known: frozenset[str]) -> None:
        """Refuse members that are not known."""
        if self.content.keys() - known:
            raise CatalogueInvalid(f"{self.at} has a member that this version does not know")

    def text(self, name: str, form: re.Pattern[str] | None = None) -> str:
        """Return a text that is not empty and has the form."""
        value = self.content.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > TEXT_MAX:
            raise self.wrong(name, "is no text")
        if form is not None and not form.fullmatch(value):
            raise self.wrong(name, "does not have its form")
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self.content.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "is neither true nor false")
        return value

    def number(self, name: str, least: int, most: int, *, default: int | None = None) -> int:
        """Return a whole number within bounds."""
        value = self.content.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"is no whole number from {least} to {most}")
        return value

    def bound(self, name: str) -> int | None:
        """Return a whole number of 64 bits, or None where it is absent."""
        return self.number(name, -(2**63), 2**63 - 1) if self.has(name) else None

    def simple(self, name: str) -> str | int | bool | None:
        """Return a text, number, true or false, or None where it is absent."""
        value = self.content.get(name)
        if self.has(name) and not isinstance(value, str | int):
            raise self.wrong(name, "is no simple value")
        return value

    def pattern(self, name: str) -> re.Pattern[str] | None:
        """Return a regular expression over ASCII classes that speaks of the whole text, or None."""
        if not self.has(name):
            return None
        value = self.text(name)
        if len(value) > PATTERN_MAX or not (value.startswith("^") and value.endswith("$")):
            raise self.wrong(name, "is too long, or does not run from ^ to $")
        try:
            return re.compile(value, re.ASCII)
        except (re.error, RecursionError, OverflowError):
            raise self.wrong(name, "is no regular expression") from None

    def one(self, name: str) -> "Place":
        """Return an object."""
        value = self.content.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "is no object")
        return Place(value, self._of(name))

    def rows(self, name: str, most: int = ROWS_MAX) -> list["Place"]:
        """Return a list of objects."""
        rows = self.values(name, most)
        if not all(isinstance(one, dict) for one in rows):
            raise self.wrong(name, "is no list of objects")
        return [Place(one, f"{self._of(name)}/{number}") for number, one in enumerate(rows)]

    def texts(self, name: str, *, optional: bool = False) -> list[str]:
        """Return a list of texts."""
        found = [] if optional and not self.has(name) else self.values(name)
        if not all(isinstance(one, str) and one for one in found):
            raise self.wrong(name, "is no list of texts")
        return found

    def values(self, name: str, most: int = ROWS_MAX) -> list[Any]:
        """Return a list."""
        value = self.content.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise self.wrong(name, f"is no list of at most {most}")
        return value

    def _of(self, name: str) -> str:
        return f"{self.at}/{name}" if self.at else name
