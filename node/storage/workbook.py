"""Read an XLSX workbook in a child process that can neither eat the machine nor take the node with it.

A workbook is a zip of XML made by a stranger (threat T13). The child limits itself (address space, processor
time, no files, no core) and then checks, before any parser opens the file:

1. size; entry count; no encryption, no macros, no embedded files, no links to other files, no name twice
2. sum of unpacked sizes; ratio; no overlapping entries (one kernel of bytes used many times)
3. every entry unpacks to exactly what it declares (CRC)
4. declared and real last row of each sheet; which cells hold formulas, which are merged

Only then does calamine parse. The child writes one JSON value per line to its standard output::

    {"sheet": "contributions"}
    {"row": 2, "cells": ["01", "442000199003070018", "邓某", 110, {"bad": "formula"}]}
    {"fault": "ratio"}

It runs as a file, with `-I` and an empty environment, so at import this module needs the standard library
only. Nothing it writes to its error output is kept.
"""

import io
import json
import re
import resource
import subprocess  # nosec B404
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

MIB = 1 << 20
INPUT = "-"
"""in place of a path: the file comes by standard input"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one import file may cost; sizes in bytes, `cpu_seconds` of the child alone."""

    max_csv_bytes: int = 4096 * MIB
    max_line_characters: int = 65_536
    max_workbook_bytes: int = 64 * MIB
    max_entries: int = 200
    max_unpacked_bytes: int = 512 * MIB
    max_ratio: int = 100
    max_rows: int = 1_048_576
    max_columns: int = 64
    max_cell_characters: int = 1_000
    memory_bytes: int = 1024 * MIB
    cpu_seconds: int = 120


FILE_RULES: dict[str, tuple[str, str]] = {
    "file_size": ("文件过大", "the file is too large"),
    "entries": ("压缩包条目过多、重复或重叠", "the archive has too many, double or overlapping entries"),
    "encrypted": ("文件已加密", "the file is encrypted"),
    "macros": ("含有宏或嵌入文件", "the file holds macros or embedded files"),
    "external": ("含有指向其他文件或数据源的链接", "the file links to other files or data sources"),
    "unpacked_size": ("解压后过大，请分批", "too large when unpacked; split it"),
    "ratio": ("压缩率异常", "the compression ratio is not that of a real file"),
    "rows": ("行数过多，请分批", "too many rows; split it"),
    "columns": ("列数过多", "too many columns"),
    "merges": ("合并单元格过多", "too many merged cells"),
    "resources": ("读取超出内存或时间限制，请分批", "reading met its memory or time limit; split it"),
    "unreadable": ("文件已损坏或不是有效的 XLSX", "the file is damaged or not a valid XLSX"),
}
"""What a file as a whole can break, in both languages."""

CELL_RULES: dict[str, tuple[str, str]] = {
    "formula": ("不接受公式，请粘贴为值", "formulas are not taken; paste as values"),
    "merged": ("不接受合并单元格，请拆分", "merged cells are not taken; split them"),
    "cell_type": ("单元格类型不符，请设为文本", "the cell has the wrong type; make it text"),
    "cell_length": ("单元格内容过长", "the cell holds too much text"),
    "row_length": ("此行内容过长", "the row holds too much text"),
}
"""What a cell can break before anybody knows what it should hold."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A cell that cannot be taken, and the rule it breaks."""

    rule: str


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file; `number` as a spreadsheet program counts, from 1."""

    sheet: str
    number: int
    cells: tuple[str | int | Bad | None, ...]


class FileRefused(Exception):
    """The file as a whole cannot be read; `rule` is a key of `FILE_RULES`, or a room's own."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def read_workbook(source: Path | bytes, limits: Limits) -> Iterator[RawRow]:
    """Yield the rows of every sheet, first row included; closing the iterator ends the child.

    `source` is a path, or the bytes of a file that must not lie unencrypted on a disk.

    Raises:
        FileRefused: a check of the module docstring failed, or the child met its limits.
    """
    sheet = ""
    for said in _child(source, limits, "rows"):
        if "sheet" in said:
            sheet = said["sheet"]
            continue
        cells = tuple(Bad(cell["bad"]) if isinstance(cell, dict) else cell for cell in said["cells"])
        yield RawRow(sheet, said["row"], cells)


def count_workbook_rows(path: Path, limits: Limits) -> int:
    """Return the number of rows under the headers, as far as the sheets number their rows.

    Raises:
        FileRefused: as `read_workbook`.
    """
    return sum(said["count"] for said in _child(path, limits, "count"))


