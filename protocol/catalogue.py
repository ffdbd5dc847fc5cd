"""The catalogue of items (事项目录): what each asks for, who decides, how long it may take.

A JSON document that the network shares by its digest; a case stays with the one under which it was opened. Here it is
parsed once into values; `catalogue_checks` checks applications and answers against them, `catalogue_forms` makes the
forms that people fill. A field as it stands in the document (all its members are in `FIELD_MEMBERS`)::

    {"name":"hukou_division","type":"division","required":false,"zh":"户籍地",
     "when":{"field":"case_kind","in":["ENTITLED"],"mark":"D"}}

`when` states the condition that an application decides by itself: the field (or the material) is required exactly
when the field named there, beside it, has one of the values, or is present. What a field says that is not known here
is refused: a bound that is not understood would not be kept.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from protocol.catalogue_place import CatalogueInvalid, Place
from protocol.catalogue_values import LENGTH_MAX, Catalogue, Choice, Item, Leg, Material, Part, Rule, When
from protocol.deadlines import UNITS, Limit
from protocol.errors import Malformed
from protocol.suites import parse_json

__all__ = [
    "CATALOGUE_MAX_BYTES", "Catalogue", "CatalogueInvalid", "Item", "Leg", "Material", "Rule", "attachments_named",
    "parse_catalogue",
]  # fmt: skip

CATALOGUE_MAX_BYTES: Final = 2 * 1024 * 1024
TYPES: Final = frozenset(
    {
        "string", "text", "date", "month", "money_fen", "integer", "boolean", "enum", "division", "person_id", "uscc",
        "list", "object", "digest",
    }
)  # fmt: skip
FIELD_MEMBERS: Final = frozenset(
    {
        "name", "type", "required", "zh", "en", "unit", "pattern", "enum", "items", "fields", "block", "min_items",
        "max_items", "minimum", "maximum", "max_length", "const", "standard", "sensitivity", "mark", "note", "when",
    }
)  # fmt: skip
KIND_MEMBERS: Final = FIELD_MEMBERS - {"name", "required", "when"}
"""What the kind of a list's values may say; its name and label are the list's."""
LENGTHS: Final = {"string": 200, "text": 4000}
LIST_MAX: Final = 500
ITEMS_MAX: Final = 200
LEVELS_MAX: Final = 12
"""How many lists and objects may stand within one another, in a field and so in what is checked against it."""
REQUIRED_BLOCKS: Final = frozenset({"person", "verification"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_-]{1,63}")
_ATTACHMENT: Final = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class _Shared:
    """What fields refer to: the blocks, those already read (None: being read), the materials that there are."""

    blocks: Place
    read: dict[str, tuple[Rule, ...] | None]
    materials: tuple[Choice, ...]


def parse_catalogue(data: bytes) -> Catalogue:
    """Return a catalogue. Cost: linear in its size; a block is read once, however often it is named.

    Raises:
        CatalogueInvalid: too large, not strict JSON, or a place that this version cannot read; the text names it.
    """
    if len(data) > CATALOGUE_MAX_BYTES:
        raise CatalogueInvalid(f"a catalogue has at most {CATALOGUE_MAX_BYTES} bytes")
    try:
        content = Place(parse_json(data), "")
    except Malformed as fault:
        raise CatalogueInvalid(fault.detail) from None
    materials = tuple(
        Choice(one.text("material_code", _CODE), one.text("zh"), one.text("en")) for one in content.rows("materials")
    )
    shared = _Shared(content.one("blocks"), {}, materials)
    items: dict[str, Item] = {}
    for place in content.rows("items", ITEMS_MAX):
        item = _item(place, shared)
        if item.code in items:
            raise place.wrong("code", "stands there twice")
        items[item.code] = item
    for name in shared.blocks.content:
        _block(name, content, shared, 1)
    blocks = MappingProxyType({name: fields for name, fields in shared.read.items() if fields})
    return Catalogue(hashlib.sha256(data).hexdigest(), content.text("version"), MappingProxyType(items), blocks)


def attachments_named(content: Any) -> tuple[str, ...]:
    """Return the attachments that digests in an application or event name: SHA-256 in hex, each once, in order.

    Digests of another suite (`sm3:…`) name no attachment. No content makes it fail.
    """
    return tuple(dict.fromkeys(_digests(content, LEVELS_MAX + 4)))


def _digests(content: Any, levels: int) -> Iterator[str]:
    if isinstance(content, str):
        found = _ATTACHMENT.fullmatch(content)
        if found:
            yield found[1]
    elif levels and isinstance(content, Mapping | list):
        for value in content.values() if isinstance(content, Mapping) else content:
            yield from _digests(value, levels - 1)


def _item(place: Place, shared: _Shared) -> Item:
    application = _application(place, shared)
    answer = [rule for block in place.texts("answer_blocks") for rule in _block(block, place, shared, 0)]
    approved = _fields(place, "answer_fields", shared, 0, beside=answer)
    limits, roles = place.one("limits"), place.one("roles")
    material = next(one for one in application if one.name == "material")
    return Item(
        code=place.text("code", _CODE),
        name_zh=place.text("name_zh"),
        name_en=place.text("name_en"),
        mode=place.text("mode", _CODE),
        insurance=tuple(place.texts("insurance_types")),
        accepting=_part(roles.one("accepting")),
        responsible=tuple(_part(one) for one in roles.rows("responsible")),
        application=application,
        answer=tuple(answer),
        answer_when_approved=approved,
        material=material,
        materials=tuple(_material(one, application, shared) for one in place.rows("materials")),
        promised_legs=tuple(_leg(one) for one in limits.rows("promised")),
        statutory_legs=tuple(_leg(one) for one in limits.rows("statutory")),
        reviewers=place.number("reviewers", 1, 2),
        fund_leg=place.flag("fund_leg"),
        basis=tuple(one.text("ref") for one in place.rows("legal_basis")),
    )


def _application(place: Place, shared: _Shared) -> tuple[Rule, ...]:
    """Return the blocks and own fields of an application; materials stand in every one of them."""
    rules = []
    for name in (*(one for one in place.texts("application_blocks") if one != "material"), "material"):
        fields = _block(name, place, shared, 1)
        label = shared.blocks.one(name).text("zh")
        rule = Rule(name, label, "object", name in REQUIRED_BLOCKS, fields=fields, levels=_levels(fields))
        if name == "material":
            rule = Rule(name, label, "list", False, of=rule, least=0, most=LIST_MAX, levels=rule.levels + 1)
        rules.append(rule)
    return (*rules, *_fields(place, "application_fields", shared, 0, beside=rules))


def _part(place: Place) -> Part:
    return Part(place.text("rule", _CODE), place.text("zh"), place.text("en"))


def _leg(place: Place) -> Leg:
    unit = place.text("unit")
    if unit not in UNITS:
        raise place.wrong("unit", "is none of the units of a limit")
    limit = Limit(place.number("value", 0, 3_660), unit)
    source = place.text("source") if place.has("source") else ""
    return Leg(place.text("leg", _CODE), limit, place.text("mark"), source)


def _material(place: Place, application: Sequence[Rule], shared: _Shared) -> Material:
    codes = {one.value for one in shared.materials}
    code, alternatives = place.text("material_code", _CODE), tuple(place.texts("alternatives", optional=True))
    if not codes.issuperset({code, *alternatives}):
        raise place.wrong("material_code", "or one of its alternatives is not among the materials")
    return Material(
        code=code,
        name_zh=place.text("name_zh"),
        name_en=place.text("name_en"),
        required=place.flag("required"),
        alternatives=alternatives,
        legal_ref=place.text("legal_ref"),
        when=_when(place.one("when"), application) if place.has("when") else None,
    )


def _when(place: Place, beside: Sequence[Rule]) -> When:
    """Return a condition on one of the fields beside it, whose values it must be able to have."""
    place.only(frozenset({"field", "in", "present", "mark"}))
    field = next((one for one in beside if one.name == place.text("field")), None)
    if field is None or place.has("in") == place.has("present"):
        raise place.wrong("field", "is no field beside it, or has not exactly one of in and present")
    if place.has("present"):
        if not place.flag("present"):
            raise place.wrong("present", "is true where it stands")
        return When(field.name, None)
    possible: Sequence[str | bool] = [one.value for one in field.choices]
    if field.type == "boolean":
        possible = [True, False]
    values = tuple(place.values("in"))
    if not values or not all(any(type(one) is type(it) and one == it for it in possible) for one in values):
        raise place.wrong("in", "names a value that the field cannot have")
    return When(field.name, values)


def _block(name: str, place: Place, shared: _Shared, level: int) -> tuple[Rule, ...]:
    """Return the fields of a block; each is read once."""
    known = shared.read.get(name, ())
    if known:
        if level + _levels(known) - 1 > LEVELS_MAX:
            raise CatalogueInvalid(f"{place.at}: lists and objects stand within one another too deeply")
        return known
    if known is None:
        raise CatalogueInvalid(f"{place.at}: the block {name} holds itself")
    if not shared.blocks.has(name):
        raise CatalogueInvalid(f"{place.at}: a block that does not stand under blocks")
    shared.read[name] = None
    fields = _fields(shared.blocks.one(name), "fields", shared, level)
    if name == "material":
        fields = tuple(replace(one, choices=shared.materials) if one.name == "material_code" else one for one in fields)
    shared.read[name] = fields
    return fields


def _levels(fields: Sequence[Rule]) -> int:
    return 1 + max(one.levels for one in fields)


def _fields(place: Place, name: str, shared: _Shared, level: int, beside: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Return a list of fields; names are unique, also among those `beside` it, and so are conditions' fields found."""
    rows = place.rows(name)
    if not rows:
        raise place.wrong(name, "has no fields")
    rules = [_rule(one, shared, level, name=one.text("name", _NAME), label=one.text("zh")) for one in rows]
    every = [*beside, *rules]
    if len({one.name for one in every}) != len(every):
        raise place.wrong(name, "names a field twice")
    about_person = any(one.type == "person_id" for one in rules)
    found = []
    for row, rule in zip(rows, rules, strict=True):
        when = _when(row.one("when"), every) if row.has("when") else None
        found.append(replace(rule, when=when, is_name=about_person and rule.name == "name" and rule.type == "string"))
    return tuple(found)


