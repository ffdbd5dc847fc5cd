"""Registry files: every kind comes in, every fault is named by place and rule, no value is ever repeated."""

import csv
import tempfile
from itertools import islice
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.records.importing import RULES, CellError, ParsedRow, count_rows, read_rows
from node.records.layout import HEADERS_ZH, KINDS_ZH, field_of_header, fields_of, kind_of_sheet
from node.simulation.people import people, write_csv
from node.storage.workbook import MIB
from protocol.identifiers import REASONS
from protocol.messages import LINES, RecordKind
from tests.node.records.files import (
    BALANCE,
    CANARIES,
    GOOD,
    HEADER,
    TODAY,
    a_csv,
    a_workbook,
    errors,
    read,
)


@pytest.mark.parametrize("kind", list(RecordKind))
def test_what_the_simulation_writes_comes_in_unchanged(tmp_path: Path, kind: RecordKind) -> None:
    registry = list(people("442000", 5, 60))
    path = write_csv(tmp_path, registry)[kind]
    expected = [(one.id_number, one.name, line) for one in registry for line in one.lines[kind]]
    found = [(one.person.number, one.name, one.line) for one in read(path) if isinstance(one, ParsedRow)]
    assert found == expected != []
    assert count_rows(path) == len(expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_headers_and_rare_names_come_in_under_each_encoding(tmp_path: Path, encoding: str) -> None:
    header = [HEADERS_ZH[field] for field in HEADER]
    row = [*GOOD[:2], "阿依古丽•𠮷", *GOOD[3:]]
    path = a_csv(tmp_path / "b.csv", row, header=header, encoding=encoding)
    (found,) = read(path)
    assert isinstance(found, ParsedRow)
    assert found.name == "阿依古丽·𠮷"
    assert found.line["balance_fen"] == 1917763
    assert (found.kind, found.row) == (BALANCE, 2)


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("id_type", "09", "id_type"),
        ("id_type", "", "id_type"),
        ("id_number", "442000199003070019", "check_character"),
        ("id_number", "", "empty"),
        ("id_number", "44200019900230001X", "birth_date"),
        ("name", "", "empty"),
        ("name", "邓\u200b某", "character"),
        ("name", "=1+1", "formula"),
        ("name", "@x", "formula"),
        ("insurance", "999", "value"),
        ("until", "202413", "value"),
        ("balance_fen", "12.5", "value"),
        ("balance_fen", "1e5", "value"),
        ("balance_fen", "9999999999999999999", "value"),
        ("balance_fen", "", "empty"),
        ("interest_fen", "＝", "value"),
    ],
)
def test_a_faulty_cell_is_named_by_row_and_column(tmp_path: Path, column: str, text: str, rule: str) -> None:
    row = [text if field == column else cell for field, cell in zip(HEADER, GOOD, strict=True)]
    path = a_csv(tmp_path / "b.csv", GOOD, row, GOOD)
    found = read(path)
    assert [type(one) for one in found] == [ParsedRow, CellError, ParsedRow]
    assert isinstance(found[1], CellError)
    assert (found[1].kind, found[1].row, found[1].column, found[1].rule) == (BALANCE, 3, column, rule)


def test_every_fault_of_a_row_is_told_at_once(tmp_path: Path) -> None:
    path = a_csv(tmp_path / "b.csv", ["01", CANARIES[0], "", "9", "2", "x", "1", "1", "over"])
    assert {column for _, column, _ in errors(path)} == {
        "id_number",
        "name",
        "insurance",
        "until",
        "balance_fen",
        "I",
    }


@pytest.mark.parametrize(
    ("changes", "column", "rule"),
    [
        ({"started": "202402", "ended": "202401"}, "ended", "order"),
        ({"started": "202401", "ended": "202412", "months": "13"}, "months", "months"),
    ],
)
def test_lines_that_contradict_themselves_are_refused(
    tmp_path: Path, changes: dict[str, str], column: str, rule: str
) -> None:
    kind = RecordKind.CONTRIBUTIONS
    good = dict(zip(fields_of(kind), [*GOOD[:4], "NORMAL", "202401", "202412", "12", "1", "1", "1"], strict=True))
    path = a_csv(tmp_path / "c.csv", list((good | changes).values()), list(good.values()), header=list(good))
    first, second = read(path)
    assert isinstance(first, CellError)
    assert isinstance(second, ParsedRow)
    assert (first.row, first.column, first.rule) == (2, column, rule)


