"""What cases tell statistics: each event, in the transaction that applies it; and all of them again for a rebuild.

    opened, closed   the transcript begins; a state that ends the case is reached. A leg that is a case of its own, from
                     one city to another, counts under its name
    finished         a clock has ended: days taken, days promised, kept or not, by the limit that it counted against
                     (`OUT`, `IN_JOIN`, …, else `TOTAL`). What was withdrawn or forwarded has taken no days. The minutes
                     of a case on the fast track are finished beside its days
    decided          the result of a case that is over; `refused` its reason code when it was rejected, or that of
                     another refusal
    instructed       a fund order, by its amount; `reconciled` and `mismatched` what the reconciliation said

A case that was reopened after its end is decided twice, and counted twice. Where a calendar is missing, days are not
counted: the leg is finished in the unit `uncounted`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlmodel import Session

from node.cases import store
from node.cases.room import CHINA, Room, Rules, Step, beginning
from node.cases.tables import CaseRow
from node.cases.timing import FAST_TRACK, MINUTE, TOTAL, limit_of, minutes_of, times_of
from node.cases.transcripts import ACCEPTING, Said, act_of, open_content, parse_event, rules_in, said_of
from node.statistics import service as statistics
from node.statistics.service import NO_DUE, Part, Running, Told, reason_of
from node.storage.unit_of_work import Transaction
from protocol.deadlines import CalendarMissing, Calendars, Limit, Pause, days_taken, due
from protocol.procedures.engine import BOTH, CaseState, begin, follow

UNFINISHED: Final = frozenset({"withdraw", "forward"})
"""Events that end the clock without an answer."""
REFUSING: Final = frozenset({"decline", "return-letter"})
"""Events that refuse with a reason of their own."""
REJECTED: Final = "REJECTED"
UNCOUNTED: Final = "uncounted"
EVENTS_AT_ONCE: Final = 200


def tell(room: Room, transaction: Transaction, step: Step) -> None:
    """Tell statistics of a step; `Room.tell` without its room."""
    calendars = room.documents.calendars(transaction.session)
    if step.event is None:
        statistics.tell_again(transaction, told_of(step, calendars, None))
        return
    answer = step.data.get("answer")
    if _is_rejected(step) and not isinstance(answer, Mapping):
        answer = _last_answer(room, transaction.session, step.number)
    statistics.tell(transaction, told_of(step, calendars, answer))


def replay(room: Room, session: Session, after: str, limit: int) -> tuple[list[Told], str]:
    """Tell some cases again from their transcripts, by number; return where to go on, empty at the end."""
    rows = store.every_case(session, after=after, limit=limit)
    calendars = room.documents.calendars(session)
    told = [one for row in rows for one in _told_again(room, session, row, calendars)]
    return told, rows[-1].number if len(rows) == limit else ""


def days(room: Room, session: Session) -> tuple[date, date]:
    """Return today, and the last day on which what is due is due soon; without a calendar that is today, too."""
    today = _day(room.now())
    soon = Limit(room.documents.procedures_in_force(session).due_soon_working_days, "working_day")
    try:
        return today, due(today, soon, room.documents.calendars(session)).on or today
    except CalendarMissing:
        return today, today


def told_of(step: Step, calendars: Calendars, answer: Any) -> Told:
    """Return what a step tells; `answer` is the last that was given, where this step rejects by it."""
    is_open = not step.rules.procedure.stage(step.after.name).closed
    parts = () if step.event is None else tuple(_parts(step, calendars, answer, is_open))
    item, day = step.rules.item.code, _day(step.at)
    running = _running(step, calendars) if is_open else ()
    return Told(step.number, step.seq, item, step.accepting, step.responsible, day, parts, is_open, running)


def _parts(step: Step, calendars: Calendars, answer: Any, is_open: bool) -> list[Part]:
    was_open = step.before is None or not step.rules.procedure.stage(step.before.name).closed
    leg = step.rules.leg
    parts = [Part("opened", leg)] if step.before is None else []
    if _has_ended(step):
        parts += _finished(step, calendars)
    if was_open and not is_open:
        parts.append(Part("closed", leg))
        parts += [Part("decided", leg, reason_of(step.after.result))] if step.after.result else []
    if _is_rejected(step):
        parts.append(
            Part("refused", leg, reason_of(answer.get("reason_code") if isinstance(answer, Mapping) else None))
        )
    if step.event in REFUSING:
        parts.append(Part("refused", leg, reason_of(step.data.get("code") or step.data.get("reason"))))
    return parts + _funds(step)


def _has_ended(step: Step) -> bool:
    was_running = step.before is None or step.before.clock_ended is None
    return was_running and step.after.clock_ended is not None and step.event not in UNFINISHED


def _is_rejected(step: Step) -> bool:
    """Say whether a case is over now, and was rejected."""
    stage = step.rules.procedure.stage
    is_over = step.before is not None and stage(step.after.name).closed and not stage(step.before.name).closed
    return is_over and step.after.result == REJECTED


def _funds(step: Step) -> list[Part]:
    amounts = step.after.amounts
    if step.event == "fund-order":
        order = step.data.get("order")
        amount = order.get("total_fen") if isinstance(order, Mapping) else None
        return [Part("instructed", total=amount if type(amount) is int else 0)]
    if step.event == "reconcile":
        return [Part("reconciled", total=amounts.get("arrived", 0))]
    is_mismatch = step.event == "mismatch"
    return [Part("mismatched", total=amounts.get("expected", 0) - amounts.get("arrived", 0))] if is_mismatch else []


def _finished(step: Step, calendars: Calendars) -> list[Part]:
    state, leg = step.after, step.after.limit or TOTAL
    limit = limit_of(step.rules.item.promised_legs, state.limit)
    unit, promised = (limit.unit, limit.value) if limit else ("working_day", 0)
    begun, ended = _moment(str(state.clock_from)), _moment(str(state.clock_ended))
    pauses = [Pause(_moment(one.started), _moment(one.ended) if one.ended else None) for one in state.pauses]
    try:
        taken = days_taken(begun, ended, unit, calendars, pauses)
        last = due(begun, limit, calendars, pauses).on if limit else None
    except CalendarMissing:
        return [Part("finished", leg, UNCOUNTED), *_fast(step)]
    return [Part("finished", leg, unit, 1, taken, promised, int(last is None or ended <= last)), *_fast(step)]


def _fast(step: Step) -> list[Part]:
    """Return the minutes of a case on the fast track."""
    limits = [one.limit.value for one in step.rules.item.promised_legs if one.limit.unit == MINUTE]
    minutes = minutes_of(step.rules, step.after, now=step.at)
    if minutes is None:
        return []
    is_kept = minutes.due_at is None or step.at <= minutes.due_at
    return [Part("finished", FAST_TRACK, MINUTE, 1, minutes.elapsed, limits[0], int(is_kept))]


def _running(step: Step, calendars: Calendars) -> tuple[Running, ...]:
    if step.after.clock_from is None or step.after.clock_ended is not None:
        return ()
    try:
        last = times_of(step.rules, step.after, calendars).promised
    except CalendarMissing:
        last = None
    return (Running(step.after.limit or TOTAL, last or NO_DUE),)


def _moment(instant: str) -> date:
    return _day(datetime.fromisoformat(instant))


def _day(moment: datetime) -> date:
    return moment.astimezone(CHINA).date()


def _last_answer(room: Room, session: Session, number: str) -> Any:
    """Return the last answer of a case: it stands in an earlier event than the review that lets it count."""
    for stored in store.newest_events(session, number, below=None, limit=EVENTS_AT_ONCE):
        if stored.event == "decide":
            return parse_event(said_of(room, stored).message.body).data.get("answer")
    return None


def _told_again(room: Room, session: Session, row: CaseRow, calendars: Calendars) -> list[Told]:
    """Walk a transcript as it was applied: the same table gives the same states."""
    rules, state, answer = rules_in(room, session, row), None, None
    told: list[Told] = []
    for stored in _every_event(session, row.number):
        said, sides = said_of(room, stored), (row.accepting, row.responsible)
        if state is None:
            step = Step(row.number, 0, *sides, rules, "open", said.at, {}, None, _begun(room, row, rules, said))
        else:
            event = parse_event(said.message.body)
            after = follow(rules.procedure, state, act_of(row, said, event), reviewers=rules.reviewers)
            step = Step(row.number, len(told), *sides, rules, event.event, said.at, event.data, state, after)
        answer, state = step.data.get("answer") or answer, step.after
        told.append(told_of(step, calendars, answer))
    return told


def _begun(room: Room, row: CaseRow, rules: Rules, said: Said) -> CaseState:
    who = said.message.claims.who
    facts = beginning(rules, open_content(room, row), accepting=row.accepting, responsible=row.responsible)
    side = BOTH if row.side == BOTH else ACCEPTING
    return begin(rules.procedure, at=said.at, officer=who.officer if who else None, side=side, **facts)


def _every_event(session: Session, number: str) -> Sequence[Any]:
    found: list[Any] = []
    while True:
        last = found[-1].seq if found else -1
        some = store.placed_events(session, number, after=last, limit=EVENTS_AT_ONCE)
        found += some
        if len(some) < EVENTS_AT_ONCE:
            return found
