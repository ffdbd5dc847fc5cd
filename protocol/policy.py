"""May this member ask this of that one, and which fields? (protocol §5.1 step 10)

Deny by default. A *release rule* says: to this peer, for this service item, of this kind of record,
these fields. A question needs an item of the catalogue, a legal basis, and a case number or a
registered consultation (咨询登记); 个人信息保护法 art. 6, 13, 34 and 社会保险经办条例 art. 35 stand
behind it. One rule, as it is written in a policy file::

    {"peer": "450400", "item": "PEN-LUMPSUM", "record": "balance", "fields": ["insurance", "until", "balance_fen"]}
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from protocol.claims import Why
from protocol.errors import InvalidBody, PolicyDenied, UnknownItem
from protocol.messages import LINES, RecordKind

BASES: Final = frozenset({"STATUTORY", "CONSENT"})
"""Legal basis codes: statutory duty (PIPL art. 13(3)), or the person's separate consent (art. 29)."""


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """What one peer may see of one kind of record for one item."""

    peer: str
    item: str
    record: RecordKind
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """Fields that are released, and fields that were asked for and are withheld, both in model order."""

    released: tuple[str, ...]
    withheld: tuple[str, ...]


def check_purpose(why: Why, items: Collection[str]) -> None:
    """Refuse a question without lawful purpose.

    Raises:
        UnknownItem: the item is not in our catalogue.
        PolicyDenied: no case or consultation, unknown basis, or consent without its digest.
    """
    if why.item not in items:
        raise UnknownItem("the service item is not in this node's catalogue")
    if why.case is None and why.ref is None:
        raise PolicyDenied("a record query names a case or a registered consultation")
    if why.basis not in BASES:
        raise PolicyDenied(f"the legal basis is one of {', '.join(sorted(BASES))}")
    if why.basis == "CONSENT" and why.consent is None:
        raise PolicyDenied("consent as a basis comes with the digest of the consent")


def decide(rule: ReleaseRule | None, record: RecordKind, asked: Collection[str] | None) -> Decision:
    """Return which fields leave the city.

    Args:
        rule: the rule for this peer, item and record kind; None when there is none.
        record: the kind of record.
        asked: the fields asked for; None asks for all.

    Raises:
        InvalidBody: a field that this kind of record does not have.
        PolicyDenied: no rule, or none of the fields asked for.
    """
    known = tuple(LINES[record].model_fields)
    wanted = known if asked is None else tuple(name for name in known if name in asked)
    if asked is not None and len(wanted) != len(set(asked)):
        raise InvalidBody(f"{record.value} has the fields {', '.join(known)}")
    if rule is None:
        raise PolicyDenied("no release rule for this peer, item and kind of record")
    released = tuple(name for name in wanted if name in rule.fields)
    if not released:
        raise PolicyDenied("none of the fields asked for is released to this peer for this item")
    return Decision(released=released, withheld=tuple(name for name in wanted if name not in rule.fields))
