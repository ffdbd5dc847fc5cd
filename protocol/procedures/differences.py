"""What a newer pack of procedures, or a newer catalogue, would change, in words: shown before it is taken.

Open cases stay with the documents under which they were opened; the words are for the cases that come after.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.catalogue_values import Catalogue, Item, Leg, Rule
from protocol.procedures.pack import Pack, Procedure, Transition


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that would be otherwise: an item or procedure, and a sentence in each language."""

    at: str
    zh: str
    en: str


def pack_differences(old: Pack, new: Pack) -> list[Difference]:
    """Return what differs between two packs, procedure by procedure, then item by item."""
    found = []
    for name, before, after in _pairs(old.procedures, new.procedures):
        if before is None or after is None:
            found.append(_gone_or_new(name, after is None, "办理规则", "the procedure"))
        else:
            found += _procedure(name, before, after)
    for name, _before, _after in _pairs(old.items, new.items):
        found.append(Difference(name, "本事项的规则有变", "the rules of this item are others"))
    for (cities, item), before, after in _pairs(old.pairs, new.pairs):
        told = f"{_limits(before or ())} → {_limits(after or ())}"
        between = "–".join(sorted(cities))
        found.append(Difference(item, f"{between} 承诺时限：{told}", f"promised between {between}: {told}"))
    if old.due_soon_working_days != new.due_soon_working_days or old.pools != new.pools:
        found.append(Difference("*", "临期天数或统筹区有变", "the days of due soon, or the pools of funds, are others"))
    return found


def catalogue_differences(old: Catalogue, new: Catalogue) -> list[Difference]:
    """Return what differs between two catalogues, item by item: limits, reviewers, fields, materials."""
    found = []
    for code, before, after in _pairs(old.items, new.items):
        if before is None or after is None:
            found.append(_gone_or_new(code, after is None, "事项", "the item"))
        else:
            found += _item(code, before, after)
    return found


def _procedure(name: str, old: Procedure, new: Procedure) -> Iterator[Difference]:
    for state, before, after in _pairs(old.stages, new.stages):
        if before is None or after is None:
            yield _gone_or_new(name, after is None, f"状态 {state}", f"the state {state}")
        elif before != after:
            yield Difference(name, f"状态 {state} 有变", f"the state {state} is another")
    for event, rows, others in _pairs(_by_event(old), _by_event(new)):
        if rows is None or others is None:
            yield _gone_or_new(name, others is None, f"步骤 {event}", f"the step {event}")
        elif rows != others:
            yield Difference(name, f"步骤 {event} 的条件或内容有变", f"conditions or data of the step {event} differ")


def _by_event(procedure: Procedure) -> dict[str, list[Transition]]:
    found: dict[str, list[Transition]] = {}
    for row in procedure.transitions:
        found.setdefault(row.event, []).append(row)
    return found


def _item(code: str, old: Item, new: Item) -> Iterator[Difference]:
    for zh, en, before, after in (
        ("承诺时限", "the promised limit", old.promised_legs, new.promised_legs),
        ("法定时限", "the statutory limit", old.statutory_legs, new.statutory_legs),
    ):
        if before != after:
            told = f"{_limits(before)} → {_limits(after)}"
            yield Difference(code, f"{zh}：{told}", f"{en}: {told}")
    if old.reviewers != new.reviewers:
        told = f"{old.reviewers} → {new.reviewers}"
        yield Difference(code, f"须同意的人数：{told}", f"persons who must agree: {told}")
    yield from _fields(code, old.application, new.application, "申请字段", "field of the application")
    yield from _fields(code, old.answer_when_approved, new.answer_when_approved, "答复字段", "field of the answer")
    for name, paper, other in _pairs({m.code: m for m in old.materials}, {m.code: m for m in new.materials}):
        if paper is None or other is None:
            yield _gone_or_new(code, other is None, f"材料 {name}", f"the material {name}")
        elif paper != other:
            yield Difference(code, f"材料 {name} 的要求有变", f"what is asked of the material {name} differs")


def _fields(code: str, old: Sequence[Rule], new: Sequence[Rule], zh: str, en: str) -> Iterator[Difference]:
    for name, before, after in _pairs({one.name: one for one in old}, {one.name: one for one in new}):
        if before is None or after is None:
            yield _gone_or_new(code, after is None, f"{zh} {name}", f"the {en} {name}")
        elif before != after:
            yield Difference(code, f"{zh} {name} 有变", f"the {en} {name} is another")


def _limits(legs: Sequence[Leg]) -> str:
    return ", ".join(f"{one.leg} {one.limit.value} {one.limit.unit}" for one in legs) or "–"


def _gone_or_new(at: str, is_gone: bool, zh: str, en: str) -> Difference:
    return Difference(at, f"{zh} {'取消' if is_gone else '新增'}", f"{en} is {'gone' if is_gone else 'new'}")


def _pairs(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)
