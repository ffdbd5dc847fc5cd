"""Cells: what is wrong is told at its cell and by its rule, in both languages, and the value is never repeated."""

import io
import zipfile
from datetime import datetime
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from node.batches.columns import Path, layout_of
from node.batches.judging import Filled, faults_at_cells, fill
from node.batches.reading import LIMITS, BatchRefused, BatchRow, CellFault, Sheet, letters, read_batch
from node.batches.workbooks import example_of, report_of, result_of, template_of
from node.simulation.batches import applicants, flat_row, lumpsum_of, transfer_of
from node.storage.workbook import MIB, Limits
from protocol.catalogue_checks import check_application
from tests.node.batches.cities import ITEMS, LAYOUT, LAYOUTS, TODAY, Row, a_file, changed, good_rows, path
from tests.node.cases.two_cities import RESPONSIBLE

COLUMNS = [one for place, one in LAYOUT.columns.items() if place in good_rows(1)[0] or one.required]
CANARY = "金丝雀CANARY7777"

PLANTED: list[tuple[str, Any, str]] = [
    ("person.id_no", "450400195708151015", "check_character"),
    ("person.id_no", 450400195708151014, "cell_type"),
    ("person.id_no", "", "required"),
    ("person.name", "=1+1", "formula"),
    ("person.name", "@SUM(A1)", "formula"),
    ("person.name", "x" * 4_001, "cell_length"),
    ("person.name", "x" * 101, "too_long"),
    ("person.phone", "not a number", "pattern"),
    ("person.phone", 7740000000, "cell_type"),
    ("verification.method", "by guessing", "enum"),
    ("verification.verified_at", "2026-11-24", "pattern"),
    ("verification.verified_at", "2026-02-30T10:00:00+08:00", "instant"),
    ("material.ID_CARD.form", "", "required"),
    ("material.ID_CARD.digest", CANARY, "digest"),
    ("reason", CANARY, "enum"),
    ("reason", True, "cell_type"),
    ("retire_age_reached_on", "2026-02-30", "date"),
    ("retire_age_reached_on", "24.11.2026", "date"),
    ("months_total", "many", "integer"),
    ("months_total", 12.5, "cell_type"),
    ("account.account_no", 6217000000000000000, "cell_type"),
    ("account.account_no", CANARY, "pattern"),
    ("account.bank_name", "", "required"),
    ("account.is_social_card_account", "maybe", "boolean"),
    ("notice_signed_digest", "sha256:0", "digest"),
]


def judged(content: bytes, item: str = "PEN-LUMPSUM", **limits: int) -> list[CellFault]:
    """Return the faults of a file, as far as they can be told without a network."""
    layout = LAYOUTS[item]
    try:
        rows = read_batch(content, layout, Limits(**limits) if limits else LIMITS)
    except BatchRefused as refused:
        return list(refused.faults)
    found: list[CellFault] = []
    for row in rows:
        filled = fill(row, layout)
        found += faults_at_cells(layout, filled, checked(filled, item))
    return found


def checked(filled: Filled, item: str) -> list[dict[str, str]]:
    found = check_application(ITEMS[item], filled.application, today=TODAY)
    return [{"at": one.at, "rule": one.rule, "zh": one.zh, "en": one.en} for one in found]


def cell_of(field: str, number: int) -> str:
    return f"申请!{letters([one.name for one in COLUMNS].index(field))}{number}"


@given(st.integers(0, 11), st.sampled_from(PLANTED), st.integers(0, 1_000))
@settings(max_examples=60)
def test_one_planted_fault_is_told_at_exactly_its_cell(at: int, planted: tuple[str, Any, str], seed: int) -> None:
    field, value, rule = planted
    rows = good_rows(12, seed=seed)
    rows[at] = {**rows[at], path(field): value}
    (only,) = judged(a_file(rows))
    assert (only.cell, only.field, only.rule) == (cell_of(field, at + 2), field, rule)
    assert only.zh
    assert only.en
    assert len(str(value)) < 4 or str(value) not in f"{only}"


def test_every_fault_of_a_row_is_told_at_once() -> None:
    row = changed(good_rows(1)[0], person__phone="x", months_total=-1, account__account_no="x", reason="=A1")
    assert [(one.field, one.rule) for one in judged(a_file([row]))] == [
        ("reason", "formula"),
        ("person.phone", "pattern"),
        ("months_total", "at_least"),
        ("account.account_no", "pattern"),
    ]


