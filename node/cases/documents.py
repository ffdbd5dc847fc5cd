"""The shared documents as the cases room reads them: catalogue, procedures, amounts, calendars, each parsed once.

In force is what the manifest names: `catalogue`, `procedures`, `amounts`; calendars are the membership room's. A
network whose manifest names no procedures or amounts uses those that came with the software. Documents never change
under their digest, so what is parsed stays.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from sqlmodel import Session

from node.cases.room import Documents
from protocol.catalogue import Catalogue, CatalogueInvalid, parse_catalogue
from protocol.deadlines import Calendars
from protocol.errors import UnknownItem
from protocol.manifest import Manifest
from protocol.procedures.pack import Pack, PackInvalid, parse_pack
from protocol.procedures.rules import Rules as AmountRules
from protocol.procedures.rules_reading import RulesInvalid, parse_rules

T = TypeVar("T")

_catalogue = lru_cache(maxsize=32)(parse_catalogue)
_pack = lru_cache(maxsize=32)(parse_pack)
_amounts = lru_cache(maxsize=32)(parse_rules)


def documents_of(
    stored: Callable[[Session, str], bytes | None],
    calendars: Callable[[Session], Calendars],
    manifest: Callable[[], Manifest],
    builtin: Mapping[str, str],
) -> Documents:
    """Return the documents of a node.

    Args:
        stored: bytes by digest (hex), None for what this node lacks.
        calendars: those that the manifest names.
        manifest: the one in force.
        builtin: digests of the documents that came with the software, by name.
    """

    def named(name: str) -> str:
        digest = manifest().documents.get(name) or builtin.get(name)
        if digest is None:
            raise UnknownItem(f"the network names no {name}")
        return digest

    def catalogue(session: Session, digest: str) -> Catalogue | None:
        data = stored(session, digest)
        return _read(_catalogue, data)

    def procedures(session: Session, digest: str) -> Pack | None:
        return _read(_pack, stored(session, digest))

    def amounts(session: Session, digest: str) -> AmountRules | None:
        return _read(_amounts, stored(session, digest))

    return Documents(
        catalogue_in_force=lambda session: _known(catalogue(session, named("catalogue"))),
        procedures_in_force=lambda session: _known(procedures(session, named("procedures"))),
        catalogue=catalogue,
        procedures=procedures,
        calendars=calendars,
        amounts=amounts,
        amounts_in_force=lambda session: _known(amounts(session, named("amounts"))),
    )


def _read(parse: Callable[[bytes], T], data: bytes | None) -> T | None:
    try:
        return parse(data) if data is not None else None
    except (CatalogueInvalid, PackInvalid, RulesInvalid):
        return None


def _known(found: T | None) -> T:
    if found is None:
        raise UnknownItem("a document that the network names is not here yet, or cannot be read")
    return found
