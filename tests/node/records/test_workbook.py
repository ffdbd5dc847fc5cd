"""Workbooks: what a spreadsheet program writes comes in; what was built to hurt is a named refusal (T13)."""

import struct
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import xlsxwriter

from node.records.importing import CellError, ParsedRow, count_rows, read_rows
from node.records.layout import KINDS_ZH, fields_of
from node.simulation.people import people, rows
from node.storage.workbook import MIB
from protocol.messages import RecordKind
from tests.node.records.files import BALANCE, GOOD, HEADER, SHEET, TODAY, a_csv, a_workbook, errors, read, rewritten


def test_a_workbook_with_one_sheet_per_kind_comes_in_unchanged(tmp_path: Path) -> None:
    registry = list(people("442000", 5, 30))
    sheets: dict[str, list[list[Any]]] = {
        (kind.value if place % 2 else KINDS_ZH[kind]): [
            list(fields_of(kind)),
            *(row for one in registry for row in rows(one, kind)),
        ]
        for place, kind in enumerate(RecordKind)
    }
    path = a_workbook(tmp_path / "registry.xlsx", sheets)
    found = read(path)
    assert not [one for one in found if isinstance(one, CellError)]
    assert [(one.kind, one.person.number, one.line) for one in found if isinstance(one, ParsedRow)] == [
        (kind, one.id_number, line) for kind in RecordKind for one in registry for line in one.lines[kind]
    ]
    assert count_rows(path) == len(found)
    only = read(path, RecordKind.VOUCHER)
    assert {one.kind for one in only} == {RecordKind.VOUCHER}


def test_the_order_of_columns_is_free_and_numbers_may_be_number_cells(tmp_path: Path) -> None:
    cells = [1, "442000199003070018", "邓某", 110, 202412, 1917763, 1719648, 198115]
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER[::-1], cells[::-1], [None] * 8]})
    (found,) = read(path)
    assert isinstance(found, ParsedRow)
    assert found.person.id_type == "01"
    assert found.line == dict(zip(HEADER[3:], ["110", "202412", 1917763, 1719648, 198115], strict=True))


def test_a_date_cell_is_a_date(tmp_path: Path) -> None:
    kind = RecordKind.ELIGIBILITY
    days = [datetime(2024, 12, 10), datetime(2025, 12, 10)]
    path = a_workbook(tmp_path / "e.xlsx", {"资格认证": [list(fields_of(kind)), [*GOOD[:4], "SELF", *days]]})
    (found,) = read(path)
    assert isinstance(found, ParsedRow)
    assert found.line["due_on"] == "2025-12-10"


def test_a_formula_cell_is_refused_whatever_value_it_shows(tmp_path: Path) -> None:
    row = [*GOOD[:5], "=1+1", 1719648, 198115]
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, [*GOOD[:5], 1, 1, 0], row]})
    found = read(path)
    assert isinstance(found[0], ParsedRow)
    assert [(one.row, one.column, one.rule) for one in found[1:] if isinstance(one, CellError)] == [
        (3, "balance_fen", "formula")
    ]


def test_an_identity_number_in_a_number_cell_is_refused_for_its_lost_digits(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, ["01", 442000199003070018, *GOOD[2:]]]})
    assert errors(path) == [(2, "id_number", "cell_type")]
    path = a_workbook(tmp_path / "c.xlsx", {"balance": [HEADER, ["05", 12345678, *GOOD[2:]]]})
    assert errors(path) == [(2, "id_number", "cell_type")]


def test_truth_values_fractions_and_times_are_not_amounts(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, [*GOOD[:5], True, 1.5, datetime(2024, 1, 1, 12, 30)]]})
    assert errors(path) == [(2, field, "cell_type") for field in HEADER[5:]]


def test_rows_keep_their_numbers_when_the_sheet_begins_further_down(tmp_path: Path) -> None:
    bad = [*GOOD[:4], "x", *GOOD[5:]]
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [[], [], ["", *HEADER], ["", *GOOD], ["", *bad]]})
    assert [(one.row, one.column) for one in read(path) if isinstance(one, CellError)] == [(5, "until")]


