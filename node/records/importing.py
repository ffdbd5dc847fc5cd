"""Parse a registry file into typed rows and per-cell errors; no database here.

A file is CSV (UTF-8 with or without BOM, or GB 18030) with one record kind, or XLSX with one sheet per kind;
`layout.py` says which columns. CSV is streamed: memory does not grow with the file. XLSX is parsed in a
limited child (`workbook.py`). What a row, a header or a file breaks is yielded as `CellError`, which names
sheet, row, column and rule and *never* a value: an import report may be shown, sent and logged::

    CellError(kind=RecordKind.BALANCE, row=17, column="id_number", rule="check_character",
              rule_zh="校验码不正确", rule_en="the check character is wrong")

Row 1 is the header; row 0 is the file or sheet as a whole. A column that the layout does not know is named by its
letter. A row with any error yields its errors and no `ParsedRow`. Empty rows are skipped.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from node.records.layout import (
    Column,
    columns_of,
    field_of_header,
    fields_of,
    kind_of_fields,
    kind_of_sheet,
)
from node.storage.workbook import (
    CELL_RULES,
    FILE_RULES,
    MIB,
    Bad,
    FileRefused,
    Limits,
    RawRow,
    count_workbook_rows,
    read_workbook,
)
from protocol.identifiers import REASONS, InvalidIdentifier, PersonId, normalise_name, parse_person_id
from protocol.messages import LINES, RecordKind

Cell = str | int | Bad | None

RULES: dict[str, tuple[str, str]] = {
    **FILE_RULES,
    **CELL_RULES,
    "file_type": ("应为 CSV 或 XLSX 文件", "must be a CSV or XLSX file"),
    "encoding": ("编码应为 UTF-8 或 GB 18030", "must be encoded as UTF-8 or GB 18030"),
    "csv": ("CSV 引号或分隔有误", "the quoting of the CSV is broken"),
    "line_length": ("一行过长", "a line is too long"),
    "no_rows": ("没有可读的表", "there is no table to read"),
    "unpacked_size": ("解压后过大，请分批或改用 CSV", "too large when unpacked; split it or use CSV"),
    "rows": ("行数过多，请分批或改用 CSV", "too many rows; split it or use CSV"),
    "resources": (
        "读取超出内存或时间限制，请分批或改用 CSV",
        "reading met its memory or time limit; split it or use CSV",
    ),
    "kind": ("无法判断记录种类", "the record kind cannot be told"),
    "unknown_column": ("不认识的列", "unknown column"),
    "missing_column": ("缺少此列", "this column is missing"),
    "double_column": ("此列出现两次", "this column appears twice"),
    "beyond_columns": ("表头之外还有内容", "there is content beyond the header"),
    "order": ("早于开始", "lies before the beginning"),
    "months": ("月数多于起止年月", "more months than the span holds"),
}
"""Rules about files, headers and rows, beside those of `identifiers.REASONS` and of each column."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_ORDERED = (("started", "ended"), ("issued_on", "valid_until"), ("certified_on", "due_on"))


@dataclass(frozen=True, slots=True)
class CellError:
    """What is wrong where, without the value; `rule` is a slug, `kind` None when the sheet is not known."""

    kind: RecordKind | None
    row: int
    column: str
    rule: str
    rule_zh: str
    rule_en: str


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """One line of one person; `line` is valid against the model of `kind`, without empty fields."""

    kind: RecordKind
    row: int
    person: PersonId
    name: str
    line: dict[str, Any]


def read_rows(
    path: Path, kind: RecordKind | None = None, *, today: date, limits: Limits | None = None
) -> Iterator[ParsedRow | CellError]:
    """Yield every row of the file, or what is wrong with it.

    `kind` None: told by the name of the sheet, else by the header. With a `kind`, sheets named after another
    kind are passed over. Cost: about 20 microseconds per row of CSV.

    Raises:
        OSError: the file cannot be opened or read.
    """
    found = False
    try:
        raw = _raw_rows(path, limits or Limits())
        for sheet, rows in groupby(raw, key=lambda row: row.sheet):
            told = kind_of_sheet(sheet)
            if kind is not None and told not in (None, kind):
                continue
            table = iter(rows)
            header = next((row for row in table if _has_content(row)), None)
            if header is not None:
                found = True
                yield from _read_table(header, table, kind or told, today)
    except FileRefused as refused:
        yield _error(kind, 0, "", refused.rule)
        return
    if not found:
        yield _error(kind, 0, "", "no_rows")


