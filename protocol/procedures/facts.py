"""What an event says: the fields of its row, checked before anything is signed and again where it arrives.

An `answer` is checked against the item of the catalogue, by a function that the caller gives. Faults name the field
and the rule in both languages, never the value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from protocol.identifiers import InvalidIdentifier, parse_member_id
from protocol.procedures.pack import EventField

TEXT_MAX: Final = 4_000
LINE_MAX: Final = 200
LINES_MAX: Final = 40
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME: Final = re.compile(r"[A-Z][0-9A-Z_-]{0,39}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: place, rule, and a sentence in each language."""

    at: str
    rule: str
    zh: str
    en: str


_UNKNOWN: Final = Fault("?", "unknown", "有不认识的字段", "there is an unknown field")
Check = Callable[[Any], Sequence[Fault]]


def check_data(fields: Sequence[EventField], data: Mapping[str, Any], checks: Mapping[str, Check]) -> list[Fault]:
    """Return what is wrong with an event's data; `checks` judge the types that the catalogue knows."""
    known = {one.name: one for one in fields}
    faults = [
        Fault("?", "unknown", "有不认识的字段", "there is an unknown field") for name in data if name not in known
    ]
    for name, told in known.items():
        if data.get(name) in (None, "", []):
            if told.required:
                faults.append(Fault(name, "required", f"“{told.zh}”不能为空", f"{told.en} must not be empty"))
            continue
        if told.type in checks:
            faults += checks[told.type](data[name])
        elif not _FORMS[told.type](data[name], told):
            faults.append(Fault(name, told.type, f"“{told.zh}”{_ZH[told.type]}", f"{told.en} {_EN[told.type]}"))
    return faults


def _is_text(value: Any, limit: int = TEXT_MAX) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= limit and not _CONTROL.search(value)


def _is_date(value: Any) -> bool:
    # `fromisoformat` alone takes weeks, too.
    try:
        return isinstance(value, str) and bool(_DATE.fullmatch(value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_division(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(parse_member_id(value))
    except InvalidIdentifier:
        return False


_FORMS: Final[dict[str, Callable[[Any, EventField], bool]]] = {
    "text": lambda value, _told: _is_text(value),
    "lines": lambda value, _told: (
        isinstance(value, list) and len(value) <= LINES_MAX and all(_is_text(one, LINE_MAX) for one in value)
    ),
    "date": lambda value, _told: _is_date(value),
    "choice": lambda value, told: isinstance(value, str) and value in told.choices,
    "division": lambda value, _told: _is_division(value),
    "answer": lambda value, _told: isinstance(value, dict),
    "materials": lambda value, _told: isinstance(value, list) and len(value) <= LINES_MAX,
    "fen": lambda value, _told: type(value) is int and 0 <= value < 2**63,
    "name": lambda value, _told: isinstance(value, str) and bool(_NAME.fullmatch(value)),
}
_ZH: Final = {
    "text": "应为 1 至 4000 个字",
    "lines": "应为 1 至 40 行，每行不超过 200 字",
    "date": "应为 年-月-日",
    "choice": "应为所列选项之一",
    "division": "应为六位行政区划代码",
    "answer": "应为答复内容",
    "materials": "应为材料清单",
    "fen": "应为以分为单位的整数",
    "name": "应为编号或代码",
}
_EN: Final = {
    "text": "has 1 to 4000 characters",
    "lines": "has 1 to 40 lines of at most 200 characters",
    "date": "is a date, YYYY-MM-DD",
    "choice": "is one of the choices",
    "division": "is a six-digit division",
    "answer": "is an answer",
    "materials": "is a list of materials",
    "fen": "is an amount in whole fen",
    "name": "is a number or code",
}
