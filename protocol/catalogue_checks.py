"""Checks of an application and of an answer against an item: each fault names place and rule, never a value.

check_application(item, {"person": {…}, "material": […], …}, today=date(2026, 11, 24))
# [FieldFault("person/id_no", "check_character", "“证件号码”校验码不正确", "证件号码: the check character is wrong")]

Everything that is wrong is told at once (一次性告知), up to fifty faults; no content, however odd, makes a check fail.
A field that is null or blank counts as absent; one that is not known is named `?`, for its name may be what somebody
typed. A list stops at its first bound: entries beyond it are not looked at. Deliberately absent: whether what is said
is true.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from protocol.catalogue import Item, Rule
from protocol.identifiers import InvalidIdentifier, normalise_name, parse_division, parse_person_id, parse_uscc

FAULTS_MAX: Final = 50
APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"
GROUNDS: Final = ("reason_text", "legal_ref", "remedy_text")
"""What a rejection must state (社会保险经办条例 art. 52: ground and remedy)."""
_UNSEEN: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_NOT_IN_TEXT: Final = re.compile(f"[{_UNSEEN}]")
_NOT_IN_LINE: Final = re.compile(rf"[\t\n\r{_UNSEEN}]")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH: Final = re.compile(r"(19|20)[0-9]{2}(0[1-9]|1[0-2])")
_DIGEST: Final = re.compile(r"(sha256|sm3):[0-9a-f]{64}")
_FEN: Final = range(-(2**63), 2**63)
_WHOLE: Final = range(1 - 2**53, 2**53)
"""Whole numbers that every JSON reader keeps exactly (RFC 8259 §6)."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong: place, rule, and a sentence in each language."""

    at: str
    rule: str
    zh: str
    en: str


_WORDS: Final[dict[str, tuple[str, str]]] = {
    "required": ("不能为空", "must not be empty"),
    "unknown": ("中有不认识的字段", "holds a field that is not known"),
    "string": ("应为一行文字", "is one line of text"),
    "text": ("应为文字", "is text"),
    "character": ("含有不允许的字符", "contains a character that is not allowed"),
    "too_long": ("最多 {length} 个字", "has at most {length} characters"),
    "count": ("应有 {least} 至 {most} 项", "has {least} to {most} entries"),
    "pattern": ("格式不正确", "does not have its form"),
    "capitals": ("字母须为大写", "has capital letters only"),
    "date": ("应为存在的日期 年-月-日", "is a date that exists, YYYY-MM-DD"),
    "instant": ("应为存在的时刻", "is a time that exists"),
    "month": ("应为六位年月", "is a month, YYYYMM"),
    "money_fen": ("应为以分为单位的整数", "is an amount in whole fen"),
    "integer": ("应为整数", "is a whole number"),
    "at_least": ("不小于 {least}", "is at least {least}"),
    "at_most": ("不大于 {most}", "is at most {most}"),
    "boolean": ("应为是或否", "is true or false"),
    "enum": ("应为所列选项之一", "is one of the choices"),
    "division": ("应为六位行政区划代码", "is a six-digit division"),
    "person_id": ("应为证件号码", "is the number of a document"),
    "uscc": ("应为统一社会信用代码", "is a unified social credit code"),
    "list": ("应为列表", "is a list"),
    "object": ("应为一组字段", "is a group of fields"),
    "digest": ("应为 sha256: 或 sm3: 加 64 位小写十六进制", "is sha256: or sm3: and 64 lower-case hex digits"),
    "const": ("不是本事项要求的值", "has another value than this item demands"),
    "material": ("缺少此材料", "this material is missing"),
}


def check_application(item: Item, application: Any, *, today: date) -> list[FieldFault]:
    """Return what is wrong with an application, at most fifty faults. Cost: linear in its size."""
    if not isinstance(application, Mapping):
        return [_fault(_whole(item, "申请", item.application), "", "object")]
    faults = list(islice(_object(_whole(item, "申请", item.application), application, "", today), FAULTS_MAX))
    given = _codes(application.get("material"))
    faults += [
        FieldFault(f"material/{one.code}", "material", f"“{one.name_zh}”缺少此材料", f"{one.name_en} is missing")
        for one in item.materials
        if one.is_required(application) and not given & {one.code, *one.alternatives}
    ]
    return [*faults, *_authorisation(item, application, given, faults)][:FAULTS_MAX]


def check_answer(item: Item, answer: Any, *, today: date) -> list[FieldFault]:
    """Return what is wrong with an answer: the item's fields when it approves, grounds when it rejects."""
    if not isinstance(answer, Mapping):
        return [_fault(_whole(item, "答复", item.answer), "", "object")]
    result = answer.get("result")
    common, own = item.answer, item.answer_when_approved
    if result != APPROVED:
        own = tuple(replace(one, required=False, when=None) for one in own)
    if result == REJECTED:
        common = tuple(replace(one, required=one.required or one.name in GROUNDS) for one in common)
    return list(islice(_object(_whole(item, "答复", (*common, *own)), answer, "", today), FAULTS_MAX))


def check_materials(materials: Any, item: Item, *, today: date) -> list[FieldFault]:
    """Return what is wrong with materials that come later."""
    return list(islice(_value(item.material, materials, "", today), FAULTS_MAX))


def check_field(rule: Rule, value: Any, *, today: date) -> list[FieldFault]:
    """Return what is wrong with the value of one field, at most fifty faults; places begin within it."""
    return list(islice(_value(rule, value, "", today), FAULTS_MAX))


def _whole(item: Item, what: str, fields: tuple[Rule, ...]) -> Rule:
    return Rule("", f"{item.name_zh}{what}", "object", True, fields=fields)