def test_a_missing_material_is_told_at_its_column() -> None:
    row = {place: value for place, value in good_rows(1)[0].items() if place[:2] != ("material", "RIGHTS_NOTICE")}
    (only,) = judged(a_file([row]))
    assert (only.field, only.rule) == ("material.RIGHTS_NOTICE.form", "material")


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_what_is_laid_flat_comes_back_unchanged(seed: int) -> None:
    for item, make in (("PEN-LUMPSUM", lumpsum_of), ("PEN-TRANSFER", transfer_of)):
        layout = LAYOUTS[item]
        for place, person in enumerate(applicants(3, seed=seed)):
            wanted = make(person, place + seed)
            row = flat_row(layout, RESPONSIBLE, wanted)
            sheet = Sheet(0, "申请", {one: number for number, one in enumerate(row)})
            filled = fill(BatchRow(sheet, 2, row), layout)
            assert not filled.faults
            assert filled.to == RESPONSIBLE
            assert without_names(filled.application) == without_names(wanted)


def without_names(application: dict[str, Any]) -> dict[str, Any]:
    """Materials are named by their code; the name that stands beside it is the catalogue's."""
    materials = sorted(({**one, "name": ""} for one in application["material"]), key=lambda one: one["material_code"])
    return {**application, "material": materials}


def test_columns_of_one_list_have_the_same_number_of_entries() -> None:
    layout = LAYOUTS["PEN-TRANSFER"]
    (person,) = applicants(1)
    row: Row = dict(flat_row(layout, RESPONSIBLE, transfer_of(person, 0)))
    assert row[path("transfer_out_orgs.division")] == "520300;653100"
    row[path("transfer_out_orgs.name")] = "只有一个"
    row[path("transfer_out_orgs.division")] = "520300；653100"
    found = [(one.field, one.rule) for one in judged(a_file([row], layout), "PEN-TRANSFER")]
    assert ("transfer_out_orgs.name", "list_length") in found


def test_numbers_dates_and_choices_of_a_spreadsheet_program_are_understood() -> None:
    row = changed(good_rows(1)[0], person__id_type=1, months_total=88, verification__method="读卡", to=442000)
    row = changed(row, person__gender="2 女", account__is_social_card_account="No")
    (read,) = read_batch(a_file([row]), LAYOUT)
    application = fill(read, LAYOUT).application
    assert application["person"]["id_type"] == "01"
    assert application["person"]["gender"] == "2"
    assert application["months_total"] == 88
    assert application["verification"]["method"] == "counter_card_read"
    assert application["account"]["is_social_card_account"] is False
    assert judged(a_file([row])) == []


def test_a_date_cell_is_a_date_and_a_time_is_not() -> None:
    rows = [{**one, path("retire_age_reached_on"): None} for one in good_rows(2)]
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet, day = workbook.add_worksheet("申请"), workbook.add_format({"num_format": "yyyy-mm-dd"})
    place = header().index("retire_age_reached_on")
    for number, line in enumerate([header(), *(cells_of(one) for one in rows)]):
        sheet.write_row(number, 0, line)
    sheet.write_datetime(1, place, datetime(2024, 3, 15), day)
    sheet.write_datetime(2, place, datetime(2024, 3, 15, 12, 30), day)
    workbook.close()
    (only,) = judged(buffer.getvalue())
    assert (only.cell, only.rule) == (cell_of("retire_age_reached_on", 3), "cell_type")


def raw_file(lines: list[list[Any]], **sheets: list[list[Any]]) -> bytes:
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    for name, content in {"申请": lines, **sheets}.items():
        sheet = workbook.add_worksheet(name)
        for number, line in enumerate(content):
            sheet.write_row(number, 0, line)
    workbook.close()
    return buffer.getvalue()


def header() -> list[str]:
    return [one.name for one in COLUMNS]


def cells_of(row: Row) -> list[Any]:
    return [row.get(one.path) for one in COLUMNS]


def test_a_broken_header_is_told_column_by_column_and_nothing_is_read() -> None:
    names = header()
    names[2], names[5] = CANARY, names[4]
    found = judged(raw_file([names, cells_of(good_rows(1)[0])]))
    assert {(one.cell, one.rule) for one in found} == {
        ("申请!C1", "unknown_column"), ("申请!F1", "double_column"),
        ("申请!1", "missing_column"),
    }  # fmt: skip
    assert {one.field for one in found if one.rule == "missing_column"} == {COLUMNS[2].name, COLUMNS[5].name}
    assert CANARY not in str(found)


def test_content_beyond_the_header_is_told_and_empty_rows_are_passed_over() -> None:
    row = cells_of(good_rows(1)[0])
    found = judged(raw_file([[], header(), [], [*row, CANARY], [None, " "], row]))
    assert [(one.cell, one.rule) for one in found] == [(f"申请!{letters(len(row))}4", "beyond_columns")]


