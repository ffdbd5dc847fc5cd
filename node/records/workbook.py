"""Read an XLSX workbook in a child process that can neither eat the machine nor take the node with it.

A workbook is a zip of XML made by a stranger (threat T13). The child limits itself (address space, processor
time, no files, no core) and then checks, before any parser opens the file:

1. size; entry count; no encryption, no macros, no embedded files, no name twice
2. sum of unpacked sizes; ratio; no overlapping entries (one kernel of bytes used many times)
3. every entry unpacks to exactly what it declares (CRC)
4. declared and real last row of each sheet; which cells hold formulas

Only then does calamine parse. The child writes one JSON value per line to its standard output::

    {"sheet": "contributions"}
    {"row": 2, "cells": ["01", "442000199003070018", "邓某", 110, {"bad": "formula"}]}
    {"fault": "ratio"}

It runs as a file, with `-I` and an empty environment, so at import this module needs the standard library
only. Nothing it writes to its error output is kept.
"""

import json
import re
import resource
import subprocess  # nosec B404
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

MIB = 1 << 20


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
    memory_bytes: int = 1024 * MIB
    cpu_seconds: int = 120


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
    """The file as a whole cannot be read; `rule` is a key of `importing.RULES`."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def read_workbook(path: Path, limits: Limits) -> Iterator[RawRow]:
    """Yield the rows of every sheet, first row included; closing the iterator ends the child.

    Raises:
        FileRefused: a check of the module docstring failed, or the child met its limits.
    """
    sheet = ""
    for said in _child(path, limits, "rows"):
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


def _child(path: Path, limits: Limits, task: str) -> Iterator[dict[str, Any]]:
    if path.stat().st_size > limits.max_workbook_bytes:
        raise FileRefused("file_size")
    arguments = [str(path.resolve()), task, json.dumps(asdict(limits))]
    # No shell; the program is this interpreter and this file, the arguments are ours.
    with subprocess.Popen(  # noqa: S603  # nosec B603
        [sys.executable, "-I", "-B", str(Path(__file__).resolve()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    ) as child:
        assert child.stdout is not None  # noqa: S101 (narrows the type: stdout is a pipe)
        pipe = child.stdout
        try:
            yield from map(_answer, iter(lambda: pipe.readline(MIB), b""))
            status = child.wait()
        finally:
            child.kill()
    if status != 0:
        raise FileRefused("resources")


def _answer(line: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line)
    if "fault" in said:
        raise FileRefused(said["fault"])
    return said


# From here on: the child.

_FORMULA_CELL = re.compile(rb"""<(?:\w+:)?c\b[^<>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["'][^<>]*>\s*<(?:\w+:)?f[\s/>]""")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^<>]*?\br=["']([0-9]{1,12})["']""")
_DIMENSION = re.compile(rb"""<(?:\w+:)?dimension\b[^<>]*?\bref=["'][A-Z]+[0-9]+:[A-Z]+([0-9]{1,12})["']""")
_SHEET = re.compile(rb"""<(?:\w+:)?sheet\b[^<>]*?\b\w+:id=["']([^"'<>]+)["']""")
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\b[^<>]*>")
_ATTRIBUTE = re.compile(rb"""\b(Id|Target)=["']([^"'<>]+)["']""")
_OVERLAP_BYTES = 4096
_LOCAL_HEADER_BYTES = 30
_SMALL_BYTES = MIB


@dataclass(slots=True)
class _Scan:
    """What the raw XML of one sheet shows: last row, declared last row, formula cells as (row, column)."""

    last_row: int = 0
    declared: int = 0
    formulas: set[tuple[int, int]] = field(default_factory=set)
    has_formula: bool = False


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
    if any("vbaproject" in name.lower() or "/embeddings/" in name.lower() for name in names):
        raise FileRefused("macros")
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
            tail = text[-_OVERLAP_BYTES:]
    if max(scan.last_row, scan.declared) > limits.max_rows:
        raise FileRefused("rows")
    return scan


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


def _inspect(path: str, limits: Limits) -> list[_Scan]:
    """Return one scan per sheet after all checks of the module docstring."""
    with zipfile.ZipFile(path) as archive:
        _check_directory(archive.infolist(), limits)
        scans = {name: _scan_entry(archive, name, limits) for name in archive.namelist()}
        parts = _sheet_parts(archive)
    if not parts or any(part not in scans for part in parts):
        raise FileRefused("unreadable")
    if any(scan.has_formula and not scan.formulas for scan in (scans[part] for part in parts)):
        raise FileRefused("formula")
    return [scans[part] for part in parts]


def _say(**value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")


def _say_rows(path: str, scans: list[_Scan], limits: Limits) -> None:
    from python_calamine import load_workbook

    workbook = load_workbook(path)
    for index, name in enumerate(workbook.sheet_names):
        sheet = workbook.get_sheet_by_index(index)
        if sheet.total_height > limits.max_rows:
            raise FileRefused("rows")
        if sheet.total_width > limits.max_columns:
            raise FileRefused("columns")
        _say(sheet=name[:64])
        formulas = scans[index].formulas if index < len(scans) else set()
        for number, row in enumerate(sheet.iter_rows(), start=1):
            _say(row=number, cells=[_cell(value, (number, at) in formulas) for at, value in enumerate(row, start=1)])


def _cell(value: object, is_formula: bool) -> object:
    """Return text as text, whole numbers as int, dates as YYYY-MM-DD, empty as None; else what is wrong."""
    if is_formula:
        return {"bad": "formula"}
    if isinstance(value, str):
        return value[:1000] or None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return {"bad": "cell_type"}


def _run(path: str, task: str, limits: Limits) -> None:
    try:
        scans = _inspect(path, limits)
        if task == "count":
            _say(count=sum(max(0, scan.last_row - 1) for scan in scans))
        else:
            _say_rows(path, scans, limits)
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