def _child(source: Path | bytes, limits: Limits, task: str) -> Iterator[dict[str, Any]]:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > limits.max_workbook_bytes:
        raise FileRefused("file_size")
    given = INPUT if isinstance(source, bytes) else str(source.resolve())
    arguments = [given, task, json.dumps(asdict(limits))]
    # No shell; the program is this interpreter and this file, the arguments are ours.
    with subprocess.Popen(  # noqa: S603  # nosec B603
        [sys.executable, "-I", "-B", str(Path(__file__).resolve()), *arguments],
        stdin=subprocess.PIPE if isinstance(source, bytes) else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    ) as child:
        try:
            if isinstance(source, bytes):
                _hand_over(child, source)
            assert child.stdout is not None  # noqa: S101 (narrows the type: stdout is a pipe)
            pipe = child.stdout
            yield from map(_answer, iter(lambda: pipe.readline(MIB), b""))
            status = child.wait()
        finally:
            child.kill()
    if status != 0:
        raise FileRefused("resources")


def _hand_over(child: subprocess.Popen[bytes], content: bytes) -> None:
    """Write the file to a child that reads all of it before it says anything; one that has died says nothing."""
    assert child.stdin is not None  # noqa: S101 (narrows the type: stdin is a pipe)
    with suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(content)


def _answer(line: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line)
    if "fault" in said:
        raise FileRefused(said["fault"])
    return said


# From here on: the child.