def bomb(path: Path, size: int) -> Path:
    small = a_workbook(path.with_name("small.xlsx"), {"balance": [HEADER, GOOD]})
    with zipfile.ZipFile(small) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for info in (one for one in source.infolist() if one.filename != SHEET):
            target.writestr(info, source.read(info))
        with target.open(SHEET, "w", force_zip64=True) as part:
            part.write(source.read(SHEET).replace(b"</worksheet>", b""))
            for _ in range(size // MIB):
                part.write(b" " * MIB)
            part.write(b"</worksheet>")
    return path


@pytest.mark.threat("T13")
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.xlsx", 100 * MIB)
    assert path.stat().st_size < MIB
    before, started = psutil.Process().memory_info().rss, time.monotonic()
    assert errors(path) == [(0, "", "ratio")]
    assert errors(path, max_unpacked_bytes=50 * MIB) == [(0, "", "unpacked_size")]
    assert count_rows(path) == 0
    assert time.monotonic() - started < 5
    assert psutil.Process().memory_info().rss - before < 16 * MIB


@pytest.mark.threat("T13")
def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.xlsx", 20 * MIB)
    with zipfile.ZipFile(path) as archive:
        true_size = archive.getinfo(SHEET).file_size
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(SHEET.encode()))
    assert struct.unpack_from("<I", content, at + 24) == (true_size,)
    path.write_bytes(content[: at + 24] + struct.pack("<I", 1000) + content[at + 28 :])
    assert errors(path) == [(0, "", "unreadable")]


@pytest.mark.threat("T13")
@pytest.mark.parametrize("rows_declared", [b"10000000", b"999999999999"])
def test_ten_million_declared_rows_are_refused(tmp_path: Path, rows_declared: bytes) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, GOOD]})
    changed = rewritten(path, SHEET, b'<dimension ref="A1:H2"/>', b'<dimension ref="A1:H' + rows_declared + b'"/>')
    assert errors(changed) == [(0, "", "rows")]
    changed = rewritten(path, SHEET, b'<row r="2"', b'<row r="' + rows_declared + b'"')
    assert errors(changed) == [(0, "", "rows")]


@pytest.mark.threat("T13")
def test_two_far_cells_cost_the_child_its_life_and_the_node_nothing(tmp_path: Path) -> None:
    workbook = xlsxwriter.Workbook(tmp_path / "far.xlsx")
    sheet = workbook.add_worksheet("balance")
    sheet.write(0, 0, "id_type")
    sheet.write(1_048_575, 16_383, "x")
    workbook.close()
    before = psutil.Process().memory_info().rss
    assert errors(tmp_path / "far.xlsx")[0][2] in {"resources", "unreadable", "columns"}
    assert psutil.Process().memory_info().rss - before < 16 * MIB


@pytest.mark.threat("T13")
def test_overlapping_double_or_too_many_entries_and_macros_are_refused(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, GOOD]})
    assert errors(path, max_entries=3) == [(0, "", "entries")]
    content = path.read_bytes()
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    offset = content[first + 42 : first + 46]
    (tmp_path / "overlap.xlsx").write_bytes(content[: second + 42] + offset + content[second + 46 :])
    assert errors(tmp_path / "overlap.xlsx") == [(0, "", "entries")]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"x")
    assert errors(path) == [(0, "", "macros")]


@pytest.mark.threat("T13")
def test_a_child_over_its_memory_or_time_is_a_named_refusal(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, *([GOOD] * 20_000)]})
    assert errors(path, memory_bytes=8 * MIB) == [(0, "", "resources")]
    assert errors(path, max_workbook_bytes=1000) == [(0, "", "file_size")]
    assert errors(path, max_rows=100) == [(0, "", "rows")]
    assert errors(path, max_columns=3) == [(0, "", "columns")]
    whole = read(path)
    assert len(whole) == 20_000
    slow = read(bomb(tmp_path / "slow.xlsx", 400 * MIB), max_unpacked_bytes=4000 * MIB, max_ratio=5000, cpu_seconds=1)
    assert [one.rule for one in slow if isinstance(one, CellError)] == ["resources"]


def test_leaving_a_workbook_early_ends_its_child(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, *([GOOD] * 20_000)]})
    before = {one.pid for one in psutil.Process().children()}
    reading = read_rows(path, today=TODAY)
    next(reading)
    (child,) = (one for one in psutil.Process().children() if one.pid not in before)
    reading.close()  # type: ignore[attr-defined]
    assert not child.is_running()


def test_a_workbook_without_a_table_of_the_kind_asked_for_is_one_error(tmp_path: Path) -> None:
    path = a_workbook(tmp_path / "b.xlsx", {"balance": [HEADER, GOOD], "notes": []})
    assert errors(path, RecordKind.VOUCHER) == [(0, "", "no_rows")]
    assert errors(a_workbook(tmp_path / "c.xlsx", {"balance": []})) == [(0, "", "no_rows")]
    assert len(read(path, BALANCE)) == 1
    assert read(a_workbook(tmp_path / "d.xlsx", {"balance": [HEADER]})) == []
    assert read(a_csv(tmp_path / "d.csv")) == []