def _rule(place: Place, shared: _Shared, level: int, *, name: str, label: str) -> Rule:
    """Return one field, or the kind of a list's values, which has the name and label of the list."""
    place.only(FIELD_MEMBERS)
    kind = place.text("type")
    if kind not in TYPES:
        raise place.wrong("type", "is none of the field types")
    if level > LEVELS_MAX:
        raise place.wrong("type", "stands too deeply within lists and objects")
    if place.has("block") and place.has("fields"):
        raise place.wrong("block", "stands beside fields")
    fields: tuple[Rule, ...] = ()
    of = None
    least, most = place.bound("minimum"), place.bound("maximum")
    if kind == "object" and place.has("block"):
        fields = _block(place.text("block"), place, shared, level + 1)
    elif kind == "object":
        fields = _fields(place, "fields", shared, level + 1)
    elif kind == "list":
        place.one("items").only(KIND_MEMBERS)
        of = _rule(place.one("items"), shared, level + 1, name=name, label=label)
        least = place.number("min_items", 0, LIST_MAX, default=0)
        most = place.number("max_items", 1, LIST_MAX, default=LIST_MAX)
    return Rule(
        name=name,
        label=label,
        type=kind,
        required=place.flag("required", default=False),
        choices=_choices(place) if kind == "enum" else (),
        fields=fields,
        of=of,
        max_length=place.number("max_length", 1, LENGTH_MAX, default=LENGTHS.get(kind, LENGTH_MAX)),
        least=least,
        most=most,
        pattern=place.pattern("pattern"),
        must_be=place.simple("const"),
        is_instant=place.has("unit") and place.text("unit") == "instant",
        levels=_levels(fields) if fields else of.levels + 1 if of else 0,
    )


def _choices(place: Place) -> tuple[Choice, ...]:
    rows = place.rows("enum")
    found = tuple(Choice(one.text("value"), one.text("zh"), one.text("en")) for one in rows)
    if not found or len({one.value for one in found}) != len(found):
        raise place.wrong("enum", "is empty, or has a value twice")
    return found
