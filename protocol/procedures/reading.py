"""Reads an object of amounts as values, and collects everything that is wrong in it: place, line, rule, never a value.

    reading = Reading(content, "", faults, LABELS)
    for row in reading.rows("yearly_lines", 600):
        row.month("from")    # Fault("yearly_lines/2/from", "month", "第 3 行“起始年月”应为六位年月", …), and a stand-in

After the last question the caller looks at the faults; only without any do the values mean something.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar

from protocol.identifiers import InvalidIdentifier, parse_division
from protocol.procedures.facts import Fault
from protocol.procedures.months import FIRST, month_of

FEN_MAX: Final = 10**13
"""A hundred billion yuan: sums of a thousand such amounts and rates stay exact in 64 bits, and none is real."""
TEXT_MAX: Final = 200
STAND_IN: Final = date(2000, 1, 1)
T = TypeVar("T")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "required": ("不能为空", "must not be empty"),
    "unknown": ("中有不认识的字段", "holds a field that is not known"),
    "month": ("应为六位年月", "is a month, YYYYMM"),
    "date": ("应为存在的日期 年-月-日", "is a date that exists, YYYY-MM-DD"),
    "money_fen": ("应为以分为单位的整数，不为负", "is an amount in whole fen, not negative"),
    "integer": ("应为 {least} 至 {most} 的整数", "is a whole number from {least} to {most}"),
    "boolean": ("应为是或否", "is true or false"),
    "enum": ("应为所列选项之一", "is one of the choices"),
    "division": ("应为六位行政区划代码", "is a six-digit division"),
    "list": ("应为至多 {most} 行的列表", "is a list of at most {most} rows"),
    "object": ("应为一组字段", "is a group of fields"),
}


def line_words(number: int | None) -> tuple[str, str]:
    """Return how a line, counted from 0, is named before a sentence: people count from 1."""
    return ("", "") if number is None else (f"第 {number + 1} 行", f"line {number + 1}: ")


@dataclass(slots=True)
class Reading:
    """An object that is being read; faults of all that is read from it come into one list."""

    content: Mapping[str, Any]
    at: str
    faults: list[Fault]
    labels: Mapping[str, tuple[str, str]]
    line: int | None = None

    def has(self, name: str) -> bool:
        """Say whether a field is there and not empty."""
        return self.content.get(name) not in (None, "", [])

    def only(self, known: Collection[str]) -> None:
        """Find fields that are not known; their names may be what somebody typed, and are not told."""
        if any(one not in known for one in self.content):
            self.fault("?", "unknown")

    def month(self, name: str) -> int:
        """Return a month as its number."""
        value = self.content.get(name)
        try:
            return month_of(value) if isinstance(value, str) else self._wrong(name, value, "month", FIRST)
        except ValueError:
            return self._wrong(name, value, "month", FIRST)

    def day(self, name: str) -> date:
        """Return a date."""
        value = self.content.get(name)
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        return self._wrong(name, value, "date", STAND_IN)

    def fen(self, name: str) -> int:
        """Return an amount."""
        value = self.content.get(name)
        if type(value) is int and 0 <= value <= FEN_MAX:
            return value
        return self._wrong(name, value, "money_fen", 0)

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self.content.get(name)
        if type(value) is int and least <= value <= most:
            return value
        return self._wrong(name, value, "integer", least, least=least, most=most)

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is absent."""
        value = self.content.get(name, False)
        return value if isinstance(value, bool) else self._wrong(name, value, "boolean", False)

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of the choices."""
        value = self.content.get(name)
        if isinstance(value, str) and value in choices:
            return value
        return self._wrong(name, value, "enum", min(choices))

    def division(self, name: str) -> str:
        """Return a six-digit division."""
        value = self.content.get(name)
        try:
            return str(parse_division(value)) if isinstance(value, str) else self._wrong(name, value, "division", "")
        except InvalidIdentifier:
            return self._wrong(name, value, "division", "")

    def rows(self, name: str, most: int) -> "list[Reading]":
        """Return the rows of a list of objects; none where it is absent."""
        value = self.content.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most or not all(isinstance(one, Mapping) for one in value):
            return self._wrong(name, value, "list", [], most=most)
        return [
            Reading(one, f"{self._at(name)}/{place}", self.faults, self.labels, place)
            for place, one in enumerate(value)
        ]

    def one(self, name: str) -> "Reading":
        """Return an object within this one."""
        value = self.content.get(name)
        if not isinstance(value, Mapping):
            value = self._wrong(name, value, "object", {})
            return Reading(value, self._at(name), [], self.labels)
        return Reading(value, self._at(name), self.faults, self.labels, self.line)

    def fault(self, name: str, rule: str, **bounds: int) -> None:
        """Add a fault of a field."""
        zh, en = (words.format(**bounds) for words in _WORDS[rule])
        label_zh, label_en = self.labels.get(name, ("内容", "the content"))
        line_zh, line_en = line_words(self.line)
        self.faults.append(Fault(self._at(name), rule, f"{line_zh}“{label_zh}”{zh}", f"{line_en}{label_en} {en}"))

    def _wrong(self, name: str, value: Any, rule: str, instead: T, **bounds: int) -> T:
        self.fault(name, "required" if value in (None, "") else rule, **bounds)
        return instead

    def _at(self, name: str) -> str:
        return f"{self.at}/{name}" if self.at else name
