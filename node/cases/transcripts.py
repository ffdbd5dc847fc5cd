"""The transcript of a case at this city: begin it, append what continues it, keep the rest waiting (protocol §6).

Every function runs in the transaction of its cause, with the row of the case locked. What both cities must agree on,
places and states, is arithmetic of `protocol`; here it meets the tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlmodel import Session

from node.cases import store
from node.cases.room import Room, Rules, Step, beginning, person_of
from node.cases.tables import CaseEventRow, CaseRow
from node.cases.timing import times_of
from node.storage.unit_of_work import Transaction
from protocol.cases import CaseEvent, CaseOpen, Place
from protocol.claims import Claims, parse_claims, sha256
from protocol.deadlines import CalendarMissing
from protocol.envelope import Message
from protocol.errors import InvalidTransition
from protocol.procedures.engine import BOTH, Act, CaseState, begin, follow, format_state, parse_state
from protocol.suites import decode, parse_statement
from protocol.transcript import Position, opened, position

ACCEPTING: Final = "accepting"
RESPONSIBLE: Final = "responsible"
FORK: Final = "fork"
REFUSED_HERE: Final = "refused"

logger = structlog.get_logger("cases")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a transcript: its statement, body, and the digest that binds it, whichever attempt arrived."""

    message: Message

    @property
    def digest(self) -> bytes:
        """Return the digest of the first text: a later one names it by `again`."""
        again = self.message.claims.again
        return decode((again.sha256 if again else self.message.digest).encode())

    @property
    def jti(self) -> str:
        """Return the number of the first text."""
        again = self.message.claims.again
        return again.jti if again else self.message.claims.jti

    @property
    def at(self) -> datetime:
        """Return the legal time: when it was signed."""
        return datetime.fromtimestamp(self.message.claims.iat, UTC)


def begin_transcript(
    room: Room, transaction: Transaction, said: Said, opening: CaseOpen, rules: Rules, *, side: str
) -> Place:
    """Store a new case with its opening; return its place."""
    claims = said.message.claims
    number, responsible = str(claims.why.case) if claims.why else "", claims.aud
    at = opened(said.digest)
    state = begin(
        rules.procedure,
        at=said.at,
        officer=claims.who.officer if claims.who else None,
        side=BOTH if side == BOTH else ACCEPTING,
        **beginning(rules, opening.application, accepting=claims.iss, responsible=responsible),
    )
    store.add_case(
        transaction,
        {
            "number": number,
            "item": rules.item.code,
            "accepting": claims.iss,
            "responsible": responsible,
            "peer": responsible if side == ACCEPTING else claims.iss,
            "side": side,
            "seq": 0,
            "head": at.raw,
            "subject": room.vault.blind_index(*person_of(opening.application)),
            "content": seal_content(room, number, opening.application),
            "catalogue": opening.versions.catalogue,
            "procedures": opening.versions.procedures,
            "amounts": opening.versions.amounts,
            "follows": opening.follows.case if opening.follows else None,
            "leg": rules.leg,
            "halted": "",
            "opened_at": said.at,
            "changed_at": room.now(),
            **_columns(room, transaction, rules, state, side=side, halted=False),
        },
    )
    _add_event(room, transaction, number, said, "open", at)
    room.tell(transaction, Step(number, 0, claims.iss, responsible, rules, "open", said.at, {}, None, state))
    return Place(seq=0, head=at.head)


def append(
    room: Room, transaction: Transaction, row: CaseRow, said: Said, event: CaseEvent, rules: Rules, *, is_stored: bool
) -> Position:
    """Append an event after the last; `is_stored` for a proposal of ours that has its row already.

    Raises:
        InvalidTransition: it may not follow; nothing was changed.
    """
    claims = said.message.claims
    before = parse_state(json.loads(row.facts))
    state = follow(rules.procedure, before, act_of(row, said, event), reviewers=rules.reviewers)
    at = position(row.seq, row.head).after(said.digest)
    if is_stored:
        values = {"seq": at.seq, "head": at.raw, "waiting_seq": None, "waiting_head": None}
        store.change_event(transaction.session, row.number, said.jti, **values)
    else:
        _add_event(room, transaction, row.number, said, event.event, at)
    sides = (row.accepting, row.responsible)
    room.tell(transaction, Step(row.number, at.seq, *sides, rules, event.event, said.at, event.data, before, state))
    advance(room, transaction, row, rules, state, at)
    logger.debug("case.event", peer=claims.iss, size=at.seq)
    return at


