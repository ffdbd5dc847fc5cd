"""Makers of import files, good and bad, and readers of what comes of them."""

import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from node.records.importing import CellError, ParsedRow, read_rows
from node.records.layout import fields_of
from node.storage.workbook import Limits
from protocol.messages import RecordKind

TODAY = date(2026, 11, 24)
BALANCE = RecordKind.BALANCE
GOOD = ["01", "442000199003070018", "邓某", "110", "202412", "1917763", "1719648", "198115"]
CANARIES = ("442000199003070019", "金丝雀", "CANARY", "7777777")


def read(path: Path, kind: RecordKind | None = None, **limits: int) -> list[ParsedRow | CellError]:
    return list(read_rows(path, kind, today=TODAY, limits=Limits(**limits)))


def errors(path: Path, kind: RecordKind | None = None, **limits: int) -> list[tuple[int, str, str]]:
    found = read(path, kind, **limits)
    assert all(isinstance(one, CellError) and one.rule_zh and one.rule_en for one in found)
    return [(one.row, one.column, one.rule) for one in found if isinstance(one, CellError)]


def a_csv(path: Path, *lines: list[str], header: list[str] | None = None, encoding: str = "utf-8") -> Path:
    texts = [header or list(fields_of(BALANCE)), *lines]
    path.write_bytes("".join(",".join(one) + "\r\n" for one in texts).encode(encoding))
    return path


def places_of(lines: list[list[Any]]) -> Iterator[tuple[int, int, Any]]:
    for row, cells in enumerate(lines):
        yield from ((row, column, cell) for column, cell in enumerate(cells))


def a_workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    workbook = xlsxwriter.Workbook(path)
    day = workbook.add_format({"num_format": "yyyy-mm-dd"})
    for name, lines in sheets.items():
        sheet = workbook.add_worksheet(name)
        for row, column, cell in places_of(lines):
            if isinstance(cell, str) and cell.startswith("="):
                sheet.write_formula(row, column, cell, None, 7777777)
            elif isinstance(cell, datetime):
                sheet.write_datetime(row, column, cell, day)
            else:
                sheet.write(row, column, cell)
    workbook.close()
    return path


def rewritten(path: Path, entry: str, old: bytes, new: bytes) -> Path:
    """Return a copy of the workbook with bytes of one entry replaced."""
    changed = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == entry:
                assert old in content
                content = content.replace(old, new)
            target.writestr(info.filename, content)
    return changed


SHEET = "xl/worksheets/sheet1.xml"
HEADER = list(fields_of(BALANCE))
