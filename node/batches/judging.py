"""From a row to an application, and from what is wrong with the application back to the cells.

A cell is made what its field must be only where that is sure: a whole number of a number cell, `是` for true, a choice
by its code or its name. Everything else goes on as it stands, and the checks of one case say what is wrong with it: a
batch has no rules of its own about content. Numbers of documents, accounts and telephones in number cells are
refused, for a spreadsheet program has taken their leading zeros and last digits.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from node.batches.columns import MATERIAL, TO, Column, Layout, Path
from node.batches.reading import BatchRow, Cell, CellFault, fault_of
from node.storage.workbook import Bad
from protocol.catalogue import Rule
from protocol.errors import AttachmentMissing, InvalidBody, MemberSuspended, NotAMember, Refusal

_SEPARATOR: Final = re.compile("[;；]")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_HARMLESS: Final = re.compile(r"[+-][0-9][0-9+() -]*")
_FORMULA_STARTS: Final = ("=", "+", "-", "@")
_SPACES: Final = " \u3000\r\n"
_TRUE: Final = frozenset({"是", "true", "yes"})
_FALSE: Final = frozenset({"否", "false", "no"})
_FROM_NUMBERS: Final = frozenset({"integer", "money_fen", "enum", "month", "division"})
"""Types that a number cell can hold without loss."""


@dataclass(slots=True)
class Filled:
    """An application made of a row, and what was wrong with cells before anybody looked at content."""

    row: BatchRow
    to: str
    application: dict[str, Any] = field(default_factory=dict, repr=False)
    faults: dict[Path, CellFault] = field(default_factory=dict)
    materials: list[str] = field(default_factory=list)
    """codes in the order in which the application lists them"""


def fill(row: BatchRow, layout: Layout) -> Filled:
    """Return the application that a row holds."""
    filled = Filled(row, "")
    values = {path: _read(filled, column, row.cells.get(path)) for path, column in layout.columns.items()}
    to = values[TO]
    filled.to = to if isinstance(to, str) else ""
    for rule in layout.item.application:
        found = _materials(layout, values, filled) if rule.name == MATERIAL else _build(rule, (), values, filled)
        if found is not None:
            filled.application[rule.name] = found
    return filled


def faults_at_cells(layout: Layout, filled: Filled, faults: Sequence[Mapping[str, str]]) -> list[CellFault]:
    """Return faults of an application by their cells; a cell that could not be read is told about once.

    Args:
        faults: `at`, `rule`, `zh`, `en`, as the checks of a case name them.
    """
    found = [*filled.row.beyond, *filled.faults.values()]
    taken = set(filled.faults)
    for one in faults:
        path = _path_of(layout, filled, one["at"])
        # What could not be read counts as absent for the checks: that it is missing would be the second fault.
        if not (path in taken and one["rule"] in ("required", "material", "count")):
            cell = filled.row.sheet.cell(filled.row.number, path)
            found.append(CellFault(cell, ".".join(path), one["rule"], one["zh"], one["en"]))
    return list(dict.fromkeys(found))


def _path_of(layout: Layout, filled: Filled, at: str) -> Path:
    """Return the column that a place in an application belongs to: lists lose numbers, materials get their codes."""
    parts = at.split("/") if at else []
    columns = layout.columns
    if parts[:1] == [MATERIAL] and len(parts) > 1:
        code = filled.materials[int(parts[1])] if parts[1].isdigit() else parts[1]
        path: Path = (MATERIAL, code, *(parts[2:] or ["form"]))
    else:
        path = tuple(one for one in parts if not one.isdigit())
    if path in columns:
        return path
    return next((one for one in columns if one[: len(path)] == path and path), path)


def _read(filled: Filled, column: Column, cell: Cell) -> Any:
    """Return the value of a cell, a list of values for a listed column, None for an empty one."""
    text = cell.strip(_SPACES) if isinstance(cell, str) else cell
    if isinstance(text, str) and text.startswith(_FORMULA_STARTS) and not _HARMLESS.fullmatch(text):
        text = Bad("formula")
    if isinstance(text, int) and column.rule.type not in _FROM_NUMBERS:
        text = Bad("cell_type")
    if isinstance(text, Bad):
        _blame(filled, column.path, text.rule)
        return None
    if text is None or text == "":
        return None
    if not column.is_listed:
        return _value(column.rule, text)
    parts = [one.strip(_SPACES) for one in _SEPARATOR.split(str(text))]
    return [_value(column.rule, one) if one else None for one in parts]


def _blame(filled: Filled, path: Path, rule: str) -> None:
    filled.faults[path] = fault_of(filled.row.sheet.cell(filled.row.number, path), ".".join(path), rule)


def _value(rule: Rule, text: str | int) -> Any:
    if rule.type in ("integer", "money_fen"):
        return int(text) if isinstance(text, int) or _WHOLE.fullmatch(text) else text
    if rule.type == "enum":
        return _choice(rule, text)
    if rule.type == "boolean" and isinstance(text, str):
        return True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
    return str(text)


def _choice(rule: Rule, text: str | int) -> str:
    """Return a choice that is named by its code, its name, or both as the template writes them."""
    # Spreadsheet programs make 1 of 01.
    numbered = [one.value for one in rule.choices if one.value.isdigit() and str(int(one.value)) == str(text)]
    named = [one.value for one in rule.choices if str(text) in (one.value, one.zh, one.en, f"{one.value} {one.zh}")]
    found = dict.fromkeys(named or numbered)
    return next(iter(found)) if len(found) == 1 else str(text)


def _build(rule: Rule, above: Path, values: Mapping[Path, Any], filled: Filled) -> Any:
    path = (*above, rule.name)
    if path in values:
        found = values[path]
        return [one for one in found if one is not None] if isinstance(found, list) else found
    if rule.of is not None:
        return _entries(rule.of, path, values, filled) if rule.of.type == "object" else None
    made = {one.name: _build(one, path, values, filled) for one in rule.fields}
    made = {name: one for name, one in made.items() if one is not None}
    # An empty object within stands there for its faults only: it makes nothing of an object that nobody began.
    return made if rule.required or any(one != {} for one in made.values()) else None


def _entries(rule: Rule, path: Path, values: Mapping[Path, Any], filled: Filled) -> list[Any] | None:
    """Return the entries of a list of objects: the first values of all its columns, the second ones, and so on."""
    columns = {one: found for one, found in values.items() if one[: len(path)] == path and isinstance(found, list)}
    if not columns:
        return None
    most = max(len(found) for found in columns.values())
    for one, found in columns.items():
        if len(found) != most:
            _blame(filled, one, "list_length")
    return [_entry(rule, path, columns, number) for number in range(most)]


def _entry(rule: Rule, path: Path, columns: Mapping[Path, list[Any]], number: int) -> dict[str, Any]:
    return dict(_members(rule, path, columns, number))


def _members(rule: Rule, path: Path, columns: Mapping[Path, list[Any]], number: int) -> Iterator[tuple[str, Any]]:
    for one in rule.fields:
        own = (*path, one.name)
        if one.type == "object":
            made = _entry(one, own, columns, number)
            if made or one.required:
                yield one.name, made
        elif number < len(columns.get(own, ())) and columns[own][number] is not None:
            yield one.name, columns[own][number]


def _materials(layout: Layout, values: Mapping[Path, Any], filled: Filled) -> list[dict[str, Any]] | None:
    found = []
    for code, name in layout.materials.items():
        given = {path[2]: value for path, value in values.items() if path[:2] == (MATERIAL, code) and value is not None}
        if given:
            filled.materials.append(code)
            found.append({"material_code": code, "name": name, **given})
    return found or None


def faults_of_refusal(filled: Filled, refusal: Refusal) -> list[dict[str, str]]:
    """Return a refusal of a whole row as faults by place; its texts are safe to show."""
    if isinstance(refusal, InvalidBody) and refusal.facts.get("fields"):
        return list(refusal.facts["fields"])
    if isinstance(refusal, AttachmentMissing):
        missing = {f"sha256:{one}" for one in refusal.facts.get("digests", ())}
        places = list(_places(filled.application, missing, "")) or [""]
        return [_refused(refusal, at) for at in places]
    is_about_city = isinstance(refusal, NotAMember | MemberSuspended)
    if is_about_city and not filled.to:
        return [{"at": "to", "rule": "required", "zh": "“责任城市”不能为空", "en": "责任城市 must not be empty"}]
    return [_refused(refusal, "to" if is_about_city else "")]


def _refused(refusal: Refusal, at: str) -> dict[str, str]:
    return {"at": at, "rule": refusal.slug, "zh": refusal.title_zh, "en": refusal.title_en}


def _places(content: Any, wanted: set[str], at: str) -> Iterator[str]:
    """Yield the places of an application whose text is one of those wanted."""
    if isinstance(content, str) and content in wanted:
        yield at
    members = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in members:
        yield from _places(value, wanted, f"{at}/{name}" if at else str(name))