_FORMULA_CELL = re.compile(rb"""<(?:\w+:)?c\b[^<>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["'][^<>]*>\s*<(?:\w+:)?f[\s/>]""")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^<>]*?\br=["']([0-9]{1,12})["']""")
_MERGED = re.compile(
    rb"""<(?:\w+:)?mergeCell\b[^<>]*?\bref=["']([A-Z]{1,3})([0-9]{1,7})(?::([A-Z]{1,3})([0-9]{1,7}))?["']"""
)
_DIMENSION = re.compile(rb"""<(?:\w+:)?dimension\b[^<>]*?\bref=["'][A-Z]+[0-9]+:[A-Z]+([0-9]{1,12})["']""")
_SHEET = re.compile(rb"""<(?:\w+:)?sheet\b[^<>]*?\b\w+:id=["']([^"'<>]+)["']""")
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\b[^<>]*>")
_ATTRIBUTE = re.compile(rb"""\b(Id|Target)=["']([^"'<>]+)["']""")
_OVERLAP_BYTES = 4096
_LOCAL_HEADER_BYTES = 30
_SMALL_BYTES = MIB
_MERGES_MAX = 1_000
_MACROS = ("vbaproject", "/embeddings/", "/macrosheets/", "/activex/")
_EXTERNAL = ("xl/externallinks/", "xl/connections", "xl/querytables/")
_MACRO_TYPE = b"macroenabled"


@dataclass(slots=True)
class _Scan:
    """What the raw XML of one sheet shows: last row, declared last row, formula cells as (row, column), merges."""

    last_row: int = 0
    declared: int = 0
    formulas: set[tuple[int, int]] = field(default_factory=set)
    has_formula: bool = False
    merges: set[tuple[int, int, int, int]] = field(default_factory=set)
    """(first row, last row, first column, last column)"""

    def merged_in(self, row: int) -> list[tuple[int, int]]:
        """Return first and last column of the merges that a row lies in."""
        return [(left, right) for top, bottom, left, right in self.merges if top <= row <= bottom]


def _limit_self(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # A service manager may have set a lower limit, which cannot be raised.
        hard = resource.getrlimit(kind)[1]
        own = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (own, own))


def _check_directory(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Steps 1 and 2: what the directory of the zip says, before a byte is unpacked."""
    names = [entry.filename for entry in entries]
    if len(names) > limits.max_entries or len(set(names)) != len(names):
        raise FileRefused("entries")
    if any(entry.flag_bits & 1 for entry in entries):
        raise FileRefused("encrypted")
    lowered = [name.lower() for name in names]
    if any(part in name for name in lowered for part in _MACROS):
        raise FileRefused("macros")
    if any(name.startswith(_EXTERNAL) for name in lowered):
        raise FileRefused("external")
    unpacked, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if unpacked > limits.max_unpacked_bytes:
        raise FileRefused("unpacked_size")
    if any(_is_bomb(entry.file_size, entry.compress_size, limits) for entry in entries):
        raise FileRefused("ratio")
    if _is_bomb(unpacked, packed, limits):
        raise FileRefused("ratio")
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise FileRefused("entries")
        end = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size


def _is_bomb(unpacked: int, packed: int, limits: Limits) -> bool:
    return unpacked > _SMALL_BYTES and unpacked > packed * limits.max_ratio


def _scan_entry(archive: zipfile.ZipFile, name: str, limits: Limits) -> _Scan:
    """Steps 3 and 4: unpack one entry to its end, and look at rows and formulas on the way."""
    scan, tail = _Scan(), b""
    with archive.open(name) as part:
        while chunk := part.read(MIB):
            text = tail + chunk
            scan.last_row = max([scan.last_row, *(int(found[1]) for found in _ROW.finditer(text))])
            scan.declared = max([scan.declared, *(int(found[1]) for found in _DIMENSION.finditer(text))])
            scan.has_formula = scan.has_formula or _FORMULA.search(text) is not None
            if scan.has_formula:
                scan.formulas.update((int(found[2]), _column(found[1])) for found in _FORMULA_CELL.finditer(text))
            scan.merges.update(_merge(found) for found in _MERGED.finditer(text))
            if len(scan.merges) > _MERGES_MAX:
                raise FileRefused("merges")
            tail = text[-_OVERLAP_BYTES:]
    if max(scan.last_row, scan.declared) > limits.max_rows:
        raise FileRefused("rows")
    return scan


def _merge(found: re.Match[bytes]) -> tuple[int, int, int, int]:
    left, top, right, bottom = found.groups()
    return int(top), int(bottom or top), _column(left), _column(right or left)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _sheet_parts(archive: zipfile.ZipFile) -> list[str]:
    """Return the entry of each sheet, in the order of the workbook."""
    targets = {}
    for relation in _RELATION.findall(archive.read("xl/_rels/workbook.xml.rels")):
        attributes = dict(_ATTRIBUTE.findall(relation))
        targets[attributes.get(b"Id")] = attributes.get(b"Target", b"").decode("ascii", "replace")
    found = [targets.get(one, "") for one in _SHEET.findall(archive.read("xl/workbook.xml"))]
    return [one.lstrip("/") if one.startswith("/") else f"xl/{one}" for one in found]


def _inspect(file: str | io.BytesIO, limits: Limits) -> list[_Scan]:
    """Return one scan per sheet after all checks of the module docstring."""
    with zipfile.ZipFile(file) as archive:
        _check_directory(archive.infolist(), limits)
        if _MACRO_TYPE in archive.read("[Content_Types].xml").lower():
            raise FileRefused("macros")
        scans = {name: _scan_entry(archive, name, limits) for name in archive.namelist()}
        parts = _sheet_parts(archive)
    if not parts or any(part not in scans for part in parts):
        raise FileRefused("unreadable")
    if any(scan.has_formula and not scan.formulas for scan in (scans[part] for part in parts)):
        raise FileRefused("formula")
    return [scans[part] for part in parts]


def _say(**value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")


def _say_rows(file: str | io.BytesIO, scans: list[_Scan], limits: Limits) -> None:
    from python_calamine import load_workbook

    if isinstance(file, io.BytesIO):
        file.seek(0)
    workbook = load_workbook(file)
    for index, name in enumerate(workbook.sheet_names):
        sheet = workbook.get_sheet_by_index(index)
        if sheet.total_height > limits.max_rows:
            raise FileRefused("rows")
        if sheet.total_width > limits.max_columns:
            raise FileRefused("columns")
        _say(sheet=name[:64])
        scan = scans[index] if index < len(scans) else _Scan()
        for number, row in enumerate(sheet.iter_rows(), start=1):
            _say_row(number, _row(number, row, scan, limits.max_cell_characters))


def _say_row(number: int, cells: list[object]) -> None:
    """Say a row in one line that the reader takes whole."""
    line = json.dumps({"row": number, "cells": cells}, ensure_ascii=True)
    if len(line) >= MIB:
        line = json.dumps({"row": number, "cells": [{"bad": "row_length"}]})
    sys.stdout.write(line + "\n")


def _row(number: int, row: Sequence[object], scan: _Scan, length: int) -> list[object]:
    cells = [_cell(value, (number, at) in scan.formulas, length) for at, value in enumerate(row, start=1)]
    for left, right in scan.merged_in(number) if scan.merges else ():
        cells[left - 1 : right] = [{"bad": "merged"}] * len(cells[left - 1 : right])
    return cells


def _cell(value: object, is_formula: bool, length: int) -> object:
    """Return text as text, whole numbers as int, dates as YYYY-MM-DD, empty as None; else what is wrong."""
    if is_formula:
        return {"bad": "formula"}
    if isinstance(value, str):
        return {"bad": "cell_length"} if len(value) > length else value or None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return {"bad": "cell_type"}


def _run(given: str, task: str, limits: Limits) -> None:
    try:
        file = io.BytesIO(sys.stdin.buffer.read(limits.max_workbook_bytes)) if given == INPUT else given
        scans = _inspect(file, limits)
        if task == "count":
            _say(count=sum(max(0, scan.last_row - 1) for scan in scans))
        else:
            _say_rows(file, scans, limits)
    except FileRefused as refused:
        _say(fault=refused.rule)
    except MemoryError:
        _say(fault="resources")
    except Exception:
        # Whatever the parsers throw at a hostile file, its text may quote the file: only the rule leaves.
        _say(fault="unreadable")


if __name__ == "__main__":
    own_limits = Limits(**json.loads(sys.argv[3]))
    _limit_self(own_limits)
    _run(sys.argv[1], sys.argv[2], own_limits)