def test_an_optional_cell_may_be_empty_but_its_column_must_be_there(tmp_path: Path) -> None:
    kind = RecordKind.ENROLMENT
    row = [*GOOD[:4], "ACTIVE", "GENERAL", "202401", "", ""]
    (found,) = read(a_csv(tmp_path / "e.csv", row, header=list(fields_of(kind))))
    assert isinstance(found, ParsedRow)
    assert "ended" not in found.line
    assert errors(a_csv(tmp_path / "f.csv", row[:-1], header=list(fields_of(kind))[:-1])) == [
        (1, "employer", "missing_column")
    ]


def test_unknown_double_and_missing_columns_are_named_without_their_text(tmp_path: Path) -> None:
    header = [*HEADER[:-1], "CANARY", "name"]
    path = a_csv(tmp_path / "b.csv", GOOD, header=header)
    assert errors(path) == [
        (1, "H", "unknown_column"),
        (1, "name", "double_column"),
        (1, "interest_fen", "missing_column"),
    ]


def test_a_file_of_another_kind_than_asked_for_is_refused_by_its_columns(tmp_path: Path) -> None:
    path = a_csv(tmp_path / "b.csv", GOOD)
    assert (1, "benefit", "missing_column") in errors(path, RecordKind.BENEFIT)


def test_a_file_without_header_is_refused_without_repeating_its_first_person(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_text(",".join(GOOD), encoding="utf-8")
    assert errors(path) == [(1, "", "kind")]
    assert "442000199003070018" not in repr(read(path, BALANCE))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "no_rows"),
        (b"\xff\xfea\x00", "encoding"),
        (b'"open,\n', "csv"),
        (b'id_type,"a"b\n', "csv"),
        (b"a" * 70_000, "line_length"),
        (b"\xd0\xcf\x11\xe0 old xls", "file_type"),
        (b"PK\x03\x04 no archive", "unreadable"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error_at_row_zero(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert errors(path) == [(0, "", rule)]
    assert count_rows(path) >= 0


def test_a_csv_over_its_size_limit_is_refused(tmp_path: Path) -> None:
    assert errors(a_csv(tmp_path / "b.csv", GOOD), max_csv_bytes=20) == [(0, "", "file_size")]


def test_a_large_csv_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    line = ",".join(GOOD) + "\n"
    path.write_text(",".join(HEADER) + "\n" + line * 200_000, encoding="utf-8")
    process = psutil.Process()
    assert len(list(islice(read_rows(path, today=TODAY), 10))) == 10
    before = process.memory_info().rss
    assert sum(1 for _ in islice(read_rows(path, today=TODAY), 30_000)) == 30_000
    assert process.memory_info().rss - before < 16 * MIB
    assert count_rows(path) == 200_000


def test_no_error_repeats_a_value(tmp_path: Path) -> None:
    bad = ["09", CANARIES[0], "金丝雀\u200b", "CANARY", "CANARY", "CANARY", "7777777.5", "=CANARY", "CANARY"]
    paths = [
        a_csv(tmp_path / "a.csv", bad),
        a_csv(tmp_path / "b.csv", ["01", *bad[1:]]),
        a_csv(tmp_path / "c.csv", GOOD, header=[*HEADER, "CANARY", "金丝雀", CANARIES[0]]),
        a_workbook(tmp_path / "d.xlsx", {"balance": [HEADER, bad], "CANARY": [["CANARY"]]}),
        a_workbook(tmp_path / "e.xlsx", {"balance": [HEADER, ["01", *bad[1:]]]}),
    ]
    for path in paths:
        for kind in (None, BALANCE, RecordKind.VOUCHER):
            found = read(path, kind)
            assert found
            assert not [canary for canary in CANARIES if canary in repr(found)]


@given(st.lists(st.lists(st.text(max_size=30), max_size=12), max_size=6), st.sampled_from(list(RecordKind)))
def test_no_cells_make_anything_but_rows_and_named_errors(lines: list[list[str]], kind: RecordKind) -> None:

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace", newline="", suffix=".csv") as file:
        csv.writer(file).writerows([list(fields_of(kind)), *lines])
        file.flush()
        for one in read(Path(file.name), kind):
            if isinstance(one, CellError):
                assert one.rule in RULES or one.rule in REASONS or one.rule == "value"
            else:
                LINES[kind].model_validate(one.line)


def test_every_field_has_a_chinese_header_and_every_sheet_name_is_known() -> None:
    for kind in RecordKind:
        assert kind_of_sheet(KINDS_ZH[kind]) == kind_of_sheet(kind.value) == kind
        for field in fields_of(kind):
            assert field_of_header(HEADERS_ZH[field]) == field_of_header(field) == field
    assert field_of_header("储存额(分)") == "balance_fen"
    assert not set(RULES) & set(REASONS)
