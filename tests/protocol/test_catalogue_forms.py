"""Forms: blank ones have every field and no value; what is filled in passes, and what stayed blank is not signed."""

import copy
import json
from datetime import date
from typing import Any

import pytest

from config.data import read_demo_lumpsum
from node.simulation.people import story_people
from protocol.catalogue import Item, attachments_named
from protocol.catalogue_checks import check_application
from protocol.catalogue_forms import blank_form, filled_form, form_labels, with_digests
from tests.protocol import filling
from tests.protocol.filling import ITEMS, RAW

TODAY = date(2026, 11, 24)
CODES = sorted(ITEMS)
LUMPSUM = ITEMS["PEN-LUMPSUM"]


def shape(content: Any) -> Any:
    """Return the names within, without the values."""
    if isinstance(content, dict):
        return {name: shape(value) for name, value in content.items()}
    return [shape(one) for one in content] if isinstance(content, list) else None


def typed_into(blank: Any, content: Any) -> Any:
    """Return a blank form into which a clerk has typed some content; what is not typed stays as it was."""
    if isinstance(blank, dict):
        return {name: typed_into(value, content[name]) if name in content else value for name, value in blank.items()}
    return content


@pytest.mark.parametrize("code", CODES)
def test_a_blank_form_has_every_field_a_label_for_each_and_nothing_filled_in(code: str) -> None:
    item = ITEMS[code]
    form, labels = blank_form(item), form_labels(item)
    assert shape(form) == shape(labels)
    assert list(form)[: len(item.application)] == [one.name for one in item.application]
    assert [one["material_code"] for one in form["material"]] == [
        one["material_code"] for one in RAW[code]["materials"]
    ]
    assert filled_form(item, form) == {}
    assert json.loads(json.dumps(form)) == form


def test_labels_say_what_is_required_and_what_may_be_chosen() -> None:
    labels = form_labels(LUMPSUM)
    assert labels["months_total"] == "累计缴费月数 *"
    assert labels["person"]["birth_date"] == "出生日期"
    assert labels["reason"].startswith("申领原因 *：AGE_LT15 达龄缴费不足15年 | NATIONALITY ")
    assert form_labels(ITEMS["CARD-SERVICE"])["address"].endswith(" ?")
    names = {one["name"].split("（")[0] for one in labels["material"]}
    assert "死亡证明 ?" in names
    assert "终止职工基本养老保险关系书面申请 *" in names


@pytest.mark.parametrize("full", [False, True], ids=["required fields", "all fields"])
@pytest.mark.parametrize("code", CODES)
def test_what_a_clerk_fills_in_passes_and_holds_nothing_blank(code: str, full: bool) -> None:
    item: Item = ITEMS[code]
    content = filling.application(item, full=full)
    form = typed_into(blank_form(item), content)
    form["material"] = [*content["material"], *blank_form(item)["material"]]
    filled = filled_form(item, form)
    assert filled == content
    assert check_application(item, filled, today=TODAY) == []


def test_false_and_zero_are_filled_in() -> None:
    assert filled_form(LUMPSUM, {"months_total": 0, "account": {"is_social_card_account": False}, "reason": " "}) == {
        "months_total": 0,
        "account": {"is_social_card_account": False},
    }
    assert filled_form(LUMPSUM, {"nobody": {"x": [1, None]}}) == {"nobody": {"x": [1]}}


def test_the_demo_case_is_that_of_the_story_and_passes_once_its_files_are_there() -> None:
    demo, life = read_demo_lumpsum(), story_people()[0]
    item, form = ITEMS[demo["item"]], demo["application"]
    stint = life.stints[0]
    assert (form["person"]["id_no"], form["person"]["name"]) == (life.id_number, life.name)
    assert (demo["item"], demo["to"]) == ("PEN-LUMPSUM", stint.city)
    assert form["months_total"] == stint.last - stint.first + 1
    assert {(one.at, one.rule) for one in check_application(item, form, today=date(2024, 12, 10))} == {
        *((f"material/{number}/digest", "digest") for number in range(4)),
        ("notice_signed_digest", "digest"),
    }
    digests = {one["material_code"]: f"sha256:{number}{'a' * 63}" for number, one in enumerate(form["material"])}
    before = copy.deepcopy(form)
    complete = with_digests(form, digests)
    assert form == before
    assert check_application(item, complete, today=date(2024, 12, 10)) == []
    assert attachments_named(complete) == tuple(one.removeprefix("sha256:") for one in digests.values())


def test_only_known_placeholders_are_replaced() -> None:
    assert with_digests(["{{A}}", "{{B}}", "x {{A}}", 7, {"a": "{{A}}"}], {"A": "d"}) == [
        "d",
        "{{B}}",
        "x {{A}}",
        7,
        {"a": "d"},
    ]