def count_rows(path: Path, *, limits: Limits | None = None) -> int:
    """Return about how many rows `read_rows` will meet, for a progress bar; 0 when the file is refused.

    Raises:
        OSError: the file cannot be opened or read.
    """
    if _starts_with(path, b"PK"):
        try:
            return count_workbook_rows(path, limits or Limits())
        except FileRefused:
            return 0
    with path.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(MIB), b""))
    return max(0, lines - 1)


def _raw_rows(path: Path, limits: Limits) -> Iterator[RawRow]:
    """Yield rows of either file type; the type is told by the content, not by the name."""
    if _starts_with(path, b"PK"):
        yield from read_workbook(path, limits)
    elif _starts_with(path, b"\xd0\xcf\x11\xe0"):
        raise FileRefused("file_type")
    else:
        yield from _read_csv(path, limits)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _read_csv(path: Path, limits: Limits) -> Iterator[RawRow]:
    if path.stat().st_size > limits.max_csv_bytes:
        raise FileRefused("file_size")
    with path.open(encoding=_encoding_of(path), newline="") as file:
        lines = csv.reader(_lines(file, limits.max_line_characters), strict=True)
        try:
            for number, cells in enumerate(lines, start=1):
                yield RawRow("", number, tuple(cell or None for cell in cells))
        except csv.Error:
            raise FileRefused("csv") from None


def _lines(file: TextIO, limit: int) -> Iterator[str]:
    while line := file.readline(limit + 1):
        if len(line) > limit:
            raise FileRefused("line_length")
        yield line


def _encoding_of(path: Path) -> str:
    """Return the first encoding in which the whole file is valid. UTF-8 text is hardly ever anything else."""
    for encoding in ("utf-8-sig", "gb18030"):
        if _is_valid(path, encoding):
            return encoding
    raise FileRefused("encoding")


