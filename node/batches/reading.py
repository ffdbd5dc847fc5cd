"""From the bytes of a workbook to rows of known columns; what a file, a header or a cell breaks is named by its cell.

The workbook is parsed in a limited child (`node.storage.workbook`). Sheets named 说明 and 选项, which the template
brings, hold no rows. A fault names sheet, cell, field and rule, and *never* a value::

    CellFault(cell="申请!C17", field="person.id_no", rule="check_character", zh="…校验码不正确", en="…is wrong")

A broken header ends the file: every header fault of every sheet is told at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from node.batches.columns import Column, Layout, Path
from node.storage.workbook import CELL_RULES, FILE_RULES, MIB, Bad, FileRefused, Limits, RawRow, read_workbook

LIMITS: Final = Limits(
    max_workbook_bytes=16 * MIB, max_unpacked_bytes=256 * MIB, max_rows=20_002, max_columns=512,
    max_cell_characters=4_000, cpu_seconds=60,
)  # fmt: skip
"""What one batch may cost."""
ROWS_MAX: Final = 20_000
APPLICATIONS: Final = "申请"
INSTRUCTIONS: Final = "说明"
CHOICES: Final = "选项"
SHEET_MAX: Final = 31
FAULTS_MAX: Final = 200
"""header faults that are told at once"""

RULES: Final[dict[str, tuple[str, str]]] = {
    **FILE_RULES,
    **CELL_RULES,
    "file_type": ("应为 XLSX 文件", "must be an XLSX file"),
    "no_rows": ("没有可受理的行", "there is no row to take"),
    "too_many": (f"一批最多 {ROWS_MAX} 行，请分批", f"a batch has at most {ROWS_MAX} rows; split it"),
    "unknown_column": ("不认识的列", "unknown column"),
    "missing_column": ("缺少此列", "this column is missing"),
    "double_column": ("此列出现两次", "this column appears twice"),
    "beyond_columns": ("表头之外还有内容", "there is content beyond the header"),
    "list_length": ("各列的项数应相同", "the columns of this list must have the same number of entries"),
}
"""Rules about files, headers and cells, beside those of the item's fields."""

Cell = str | int | Bad | None


@dataclass(frozen=True, slots=True)
class CellFault:
    """What is wrong where, without the value."""

    cell: str
    field: str
    rule: str
    zh: str
    en: str


class BatchRefused(Exception):
    """The file cannot be taken as a whole; `faults` say why."""

    def __init__(self, faults: Sequence[CellFault]) -> None:
        super().__init__(faults[0].rule)
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its place in the file, its name, and which column stands under which letter."""

    number: int
    name: str
    places: Mapping[Path, int]

    def cell(self, row: int, path: Path) -> str:
        """Return the cell of a field, or the row where the sheet has no such column."""
        place = self.places.get(path)
        return f"{self.name}!{letters(place) if place is not None else ''}{row}"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row as it stands in the file: cells by field, faults of cells that hold no value at all."""

    sheet: Sheet
    number: int
    cells: Mapping[Path, Cell] = field(repr=False)
    beyond: tuple[CellFault, ...] = ()

    @property
    def place(self) -> int:
        """Return where the row stands in the file: sheets one after the other, a million rows each."""
        return self.sheet.number * (1 << 20) + self.number

    @property
    def at(self) -> str:
        """Return sheet and row."""
        return f"{self.sheet.name}!{self.number}"


def read_batch(content: bytes, layout: Layout, limits: Limits = LIMITS) -> list[BatchRow]:
    """Return the rows of a batch, in their order; blocks until the file is read. At most twenty thousand.

    Raises:
        BatchRefused: the file, or the header of one of its sheets; nothing of it can be taken.
    """
    rows: list[BatchRow] = []
    faults: list[CellFault] = []
    try:
        for sheet in _sheets(content, limits):
            found, wrong = _read_sheet(len(rows), sheet, layout)
            rows += found
            faults += wrong
    except FileRefused as refused:
        raise BatchRefused([fault_of("", "", refused.rule)]) from None
    if faults:
        raise BatchRefused(faults[:FAULTS_MAX])
    if not rows:
        raise BatchRefused([fault_of("", "", "no_rows")])
    return rows


def _sheets(content: bytes, limits: Limits) -> Iterator[tuple[int, str, Iterator[RawRow]]]:
    if content[:2] != b"PK":
        raise FileRefused("file_type")
    by_sheet = groupby(read_workbook(content, limits), key=lambda row: row.sheet)
    for number, (name, rows) in enumerate(by_sheet):
        if name.strip() not in (INSTRUCTIONS, CHOICES):
            yield number, name[:SHEET_MAX], rows


def _read_sheet(
    before: int, sheet: tuple[int, str, Iterator[RawRow]], layout: Layout
) -> tuple[list[BatchRow], list[CellFault]]:
    number, name, rows = sheet
    header = next((row for row in rows if _has_content(row)), None)
    if header is None:
        return [], []
    paths = [layout.path_of(cell) if isinstance(cell, str) else None for cell in header.cells]
    faults = list(_header_faults(name, header, paths, layout.columns))
    places = {path: place for place, path in enumerate(paths) if path is not None}
    known = Sheet(number, name, places)
    found = [_row(known, row, paths) for row in rows if _has_content(row)] if not faults else []
    if before + len(found) > ROWS_MAX:
        return [], [fault_of(f"{name}!{found[max(0, ROWS_MAX - before)].number}", "", "too_many")]
    return found, faults


def _header_faults(
    name: str, header: RawRow, paths: Sequence[Path | None], columns: Mapping[Path, Column]
) -> Iterator[CellFault]:
    for place, (cell, path) in enumerate(zip(header.cells, paths, strict=True)):
        at = f"{name}!{letters(place)}{header.number}"
        if isinstance(cell, Bad):
            yield fault_of(at, "", cell.rule)
        elif path is None and cell is not None:
            # The text is not repeated: a file without a header has a person in its first row.
            yield fault_of(at, "", "unknown_column")
        elif path is not None and path in paths[:place]:
            yield fault_of(at, ".".join(path), "double_column")
    for path, column in columns.items():
        if column.required and path not in paths:
            yield fault_of(f"{name}!{header.number}", column.name, "missing_column")


def _has_content(row: RawRow) -> bool:
    return any(not (cell is None or (isinstance(cell, str) and not cell.strip())) for cell in row.cells)


def _row(sheet: Sheet, row: RawRow, paths: Sequence[Path | None]) -> BatchRow:
    cells: dict[Path, Cell] = {}
    beyond = []
    for place, cell in enumerate(row.cells):
        path = paths[place] if place < len(paths) else None
        # A row that is too long stands in the place of its first cell.
        is_whole = isinstance(cell, Bad) and cell.rule == "row_length"
        if path is not None and not is_whole:
            cells[path] = cell
        elif cell is not None:
            at = f"{sheet.name}!{letters(place)}{row.number}"
            beyond.append(fault_of(at, "", "row_length" if is_whole else "beyond_columns"))
    return BatchRow(sheet, row.number, cells, tuple(beyond))


def fault_of(cell: str, field_name: str, rule: str) -> CellFault:
    """Return a fault of a file, header or cell."""
    return CellFault(cell, field_name, rule, *RULES[rule])


def letters(place: int) -> str:
    """Return the letters by which a spreadsheet program names the column at `place`, from 0."""
    found, place = "", place + 1
    while place:
        place, rest = divmod(place - 1, 26)
        found = chr(65 + rest) + found
    return found
