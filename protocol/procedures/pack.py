"""A pack of procedures: the document as values (see `engine`), and by which of them each item is handled.

`parse_pack` refuses what the engine could not run: unknown states, sides, roles, clocks, guards or field types.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from protocol.catalogue_values import Leg
from protocol.deadlines import UNITS, Limit

PACK_MAX_BYTES: Final = 1024 * 1024
FIELD_TYPES: Final = frozenset({"text", "lines", "date", "choice", "division", "answer", "materials", "fen", "name"})
OF_CATALOGUE: Final = re.compile(r"(block|blocks|answer):[a-z][a-z_]{0,63}")
"""Types that the catalogue knows: one of its blocks, a list of them, or a field of the item's own answer."""
CLOCKS: Final = frozenset({None, "begin", "stop", "run", "end"})
STARTS: Final = frozenset({"open", "sign"})
SIDES: Final = frozenset({"accepting", "responsible"})
ROLES: Final = frozenset({"clerk", "officer", "reviewer", "finance", "director", "system", "medical", "housing"})
TURNING: Final = frozenset({"(same)", "(before)"})
PARTS: Final = frozenset({None, "none", "last", "more"})
BALANCES: Final = frozenset({None, "equal", "differs"})
"""whether what has arrived is what was expected"""


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
    """One state: its names, whose turn it is, and whether the case is over.

    `within`: working days that its turn may take while no limit of the item counts.
    """

    name: str
    zh: str
    en: str
    turn: str | None
    closed: bool
    within: int


@dataclass(frozen=True, slots=True)
class Amount:
    """How an event changes an amount of the case: `set` or `add` what stands at a place of its data, if it does."""

    name: str
    how: str
    at: tuple[str, ...]


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
    limit: str | None
    opens_part: bool
    closes_part: bool
    of: frozenset[str]
    parts: str | None
    results: frozenset[str]
    flag: str | None
    balance: str | None
    amounts: tuple[Amount, ...]
    opens_legs: bool


@dataclass(frozen=True, slots=True)
class Procedure:
    """A mode of handling: where it starts, when its clock does, its states and its table."""

    name: str
    zh: str
    en: str
    start: str
    clock: str
    limit: str | None
    """the item's limit that counts from the start, where it has several"""
    stages: Mapping[str, Stage]
    transitions: tuple[Transition, ...]

    def stage(self, name: str) -> Stage:
        """Return a state of this procedure."""
        return self.stages[name]

    def fields_of(self, event: str) -> tuple[EventField, ...]:
        """Return the fields of an event; all rows of one event have the same."""
        return next((one.fields for one in self.transitions if one.event == event), ())

    def opens_legs(self, event: str) -> bool:
        """Say whether legs are opened with an event."""
        return any(one.opens_legs for one in self.transitions if one.event == event)


@dataclass(frozen=True, slots=True)
class Holds:
    """A condition on an application: a field has one of these values, or a list lacks all of them (`without`)."""

    field: str
    values: tuple[Any, ...]
    is_without: bool = False

    def of(self, application: Mapping[str, Any]) -> bool:
        """Say whether it holds."""
        value = application.get(self.field)
        if self.is_without:
            return not (isinstance(value, list) and any(one in value for one in self.values))
        return any(value == one for one in self.values)


@dataclass(frozen=True, slots=True)
class LegRule:
    """A leg of a joint application: its procedure, the field that names its cities, and what it takes along."""

    name: str
    procedure: str
    to: str
    takes: tuple[str, ...]
    letter: str
    """the catalogue's block of the document that opens it"""


@dataclass(frozen=True, slots=True)
class Handling:
    """How an item is handled, where its mode alone does not say it."""

    procedure: str | None = None
    parts: str | None = None
    """field of the application that lists the parts which must all be done"""
    legs: Mapping[str, LegRule] = field(default_factory=dict)
    limits: tuple[tuple[str, Holds], ...] = ()
    """a limit's name and when it is the one that counts"""
    no_fund: Holds | None = None
    """when no money moves"""
    flags: Mapping[str, tuple[Holds, ...]] = field(default_factory=dict)
    """kinds of case that rows and limits ask for, and the conditions of each"""


