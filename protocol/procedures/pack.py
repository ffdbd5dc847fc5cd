"""A pack of procedures: the document as values (see `engine`).

`parse_pack` refuses what the engine could not run: unknown states, sides, roles, clocks or field types.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

PACK_MAX_BYTES: Final = 1024 * 1024
FIELD_TYPES: Final = frozenset({"text", "lines", "date", "choice", "division", "answer", "materials"})
CLOCKS: Final = frozenset({None, "begin", "stop", "run", "end"})
STARTS: Final = frozenset({"open", "sign"})
SIDES: Final = frozenset({"accepting", "responsible"})
ROLES: Final = frozenset({"clerk", "officer", "reviewer", "finance", "director", "system"})
TURNING: Final = frozenset({"(same)", "(before)"})


class PackInvalid(ValueError):
    """The document is no pack that this version can run; the text names the place."""


@dataclass(frozen=True, slots=True)
class EventField:
    """One field of an event's data."""

    name: str
    zh: str
    en: str
    type: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One state: its names, whose turn it is, and whether the case is over."""

    name: str
    zh: str
    en: str
    turn: str | None
    closed: bool


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of a table; `engine` says what the guards mean."""

    event: str
    zh: str
    en: str
    by: str
    roles: tuple[str, ...]
    origins: frozenset[str]
    to: str
    fields: tuple[EventField, ...]
    once: bool
    after: str | None
    other_than: str | None
    reviewers: int | None
    remembers: bool
    clock: str | None


@dataclass(frozen=True, slots=True)
class Procedure:
    """A mode of handling: where it starts, when its clock does, its states and its table."""

    name: str
    zh: str
    en: str
    start: str
    clock: str
    stages: Mapping[str, Stage]
    transitions: tuple[Transition, ...]

    def stage(self, name: str) -> Stage:
        """Return a state of this procedure."""
        return self.stages[name]

    def fields_of(self, event: str) -> tuple[EventField, ...]:
        """Return the fields of an event; all rows of one event have the same."""
        return next((one.fields for one in self.transitions if one.event == event), ())


@dataclass(frozen=True, slots=True)
class Pack:
    """A dated pack, named by the SHA-256 (hex) of its bytes."""

    digest: str
    version: str
    valid_from: date
    procedures: Mapping[str, Procedure]
    due_soon_working_days: int
    items: Mapping[str, Any]


def parse_pack(data: bytes) -> Pack:
    """Return a pack.

    Raises:
        PackInvalid: too large, not JSON, or a place in it that the engine could not run.
    """
    if len(data) > PACK_MAX_BYTES:
        raise PackInvalid(f"a pack has at most {PACK_MAX_BYTES} bytes")
    try:
        content = json.loads(data)
        if content["pack"] != "tongban-procedures":
            raise PackInvalid("not a pack of procedures")
        return Pack(
            digest=hashlib.sha256(data).hexdigest(),
            version=str(content["version"]),
            valid_from=date.fromisoformat(content["valid_from"]),
            procedures=MappingProxyType({name: _procedure(name, one) for name, one in content["procedures"].items()}),
            due_soon_working_days=int(content["due_soon_working_days"]),
            items=MappingProxyType(dict(content["items"])),
        )
    except PackInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise PackInvalid(f"not a pack of procedures: {type(fault).__name__}") from None


def _procedure(name: str, content: Mapping[str, Any]) -> Procedure:
    stages = {one: _stage(one, told) for one, told in content["states"].items()}
    _must(content["start"] in stages, f"{name}: start")
    _must(content["clock"] in STARTS, f"{name}: clock")
    rows = tuple(_transition(name, number, row, stages) for number, row in enumerate(content["transitions"]))
    for row in rows:
        same = [one.fields == row.fields for one in rows if one.event == row.event]
        _must(all(same), f"{name}: the fields of {row.event} differ")
    return Procedure(
        name, content["zh"], content["en"], content["start"], content["clock"], MappingProxyType(stages), rows
    )


def _stage(name: str, content: Mapping[str, Any]) -> Stage:
    turn = content.get("turn")
    closed = bool(content.get("closed", False))
    _must(turn in SIDES or (closed and turn is None), f"{name}: turn")
    return Stage(name, content["zh"], content["en"], turn, closed)


def _transition(name: str, number: int, row: Mapping[str, Any], stages: Mapping[str, Stage]) -> Transition:
    place = f"{name}/{number}"
    _must(row["by"] in SIDES, f"{place}: by")
    _must(bool(row["roles"]) and set(row["roles"]) <= ROLES, f"{place}: roles")
    _must(bool(row["from"]) and set(row["from"]) <= stages.keys(), f"{place}: from")
    _must(row["to"] in stages or row["to"] in TURNING, f"{place}: to")
    _must(row.get("clock") in CLOCKS, f"{place}: clock")
    return Transition(
        event=row["event"],
        zh=row["zh"],
        en=row["en"],
        by=row["by"],
        roles=tuple(row["roles"]),
        origins=frozenset(row["from"]),
        to=row["to"],
        fields=tuple(_field(place, one, told) for one, told in row.get("data", {}).items()),
        once=bool(row.get("once", False)),
        after=row.get("after"),
        other_than=row.get("other_than"),
        reviewers=row.get("reviewers"),
        remembers=bool(row.get("remembers", False)),
        clock=row.get("clock"),
    )


def _field(place: str, name: str, content: Mapping[str, Any]) -> EventField:
    _must(content["type"] in FIELD_TYPES, f"{place}: type of {name}")
    choices = tuple(content.get("choices", ()))
    return EventField(name, content["zh"], content["en"], content["type"], bool(content.get("required")), choices)


def _must(holds: bool, place: str) -> None:
    if not holds:
        raise PackInvalid(f"{place} is not what the engine knows")
