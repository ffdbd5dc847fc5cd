"""What a leg of a joint application asks for: some of the application's fields, and the document that opens it.

A leg is a case of its own between the lead city and one other (protocol §6, Cases). Its rules are those of its item,
with another application: the other city learns what its part needs, and nothing else (个人信息保护法 art. 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocol.catalogue_values import Catalogue, Item
from protocol.procedures.pack import LegRule

LETTER = "letter"


def leg_item(catalogue: Catalogue, item: Item, leg: LegRule) -> Item | None:
    """Return an item as one of its legs sees it, or None if the catalogue lacks the leg's document."""
    letter = catalogue.block(leg.letter, LETTER)
    if letter is None:
        return None
    taken = [one for one in item.application if one.name in leg.takes]
    return replace(item, application=(*taken, replace(letter, name=LETTER)), materials=())


def cities_of(leg: LegRule, application: Mapping[str, Any]) -> list[str]:
    """Return the divisions of the cities to which an application sends a leg, in its order, each once."""
    named = application.get(leg.to)
    rows: Sequence[Any] = named if isinstance(named, list) else [named]
    found = [one.get("division") if isinstance(one, Mapping) else one for one in rows]
    return list(dict.fromkeys(str(one) for one in found if one))


def leg_application(leg: LegRule, application: Mapping[str, Any], letter: Mapping[str, Any]) -> dict[str, Any]:
    """Return the application of a leg."""
    return {**{name: application[name] for name in leg.takes if name in application}, LETTER: dict(letter)}