def test_labels_in_chinese_and_the_order_of_the_columns_are_free() -> None:
    names = [f"{one.label} *" if one.required else one.label for one in COLUMNS]
    assert judged(raw_file([names[::-1], cells_of(good_rows(1)[0])[::-1]])) == []


def test_every_sheet_is_read_but_instructions_and_choices() -> None:
    rows = [cells_of(one) for one in good_rows(2)]
    content = raw_file([header(), rows[0]], 说明=[["anything"]], 二月=[header(), rows[1]], 选项=[["x"]], 空=[])
    assert [one.at for one in read_batch(content, LAYOUT)] == ["申请!2", "二月!2"]


def test_merged_cells_are_told_each_by_its_place() -> None:
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = workbook.add_worksheet("申请")
    for number, line in enumerate([header(), *(cells_of(one) for one in good_rows(3))]):
        sheet.write_row(number, 0, line)
    place = [one.name for one in COLUMNS].index("reason")
    sheet.merge_range(1, place, 2, place, "AGE_LT15")
    workbook.close()
    found = judged(buffer.getvalue())
    assert [(one.cell, one.rule) for one in found] == [(cell_of("reason", number), "merged") for number in (2, 3)]


def test_a_formula_is_refused_whatever_value_it_shows() -> None:
    row = {**good_rows(1)[0], path("months_total"): "=40+48"}
    (only,) = judged(a_file([row]))
    assert (only.cell, only.rule) == (cell_of("months_total", 2), "formula")
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = workbook.add_worksheet("申请")
    sheet.write_row(0, 0, header())
    sheet.write_row(1, 0, cells_of(good_rows(1)[0]))
    sheet.write_formula(1, [one.name for one in COLUMNS].index("months_total"), "=40+48", None, 88)
    workbook.close()
    (only,) = judged(buffer.getvalue())
    assert (only.cell, only.rule) == (cell_of("months_total", 2), "formula")


