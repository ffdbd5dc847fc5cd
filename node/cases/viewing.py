"""What people see of cases: a line of a list, a page, the timeline of both cities; personal data masked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlmodel import Session

from node.cases import store
from node.cases.room import Room, Rules, local_time
from node.cases.service import Person, possible
from node.cases.tables import CaseEventRow, CaseRow
from node.cases.timing import minutes_of
from node.cases.transcripts import open_content, parse_event, rules_in, said_of
from node.outbox import service as outbox
from protocol.deadlines import CalendarMissing, working_days_left
from protocol.identifiers import mask_name, mask_person_id
from protocol.procedures.engine import CaseState, parse_state
from protocol.suites import encode

PAGE_MAX: Final = 200
TIMELINE_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows; `after` is the cursor of the page before."""

    box: str | None = None
    city: str | None = None
    item: str | None = None
    state: str | None = None
    due_until: date | None = None
    after: str | None = None
    limit: int = 50


def list_cases(room: Room, session: Session, wanted: Filter) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of cases by due day, overdue first, and the cursor of the next page."""
    limit = max(1, min(wanted.limit, PAGE_MAX))
    rows = store.cases(
        session,
        box=wanted.box,
        peer=wanted.city,
        item=wanted.item,
        state=wanted.state,
        due_until=wanted.due_until.isoformat() if wanted.due_until else None,
        after=_cursor(wanted.after),
        limit=limit + 1,
    )
    more = f"{rows[limit - 1].due_key}~{rows[limit - 1].number}" if len(rows) > limit else None
    return [line_of(room, session, row) for row in rows[:limit]], more


def _cursor(text: str | None) -> tuple[str, str] | None:
    if not text:
        return None
    due_key, _, number = text.partition("~")
    return due_key[:10], number[:23]


def line_of(room: Room, session: Session, row: CaseRow) -> dict[str, Any]:
    """Return what a list shows of a case."""
    rules = rules_in(room, session, row)
    stage = rules.procedure.stage(row.state)
    person = open_content(room, row)["person"]
    return {
        "number": row.number,
        "item": row.item,
        "item_zh": rules.item.name_zh,
        "item_en": rules.item.name_en,
        "person": {"name": mask_name(str(person["name"])), "id_no": mask_person_id(str(person["id_no"]))},
        "accepting": row.accepting,
        "responsible": row.responsible,
        "side": row.side,
        "box": row.box,
        "state": row.state,
        "state_zh": stage.zh,
        "state_en": stage.en,
        "turn": row.accepting if stage.turn == "accepting" else row.responsible if stage.turn else None,
        "halted": row.halted or None,
        "opened_at": _instant(row.opened_at),
        "changed_at": _instant(row.changed_at),
        **_times(room, session, row),
    }


def _times(room: Room, session: Session, row: CaseRow) -> dict[str, Any]:
    due = date.fromisoformat(row.due_key) if row.due_key != store.NO_DUE else None
    left: int | None = None
    if due is not None:
        try:
            left = working_days_left(local_time(room.now()).date(), due, room.documents.calendars(session))
        except CalendarMissing:
            left = None
    standing = None if left is None else "overdue" if left < 0 else "due_soon" if left <= 1 else "normal"
    return {
        "due_on": row.due_on.isoformat() if row.due_on else None,
        "statutory_due_on": row.statutory_due_on.isoformat() if row.statutory_due_on else None,
        "due_provisional": row.due_provisional,
        "working_days_left": left,
        "standing": standing,
    }


def page_of(room: Room, session: Session, row: CaseRow) -> dict[str, Any]:
    """Return the head of a case's page: its line, where its transcript ends, and what waits to be delivered."""
    state = parse_state(json.loads(row.facts))
    messages = outbox.messages_of(session, row.number)
    attempts = outbox.next_attempts(session, messages)
    return {
        **line_of(room, session, row),
        "seq": row.seq,
        "head": encode(row.head),
        "result": state.result,
        "follows": row.follows,
        "leg": row.leg or None,
        "parts": dict(state.parts),
        "amounts_fen": dict(state.amounts),
        **_minutes(room, session, row, state),
        "pauses": [{"started": one.started, "ended": one.ended} for one in state.pauses],
        "waiting": [
            {
                "jti": one.first_jti,
                "peer": one.peer,
                "state": one.state,
                "attempts": one.attempts,
                "next_at": _instant(attempts[one.jti][0]) if one.state == "waiting" else None,
                "slug": attempts[one.jti][1] or None,
                "detail": one.detail or None,
            }
            for one in messages
        ],
    }


def _minutes(room: Room, session: Session, row: CaseRow, state: CaseState) -> dict[str, Any]:
    clock = minutes_of(rules_in(room, session, row), state, now=room.now())
    if clock is None:
        return {}
    return {"due_at": _instant(clock.due_at) if clock.due_at else None, "elapsed_minutes": clock.elapsed}


def actions_of(room: Room, session: Session, row: CaseRow, person: Person | None = None) -> list[dict[str, Any]]:
    """Return what may be done now: event, names, roles, and the fields that it takes."""
    return [
        {
            "event": one.event,
            "zh": one.transition.zh,
            "en": one.transition.en,
            "roles": list(one.transition.roles),
            "fields": [
                {
                    "name": f.name,
                    "zh": f.zh,
                    "en": f.en,
                    "type": f.type,
                    "required": f.required,
                    "choices": list(f.choices),
                }
                for f in one.transition.fields
            ],
        }
        for one in possible(room, session, row, person=person)
    ]


def first_role(room: Room, session: Session, row: CaseRow, event: str) -> str:
    """Return the first role that may do an event now; `system` when none may."""
    return next((one.transition.roles[0] for one in possible(room, session, row) if one.event == event), "system")


def timeline(
    room: Room, session: Session, row: CaseRow, *, below: int | None = None, limit: int = TIMELINE_PAGE
) -> list[dict[str, Any]]:
    """Return events, newest first; our proposals without a place come before all others."""
    rules = rules_in(room, session, row)
    placed: Sequence[CaseEventRow] = store.newest_events(session, row.number, below=below, limit=limit)
    rest = list(store.unplaced_events(session, row.number))[::-1] if below is None else []
    return [_event_of(room, row, rules, one) for one in [*rest, *placed]]


def _event_of(room: Room, row: CaseRow, rules: Rules, stored: CaseEventRow) -> dict[str, Any]:
    said = said_of(room, stored)
    who = said.message.claims.who
    named = next((one for one in rules.procedure.transitions if one.event == stored.event), None)
    is_open = stored.event == "open"
    return {
        "jti": stored.jti,
        "seq": stored.seq,
        "head": encode(stored.head) if stored.head else None,
        "digest": encode(said.digest),
        "event": stored.event,
        "event_zh": "受理并发送" if is_open else named.zh if named else stored.event,
        "event_en": "opened and sent" if is_open else named.en if named else stored.event,
        "city": stored.iss,
        "office": who.office if who else None,
        "role": who.role if who else None,
        "officer": who.officer if who else None,
        "at": _instant(stored.at),
        "recorded_at": _instant(stored.recorded_at),
        "receipt": bool(stored.receipt) or stored.iss == row.peer,
        "refused": stored.refused or None,
        "data": {} if is_open else dict(_shown(parse_event(said.message.body).data)),
    }


def _shown(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's data as it may be shown without a reason: no materials' digests."""
    return {name: value for name, value in data.items() if name != "material"}


def _instant(moment: datetime) -> str:
    return local_time(moment).isoformat(timespec="seconds")