NOTHING_ELSE: Final = Handling()


@dataclass(frozen=True, slots=True)
class Pack:
    """A dated pack, named by the SHA-256 (hex) of its bytes."""

    digest: str
    version: str
    valid_from: date
    procedures: Mapping[str, Procedure]
    due_soon_working_days: int
    items: Mapping[str, Any]
    handling: Mapping[str, Handling]
    pairs: Mapping[tuple[frozenset[str], str], tuple[Leg, ...]]
    """what two cities have agreed to promise each other, by the cities and the item"""
    remedy: str
    """what a decision says of remedies where the answer itself does not"""
    pools: Mapping[str, str]
    """beginnings of divisions whose fund is not that of their province, and the name of that fund"""

    def handling_of(self, item: str) -> Handling:
        """Return how an item is handled."""
        return self.handling.get(item, NOTHING_ELSE)

    def promised_between(self, one: str, other: str, item: str) -> tuple[Leg, ...]:
        """Return the limits that two cities promise each other for an item, in place of the catalogue's."""
        return self.pairs.get((frozenset({one, other}), item), ())

    def pool_of(self, division: str) -> str:
        """Return the fund that pays for a division: that of its province, unless the pack names another."""
        apart = next((pool for begins, pool in self.pools.items() if division.startswith(begins)), None)
        return apart or division[:2]


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
        procedures = MappingProxyType({name: _procedure(name, one) for name, one in content["procedures"].items()})
        return Pack(
            digest=hashlib.sha256(data).hexdigest(),
            version=str(content["version"]),
            valid_from=date.fromisoformat(content["valid_from"]),
            procedures=procedures,
            due_soon_working_days=int(content["due_soon_working_days"]),
            items=MappingProxyType(dict(content["items"])),
            handling=MappingProxyType(
                {name: _handling(name, one, procedures) for name, one in content["items"].items()}
            ),
            pairs=MappingProxyType(dict(_pair(number, one) for number, one in enumerate(content.get("pairs", [])))),
            remedy=str(content.get("remedy", {}).get("zh", "")),
            pools=MappingProxyType({str(one): str(pool) for one, pool in content.get("pools", {}).items()}),
        )
    except PackInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise PackInvalid(f"not a pack of procedures: {type(fault).__name__}") from None


def _handling(item: str, content: Mapping[str, Any], procedures: Mapping[str, Procedure]) -> Handling:
    procedure = content.get("procedure")
    _must(procedure is None or procedure in procedures, f"{item}: procedure")
    legs = {name: _leg(item, name, one, procedures) for name, one in content.get("legs", {}).items()}
    limits = [(str(one["limit"]), _holds(one["when"])) for one in content.get("limits", [])]
    no_fund = content.get("no_fund")
    flags = {str(name): tuple(_holds(one) for one in rows) for name, rows in content.get("flags", {}).items()}
    return Handling(
        procedure=procedure,
        parts=content.get("parts"),
        legs=MappingProxyType(legs),
        limits=tuple(limits),
        no_fund=_holds(no_fund) if no_fund else None,
        flags=MappingProxyType(flags),
    )


def _leg(item: str, name: str, content: Mapping[str, Any], procedures: Mapping[str, Procedure]) -> LegRule:
    _must(content["procedure"] in procedures, f"{item}: procedure of {name}")
    _must(bool(re.fullmatch(r"[A-Z_]{2,16}", name)), f"{item}: name of {name}")
    return LegRule(name, content["procedure"], content["to"], tuple(content["takes"]), content["letter"])


