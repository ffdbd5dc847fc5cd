"""The catalogue's document: read as it stands, or refused with the place that cannot be read."""

import copy
import hashlib
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.data import catalogue_bytes, read_catalogue
from protocol.catalogue import CATALOGUE_MAX_BYTES, CatalogueInvalid, parse_catalogue
from protocol.catalogue_checks import check_application
from protocol.deadlines import Limit
from tests.protocol import filling
from tests.protocol.filling import ITEMS, JSON, RAW, every_place

TODAY = date(2026, 11, 24)
CODES = sorted(ITEMS)
LUMPSUM = ITEMS["PEN-LUMPSUM"]
DOCUMENT = read_catalogue()


def test_the_catalogue_has_its_items_by_code_and_is_named_by_its_digest() -> None:
    data = catalogue_bytes()
    catalogue = parse_catalogue(data)
    assert catalogue.digest == hashlib.sha256(data).hexdigest()
    assert catalogue.version == DOCUMENT["version"]
    assert list(catalogue.items) == [one["code"] for one in DOCUMENT["items"]]
    with pytest.raises(TypeError):
        catalogue.items["PEN-LUMPSUM"] = LUMPSUM  # type: ignore[index]


@pytest.mark.parametrize("code", CODES)
def test_an_item_says_what_its_document_says(code: str) -> None:
    item, raw = ITEMS[code], RAW[code]
    assert (item.name_zh, item.name_en, item.mode) == (raw["name_zh"], raw["name_en"], raw["mode"])
    assert (item.reviewers, item.fund_leg) == (raw["reviewers"], raw["fund_leg"])
    assert list(item.insurance) == raw["insurance_types"]
    assert list(item.basis) == [one["ref"] for one in raw["legal_basis"]]
    assert item.accepting.rule == raw["roles"]["accepting"]["rule"]
    assert [one.rule for one in item.responsible] == [one["rule"] for one in raw["roles"]["responsible"]]
    for legs, rows in (
        (item.promised_legs, raw["limits"]["promised"]),
        (item.statutory_legs, raw["limits"]["statutory"]),
    ):
        assert [(one.leg, one.limit.value, one.limit.unit, one.mark) for one in legs] == [
            (row["leg"], row["value"], row["unit"], row["mark"]) for row in rows
        ]
    own = [*item.application, *item.answer_when_approved]
    for row in (*raw["application_fields"], *raw["answer_fields"]):
        rule = next(one for one in own if one.name == row["name"] and one.label == row["zh"])
        assert (rule.type, rule.required) == (row["type"], row["required"])


def test_the_limit_of_the_whole_case_stands_first() -> None:
    assert LUMPSUM.promised == (Limit(5, "working_day"),)
    assert ITEMS["UI-TRANSFER"].statutory == (
        Limit(20, "working_day"),
        Limit(5, "working_day"),
        Limit(30, "calendar_day"),
    )


def changed_document(path: str, value: Any) -> bytes:
    """Return the catalogue with one place changed; `...` takes it out."""
    document = copy.deepcopy(DOCUMENT)
    *way, last = [int(one) if one.isdigit() else one for one in path.split("/")]
    place = filling.inside(document, tuple(way))
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


A_FIELD: dict[str, Any] = {"name": "x", "type": "string", "required": True, "zh": "x"}


def nested(levels: int) -> dict[str, Any]:
    """Return a field of lists within lists."""
    kind: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        kind = {"type": "list", "items": kind}
    return {**A_FIELD, **kind}


