"""Fills forms by the rules of an item, and breaks them in one place: what must then be told, and where."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from config.data import catalogue_bytes, read_catalogue
from protocol.catalogue import Item, Rule, parse_catalogue

CATALOGUE = parse_catalogue(catalogue_bytes())
ITEMS = CATALOGUE.items
RAW = {one["code"]: one for one in read_catalogue()["items"]}
AGENT_CODE = "AGENT_AUTHORISATION"
PERSON = "450400195708151014"
USCC = "11442000MB2C00013T"
PLAIN: dict[str, Any] = {
    "string": "一行",
    "text": "第一行\n第二行",
    "date": "2024-02-29",
    "month": "202412",
    "money_fen": -1,
    "boolean": True,
    "division": "450400",
    "person_id": PERSON,
    "uscc": USCC,
    "digest": "sha256:" + "a" * 64,
}
FITTING = ("2026-11-24T10:00:00+08:00", "07740000000", "450400", "CHN", "621700000000", "04", "ID_CARD", "KS-2024-001")
"""One of these fits each pattern of the catalogue."""


@dataclass(frozen=True)
class Breach:
    """One change of a filled form, and the one fault that it must give."""

    path: tuple[str | int, ...]
    value: Any
    rule: str
    at: str


ABSENT = object()


def fill(rule: Rule, *, full: bool) -> Any:
    """Return a value that the rule allows; with `full` every optional field has one too."""
    if rule.type == "object":
        return fill_all(rule.fields, full=full)
    if rule.of is not None:
        return [fill(rule.of, full=full) for _ in range(max(1, rule.least or 0))]
    if rule.must_be is not None:
        return rule.must_be
    if rule.choices:
        return rule.choices[0].value
    if rule.pattern is not None:
        return next(one for one in FITTING if rule.pattern.fullmatch(one))
    return rule.least or 0 if rule.type == "integer" else PLAIN[rule.type]


def fill_all(rules: tuple[Rule, ...], *, full: bool) -> dict[str, Any]:
    """Return values for fields: those required, and with `full` all."""
    content = {one.name: fill(one, full=full) for one in rules if full or one.required}
    return content | {one.name: fill(one, full=full) for one in rules if one.is_required(content)}


def application(item: Item, *, full: bool) -> dict[str, Any]:
    """Return an application with every material that the item can ask for."""
    content = fill_all(item.application, full=full)
    codes = dict.fromkeys([*(one["material_code"] for one in RAW[item.code]["materials"]), AGENT_CODE])
    pattern = fill(item.material, full=full)[0]
    content["material"] = [{**pattern, "material_code": code} for code in codes]
    if "agent" in content:
        content["agent"]["authorisation_material"] = AGENT_CODE
    return content


def answer(item: Item, *, full: bool) -> dict[str, Any]:
    """Return an answer that approves."""
    return fill_all((*item.answer, *item.answer_when_approved), full=full)


def walk(rules: tuple[Rule, ...], content: dict[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Rule]]:
    """Yield every value of a filled form: path and rule."""
    for rule in rules:
        if rule.name in content:
            yield from _walk(rule, content[rule.name], (*path, rule.name))


def _walk(rule: Rule, value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Rule]]:
    yield path, rule
    if rule.type == "object":
        yield from walk(rule.fields, value, path)
    for number, one in enumerate(value if rule.of is not None else ()):
        assert rule.of is not None
        yield from _walk(rule.of, one, (*path, number))


def breaches(rules: tuple[Rule, ...], content: dict[str, Any]) -> Iterator[Breach]:
    """Yield every way in which one place of a filled form can be broken."""
    yield Breach(("nobody_knows_this",), 1, "unknown", "?")
    for path, rule in walk(rules, content):
        at = "/".join(map(str, path))
        if path[-1] == rule.name and rule.is_required(inside(content, path[:-1])):
            yield from (Breach(path, value, "required", at) for value in (ABSENT, None, "", "  "))
        if rule.type == "object":
            yield Breach((*path, "nobody_knows_this"), 1, "unknown", f"{at}/?")
        yield from (Breach(path, value, broken, at) for value, broken in wrong_values(rule))


def wrong_values(rule: Rule) -> Iterator[tuple[Any, str]]:
    """Yield values that a field must refuse, each with the rule that it breaks."""
    by_type: dict[str, list[Any]] = {
        "date": ["2026-02-30", "2026-W48-2", "20261124", "２026-11-24", 20261124],
        "month": ["202613", "2026-1", "189912", 202612, "20261２"],
        "money_fen": [2**63, -(2**63) - 1, True, 1.5, "1"],
        "integer": [2**53, True, 1.5, "1"],
        "boolean": [0, 1, "true"],
        "digest": ["sha256:" + "A" * 64, "md5:" + "a" * 64, "a" * 64, "sha256:" + "a" * 63],
        "enum": ["NO_SUCH"],
        "object": ["x", [1]],
        "list": ["x", {"a": 1}],
    }
    other = {"string": 7, "text": 7, "enum": 7, "division": 442000, "uscc": 7, "person_id": 7, "list": 7}
    yield from ((value, rule.type) for value in [*by_type.get(rule.type, []), other.get(rule.type, [])])
    if rule.type in ("string", "text"):
        yield from wrong_texts(rule)
    if rule.type == "integer":
        yield from ((value, broken) for bound, value, broken in (
            (rule.least, (rule.least or 0) - 1, "at_least"), (rule.most, (rule.most or 0) + 1, "at_most"),
        ) if bound is not None)  # fmt: skip
    if rule.type == "list":
        yield [fill(rule.of, full=False)] * ((rule.most or 0) + 1), "count"  # type: ignore[arg-type]
        if rule.least:
            yield [], "count"
    if rule.must_be is not None:
        yield not rule.must_be, "const"
    yield from {
        "person_id": [(PERSON[:17] + "X", "check_character"), (PERSON[:17], "length"), ("4" * 17 + "x", "birth_date")],
        "uscc": [(USCC[:17] + "0", "check_character"), (USCC.lower(), "capitals"), (USCC[:9], "length")],
        "division": [("44200", "length"), ("44200X", "character"), ("４42000", "character")],
    }.get(rule.type, [])


def wrong_texts(rule: Rule) -> Iterator[tuple[Any, str]]:
    """Yield texts that are too long or hold what must not stand in them, or do not have their form."""
    if rule.choices:
        yield "NO_SUCH", "enum"
        return
    yield "字" * (rule.max_length + 1), "too_long"
    yield from ((f"a{bad}", "character") for bad in ("\x00", "\x1b", "\ud800", "\u202e", "\u2028"))
    if rule.type == "string":
        yield "a\nb", "character"
    if rule.pattern is not None:
        yield from ((value, "pattern") for value in ("?", "１２３４５６７８９０１２"))
    if rule.is_instant:
        yield "2026-13-01T00:00:00+08:00", "instant"


def inside(content: Any, path: tuple[Any, ...]) -> Any:
    """Return what stands at a path."""
    for step in path:
        content = content[step]
    return content


def broken(content: dict[str, Any], breach: Breach) -> dict[str, Any]:
    """Return the form with the one change."""
    changed = copy.deepcopy(content)
    place = inside(changed, breach.path[:-1])
    if breach.value is ABSENT:
        del place[breach.path[-1]]
    else:
        place[breach.path[-1]] = breach.value
    return changed


def missing(item: Item, content: dict[str, Any]) -> set[tuple[str, str]]:
    """Return which materials and authorisations must be told missing, from the document itself."""
    rows = content.get("material")
    rows = [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
    given = [one.get("material_code") for one in rows]
    found = set()
    for one in RAW[item.code]["materials"]:
        needed = one["required"]
        if "when" in one:
            value = content.get(one["when"]["field"])
            listed = json.dumps(value) in [json.dumps(it) for it in one["when"].get("in", [])]
            needed = listed or ("present" in one["when"] and value not in (None, "", {}, []))
        if needed and not any(code in given for code in (one["material_code"], *one.get("alternatives", []))):
            found.add((f"material/{one['material_code']}", "material"))
    agent = content.get("agent")
    if isinstance(agent, dict) and agent.get("authorisation_material") == AGENT_CODE and AGENT_CODE not in given:
        found.add(("agent/authorisation_material", "material"))
    return found


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["APPROVED", "REJECTED", "01", "sha256:" + "a" * 64, "ID_CARD"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def every_place(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for step, value in entries:
        yield (*path, step)
        yield from every_place(value, (*path, step))
