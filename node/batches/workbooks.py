"""Workbooks that a batch gives out: the blank template of an item, and the report of what became of each row.

A template has three sheets: 申请 with the header row and drop-down lists, 说明 with every column in words and an
example, 选项 with the values of the lists. Every cell of 申请 is text, so that no program takes a digit away.
"""

import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import xlsxwriter

from node.batches.columns import MATERIAL, Column, Layout, layout_of
from node.batches.reading import APPLICATIONS, CHOICES, INSTRUCTIONS, ROWS_MAX
from protocol.catalogue import Item, Rule

_WIDTH: Final = 22
_WORDS: Final = (
    ("一行一个申请，填在“申请”表；表头不可改名，列的次序不限，不用的非必填列可以删去。",
     "One application per row, on the sheet 申请; headers keep their names, the order is free, unused optional columns "
     "may be deleted."),
    ("标 * 的列必填。一格多项用分号“；”隔开，同一组各列的项数应相同。",
     "Columns with * must be filled. Several values in one cell are separated by semicolons; columns of one list have "
     "the same number."),
    ("不接受公式、宏、合并单元格；证件号码、账号、电话须为文本。金额以分计。",
     "Formulas, macros and merged cells are refused; numbers of documents, accounts, telephones are text. Amounts are "
     "in fen."),
    ("改正后整份文件重新提交即可：内容相同的行不会再次受理。",
     "Hand in the whole file again after mending it: rows that say the same are not opened again."),
)  # fmt: skip
_TYPES: Final[dict[str, tuple[str, str]]] = {
    "string": ("文字", "text"),
    "text": ("文字", "text"),
    "date": ("日期 年-月-日", "date YYYY-MM-DD"),
    "month": ("年月 YYYYMM", "month YYYYMM"),
    "money_fen": ("金额（分）", "amount in fen"),
    "integer": ("整数", "whole number"),
    "boolean": ("是 / 否", "是 yes / 否 no"),
    "enum": ("选项", "a choice"),
    "division": ("六位行政区划代码", "six-digit division"),
    "person_id": ("证件号码", "number of a document"),
    "uscc": ("统一社会信用代码", "unified social credit code"),
    "digest": ("sha256: 或 sm3: 加 64 位十六进制", "sha256: or sm3: and 64 hex digits"),
}
_BY_TYPE: Final = {
    "date": "2026-11-24", "month": "202611", "money_fen": "123456", "integer": "12", "boolean": "是",
    "division": "450400", "person_id": "11010519491231002X", "uscc": "91350100M000100Y43",
    "digest": "sm3:" + "0" * 64, "string": "示例", "text": "示例",
}  # fmt: skip
"""The number and the code are the examples of GB 11643 and GB 32100."""
_BY_PATTERN: Final = (
    "2026-11-24T10:00:00+08:00", "0774-0000000", "156", "01", "543000", "105000000000", "6217000000000000000",
    "ID_CARD", "450400-2026-1",
)  # fmt: skip


def example_of(column: Column) -> str:
    """Return an example of one value, as a person would type it."""
    rule = column.rule
    if rule.choices:
        return shown(rule, rule.choices[0].value)
    if isinstance(rule.must_be, bool):
        return "是" if rule.must_be else "否"
    if rule.must_be is not None:
        return str(rule.must_be)
    if rule.pattern is not None:
        form = rule.pattern
        return next((one for one in _BY_PATTERN if form.fullmatch(one)), form.pattern)
    if rule.type == "integer":
        return str(max(rule.least or 0, min(12, rule.most if rule.most is not None else 12)))
    return _BY_TYPE[rule.type]


def shown(rule: Rule, value: str) -> str:
    """Return a choice as drop-down lists show it."""
    return next((f"{one.value} {one.zh}" for one in rule.choices if one.value == value), value)


def template_of(item: Item) -> bytes:
    """Return the blank workbook of an item."""
    layout, buffer = layout_of(item), io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    columns = [one for one in layout.columns.values() if one.is_usual]
    sheet, words = workbook.add_worksheet(APPLICATIONS), workbook.add_worksheet(INSTRUCTIONS)
    lists = _choices(workbook, columns)
    _header(workbook, sheet, columns)
    for place, column in enumerate(columns):
        if column.name in lists and not column.is_listed:
            source = {"validate": "list", "source": lists[column.name], "error_type": "warning"}
            sheet.data_validation(1, place, ROWS_MAX, place, source)
    _instructions(words, layout, columns)
    workbook.close()
    return buffer.getvalue()