def with_entry(content: bytes, name: str, data: bytes, *, replaced: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """Return a workbook with one more entry, or with bytes of one replaced."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for info in source.infolist():
            part = source.read(info)
            written.writestr(info.filename, part.replace(*replaced) if info.filename == name else part)
        if name not in source.namelist():
            written.writestr(name, data)
    return target.getvalue()


XLSX_TYPE = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
XLSM_TYPE = b"application/vnd.ms-excel.sheet.macroEnabled.main+xml"


@pytest.mark.threat("T13")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("xl/vbaProject.bin", "macros"),
        ("xl/macrosheets/sheet1.xml", "macros"),
        ("xl/activeX/activeX1.xml", "macros"),
        ("xl/embeddings/oleObject1.bin", "macros"),
        ("xl/externalLinks/externalLink1.xml", "external"),
        ("xl/connections.xml", "external"),
        ("xl/queryTables/queryTable1.xml", "external"),
    ],
)
def test_macros_and_links_are_refused_by_name(name: str, rule: str) -> None:
    assert [one.rule for one in judged(with_entry(a_file(good_rows(1)), name, b"<x/>"))] == [rule]


@pytest.mark.threat("T13")
def test_an_xlsm_is_refused_though_it_has_no_macro() -> None:
    content = with_entry(a_file(good_rows(1)), "[Content_Types].xml", b"", replaced=(XLSX_TYPE, XLSM_TYPE))
    assert [one.rule for one in judged(content)] == ["macros"]


@pytest.mark.threat("T13")
def test_bombs_and_huge_shared_strings_are_refused() -> None:
    content = a_file(good_rows(1))
    blank = with_entry(content, "xl/media/image1.png", b" " * (100 * MIB))
    assert [one.rule for one in judged(blank)] == ["ratio"]
    words = b"".join(b"<si><t>%d</t></si>" % number for number in range(3_000_000))
    assert len(words) > 50 * MIB
    strings = with_entry(content, "xl/sharedStrings.xml", b"", replaced=(b"</sst>", words + b"</sst>"))
    assert [one.rule for one in judged(strings, max_unpacked_bytes=20 * MIB)] == ["unpacked_size"]
    assert [one.rule for one in judged(strings, memory_bytes=128 * MIB, max_ratio=1000)] == ["resources"]


@pytest.mark.threat("T13")
@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + b"x" * 100, b"a,b\r\n1,2\r\n", b"\xd0\xcf\x11\xe0"])
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    (only,) = judged(content)
    assert only.rule in {"file_type", "unreadable"}


def test_limits_of_file_rows_columns_and_merges() -> None:
    content = a_file(good_rows(5))
    assert [one.rule for one in judged(content, max_workbook_bytes=1000)] == ["file_size"]
    assert [one.rule for one in judged(content, max_rows=4)] == ["rows"]
    assert [one.rule for one in judged(content, max_columns=4)] == ["columns"]
    assert [one.rule for one in judged(raw_file([header()]))] == ["no_rows"]
    merges = b"<mergeCells>" + b"".join(b'<mergeCell ref="A%d:B%d"/>' % (n, n) for n in range(2_000)) + b"</mergeCells>"
    sheet = "xl/worksheets/sheet1.xml"
    many = with_entry(content, sheet, b"", replaced=(b"</sheetData>", b"</sheetData>" + merges))
    assert [one.rule for one in judged(many)] == ["merges"]
    whole = merges[:12] + b'<mergeCell ref="A1:XFD1048576"/></mergeCells>'
    every = with_entry(content, sheet, b"", replaced=(b"</sheetData>", b"</sheetData>" + whole))
    assert {one.rule for one in judged(every)} == {"merged", "missing_column"}


def test_more_rows_than_a_batch_may_have_are_refused_at_the_first_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.batches.reading.ROWS_MAX", 3)
    assert [(one.cell, one.rule) for one in judged(a_file(good_rows(5)))] == [("申请!5", "too_many")]


def test_a_row_that_is_too_long_is_refused_and_the_others_are_read() -> None:
    texts = [f"{'字' * 3_990}{place}" for place in range(64)]
    names = [one.name for one in LAYOUT.columns.values()][:64]
    lines = [[*names], texts, texts[:1]]
    for required in (one for one in LAYOUT.columns.values() if one.required and one.name not in names):
        lines[0].append(required.name)
    found = judged(raw_file(lines))
    assert found[0].rule == "row_length"
    assert found[0].cell == "申请!A2"


@pytest.mark.parametrize("code", sorted(ITEMS))
def test_the_template_of_every_item_is_a_batch_without_rows_whose_examples_are_in_order(code: str) -> None:
    item, layout = ITEMS[code], layout_of(ITEMS[code])
    (only,) = judged(template_of(item), code)
    assert only.rule == "no_rows"
    cells = {place: example_of(one) for place, one in layout.columns.items() if one.required}
    for material in (one for one in item.materials if one.required or one.when is not None):
        for name in ("form", "digest"):
            cells[("material", material.code, name)] = example_of(layout.columns[("material", material.code, name)])
    cells |= {place: f"{text};{text}" for place, text in cells.items() if place[0] == "relations"}
    cells |= {
        place: example_of(one)
        for place, one in layout.columns.items()
        if code == "PAY-ACCOUNT" and place[0] == "account"
    }
    filled = fill(BatchRow(Sheet(0, "申请", {}), 2, cells), layout)
    assert checked(filled, code) == []


def test_the_report_says_for_each_row_its_case_or_its_faults() -> None:
    faulty = [{"cell": "申请!C3", "field": "reason", "rule": "enum", "zh": "=cmd", "en": "b"}] * 2
    rows: list[dict[str, Any]] = [
        {"at": "申请!2", "number": "KS1", "earlier": False, "faults": []},
        {"at": "申请!3", "number": None, "earlier": False, "faults": faulty},
        {"at": "申请!4", "number": "KS1", "earlier": True, "faults": []},
        {"at": "申请!5", "number": None, "earlier": False, "faults": []},
    ]
    assert [result_of(row) for row in rows] == ["opened", "faulty", "earlier", "valid"]
    content = report_of([], rows)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
        words = archive.read("xl/sharedStrings.xml").decode()
    assert sheet.count("<row ") == 6
    assert "<f>" not in sheet
    assert all(word in words for word in ("KS1", "申请!C3", "=cmd"))


def test_paths_of_faults_of_unknown_places_stay_what_they_are() -> None:
    filled = Filled(BatchRow(Sheet(0, "申请", {}), 7, {}), "")
    fault = {"at": "attachments", "rule": "twice", "zh": "甲", "en": "a"}
    (only,) = faults_at_cells(LAYOUT, filled, [fault])
    assert (only.cell, only.field) == ("申请!7", "attachments")


def test_no_item_has_two_columns_of_one_name() -> None:
    for layout in LAYOUTS.values():
        paths: list[Path] = list(layout.columns)
        assert len(paths) == len(set(paths))
        assert all(layout.path_of(one.header) == one.path for one in layout.columns.values())
