"""Packs: the shared documents as people see them. What a document is, which are in force, what an import would change.

In force is what the manifest names by digest; a document that is only here waits until a version of the manifest names
it. `Affected` is the seam to whoever holds due days: this room knows calendars, and no case.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session

from node.membership import store
from node.membership.service import calendar_name, calendars_in_force, stored_document
from protocol.catalogue import CatalogueInvalid, parse_catalogue
from protocol.deadlines import CalendarInvalid, Calendars, parse_calendar
from protocol.manifest import Manifest
from protocol.procedures.pack import PackInvalid, parse_pack
from protocol.procedures.rules_reading import RulesInvalid, parse_rules

Builtin = Mapping[str, tuple[str, bytes]]
"""The documents that came with the software: (name, bytes) by SHA-256 in hex."""


class Kind(StrEnum):
    """What a document is; `other` is what this version of the software cannot read."""

    CALENDAR = "calendar"
    CATALOGUE = "catalogue"
    PROCEDURES = "procedures"
    AMOUNTS = "amounts"
    OTHER = "other"


class Standing(StrEnum):
    """Whether a document counts."""

    IN_FORCE = "in_force"
    NOT_NAMED = "not_named"
    LACKING = "lacking"
    """the manifest names it, and it is not here yet"""
    UNREADABLE = "unreadable"
    """the manifest names it, it is here, and this version of the software cannot use it"""


@dataclass(frozen=True, slots=True)
class Described:
    """What a document says of itself; `status` is official or provisional and only calendars have one."""

    kind: Kind
    name: str = ""
    version: str = ""
    status: str | None = None
    fault: str = ""
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list; `name` is the manifest's where it names the document, else the document's own."""

    name: str
    digest: str
    described: Described | None
    standing: Standing
    size: int | None = None
    came_with_software: bool = False
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A case whose due day another set of calendars would move."""

    number: str
    before: date | None
    after: date | None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a document would do to cases: due days that move, what later cases find otherwise, open cases that stay."""

    moved: Sequence[Moved] = ()
    differs: Sequence[tuple[str, str, str]] = ()
    """(item or procedure, sentence in zh, in en)"""
    staying: Mapping[str, int] = field(default_factory=dict)
    """open cases by item: they keep the documents of their opening"""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file is and what taking it would do; `calendars` are those that would then be in force, if it is one."""

    described: Described
    digest: str
    named: tuple[str, ...]
    """the names that the manifest has for it: it is in force"""
    is_here: bool
    calendars: Calendars | None = None


Affected = Callable[[Any, Examined, bytes], Effects]
"""(node, what the file is, its bytes) -> what it would do; by the composition root, from the room of the cases."""


def describe(data: bytes) -> Described:
    """Return what a document is; of one that cannot be read only why. Cost: a full check, as before it is used."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return Described(Kind.OTHER, fault="not JSON")
    marks = content.keys() if isinstance(content, dict) else frozenset[str]()
    reader = next((read for mark, read in _READERS.items() if mark in marks), None)
    if reader is None:
        return Described(Kind.OTHER, fault="neither a calendar nor a catalogue nor a pack")
    try:
        return reader(data)
    except (CalendarInvalid, CatalogueInvalid, PackInvalid, RulesInvalid) as fault:
        return Described(Kind.OTHER, fault=str(fault))


def _calendar(data: bytes) -> Described:
    found = parse_calendar(data)
    status = "provisional" if found.is_provisional else "official"
    return Described(Kind.CALENDAR, calendar_name(found.year), str(found.version), status, year=found.year)


def _catalogue(data: bytes) -> Described:
    return Described(Kind.CATALOGUE, "catalogue", parse_catalogue(data).version)


def _procedures(data: bytes) -> Described:
    return Described(Kind.PROCEDURES, "procedures", parse_pack(data).version)


def _amounts(data: bytes) -> Described:
    return Described(Kind.AMOUNTS, "amounts", parse_rules(data).version)


_READERS: Final[Mapping[str, Callable[[bytes], Described]]] = {
    "year": _calendar,
    "catalogue": _catalogue,
    "pack": _procedures,
    "amounts": _amounts,
}
"""By the member of the document that tells its kind."""


def listed(session: Session, manifest: Manifest, builtin: Builtin) -> list[Listed]:
    """Return every document that the manifest names, by name, then those that are here and not in force."""
    taken = dict(store.documents(session))
    named = [_named(session, name, digest, builtin, taken) for name, digest in sorted(manifest.documents.items())]
    return [*named, *_not_named(session, manifest, builtin, taken)]


def _named(session: Session, name: str, digest: str, builtin: Builtin, taken: Mapping[str, datetime]) -> Listed:
    data = stored_document(session, _bytes_of(builtin), digest)
    if data is None:
        return Listed(name, digest, None, Standing.LACKING)
    told = describe(data)
    standing = Standing.UNREADABLE if _is_unfit(name, told) else Standing.IN_FORCE
    return Listed(name, digest, told, standing, len(data), digest in builtin, taken.get(digest))


def _is_unfit(name: str, told: Described) -> bool:
    """Say whether a document does not serve under the name that the manifest gives it."""
    return told.kind is Kind.OTHER or told.name != name


def _not_named(
    session: Session, manifest: Manifest, builtin: Builtin, taken: Mapping[str, datetime]
) -> Iterator[Listed]:
    in_force = frozenset(manifest.documents.values())
    for digest in [*builtin, *(one for one in taken if one not in builtin)]:
        data = stored_document(session, _bytes_of(builtin), digest) if digest not in in_force else None
        if data is not None:
            told = describe(data)
            name = told.name or (builtin[digest][0] if digest in builtin else "")
            yield Listed(name, digest, told, Standing.NOT_NAMED, len(data), digest in builtin, taken.get(digest))


def examine(session: Session, manifest: Manifest, data: bytes, builtin: Builtin) -> Examined:
    """Return what a file is, whether the manifest names it, and which calendars would be in force with it."""
    digest, told = hashlib.sha256(data).hexdigest(), describe(data)
    known = _bytes_of(builtin)
    calendars = None
    if told.year is not None:
        others = calendars_in_force(session, manifest, known).by_year
        calendars = Calendars({**others, told.year: parse_calendar(data)})
    return Examined(
        described=told,
        digest=digest,
        named=tuple(sorted(name for name, one in manifest.documents.items() if one == digest)),
        is_here=stored_document(session, known, digest) is not None,
        calendars=calendars,
    )


def _bytes_of(builtin: Builtin) -> dict[str, bytes]:
    return {digest: data for digest, (_, data) in builtin.items()}