def _header(workbook: Any, sheet: Any, columns: list[Column]) -> None:
    bold = {"bold": True, "text_wrap": True, "valign": "top", "num_format": "@"}
    must, may = workbook.add_format({**bold, "bg_color": "#FDE9D9"}), workbook.add_format(bold)
    text = workbook.add_format({"num_format": "@"})
    sheet.set_column(0, len(columns) - 1, _WIDTH, text)
    for place, column in enumerate(columns):
        sheet.write_string(0, place, column.header, must if column.required else may)
    sheet.freeze_panes(1, 0)


def _choices(workbook: Any, columns: list[Column]) -> dict[str, str]:
    """Write the values of every list, and return where each column finds its own."""
    sheet = workbook.add_worksheet(CHOICES)
    found: dict[str, str] = {}
    for column in columns:
        values = ["是", "否"] if column.rule.type == "boolean" else [
            f"{one.value} {one.zh}" for one in column.rule.choices
        ]  # fmt: skip
        if values:
            place = len(found)
            sheet.write_column(0, place, [column.name, *values])
            letter = xlsxwriter.utility.xl_col_to_name(place, True)
            found[column.name] = f"={CHOICES}!{letter}$2:{letter}${len(values) + 1}"
    return found


def _instructions(sheet: Any, layout: Layout, columns: list[Column]) -> None:
    sheet.set_column(0, 5, 30)
    sheet.write_string(0, 0, f"{layout.item.name_zh} {layout.item.name_en} ({layout.item.code})")
    for number, (zh, en) in enumerate(_WORDS, start=1):
        sheet.write_string(number, 0, zh)
        sheet.write_string(number, 4, en)
    first = len(_WORDS) + 2
    heads = ("列 column", "说明 label", "必填 required", "类型 type", "一格多项 list", "示例 example")
    sheet.write_row(first, 0, heads)
    for number, column in enumerate(columns, start=first + 1):
        for place, text in enumerate(_told(layout, column)):
            sheet.write_string(number, place, text)


def _told(layout: Layout, column: Column) -> tuple[str, ...]:
    rule = column.rule
    kind = " · ".join(_TYPES[rule.type])
    if rule.type in ("string", "text"):
        kind += f" ≤ {rule.max_length}"
    return (
        column.name,
        column.label,
        _need(layout, column),
        kind,
        "；" if column.is_listed else "",
        example_of(column),
    )


def _need(layout: Layout, column: Column) -> str:
    if column.required:
        return "*"
    if column.path[0] != MATERIAL:
        return "? 视情况 sometimes" if column.rule.when is not None else ""
    for one in layout.item.materials:
        either = (one.code, *one.alternatives)
        if column.path[1] in either and one.required and len(either) > 1:
            return f"其一 one of {' / '.join(either)}"
        if column.path[1] == one.code and one.when is not None:
            return "? 视情况 sometimes"
    return ""


_REPORT: Final = (
    "行 row",
    "结果 result",
    "办件号 case",
    "单元格 cell",
    "列 column",
    "规则 rule",
    "说明",
    "explanation",
)
_RESULTS: Final = {
    "opened": "已受理 opened",
    "earlier": "先前已受理 opened before",
    "valid": "无误 in order",
    "faulty": "有误 faulty",
}


def result_of(row: Mapping[str, Any]) -> str:
    """Return what became of a row: opened, earlier, valid or faulty."""
    if row["faults"]:
        return "faulty"
    return "earlier" if row["earlier"] else "opened" if row["number"] else "valid"


def report_of(faults: Iterable[Mapping[str, str]], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a report as a workbook: a line per row that has its case, a line per fault of one that has not."""
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet, number = workbook.add_worksheet("报告"), 0
    sheet.set_column(0, len(_REPORT) - 1, _WIDTH)
    sheet.write_row(0, 0, _REPORT)
    for line in _lines(faults, rows):
        number += 1
        for place, text in enumerate(line):
            sheet.write_string(number, place, text)
    sheet.autofilter(0, 0, number, len(_REPORT) - 1)
    sheet.freeze_panes(1, 0)
    workbook.close()
    return buffer.getvalue()


def _lines(faults: Iterable[Mapping[str, str]], rows: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for one in faults:
        yield ("", _RESULTS["faulty"], "", one["cell"], one["field"], one["rule"], one["zh"], one["en"])
    for row in rows:
        told = (row["at"], _RESULTS[result_of(row)], row["number"] or "")
        if not row["faults"]:
            yield (*told, "", "", "", "", "")
        for one in row["faults"]:
            yield (*told, one["cell"], one["field"], one["rule"], one["zh"], one["en"])
