"""What a peer's messages do to our cases: openings, events and proposals, receipts, refusals (protocol §6)."""

from collections.abc import Callable

from node.cases import store
from node.cases.checking import check_event, check_opening
from node.cases.funding import claim_transfers
from node.cases.legs import tell_of_leg
from node.cases.room import Room, local_time, person_of
from node.cases.tables import CaseEventRow, CaseRow
from node.cases.transcripts import (
    ACCEPTING,
    FORK,
    REFUSED_HERE,
    RESPONSIBLE,
    Said,
    append,
    begin_transcript,
    halt,
    open_content,
    place_own,
    place_waiting,
    rules_of_case,
)
from node.exchange.service import Answer, Handler, refused
from node.outbox.service import Recipient, Settled
from node.storage.unit_of_work import Transaction
from protocol.bodies import Body
from protocol.cases import CaseEvent, CaseOpen, Place, Receipt
from protocol.envelope import Message
from protocol.errors import InvalidBody, InvalidTransition, OutOfSequence, PolicyDenied, TransferStands
from protocol.identifiers import InvalidIdentifier, parse_case_number
from protocol.messages import REPLIES, format_body, parse_body
from protocol.suites import decode, encode

Held = tuple[Callable[[], CaseRow | None], Callable[[], CaseEventRow | None]]
"""Row and event of an outcome: asked for when the row is locked, brought when they are needed."""


def message_handlers(room: Room) -> dict[str, Handler]:
    """Return the handlers of this room's messages, by type."""

    def opening(transaction: Transaction, message: Message, body: Body) -> Answer:
        if not isinstance(body, CaseOpen):
            raise InvalidBody("an opening is expected")
        return receive_open(room, transaction, message, body)

    def event(transaction: Transaction, message: Message, body: Body) -> Answer:
        if not isinstance(body, CaseEvent):
            raise InvalidBody("an event is expected")
        return receive_event(room, transaction, message, body)

    return {"case.open": opening, "case.event": event}


def recipients(room: Room) -> dict[str, Recipient]:
    """Return what becomes of the outcomes of this room's messages."""

    def lock(transaction: Transaction, line: str, jti: str) -> Held:
        return store.asked_case(transaction.session, line), store.asked_event(transaction.session, line, jti)

    recipient = Recipient(lock, lambda transaction, settled, held: receive_outcome(room, transaction, settled, held))
    return {"case.open": recipient, "case.event": recipient}


def receive_open(room: Room, transaction: Transaction, message: Message, opening: CaseOpen) -> Answer:
    """Take a case of which this city is the responsible one.

    Raises:
        InvalidBody, UnknownItem, AttachmentMissing: nothing was stored; the same message may pass later.
    """
    # 1 number   2 rules   3 fields   4 attachments   5 transcript
    number = _number_of(message)  # 1
    said, known = Said(message), store.locked_case(transaction.session, number)
    if known is not None:
        return _known_opening(transaction, known, said)
    why = message.claims.why
    item = why.item if why else ""
    versions = opening.versions
    rules = room.rules(
        transaction.session, item=item, catalogue=versions.catalogue, procedures=versions.procedures,
        amounts=versions.amounts, leg=opening.leg or "",
    ).between(message.claims.iss, room.member)  # fmt: skip  # 2
    check_opening(rules, opening.application, opening.attachments, today=local_time(said.at).date())  # 3
    room.attach(transaction, opening.attachments, number, message.claims.iss)  # 4
    try:
        claim_transfers(room, transaction, number, rules, opening.application)
    except TransferStands as stands:
        return refused(stands)
    place = begin_transcript(room, transaction, said, opening, rules, side=RESPONSIBLE)  # 5
    return _receipt(number, place, person=person_of(opening.application))


def _known_opening(transaction: Transaction, row: CaseRow, said: Said) -> Answer:
    first = store.event(transaction.session, row.number, said.jti)
    if first is None or first.seq != 0 or first.head is None:
        return refused(InvalidTransition("this number belongs to another case"))
    return _receipt(row.number, Place(seq=0, head=encode(first.head)))


def receive_event(room: Room, transaction: Transaction, message: Message, event: CaseEvent) -> Answer:
    """Take an event of the other city: its proposal if we are the sequencer, else the sequencer's own.

    Raises:
        InvalidBody, OutOfSequence, AttachmentMissing: nothing was stored; the same message may pass later.
    """
    number = _number_of(message, opened_by=None)
    row = store.locked_case(transaction.session, number)
    if row is None or row.peer != message.claims.iss:
        raise OutOfSequence("the case has not arrived here")
    said = Said(message)
    known = store.event(transaction.session, number, said.jti)
    if known is not None and known.seq is not None and known.head is not None:
        before = store.head_at(transaction.session, number, known.seq - 1)
        return _receipt(number, _place(known.seq, before, known.head))
    if event.is_proposal != (row.side == RESPONSIBLE):
        return refused(InvalidTransition("only the responsible city gives places"))
    if row.halted:
        return refused(InvalidTransition("this case stands still until people settle it", state=row.state))
    if row.side == ACCEPTING:
        refusal = _continues(room, transaction, row, event)
        if refusal is not None:
            return refusal
    return _appended(room, transaction, row, said, event)


