"""Batch workbooks of invented people, for demo, tests and benchmarks: an application laid flat, many of them in a file.

The workbook has the header of the template, and its cells are text, as a clerk who fills the template leaves them.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Any, Final

import xlsxwriter

from node.batches.columns import MATERIAL, TO, Column, Layout, Path
from node.batches.reading import APPLICATIONS, ROWS_MAX
from node.simulation.people import SyntheticPerson, people, story_people

SEEN: Final = "sm3:" + "0" * 64
"""stands for a material whose original was seen"""
HOME: Final = "450400"
"""where the people live and hand in"""
IN_CITY: Final = "442000"
OUT_CITIES: Final = ("520300", "653100")


def flat_row(layout: Layout, to: str, application: Mapping[str, Any]) -> dict[Path, str]:
    """Return the cells of an application, by column; what `node.batches.judging.fill` makes of them is the same."""
    cells = {TO: to}
    for path, column in layout.columns.items():
        text = _material(application, path) if path[0] == MATERIAL else _cell(application, column)
        if text is not None:
            cells[path] = text
    return cells


def _material(application: Mapping[str, Any], path: Path) -> str | None:
    found = [one for one in application.get(MATERIAL, ()) if one["material_code"] == path[1]]
    return _text(found[0].get(path[2])) if found else None


def _cell(application: Mapping[str, Any], column: Column) -> str | None:
    values = list(_values(application, column.path))
    if not column.is_listed:
        return _text(values[0]) if values else None
    return ";".join(_text(one) or "" for one in values) if any(one is not None for one in values) else None


def _values(content: Any, path: Path) -> Iterator[Any]:
    """Yield the values at a path: one, or one per entry of the list on the way, None where an entry has none."""
    if isinstance(content, list):
        for one in content:
            found = list(_values(one, path))
            yield found[0] if found else None
    elif not path:
        yield content
    elif isinstance(content, Mapping) and path[0] in content:
        yield from _values(content[path[0]], path[1:])


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "是" if value else "否"
    return None if value is None else str(value)


def workbook_of(layout: Layout, rows: Sequence[Mapping[Path, Any]], *, name: str = APPLICATIONS) -> bytes:
    """Return a workbook with the columns that the rows need, and a row for each."""
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = workbook.add_worksheet(name)
    used = {path for row in rows for path in row}
    columns = [one for path, one in layout.columns.items() if path in used or one.required]
    sheet.write_row(0, 0, [one.header for one in columns])
    for number, row in enumerate(rows, start=1):
        for place, column in enumerate(columns):
            value = row.get(column.path)
            if isinstance(value, str):
                sheet.write_string(number, place, value)
            elif value is not None:
                sheet.write(number, place, value)
    workbook.close()
    return buffer.getvalue()


def applicants(count: int, *, seed: int = 1) -> Iterator[SyntheticPerson]:
    """Yield invented people at home in the accepting city, without those of the stories."""
    known = {one.id_number for one in story_people()}
    return islice((one for one in people(HOME, seed, count) if one.id_number not in known), count)


def transfer_of(person: SyntheticPerson, place: int) -> dict[str, Any]:
    """Return an application for PEN-TRANSFER; every seventh names two transfer-out cities."""
    out = OUT_CITIES if place % 7 == 0 else OUT_CITIES[:1]
    return {
        **_common(person, ("ID_CARD", "TRANSFER_FORM"), place),
        "transfer_in_org": {"division": IN_CITY, "name": "中山市社会保险基金管理局"},
        "transfer_out_orgs": [{"division": code, "name": f"{code} 社会保险经办机构"} for code in out],
        "transfer_kind": "GENERAL",
        "in_insured_since": "202401",
        "hukou_division": IN_CITY,
    }


def lumpsum_of(person: SyntheticPerson, place: int) -> dict[str, Any]:
    """Return an application for PEN-LUMPSUM."""
    return {
        **_common(person, ("ID_CARD", "TERMINATION_REQUEST", "RIGHTS_NOTICE", "BANK_ACCOUNT"), place),
        "reason": "AGE_LT15",
        "retire_age_reached_on": date(2024, 1 + place % 12, 15).isoformat(),
        "months_total": 12 + place % 168,
        "notice_given_at": "2026-11-24T09:50:00+08:00",
        "notice_signed_digest": SEEN,
        "account": {
            "bank_name": "中国银行梧州分行",
            "account_no": f"6217{place:015d}",
            "account_name": person.name,
            "is_social_card_account": place % 2 == 0,
        },
    }


def _common(person: SyntheticPerson, materials: Sequence[str], place: int) -> dict[str, Any]:
    return {
        "person": {
            "id_type": person.id_type,
            "id_no": person.id_number,
            "name": person.name,
            "phone": f"0774{place:07d}",
        },
        "verification": {
            "method": "counter_card_read",
            "verified_at": "2026-11-24T10:00:00+08:00",
            "operator": f"clerk-{HOME}",
        },
        "material": [
            {"material_code": code, "name": code, "form": "original_seen", "digest": SEEN} for code in materials
        ],
    }


BY_ITEM: Final = {"PEN-TRANSFER": transfer_of, "PEN-LUMPSUM": lumpsum_of}


def batch_of(layout: Layout, count: int, *, to: str, seed: int = 1) -> bytes:
    """Return a workbook with applications of so many invented people for one of the items that are known here."""
    rows = [flat_row(layout, to, one) for one in applications(layout.item.code, count, seed=seed)]
    return workbook_of(layout, rows)


def applications(item: str, count: int, *, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield applications of invented people; no two of them say the same, whatever the seed."""
    for place, person in enumerate(applicants(count, seed=seed), start=seed * ROWS_MAX):
        yield BY_ITEM[item](person, place)