def _codes(materials: Any) -> set[str]:
    rows = [one for one in materials if isinstance(one, Mapping)] if isinstance(materials, list) else []
    return {code for one in rows if isinstance(code := one.get("material_code"), str)}


def _authorisation(
    item: Item, application: Mapping[str, Any], given: set[str], faults: list[FieldFault]
) -> Iterator[FieldFault]:
    """Find that the authorisation which an agent names is not among the materials."""
    agent = application.get("agent")
    code = agent.get("authorisation_material") if isinstance(agent, Mapping) else None
    place = "agent/authorisation_material"
    if isinstance(code, str) and code.strip() and code not in given and all(one.at != place for one in faults):
        fields = next((one.fields for one in item.application if one.name == "agent"), ())
        yield from (_fault(one, place, "material") for one in fields if one.name == "authorisation_material")


def _object(rule: Rule, content: Mapping[str, Any], place: str, today: date) -> Iterator[FieldFault]:
    if content.keys() - {one.name for one in rule.fields}:
        yield _fault(rule, _at(place, "?"), "unknown")
    id_type = content.get("id_type") if any(one.name == "id_type" for one in rule.fields) else "01"
    for one in rule.fields:
        value, where = content.get(one.name), _at(place, one.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if one.is_required(content):
                yield _fault(one, where, "required")
        elif one.type == "person_id":
            yield from _person(one, value, id_type, where, today)
        else:
            yield from _value(one, value, where, today)


def _value(rule: Rule, value: Any, place: str, today: date) -> Iterator[FieldFault]:
    if rule.type == "object":
        if isinstance(value, Mapping):
            yield from _object(rule, value, place, today)
        else:
            yield _fault(rule, place, "object")
    elif rule.type == "list":
        yield from _list(rule, value, place, today)
    elif rule.type == "person_id":
        yield from _person(rule, value, "01", place, today)
    elif rule.type in _IDENTIFIERS:
        yield from _identifier(rule, value, place, _IDENTIFIERS[rule.type])
    else:
        broken = _simple(rule, value)
        if broken is not None:
            yield _fault(rule, place, broken)
        elif rule.is_name:
            yield from _identifier(rule, value, place, normalise_name)


def _list(rule: Rule, value: Any, place: str, today: date) -> Iterator[FieldFault]:
    if not isinstance(value, list) or rule.of is None:
        yield _fault(rule, place, "list")
        return
    if not (rule.least or 0) <= len(value) <= (rule.most or 0):
        yield _fault(rule, place, "count")
        return
    for number, one in enumerate(value):
        yield from _value(rule.of, one, _at(place, str(number)), today)


def _simple(rule: Rule, value: Any) -> str | None:
    """Return the rule that a plain value breaks, or None."""
    if not _FORMS[rule.type](value):
        return rule.type
    broken = _line(rule, value) if isinstance(value, str) else None
    if type(value) is int and rule.least is not None and value < rule.least:
        broken = "at_least"
    if type(value) is int and rule.most is not None and value > rule.most:
        broken = "at_most"
    if broken is None and rule.must_be is not None:
        broken = None if type(value) is type(rule.must_be) and value == rule.must_be else "const"
    return broken


def _line(rule: Rule, value: str) -> str | None:
    if rule.choices and all(one.value != value for one in rule.choices):
        return "enum"
    if (_NOT_IN_TEXT if rule.type == "text" else _NOT_IN_LINE).search(value):
        return "character"
    if len(value) > rule.max_length:
        return "too_long"
    if rule.pattern is not None and not rule.pattern.fullmatch(value):
        return "pattern"
    return "instant" if rule.is_instant and not _is_instant(value) else None


def _person(rule: Rule, value: Any, id_type: Any, place: str, today: date) -> Iterator[FieldFault]:
    """Check a document's number by the rule of its type; an unknown type is told at its own place only."""

    def parse(text: str) -> str:
        return parse_person_id(id_type, text, today=today).number

    if not isinstance(value, str) or (isinstance(id_type, str) and re.fullmatch("0[1-7]", id_type)):
        yield from _identifier(rule, value, place, parse)


def _identifier(rule: Rule, value: Any, place: str, parse: Callable[[str], str]) -> Iterator[FieldFault]:
    """Check what `protocol.identifiers` knows; numbers and codes are written in capitals, so that they compare."""
    if not isinstance(value, str):
        yield _fault(rule, place, rule.type)
        return
    try:
        if parse(value) != value and not rule.is_name:
            yield _fault(rule, place, "capitals")
    except InvalidIdentifier as fault:
        yield FieldFault(place, fault.reason, f"“{rule.label}”{fault.rule_zh}", f"{rule.label}: {fault.rule_en}")


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        return bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_IDENTIFIERS: Final[dict[str, Callable[[str], str]]] = {
    "division": parse_division,
    "uscc": lambda text: parse_uscc(text).text,
}
_FORMS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": _is_text,
    "text": _is_text,
    "enum": _is_text,
    "date": _is_date,
    "month": lambda value: isinstance(value, str) and bool(_MONTH.fullmatch(value)),
    "money_fen": lambda value: type(value) is int and value in _FEN,
    "integer": lambda value: type(value) is int and value in _WHOLE,
    "boolean": lambda value: type(value) is bool,
    "digest": lambda value: isinstance(value, str) and bool(_DIGEST.fullmatch(value)),
}


def _fault(rule: Rule, place: str, broken: str) -> FieldFault:
    zh, en = _WORDS[broken]
    bounds = {"length": rule.max_length, "least": rule.least, "most": rule.most}
    return FieldFault(place, broken, f"“{rule.label}”{zh.format(**bounds)}", f"{rule.label} {en.format(**bounds)}")


def _at(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name
