"""Joint applications: the legs that a case sends to other cities, and what it learns of them (多地联办).

A case and its legs are apart on the wire; here they meet. The reviewer's `send-letters` opens a leg for each letter
that the officer drew up, and the case says so in its own transcript (`leg-opened`), which its accepting city holds;
when a leg is over, the case says that (`leg-closed`), and with the last one its own clock begins again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from sqlmodel import Session

from node.cases import store
from node.cases.checking import check_opening
from node.cases.room import Room, Rules, local_time, rules_of
from node.cases.saying import SALT_BYTES, Doing, Person, say_event, say_open
from node.cases.tables import CaseRow
from node.cases.transcripts import open_content, parse_event, rules_of_case, said_of
from node.storage.unit_of_work import Transaction
from protocol.cases import CaseOpen, Follows, Versions
from protocol.catalogue_legs import cities_of, leg_application
from protocol.envelope import active_member
from protocol.errors import InvalidTransition, MemberSuspended, NotAMember
from protocol.identifiers import format_case_number
from protocol.procedures.engine import OPEN, CaseState, parse_state
from protocol.procedures.facts import Fault
from protocol.procedures.pack import LegRule
from protocol.suites import encode

LETTERS: Final = "letters"
APPROVE: Final = "approve"
LEG_OPENED: Final = "leg-opened"
LEG_CLOSED: Final = "leg-closed"

logger = structlog.get_logger("cases")


def leg_of(rules: Rules) -> LegRule | None:
    """Return the kind of leg that an item's cases send, or None."""
    legs = rules.pack.handling_of(rules.item.code).legs
    return next(iter(legs.values()), None) if not rules.leg else None


def letter_faults(
    room: Room, session: Session, row: CaseRow, rules: Rules, letters: Sequence[Mapping[str, Any]]
) -> list[Fault]:
    """Find what is wrong with the cities of contact letters.

    Each is named by the application, has no open leg of this case, and is another member that may exchange.
    """
    leg = leg_of(rules)
    named = cities_of(leg, open_content(room, row)) if leg is not None else []
    busy = {one.responsible for one in _open_legs(session, state_of(row))}
    faults = []
    for number, letter in enumerate(letters):
        to, at = str(letter["to_org"]["division"]), f"{LETTERS}/{number}/to_org/division"
        if to not in named:
            faults.append(Fault(at, "named", "申请中没有这个转出地", "the application does not name this city"))
        elif to in busy:
            faults.append(Fault(at, "open", "发往该城市的联系函尚未办结", "a letter to this city is still open"))
        elif not _is_other_member(room, to):
            faults.append(Fault(at, "member", "转出地应为本网络的另一成员城市", "name another member of the network"))
        busy.add(to)
    return faults


def open_legs(room: Room, transaction: Transaction, row: CaseRow, rules: Rules, person: Person) -> list[str]:
    """Open a leg for each letter of the last approval, and say so in the case; return their numbers.

    Raises:
        InvalidTransition: no letter stands.
        InvalidBody, NotAMember, MemberSuspended: as for any case; nothing was changed.
    """
    leg, approved = leg_of(rules), store.last_event(transaction.session, row.number, APPROVE)
    if leg is None or approved is None:
        raise InvalidTransition("no contact letter has been drawn up", state=row.state)
    application, numbers = open_content(room, row), []
    for letter in parse_event(said_of(room, approved).message.body).data[LETTERS]:
        number = _open_leg(room, transaction, row, rules, leg, leg_application(leg, application, letter), person)
        told = {"part": number, "to": letter["to_org"]["division"]}
        say_event(room, transaction, row, rules, Doing(row.number, LEG_OPENED, told), the_node(room))
        numbers.append(number)
    return numbers


def _open_leg(
    room: Room, transaction: Transaction, row: CaseRow, rules: Rules, leg: LegRule, application: dict[str, Any],
    person: Person,
) -> str:  # fmt: skip
    to = str(application["letter"]["to_org"]["division"])
    active_member(room.trust().manifest, to)
    own = rules_of(rules.catalogue, rules.pack, rules.item.code, leg.name, rules.amounts)
    day = local_time(room.now()).date()
    check_opening(own, application, [], today=day)
    number = format_case_number(room.member, day, store.next_sequence(transaction.session, day))
    body = CaseOpen(
        salt=encode(room.random(SALT_BYTES)),
        versions=Versions(catalogue=row.catalogue, procedures=row.procedures, amounts=row.amounts),
        application=application,
        attachments=[],
        follows=Follows(case=row.number, head=encode(row.head)),
        leg=leg.name,
    )
    say_open(room, transaction, number, to, body, own, person)
    return number


def tell_of_leg(room: Room, transaction: Transaction, row: CaseRow) -> None:
    """Say in the case that one of its legs has ended, if this one is a leg of ours, has, and the case does not know it.

    A case that stands still learns it when people have settled it: `tell_of_legs`.
    """
    leg = store.locked_case(transaction.session, row.number) if row.leg and row.accepting == room.member else None
    if leg is None or not rules_of_case(room, transaction, leg).procedure.stage(leg.state).closed:
        return
    case = store.locked_case(transaction.session, str(leg.follows))
    if case is None or case.halted or state_of(case).parts.get(leg.number) != OPEN:
        return
    rules, told = rules_of_case(room, transaction, case), {"part": leg.number, "state": leg.state}
    try:
        say_event(room, transaction, case, rules, Doing(case.number, LEG_CLOSED, told), the_node(room))
    except InvalidTransition as refusal:
        # The leg stands whatever its case says; people see both.
        logger.exception("case.leg_not_told", reason=refusal.detail)


def tell_of_legs(room: Room, transaction: Transaction, row: CaseRow) -> None:
    """Say in a case what became of its legs while it stood still."""
    for leg in _open_legs(transaction.session, state_of(row)):
        tell_of_leg(room, transaction, leg)


def state_of(row: CaseRow) -> CaseState:
    """Return where a case stands."""
    return parse_state(json.loads(row.facts))


def the_node(room: Room) -> Person:
    """Return who says what no person decided: the node itself."""
    names = room.trust().manifest.members[room.member].names
    return Person("system", None, names.get("zh") or next(iter(names.values())), "system")


def _open_legs(session: Session, state: CaseState) -> list[CaseRow]:
    found = [store.case(session, number) for number in state.open_parts if number.startswith("KS")]
    return [one for one in found if one is not None]


def _is_other_member(room: Room, to: str) -> bool:
    try:
        return to != room.member and bool(active_member(room.trust().manifest, to))
    except (NotAMember, MemberSuspended):
        return False