def _is_valid(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            for chunk in iter(lambda: file.read(MIB), b""):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _read_table(
    header: RawRow, rows: Iterator[RawRow], kind: RecordKind | None, today: date
) -> Iterator[ParsedRow | CellError]:
    """Read one sheet: the header, then each row under it. A broken header ends the sheet."""
    fields = [field_of_header(cell) if isinstance(cell, str) else None for cell in header.cells]
    kind = kind or kind_of_fields({field for field in fields if field})
    if kind is None:
        yield _error(None, header.number, "", "kind")
        return
    faults = list(_header_faults(kind, header, fields))
    yield from faults
    if faults:
        return
    columns = columns_of(kind)
    for row in rows:
        if _has_content(row):
            yield from _read_row(kind, row, fields, columns, today)


def _has_content(row: RawRow) -> bool:
    return any(not (cell is None or (isinstance(cell, str) and not cell.strip())) for cell in row.cells)


def _header_faults(kind: RecordKind, header: RawRow, fields: list[str | None]) -> Iterator[CellError]:
    wanted = fields_of(kind)
    for place, (cell, field) in enumerate(zip(header.cells, fields, strict=True)):
        if cell is None and field is None:
            continue
        if field not in wanted:
            # The text is not repeated: a file without a header has a person in its first row.
            yield _error(kind, header.number, _letters(place), "unknown_column")
        elif field in fields[:place]:
            yield _error(kind, header.number, field, "double_column")
    for field in wanted:
        if field not in fields:
            yield _error(kind, header.number, field, "missing_column")


def _letters(place: int) -> str:
    """Return the letters by which a spreadsheet program names the column at `place`, from 0."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _read_row(
    kind: RecordKind, row: RawRow, fields: list[str | None], columns: dict[str, Column], today: date
) -> Iterator[ParsedRow | CellError]:
    cells: dict[str, Cell] = {field: _tidy(cell) for field, cell in zip(fields, row.cells, strict=False) if field}
    faults = [
        _error(kind, row.number, _letters(place), "beyond_columns")
        for place, cell in enumerate(row.cells)
        if cell is not None and (place >= len(fields) or fields[place] is None)
    ]
    refused = {field: cell.rule for field, cell in cells.items() if isinstance(cell, Bad)}
    faults += [_error(kind, row.number, field, rule) for field, rule in refused.items()]
    person = name = None
    if "id_type" not in refused and "id_number" not in refused:
        person = _person(kind, row.number, cells, today, faults)
    if "name" not in refused:
        name = _name(kind, row.number, cells, faults)
    line = _line(kind, row.number, cells, columns, faults)
    if faults or person is None or name is None or line is None:
        yield from faults
    else:
        yield ParsedRow(kind, row.number, person, name, line)


def _tidy(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = cell.strip(" \u3000\r\n")
    if text.startswith(_FORMULA_STARTS) and not _INTEGER.fullmatch(text):
        return Bad("formula")
    return text or None


def _person(
    kind: RecordKind, row: int, cells: dict[str, Cell], today: date, faults: list[CellError]
) -> PersonId | None:
    # Spreadsheet programs make 1 of 01; the number itself must not have gone through one: digits get lost.
    id_type, number = str(cells.get("id_type") or "").zfill(2), cells.get("id_number")
    if isinstance(number, int):
        faults.append(_error(kind, row, "id_number", "cell_type"))
        return None
    try:
        return parse_person_id(id_type, str(number or ""), today=today)
    except InvalidIdentifier as invalid:
        column = "id_type" if invalid.reason == "id_type" else "id_number"
        faults.append(_error(kind, row, column, invalid.reason))
        return None


def _name(kind: RecordKind, row: int, cells: dict[str, Cell], faults: list[CellError]) -> str | None:
    name = cells.get("name")
    try:
        return normalise_name(str(name or ""))
    except InvalidIdentifier as invalid:
        faults.append(_error(kind, row, "name", invalid.reason))
        return None


def _line(
    kind: RecordKind, row: int, cells: dict[str, Cell], columns: dict[str, Column], faults: list[CellError]
) -> dict[str, Any] | None:
    values = {field: _value(column, cells.get(field)) for field, column in columns.items()}
    given = {field: value for field, value in values.items() if value is not None}
    try:
        LINES[kind].model_validate(given)
    except ValidationError as fault:
        faulty = {str(one["loc"][0]) for one in fault.errors(include_url=False, include_input=False)}
        for field in (field for field in columns if field in faulty and not isinstance(cells.get(field), Bad)):
            rule = "value" if field in given else "empty"
            faults.append(_error(kind, row, field, rule, columns[field]))
        return None
    faults += [_error(kind, row, field, rule) for field, rule in _contradictions(given)]
    return given


def _value(column: Column, cell: Cell) -> Any:
    if isinstance(cell, str) and column.is_integer and _INTEGER.fullmatch(cell):
        return int(cell)
    if isinstance(cell, int) and not column.is_integer:
        return str(cell)
    return cell


def _contradictions(line: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for first, last in _ORDERED:
        if first in line and last in line and line[last] < line[first]:
            yield last, "order"
            return
    if "months" in line:
        span = _month_number(line["ended"]) - _month_number(line["started"]) + 1
        if line["months"] > span:
            yield "months", "months"


def _month_number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[4:])


def _error(kind: RecordKind | None, row: int, column: str, rule: str, expects: Column | None = None) -> CellError:
    if rule == "value" and expects is not None:
        return CellError(kind, row, column, rule, expects.expects_zh, expects.expects_en)
    zh, en = RULES.get(rule) or REASONS[rule]
    return CellError(kind, row, column, rule, zh, en)
