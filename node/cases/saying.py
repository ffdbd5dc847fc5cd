"""What this city says in a case: an opening or an event, signed, sent, and put into the transcript in one transaction.

Where this city is both accepting and responsible nothing is sent: the transcript and its signatures are the same, and
every event has its place at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from node.cases.room import Room, Rules, person_of
from node.cases.tables import CaseRow
from node.cases.transcripts import ACCEPTING, Said, add_proposal, append, begin_transcript
from node.outbox.service import Parcel
from node.storage.unit_of_work import Transaction
from protocol.cases import AttachmentRef, CaseEvent, CaseOpen
from protocol.claims import Who, Why
from protocol.envelope import Message
from protocol.messages import format_body
from protocol.procedures.engine import BOTH
from protocol.suites import encode

STATUTORY: Final = "STATUTORY"
SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts: account for our log, pseudonym for the wire (None: the node itself), office and role."""

    account: str
    officer: str | None
    office: str
    role: str

    def who(self) -> Who:
        """Return the claim."""
        return Who(office=self.office, officer=self.officer, role=self.role)


@dataclass(frozen=True, slots=True)
class Doing:
    """What a person does with a case."""

    number: str
    event: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    seen: str | None = None
    """head that the person looked at; another one is an edit conflict"""


def say_open(
    room: Room, transaction: Transaction, number: str, to: str, body: CaseOpen, rules: Rules, person: Person, *,
    basis: str = STATUTORY,
) -> Message:  # fmt: skip
    """Open a case of ours at a city and begin its transcript."""
    why = Why(item=rules.item.code, basis=basis, case=number)
    subject = person_of(body.application)
    parcel = Parcel(to, "case.open", number, format_body(body), why, person.who(), subject, begins=True)
    message = _sent(room, transaction, parcel)
    side = BOTH if to == room.member else ACCEPTING
    begin_transcript(room, transaction, Said(message), body, rules.between(room.member, to), side=side)
    return message


def say_event(
    room: Room, transaction: Transaction, row: CaseRow, rules: Rules, doing: Doing, person: Person,
    attached: Sequence[AttachmentRef] = (),
) -> Message:  # fmt: skip
    """Say an event of a case whose row is locked: at its place if the sequencer is ours, else as a proposal.

    Raises:
        InvalidTransition: it may not follow; nothing was changed.
    """
    body = event_of(room, row, doing, attached)
    why = Why(item=row.item, basis=STATUTORY, case=row.number)
    message = _sent(room, transaction, Parcel(row.peer, "case.event", row.number, format_body(body), why, person.who()))
    if row.side == ACCEPTING:
        add_proposal(room, transaction, row.number, Said(message), body.event)
    else:
        append(room, transaction, row, Said(message), body, rules, is_stored=False)
    return message


def event_of(room: Room, row: CaseRow, doing: Doing, attached: Sequence[AttachmentRef]) -> CaseEvent:
    """Return the body of an event of ours, after what this city holds of the transcript."""
    is_proposal = row.side == ACCEPTING
    return CaseEvent(
        salt=encode(room.random(SALT_BYTES)),
        event=doing.event,
        data=dict(doing.data),
        attachments=list(attached),
        seq=None if is_proposal else row.seq + 1,
        prev=None if is_proposal else encode(row.head),
        seen=encode(row.head) if is_proposal else None,
    )


def _sent(room: Room, transaction: Transaction, parcel: Parcel) -> Message:
    if parcel.peer == room.member:
        return room.outbox.keep(transaction, parcel)
    return room.outbox.enqueue(transaction, parcel)
