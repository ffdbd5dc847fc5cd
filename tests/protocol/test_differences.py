"""What a newer pack or catalogue changes, in words."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from config.data import catalogue_bytes, procedures_bytes
from protocol.catalogue import parse_catalogue
from protocol.procedures.differences import catalogue_differences, pack_differences
from protocol.procedures.pack import parse_pack

PACK, CATALOGUE = json.loads(procedures_bytes()), json.loads(catalogue_bytes())


PAIR = {
    "cities": ["442000", "520300"], "item": "PEN-TRANSFER", "mark": "D",
    "promised": [{"leg": "OUT", "value": 1, "unit": "working_day"}],
}  # fmt: skip


def changed(document: Any, change: Callable[[Any], object]) -> bytes:
    copied = copy.deepcopy(document)
    change(copied)
    return json.dumps(copied).encode()


def item(document: Any, code: str) -> Any:
    return next(one for one in document["items"] if one["code"] == code)


@pytest.mark.parametrize(
    ("change", "at", "word"),
    [
        (lambda p: p["procedures"]["UNIFORM"]["states"]["DECIDED"].update(within=9), "UNIFORM", "state DECIDED"),
        (lambda p: p["procedures"]["UNIFORM"]["transitions"].pop(0), "UNIFORM", "step sign is gone"),
        (lambda p: p["procedures"]["UNIFORM"]["transitions"][0].update(once=True), "UNIFORM", "step sign differ"),
        (lambda p: p["procedures"].update(EXTRA=p["procedures"]["UNIFORM"]), "EXTRA", "procedure is new"),
        (lambda p: p["items"]["PEN-LUMPSUM"]["minimum_months"].pop(), "PEN-LUMPSUM", "rules of this item"),
        (lambda p: p["items"]["PAY-ACCOUNT"].update(procedure="UNIFORM"), "PAY-ACCOUNT", "rules of this item"),
        (lambda p: p.update(due_soon_working_days=3), "*", "due soon"),
        (lambda p: p.update(pairs=[PAIR]), "PEN-TRANSFER", "442000–520300: – → OUT 1 working_day"),
    ],
)
def test_a_pack_tells_its_change_and_nothing_else(change: Any, at: str, word: str) -> None:
    (told,) = pack_differences(parse_pack(procedures_bytes()), parse_pack(changed(PACK, change)))
    assert told.at == at
    assert word in told.en


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: item(c, "PEN-LUMPSUM")["limits"]["promised"][0].update(value=9), "TOTAL 5 working_day → TOTAL 9"),
        (lambda c: item(c, "PEN-LUMPSUM")["limits"]["statutory"][0].update(value=9), "the statutory limit"),
        (lambda c: item(c, "PEN-LUMPSUM").update(reviewers=1), "2 → 1"),
        (lambda c: item(c, "PEN-LUMPSUM")["materials"][0].update(required=False), "material ID_CARD differs"),
        (lambda c: item(c, "PEN-LUMPSUM")["materials"].pop(), "the material INHERITANCE_PROOF is gone"),
        (lambda c: item(c, "PEN-LUMPSUM")["application_fields"].pop(), "field of the application account is gone"),
        (lambda c: item(c, "PEN-LUMPSUM")["answer_fields"][0].update(required=False), "is another"),
    ],
)
def test_a_catalogue_tells_its_change_and_nothing_else(change: Any, word: str) -> None:
    (told,) = catalogue_differences(parse_catalogue(catalogue_bytes()), parse_catalogue(changed(CATALOGUE, change)))
    assert told.at == "PEN-LUMPSUM"
    assert word in told.en


def test_an_item_more_or_less_is_told() -> None:
    fewer = changed(CATALOGUE, lambda c: c["items"].pop())
    (told,) = catalogue_differences(parse_catalogue(catalogue_bytes()), parse_catalogue(fewer))
    assert (told.at, told.en, told.zh) == ("PAY-ACCOUNT", "the item is gone", "事项 取消")
    (told,) = catalogue_differences(parse_catalogue(fewer), parse_catalogue(catalogue_bytes()))
    assert told.en == "the item is new"


def test_the_same_document_tells_nothing() -> None:
    assert pack_differences(parse_pack(procedures_bytes()), parse_pack(procedures_bytes())) == []
    assert catalogue_differences(parse_catalogue(catalogue_bytes()), parse_catalogue(catalogue_bytes())) == []