def _pair(number: int, content: Mapping[str, Any]) -> tuple[tuple[frozenset[str], str], tuple[Leg, ...]]:
    place = f"pairs/{number}"
    cities = frozenset(content["cities"])
    _must(
        len(content["cities"]) == 2 and all(re.fullmatch(r"[1-9][0-9]{5}", one) for one in cities), f"{place}: cities"
    )
    legs = []
    for one in content["promised"]:
        _must(one["unit"] in UNITS and type(one["value"]) is int and 0 <= one["value"] <= 366, f"{place}: promised")
        legs.append(Leg(str(one["leg"]), Limit(one["value"], one["unit"]), str(content["mark"])))
    return (cities, str(content["item"])), tuple(legs)


def _holds(content: Mapping[str, Any]) -> Holds:
    return Holds(content["field"], tuple(content.get("in") or content["without"]), "without" in content)


def _procedure(name: str, content: Mapping[str, Any]) -> Procedure:
    stages = {one: _stage(one, told) for one, told in content["states"].items()}
    _must(content["start"] in stages, f"{name}: start")
    _must(content["clock"] in STARTS, f"{name}: clock")
    rows = tuple(_transition(name, number, row, stages) for number, row in enumerate(content["transitions"]))
    for row in rows:
        same = [one.fields == row.fields for one in rows if one.event == row.event]
        _must(all(same), f"{name}: the fields of {row.event} differ")
    return Procedure(
        name=name,
        zh=content["zh"],
        en=content["en"],
        start=content["start"],
        clock=content["clock"],
        limit=content.get("limit"),
        stages=MappingProxyType(stages),
        transitions=rows,
    )


def _stage(name: str, content: Mapping[str, Any]) -> Stage:
    turn = content.get("turn")
    closed = bool(content.get("closed", False))
    _must(turn in SIDES or (closed and turn is None), f"{name}: turn")
    within = content.get("within", 0)
    _must(closed or (type(within) is int and 0 < within <= 366), f"{name}: within")
    return Stage(name, content["zh"], content["en"], turn, closed, within)


def _transition(name: str, number: int, row: Mapping[str, Any], stages: Mapping[str, Stage]) -> Transition:
    place = f"{name}/{number}"
    _must(row["by"] in SIDES, f"{place}: by")
    _must(bool(row["roles"]) and set(row["roles"]) <= ROLES, f"{place}: roles")
    _must(bool(row["from"]) and set(row["from"]) <= stages.keys(), f"{place}: from")
    _must(row["to"] in stages or row["to"] in TURNING, f"{place}: to")
    _must(row.get("clock") in CLOCKS, f"{place}: clock")
    _must(row.get("parts") in PARTS and row.get("part") in (None, "open", "close"), f"{place}: parts")
    _must(row.get("balance") in BALANCES, f"{place}: balance")
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
        limit=row.get("limit"),
        opens_part=row.get("part") == "open",
        closes_part=row.get("part") == "close",
        of=frozenset(row.get("of", ())),
        parts=row.get("parts"),
        results=frozenset(row.get("results", ())),
        flag=row.get("flag"),
        balance=row.get("balance"),
        amounts=tuple(_amount(place, name, one) for name, one in row.get("amounts", {}).items()),
        opens_legs=bool(row.get("opens_legs", False)),
    )


def _amount(place: str, name: str, content: Mapping[str, Any]) -> Amount:
    _must(content["how"] in ("set", "add", "default"), f"{place}: amount {name}")
    return Amount(name, content["how"], tuple(content["at"].split("/")))


def _field(place: str, name: str, content: Mapping[str, Any]) -> EventField:
    is_known = content["type"] in FIELD_TYPES or OF_CATALOGUE.fullmatch(content["type"])
    _must(bool(is_known), f"{place}: type of {name}")
    choices = tuple(content.get("choices", ()))
    return EventField(name, content["zh"], content["en"], content["type"], bool(content.get("required")), choices)


def _must(holds: bool, place: str) -> None:
    if not holds:
        raise PackInvalid(f"{place} is not what the engine knows")