def advance(room: Room, transaction: Transaction, row: CaseRow, rules: Rules, state: CaseState, at: Position) -> None:
    """Move a case to a state and position; the row in hand follows."""
    columns = _columns(room, transaction, rules, state, side=row.side, halted=bool(row.halted))
    store.change_case(transaction.session, row, seq=at.seq, head=at.raw, changed_at=room.now(), **columns)


def count_time(room: Room, transaction: Transaction, number: str) -> bool:
    """Count a case's due days with the calendars in force; True when they moved."""
    row = store.locked_case(transaction.session, number)
    if row is None:
        return False
    rules, state = rules_of_case(room, transaction, row), parse_state(json.loads(row.facts))
    columns = _columns(room, transaction, rules, state, side=row.side, halted=bool(row.halted))
    fresh = {name: columns[name] for name in ("due_on", "statutory_due_on", "due_provisional", "due_key")}
    if fresh == {name: getattr(row, name) for name in fresh}:
        return False
    sides = (row.accepting, row.responsible)
    room.tell(transaction, Step(number, row.seq, *sides, rules, None, room.now(), {}, state, state))
    store.change_case(transaction.session, row, **fresh)
    return True


def halt(room: Room, transaction: Transaction, row: CaseRow, why: str) -> None:
    """Stop a case until people settle it: the two transcripts cannot both go on."""
    logger.error("case.halted", peer=row.peer, reason=why)
    store.change_case(transaction.session, row, halted=why, box="todo", changed_at=room.now())


def act_of(row: CaseRow, said: Said, event: CaseEvent) -> Act:
    """Return an event as the engine sees it."""
    claims = said.message.claims
    who = claims.who
    return Act(
        event=event.event,
        side=side_of(row, claims.iss),
        role=who.role if who else "system",
        officer=who.officer if who else None,
        at=said.at,
        result=result_of(event),
        data=event.data,
    )


def side_of(row: CaseRow, member: str) -> str:
    """Return as what a city acts in a case."""
    if row.accepting == row.responsible:
        return BOTH
    return ACCEPTING if member == row.accepting else RESPONSIBLE


def result_of(event: CaseEvent) -> str | None:
    """Return the result of an answer or of a part, as guards ask for it."""
    answer = event.data.get("answer")
    stated = answer.get("result") if isinstance(answer, Mapping) else event.data.get("result", event.data.get("state"))
    return str(stated) if stated is not None else None


def place_waiting(room: Room, transaction: Transaction, number: str) -> None:
    """Give proposals of ours their places whose predecessors have come by now."""
    for _ in range(store.WAITING_MAX):
        row = store.locked_case(transaction.session, number)
        waiting = [one for one in store.unplaced_events(transaction.session, number) if one.waiting_seq is not None]
        ready = next((one for one in waiting if row is not None and one.waiting_seq == row.seq + 1), None)
        if row is None or ready is None:
            return
        place_own(room, transaction, row, ready, head=bytes(ready.waiting_head or b""))


def place_own(room: Room, transaction: Transaction, row: CaseRow, stored: CaseEventRow, *, head: bytes) -> None:
    """Append a proposal of ours at the place that the sequencer gave it; a head that differs halts the case."""
    said = said_of(room, stored)
    event = parse_event(said.message.body)
    try:
        at = append(room, transaction, row, said, event, rules_of_case(room, transaction, row), is_stored=True)
    except InvalidTransition:
        halt(room, transaction, row, REFUSED_HERE)
        return
    if at.raw != head:
        halt(room, transaction, row, FORK)


