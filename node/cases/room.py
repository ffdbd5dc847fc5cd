"""What the cases room works with, as values; made by the composition root."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from sqlmodel import Session

from node.outbox.service import Outbox
from node.storage.encryption import Vault
from node.storage.unit_of_work import Transaction
from protocol.cases import AttachmentRef
from protocol.catalogue import Catalogue, Item
from protocol.catalogue_legs import leg_item
from protocol.deadlines import Calendars
from protocol.envelope import Trust
from protocol.errors import UnknownItem
from protocol.procedures.engine import CaseState
from protocol.procedures.pack import Pack, Procedure
from protocol.procedures.rules import Rules as AmountRules

FUND: Final = "fund"
"""flag of a leg whose money moves: its two cities are paid from different funds"""
CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Documents:
    """The shared documents that cases rest on: those in force, and those of older cases, by digest."""

    catalogue_in_force: Callable[[Session], Catalogue]
    procedures_in_force: Callable[[Session], Pack]
    catalogue: Callable[[Session, str], Catalogue | None]
    procedures: Callable[[Session, str], Pack | None]
    calendars: Callable[[Session], Calendars]
    amounts: Callable[[Session, str], AmountRules | None]
    amounts_in_force: Callable[[Session], AmountRules]


@dataclass(frozen=True, slots=True)
class Rules:
    """Under what one case stands: its item and its procedure."""

    item: Item
    procedure: Procedure
    pack: Pack
    catalogue: Catalogue
    leg: str = ""
    """the leg of a joint application that this case is; empty for a case that a person opened"""
    amounts: AmountRules | None = None
    """under which its figures are reckoned; None for a case of a network that named none"""

    def between(self, accepting: str, responsible: str) -> "Rules":
        """Return the rules as two cities have agreed them: what they promise each other in place of the item's."""
        agreed = self.pack.promised_between(accepting, responsible, self.item.code)
        if not agreed:
            return self
        legs = {one.leg: one for one in (*self.item.promised_legs, *agreed)}
        return replace(self, item=replace(self.item, promised_legs=tuple(legs.values())))

    @property
    def reviewers(self) -> int:
        """Return how many persons must agree."""
        return self.item.reviewers


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a case that was applied, for whoever counts; `before` is None at the opening.

    `event` is None where only due days have moved, and `before` is `after` then.
    """

    number: str
    seq: int
    accepting: str
    responsible: str
    rules: Rules
    event: str | None
    at: datetime
    data: Mapping[str, Any] = field(repr=False)
    before: CaseState | None
    after: CaseState


Tell = Callable[[Transaction, Step], None]
"""What is told of each step, in the transaction that applies it."""


def tell_nobody(_transaction: Transaction, _step: Step) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class Room:
    """Everything that the verbs of this room need."""

    member: str
    vault: Vault
    outbox: Outbox
    trust: Callable[[], Trust]
    documents: Documents
    describe: Callable[[Session, Sequence[str], str], list[AttachmentRef]]
    """(session, digests, case) -> size and type of attachments of ours; raises AttachmentMissing"""
    attach: Callable[[Transaction, Sequence[AttachmentRef], str, str], None]
    """(transaction, attachments, case, who brought them): names them for the case; raises AttachmentMissing"""
    has_room: Callable[[], bool]
    """whether the disk reserve is untouched"""
    now: Callable[[], datetime]
    random: Callable[[int], bytes]
    tell: Tell = tell_nobody
    behind: set[tuple[str, str]] = field(default_factory=set)
    """(case, peer) whose transcript lacks events here: looked at by `catching_up`"""

    def rules(
        self, session: Session, *, item: str, catalogue: str, procedures: str, amounts: str | None, leg: str
    ) -> Rules:
        """Return the rules of a case by the digests that it is pinned to.

        Raises:
            UnknownItem: a document or the item is not known here.
        """
        known, pack = self.documents.catalogue(session, catalogue), self.documents.procedures(session, procedures)
        reckoning = self.documents.amounts(session, amounts) if amounts else None
        if known is None or pack is None or (amounts and reckoning is None):
            raise UnknownItem("the catalogue, procedures or amounts of this case are not known here yet")
        return rules_of(known, pack, item, leg, reckoning)


def rules_of(catalogue: Catalogue, pack: Pack, item: str, leg: str = "", amounts: AmountRules | None = None) -> Rules:
    """Return the rules of an item, or of one of its legs.

    Raises:
        UnknownItem: the catalogue has no such item, or the pack no such mode or leg.
    """
    found, handling = catalogue.items.get(item), pack.handling_of(item)
    if found is not None and leg:
        rule = handling.legs.get(leg)
        found = leg_item(catalogue, found, rule) if rule is not None else None
        procedure = pack.procedures.get(rule.procedure) if rule is not None else None
    else:
        procedure = pack.procedures.get(handling.procedure or (found.mode if found is not None else ""))
    if found is None or procedure is None:
        raise UnknownItem("the catalogue has no such item")
    return Rules(found, procedure, pack, catalogue, leg, amounts)


def beginning(rules: Rules, application: Mapping[str, Any], *, accepting: str, responsible: str) -> dict[str, Any]:
    """Return what a state needs to know of an application: its parts, kinds of case, and the limit that counts."""
    handling = rules.pack.handling_of(rules.item.code)
    flags = [name for name, conditions in handling.flags.items() if all(one.of(application) for one in conditions)]
    is_far = rules.pack.pool_of(accepting) != rules.pack.pool_of(responsible)
    if rules.leg and rules.item.fund_leg and is_far and not (handling.no_fund and handling.no_fund.of(application)):
        flags.append(FUND)
    parts = application.get(handling.parts) if handling.parts and not rules.leg else None
    limits = [name for name, when in handling.limits if when.of(application)]
    return {
        "parts": tuple(dict.fromkeys(parts)) if isinstance(parts, list) else (),
        "flags": tuple(flags),
        "limit": limits[0] if limits else rules.procedure.limit,
    }


def item_in_force(room: Room, session: Session, item: str) -> Item:
    """Return an item as it is opened today.

    Raises:
        UnknownItem: the catalogue has no such item.
    """
    documents = room.documents
    return rules_of(documents.catalogue_in_force(session), documents.procedures_in_force(session), item).item


def local_time(moment: datetime) -> datetime:
    """Return an instant as it is written here: Asia/Shanghai."""
    return moment.astimezone(CHINA)


def person_of(application: Mapping[str, Any]) -> tuple[str, str]:
    """Return type and number of the person's document of a checked application."""
    person = application["person"]
    return str(person["id_type"]), str(person["id_no"])
