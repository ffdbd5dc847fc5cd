"""Cases: open one for another city, do what its procedure allows, see where it stands (一网通办).

What a person does becomes a signed message, an event of the transcript and a row of the outbox in one transaction.
The responsible city gives its event a place at once; the accepting city's is a proposal until the receipt comes. Which
actions are possible says the engine; doors ask `possible`, and never decide themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlmodel import Session

from node.attachments import service as attachments
from node.audit.service import Entry
from node.cases import store
from node.cases.checking import check_event, check_opening, refuse_faults
from node.cases.funding import check_transfers, claim_transfers
from node.cases.legs import LETTERS, letter_faults, open_legs, state_of, tell_of_legs
from node.cases.room import Room, Rules, local_time, person_of, rules_of
from node.cases.saying import SALT_BYTES, STATUTORY, Doing, Person, event_of, say_event, say_open
from node.cases.tables import CaseRow
from node.cases.transcripts import (
    ACCEPTING,
    count_time,
    open_content,
    result_of,
    rules_in,
    rules_of_case,
    said_of,
    side_of,
)
from node.storage.unit_of_work import Transaction
from protocol.cases import AttachmentRef, CaseOpen, Follows, Versions
from protocol.catalogue import attachments_named
from protocol.claims import sha256
from protocol.envelope import active_member
from protocol.errors import EditConflict, InvalidTransition, NotFound, NotPermitted, StorageFull
from protocol.identifiers import format_case_number
from protocol.procedures.engine import Act, Action, actions, follow
from protocol.procedures.facts import Fault
from protocol.suites import encode

__all__ = ["Doing", "Done", "Opening", "Person"]

JOINT: Final = "JOINT"
"""Items with parts at other cities or departments: their cases may begin and end in the city that answers for them."""
SYSTEM: Final = "system"
REASON_MAX: Final = 200
REQUESTS_KEPT: Final = timedelta(days=30)
BATCH: Final = 200
EVENTS_MAX: Final = 50
"""events that one answer brings: their bodies may have megabytes"""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a clerk hands in for a person."""

    item: str
    to: str
    application: Mapping[str, Any] = field(repr=False)
    basis: str = STATUTORY
    follows: str | None = None
    """number of a case of ours that ended with `forwarded`"""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: number of the case, and of the message that tells the other city."""

    number: str
    jti: str


def check_case(room: Room, session: Session, opening: Opening) -> tuple[Rules, list[AttachmentRef]]:
    """Check what would be opened, and change nothing; return its rules and what its attachments are.

    Raises:
        InvalidBody, UnknownItem, NotAMember, MemberSuspended, AttachmentMissing: as `open_case`.
    """
    active_member(room.trust().manifest, opening.to)
    documents = room.documents
    rules = rules_of(
        documents.catalogue_in_force(session),
        documents.procedures_in_force(session),
        opening.item,
        amounts=documents.amounts_in_force(session),
    )
    if opening.to == room.member and rules.item.mode != JOINT:
        refuse_faults([Fault("to", "own", "责任城市应为另一城市", "name another city")])
    attached = room.describe(session, attachments_named(opening.application), "")
    check_opening(rules, opening.application, attached, today=local_time(room.now()).date())
    if opening.to == room.member:
        check_transfers(room, session, rules, opening.application)
    return rules, attached


def open_case(
    room: Room, transaction: Transaction, opening: Opening, person: Person, *, request: str | None = None
) -> Done:
    """Open a case and send it; `request` is an idempotency key: the same again gives the same case.

    Raises:
        InvalidBody: `fields` names what is wrong, in both languages; nothing was stored.
        UnknownItem, NotAMember, MemberSuspended, AttachmentMissing, NotFound, EditConflict, StorageFull.
    """
    # 1 done already?   2 room, check   3 number, body   4 sign, send, begin the transcript   5 attachments, request
    digest = _digest_of(["open", opening.item, opening.to, opening.follows, opening.application])
    done = _done_before(transaction.session, request, digest, person)  # 1
    if done is not None:
        return done
    _check_room(room)  # 2
    rules, attached = check_case(room, transaction.session, opening)
    day = local_time(room.now()).date()  # 3
    number = format_case_number(room.member, day, store.next_sequence(transaction.session, day))
    body = CaseOpen(
        salt=encode(room.random(SALT_BYTES)),
        versions=Versions(
            catalogue=rules.catalogue.digest,
            procedures=rules.pack.digest,
            amounts=rules.amounts.digest if rules.amounts else None,
        ),
        application=dict(opening.application),
        attachments=attached,
        follows=_followed(transaction.session, opening.follows),
    )
    if opening.to == room.member:
        claim_transfers(room, transaction, number, rules, opening.application)
    message = say_open(room, transaction, number, opening.to, body, rules, person, basis=opening.basis)  # 4
    room.attach(transaction, body.attachments, number, attachments.LOCAL)  # 5
    return _keep(room, transaction, request, digest, person, Done(number, message.claims.jti))


def act(room: Room, transaction: Transaction, doing: Doing, person: Person, *, request: str | None = None) -> Done:
    """Do something with a case, and tell the other city.

    Raises:
        NotFound, InvalidTransition, InvalidBody, AttachmentMissing, EditConflict, StorageFull, NotPermitted: nothing
            was changed.
    """
    # 1 done already?   2 may it be?   3 sign, send, append   4 attachments   5 legs
    digest = _digest_of([doing.event, doing.number, doing.data])
    done = _done_before(transaction.session, request, digest, person)  # 1
    if done is not None:
        return done
    _check_room(room)  # 2
    if person.role == SYSTEM:
        raise NotPermitted("no person acts as the node itself")
    row = _case(transaction.session, doing.number, locked=True)
    rules = rules_of_case(room, transaction, row)
    _may(row, doing)
    attached = room.describe(transaction.session, attachments_named(_materials(doing.data)), row.number)
    application, today = open_content(room, row), local_time(room.now()).date()
    check_event(rules, doing.event, doing.data, attached, application=application, today=today)
    if LETTERS in doing.data:
        refuse_faults(letter_faults(room, transaction.session, row, rules, doing.data[LETTERS]))
    _guard(room, transaction.session, row, doing, person, rules)
    opens_legs = rules.procedure.opens_legs(doing.event)
    message = say_event(room, transaction, row, rules, doing, person, attached)  # 3
    room.attach(transaction, attached, row.number, attachments.LOCAL)  # 4
    if opens_legs:  # 5
        open_legs(room, transaction, row, rules, person)
    return _keep(room, transaction, request, digest, person, Done(row.number, message.claims.jti))


def _check_room(room: Room) -> None:
    if not room.has_room():
        raise StorageFull("the disk reserve is reached; nothing was stored")


def _may(row: CaseRow, doing: Doing) -> None:
    if row.halted:
        raise InvalidTransition("this case stands still until both cities have settled it", state=row.state)
    if doing.seen is not None and doing.seen != encode(row.head):
        raise EditConflict("the case has gone on since it was looked at", head=encode(row.head))


def _guard(room: Room, session: Session, row: CaseRow, doing: Doing, person: Person, rules: Rules) -> None:
    """Refuse what the procedure does not allow now, proposals of ours that wait for their place counted in."""
    waiting = [one for one in store.unplaced_events(session, row.number) if not one.refused]
    if row.side == ACCEPTING and any(one.event == doing.event for one in waiting) and doing.event != "chase":
        raise InvalidTransition("the same step is on its way to the other city already", state=row.state, actions=[])
    result, side = result_of(event_of(room, row, doing, ())), side_of(row, room.member)
    acted = Act(doing.event, side, person.role, person.officer, room.now(), result, doing.data)
    follow(rules.procedure, state_of(row), acted, reviewers=rules.reviewers)


def possible(room: Room, session: Session, row: CaseRow, *, person: Person | None = None) -> list[Action]:
    """Return what this city may do with a case now; with `person` what that one may."""
    if row.halted:
        return []
    rules = rules_in(room, session, row)
    role, officer = (person.role, person.officer) if person else (None, None)
    side = side_of(row, room.member)
    found = actions(rules.procedure, state_of(row), side, reviewers=rules.reviewers, role=role, officer=officer)
    return [one for one in found if set(one.transition.roles) != {SYSTEM}]


def look_at_application(
    room: Room, transaction: Transaction, number: str, person: Person, *, reason: str
) -> dict[str, Any]:
    """Return what was applied for, unmasked; that it was looked at, by whom and why stands in the log.

    Raises:
        NotFound: no such case.
        InvalidBody: no reason is given.
    """
    if not 1 <= len(reason.strip()) <= REASON_MAX:
        refuse_faults(
            [Fault("reason", "required", "请填写查看理由，1 至 200 字", "give a reason, 1 to 200 characters")]
        )
    row = _case(transaction.session, number, locked=False)
    application = open_content(room, row)
    transaction.append(
        Entry(
            kind="look-up", dir="local", time=room.now(), msg="case.open", item=row.item, case=number, basis=STATUTORY,
            actor=person.account, request=sha256(reason.strip().encode()), person=person_of(application),
        )
    )  # fmt: skip
    return application


def settle_halt(room: Room, transaction: Transaction, number: str, *, reason: str, actor: str) -> None:
    """Let a halted case go on, after people of both cities have settled what was wrong.

    Raises:
        NotFound: no such case, or it is not halted.
    """
    row = _case(transaction.session, number, locked=True)
    if not row.halted:
        raise NotFound("this case is not halted")
    store.change_case(transaction.session, row, halted="", changed_at=room.now())
    tell_of_legs(room, transaction, row)
    now = room.now()
    transaction.append(
        Entry(kind="case.resumed", dir="local", time=now, case=number, actor=actor, request=sha256(reason.encode()))
    )


def may_read(session: Session, digest: str, member: str) -> bool:
    """Say whether a member is the other city of a case that names an attachment."""
    rows = (store.case(session, number) for number in attachments.cases_naming(session, digest))
    return any(row is not None and row.peer == member for row in rows)


def read_case(session: Session, number: str) -> CaseRow:
    """Return a case.

    Raises:
        NotFound: this city has no such case.
    """
    return _case(session, number, locked=False)


def count_times(room: Room, transaction: Transaction, *, after: str) -> tuple[str, int]:
    """Count the due days of some open cases anew; return where to go on, empty at the end, and how many moved."""
    rows = store.open_cases(transaction.session, after=after, limit=BATCH)
    moved = sum(count_time(room, transaction, row.number) for row in rows)
    return (rows[-1].number if len(rows) == BATCH else ""), moved


def forget_requests(room: Room, transaction: Transaction) -> int:
    """Forget idempotency keys that were used more than thirty days ago; return how many."""
    return store.delete_requests(transaction.session, before=room.now() - REQUESTS_KEPT)


def transcript_for(room: Room, session: Session, number: str, member: str, *, after: int) -> dict[str, Any]:
    """Return events after a sequence number, in order, to the other city of the case.

    Raises:
        NotFound: no such case, or the caller is not its other city.
    """
    row = store.case(session, number)
    if row is None or row.peer != member:
        raise NotFound("no case of yours has this number here")
    events = store.placed_events(session, number, after=after, limit=EVENTS_MAX)
    return {
        "events": [
            {
                "seq": one.seq,
                "statement": bytes(one.statement).decode("ascii"),
                "body": encode(said_of(room, one).message.body),
                "receipt": bytes(one.receipt).decode("ascii") if one.receipt else None,
            }
            for one in events
        ]
    }


def _case(session: Session, number: str, *, locked: bool) -> CaseRow:
    row = store.locked_case(session, number) if locked else store.case(session, number)
    if row is None:
        raise NotFound("this city has no such case")
    return row


def _followed(session: Session, number: str | None) -> Follows | None:
    if number is None:
        return None
    row = _case(session, number, locked=False)
    return Follows(case=row.number, head=encode(row.head))


def _materials(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"material": data.get("material") or [], "answer": data.get("answer") or {}}


def _digest_of(content: Sequence[Any]) -> str:
    return sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode())


def _done_before(session: Session, request: str | None, digest: str, person: Person) -> Done | None:
    known = store.request_of(session, request) if request else None
    if known is None:
        return None
    if (known.digest, known.actor) != (digest, person.account):
        raise EditConflict("this idempotency key was used for something else")
    return Done(known.number, known.jti)


def _keep(room: Room, transaction: Transaction, request: str | None, digest: str, person: Person, done: Done) -> Done:
    if request:
        row = {"key": request, "actor": person.account, "digest": digest, "number": done.number, "jti": done.jti}
        store.keep_request(transaction.session, {**row, "at": room.now()})
    return done
