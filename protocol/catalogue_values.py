"""The values of a catalogue: items and what they ask for; made by `parse_catalogue` only.

A `Rule` says what one field must be, a `When` on what a field or material depends, a `Leg` how long a part may take.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.deadlines import Limit

LENGTH_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enum, with its names."""

    value: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class When:
    """A condition that an application itself decides: a field has one of these values; None: it is present."""

    field: str
    values: tuple[str | bool, ...] | None

    def holds(self, content: Mapping[str, Any]) -> bool:
        """Say whether it holds for the object in which the field stands."""
        value = content.get(self.field)
        if self.values is None:
            return value not in (None, "", [], {})
        return any(type(value) is type(one) and value == one for one in self.values)


@dataclass(frozen=True, slots=True)
class Rule:
    """One field: its type and what bounds it. `fields` are those of an object, `of` the kind of a list's values."""

    name: str
    label: str
    type: str
    required: bool
    choices: tuple[Choice, ...] = ()
    fields: "tuple[Rule, ...]" = ()
    of: "Rule | None" = None
    max_length: int = LENGTH_MAX
    least: int | None = None
    most: int | None = None
    pattern: re.Pattern[str] | None = None
    must_be: str | int | bool | None = None
    when: When | None = None
    is_instant: bool = False
    is_name: bool = False
    levels: int = 0

    def is_required(self, beside: Mapping[str, Any]) -> bool:
        """Say whether it must be filled, given the object in which it stands."""
        return self.when.holds(beside) if self.when is not None else self.required


@dataclass(frozen=True, slots=True)
class Material:
    """A paper, the codes that do as well, and its ground in law. Wanted always, never, or `when`."""

    code: str
    name_zh: str
    name_en: str
    required: bool
    alternatives: tuple[str, ...]
    legal_ref: str
    when: When | None

    def is_required(self, application: Mapping[str, Any]) -> bool:
        """Say whether this application must come with it."""
        return self.when.holds(application) if self.when is not None else self.required


@dataclass(frozen=True, slots=True)
class Leg:
    """A limit of the whole case (`TOTAL`) or of one part of it, with the mark of its evidence and where it stands."""

    leg: str
    limit: Limit
    mark: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """By which rule a city accepts, or is responsible."""

    rule: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Item:
    """One of the items. `answer` are the fields of every answer, `answer_when_approved` those of this item's."""

    code: str
    name_zh: str
    name_en: str
    mode: str
    insurance: tuple[str, ...]
    accepting: Part
    responsible: tuple[Part, ...]
    application: tuple[Rule, ...]
    answer: tuple[Rule, ...]
    answer_when_approved: tuple[Rule, ...]
    material: Rule
    materials: tuple[Material, ...]
    promised_legs: tuple[Leg, ...]
    statutory_legs: tuple[Leg, ...]
    reviewers: int
    fund_leg: bool
    basis: tuple[str, ...]

    @property
    def promised(self) -> tuple[Limit, ...]:
        """Return the promised limits, that of the whole case first."""
        return _whole_first(self.promised_legs)

    @property
    def statutory(self) -> tuple[Limit, ...]:
        """Return the statutory limits, that of the whole case first."""
        return _whole_first(self.statutory_legs)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All items; named by the SHA-256 (hex) of the document."""

    digest: str
    version: str
    items: Mapping[str, Item]
    blocks: Mapping[str, tuple[Rule, ...]]

    def block(self, name: str, label: str) -> Rule | None:
        """Return a block as a field, or None if there is none of that name."""
        fields = self.blocks.get(name)
        return Rule(name, label, "object", True, fields=fields) if fields is not None else None


def _whole_first(legs: Sequence[Leg]) -> tuple[Limit, ...]:
    return tuple(one.limit for one in sorted(legs, key=lambda one: one.leg != "TOTAL"))