def _continues(room: Room, transaction: Transaction, row: CaseRow, event: CaseEvent) -> Answer | None:
    """Return None if an event of the sequencer continues our chain, or the refusal of one that contradicts it."""
    seq = event.seq or 0
    if seq <= row.seq:
        halt(room, transaction, row, FORK)
        return refused(InvalidTransition("another event stands at this place"))
    if seq > row.seq + 1:
        room.behind.add((row.number, row.peer))
        raise OutOfSequence(f"event {row.seq + 1} has not arrived here", expected=row.seq + 1)
    if event.prev != encode(row.head):
        halt(room, transaction, row, FORK)
        return refused(InvalidTransition("the event continues another transcript"))
    return None


def _appended(room: Room, transaction: Transaction, row: CaseRow, said: Said, event: CaseEvent) -> Answer:
    rules, number, before = rules_of_case(room, transaction, row), row.number, bytes(row.head)
    check_event(
        rules, event.event, event.data, event.attachments, application=open_content(room, row),
        today=local_time(said.at).date(),
    )  # fmt: skip
    room.attach(transaction, event.attachments, number, row.peer)
    try:
        at = append(room, transaction, row, said, event, rules, is_stored=False)
    except InvalidTransition as refusal:
        if row.side == ACCEPTING:
            halt(room, transaction, row, REFUSED_HERE)
        return refused(refusal)
    if row.side == ACCEPTING:
        place_waiting(room, transaction, number)
    tell_of_leg(room, transaction, row)
    return _receipt(number, _place(at.seq, before, at.raw))


def receive_outcome(room: Room, transaction: Transaction, settled: Settled, held: Held) -> None:
    """Note what the other city said to a message of ours, in the transaction that settles it."""
    number, jti, reply = settled.claimed.line, settled.claimed.first.jti, settled.reply
    row, stored = held[0](), held[1]()
    if row is None or stored is None:
        return
    if settled.state == "refused":
        store.change_event(transaction.session, number, jti, refused=settled.slug, receipt=reply and reply.statement)
        if row.side == RESPONSIBLE or stored.event == "open":
            halt(room, transaction, row, settled.slug)
        return
    if settled.state != "delivered" or reply is None:
        return
    transaction.add(store.SET_RECEIPT, (row.shard_key, number, jti, reply.statement))
    receipt = parse_body(REPLIES, "receipt", reply.body)
    if isinstance(receipt, Receipt):
        take_place(room, transaction, row, stored, receipt.place)


def take_place(room: Room, transaction: Transaction, row: CaseRow, stored: CaseEventRow, place: Place) -> None:
    """Compare a receipt with what we hold, or give our proposal its place; a difference halts the case."""
    head = decode(place.head.encode())
    if stored.seq is not None:
        if (stored.seq, bytes(stored.head or b"")) != (place.seq, head):
            halt(room, transaction, row, FORK)
    elif place.seq == row.seq + 1 and place.prev == encode(row.head):
        place_own(room, transaction, row, stored, head=head)
        place_waiting(room, transaction, row.number)
        tell_of_leg(room, transaction, row)
    elif place.seq > row.seq + 1:
        store.change_event(transaction.session, row.number, stored.jti, waiting_seq=place.seq, waiting_head=head)
        room.behind.add((row.number, row.peer))
    else:
        halt(room, transaction, row, FORK)


def _number_of(message: Message, *, opened_by: str | None = "") -> str:
    """Return the case of a message; an opening's number is the sender's own."""
    why = message.claims.why
    number = why.case if why else None
    try:
        parsed = parse_case_number(number or "")
    except InvalidIdentifier as fault:
        raise InvalidBody("the case number is not valid", fields=[{"at": "why/case", "rule": fault.reason}]) from None
    if opened_by is not None and parsed.member != message.claims.iss:
        raise PolicyDenied("a city opens cases under its own numbers")
    return str(number)


def _place(seq: int, before: bytes, head: bytes) -> Place:
    return Place(seq=seq, prev=encode(before), head=encode(head))


def _receipt(number: str, place: Place, *, person: tuple[str, str] | None = None) -> Answer:
    return Answer(format_body(Receipt(case=number, place=place)), person=person)