FIELDS = "items/1/application_fields"


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("version", 1, "version"),
        ("items", {}, "items"),
        ("items/1/code", "PEN-TRANSFER", "items/1/code"),
        ("items/1/code", "lower", "items/1/code"),
        ("items/1/name_zh", " ", "items/1/name_zh"),
        ("items/1/reviewers", True, "items/1/reviewers"),
        ("items/1/reviewers", 3, "items/1/reviewers"),
        ("items/1/fund_leg", "no", "items/1/fund_leg"),
        ("items/1/roles", ..., "items/1/roles"),
        ("items/1/roles/responsible/0/rule", 1, "items/1/roles/responsible/0/rule"),
        ("items/1/limits/promised/0/unit", "week", "items/1/limits/promised/0/unit"),
        ("items/1/limits/promised/0/value", -1, "items/1/limits/promised/0/value"),
        ("items/1/application_blocks/0", "nobody", "items/1"),
        ("items/1/materials/0/material_code", "NO_SUCH", "items/1/materials/0/material_code"),
        ("items/1/materials/3/alternatives/0", "NO_SUCH", "items/1/materials/3/material_code"),
        ("items/1/materials/4/when", {"field": "nobody", "in": ["x"]}, "items/1/materials/4/when/field"),
        ("items/1/materials/4/when", {"field": "reason"}, "items/1/materials/4/when/field"),
        ("items/1/materials/4/when", {"field": "reason", "in": []}, "items/1/materials/4/when/in"),
        ("items/1/materials/4/when", {"field": "reason", "in": ["NO_SUCH"]}, "items/1/materials/4/when/in"),
        ("items/1/materials/4/when", {"field": "reason", "in": [{}]}, "items/1/materials/4/when/in"),
        ("items/1/materials/4/when", {"field": "reason", "present": False}, "items/1/materials/4/when/present"),
        ("items/1/materials/4/when", {"field": "reason", "is": 1}, "items/1/materials/4/when"),
        (f"{FIELDS}/0/type", "number", f"{FIELDS}/0/type"),
        (f"{FIELDS}/0/required", "yes", f"{FIELDS}/0/required"),
        (f"{FIELDS}/0/exclusive_minimum", 1, f"{FIELDS}/0"),
        (f"{FIELDS}/0/enum", [], f"{FIELDS}/0/enum"),
        (f"{FIELDS}/0/enum/1/value", "AGE_LT15", f"{FIELDS}/0/enum"),
        (f"{FIELDS}/0/name", "Reason", f"{FIELDS}/0/name"),
        (f"{FIELDS}/0/name", "person", FIELDS),
        (f"{FIELDS}/1/name", "reason", FIELDS),
        (f"{FIELDS}/2/minimum", "0", f"{FIELDS}/2/minimum"),
        (f"{FIELDS}/3/pattern", "^(", f"{FIELDS}/3/pattern"),
        (f"{FIELDS}/3/pattern", "^($", f"{FIELDS}/3/pattern"),
        (f"{FIELDS}/3/max_length", 10**9, f"{FIELDS}/3/max_length"),
        (f"{FIELDS}/5/block", "nobody", f"{FIELDS}/5"),
        (f"{FIELDS}/5/fields", [A_FIELD], f"{FIELDS}/5/block"),
        (f"{FIELDS}/5", {**A_FIELD, "type": "object", "fields": []}, f"{FIELDS}/5/fields"),
        (f"{FIELDS}/5", {**A_FIELD, "type": "list", "items": A_FIELD}, f"{FIELDS}/5/items"),
        (f"{FIELDS}/5", nested(13), f"{FIELDS}/5" + 13 * "/items" + "/type"),
        (f"{FIELDS}/5", nested(300), f"{FIELDS}/5" + 13 * "/items" + "/type"),
        ("blocks/person/fields/0", {**A_FIELD, "type": "object", "block": "person"}, "blocks/person/fields/0"),
        ("blocks/account", [], "blocks/account"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_refused_with_its_place(path: str, value: Any, place: str) -> None:
    with pytest.raises(CatalogueInvalid) as refusal:
        parse_catalogue(changed_document(path, value))
    assert str(refusal.value).split(":")[0].split(" ")[0] == place


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a":1,"a":1}', b" " * (CATALOGUE_MAX_BYTES + 1)],
    ids=["empty", "list", "nothing", "no text", "deep", "twice", "too large"],
)
def test_what_is_no_catalogue_is_refused(data: bytes) -> None:
    with pytest.raises(CatalogueInvalid):
        parse_catalogue(data)


def test_blocks_that_name_each_other_many_times_are_read_once() -> None:
    document = copy.deepcopy(DOCUMENT)
    for level in range(11):
        kind = {"type": "object", "block": f"b{level + 1}"} if level < 10 else {"type": "string"}
        fields = [{**A_FIELD, "name": f"f{one}", **kind} for one in range(40)]
        document["blocks"][f"b{level}"] = {"zh": "x", "en": "x", "fields": fields}
    document["items"][1]["application_fields"].append({**A_FIELD, "type": "object", "block": "b0"})
    item = parse_catalogue(json.dumps(document).encode()).items["PEN-LUMPSUM"]
    assert check_application(item, {"x": {}}, today=TODAY)[0].at == "person"
    document["items"][1]["application_fields"][-1] = {
        **A_FIELD, "type": "list", "items": {"type": "list", "items": {"type": "object", "block": "b0"}},
    }  # fmt: skip
    document["items"][0]["application_fields"].append({**A_FIELD, "type": "object", "block": "b0"})
    with pytest.raises(CatalogueInvalid, match="too deeply"):
        parse_catalogue(json.dumps(document).encode())


@settings(max_examples=60)
@given(data=st.data())
def test_an_odd_value_anywhere_in_the_document_is_read_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PLACES))
    document = changed_document("/".join(map(str, path)), data.draw(JSON))
    try:
        catalogue = parse_catalogue(document)
    except CatalogueInvalid:
        return
    for item in catalogue.items.values():
        check_application(item, filling.application(LUMPSUM, full=True), today=TODAY)


PLACES = [one for one in every_place(DOCUMENT) if one[0] in ("version", "items", "blocks", "materials")]