def said_of(room: Room, stored: CaseEventRow) -> Said:
    """Return a stored event as it was said."""
    return Said(stored_message(room, stored.number, stored.jti, bytes(stored.statement), bytes(stored.body)))


def stored_message(room: Room, number: str, jti: str, statement: bytes, body: bytes) -> Message:
    """Return a message that was verified before it was stored."""
    claims = parse_claims(Claims, parse_statement(statement).claims)
    return Message(claims, statement, sha256(statement), room.vault.decrypt(body, event_context(number, jti)))


def parse_event(body: bytes) -> CaseEvent:
    """Return the typed body of an event."""
    return CaseEvent.model_validate_json(body)


def rules_of_case(room: Room, transaction: Transaction, row: CaseRow) -> Rules:
    """Return the rules that a case is pinned to."""
    return rules_in(room, transaction.session, row)


def rules_in(room: Room, session: Session, row: CaseRow) -> Rules:
    """Return the rules that a case is pinned to, as a reader sees them."""
    return room.rules(
        session,
        item=row.item,
        catalogue=row.catalogue,
        procedures=row.procedures,
        amounts=row.amounts,
        leg=row.leg,
    ).between(row.accepting, row.responsible)


def add_proposal(room: Room, transaction: Transaction, number: str, said: Said, event: str) -> None:
    """Store a proposal of ours that has no place yet."""
    _add_event(room, transaction, number, said, event, None)


def _add_event(room: Room, transaction: Transaction, number: str, said: Said, event: str, at: Position | None) -> None:
    message = said.message
    row = {
        "number": number,
        "jti": said.jti,
        "seq": at.seq if at else None,
        "iss": message.claims.iss,
        "event": event,
        "statement": message.statement,
        "body": room.vault.encrypt(message.body, event_context(number, said.jti)),
        "at": said.at,
        "recorded_at": room.now(),
        "head": at.raw if at else None,
        "refused": "",
    }
    if at is not None and at.seq == 0:
        store.add_first_event(transaction, row)
    else:
        store.add_event(transaction.session, row)


def _columns(
    room: Room, transaction: Transaction, rules: Rules, state: CaseState, *, side: str, halted: bool
) -> dict[str, Any]:
    stage = rules.procedure.stage(state.name)
    is_ours = side in (stage.turn, BOTH) and not stage.closed
    box = "todo" if halted or is_ours else ("done" if stage.closed else "sent")
    due = _due_columns(room, transaction, rules, state)
    duty = due.pop("duty")
    days = [duty] if duty else [one for one in (due["due_on"], due["statutory_due_on"]) if one is not None]
    key = min(days).isoformat() if days and not stage.closed else store.NO_DUE
    facts = json.dumps(format_state(state), ensure_ascii=False, separators=(",", ":"))
    return {"state": state.name, "facts": facts, "box": box, "due_key": key, **due}


def _due_columns(room: Room, transaction: Transaction, rules: Rules, state: CaseState) -> dict[str, Any]:
    try:
        times = times_of(rules, state, room.documents.calendars(transaction.session))
    except CalendarMissing:
        # No calendar, no day: the case goes on, and says that it has none until one is imported.
        return {"due_on": None, "statutory_due_on": None, "due_provisional": True, "duty": None}
    return {
        "due_on": times.promised,
        "statutory_due_on": times.statutory,
        "due_provisional": times.provisional,
        "duty": times.duty,
    }


def seal_content(room: Room, number: str, application: Mapping[str, Any]) -> bytes:
    """Return an application as it is stored."""
    return room.vault.encrypt(json.dumps(application, ensure_ascii=False).encode(), f"case:{number}".encode())


def open_content(room: Room, row: CaseRow) -> dict[str, Any]:
    """Return a stored application."""
    content: dict[str, Any] = json.loads(room.vault.decrypt(bytes(row.content), f"case:{row.number}".encode()))
    return content


def event_context(number: str, jti: str) -> bytes:
    """Return what the ciphertext of an event's body is bound to."""
    return f"case-event:{number}:{jti}".encode()
