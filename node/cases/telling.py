"""What cases tell statistics: each event, in the transaction that applies it; and all of them again for a rebuild.

    opened, closed   the transcript begins; a state that ends the case is reached
    finished         the clock of a leg has ended with an answer: days taken, days promised, kept or not. A case that
                     was withdrawn or forwarded has taken no days
    decided          the result of that answer; `refused` its reason code when it rejects, or that of another refusal
    instructed       a fund order, by its amount; `reconciled` and `mismatched` what the reconciliation said

A case whose answer was reopened is decided twice, and counted twice. Where a calendar is missing, days are not
counted: the leg is finished in the unit `uncounted`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlmodel import Session

from node.cases import store
from node.cases.room import CHINA, Room, Step
from node.cases.tables import CaseRow
from node.cases.timing import times_of
from node.cases.transcripts import act_of, parse_event, said_of
from node.statistics import service as statistics
from node.statistics.service import NO_DUE, Part, Running, Told, reason_of
from node.storage.unit_of_work import Transaction
from protocol.deadlines import CalendarMissing, Calendars, Limit, Pause, days_taken, due
from protocol.procedures.engine import CaseState, begin, follow

TOTAL: Final = "TOTAL"
UNFINISHED: Final = frozenset({"withdraw", "forward"})
"""Events that end the clock without an answer."""
REFUSING: Final = frozenset({"decline", "refuse", "return-letter"})
"""Events that refuse with a reason of their own."""
UNCOUNTED: Final = "uncounted"
EVENTS_AT_ONCE: Final = 200
FUNDS: Final = {"fund-ordered": "instructed", "reconcile": "reconciled"}


def tell(room: Room, transaction: Transaction, step: Step) -> None:
    """Tell statistics of a step; `Room.tell` without its room."""
    calendars = room.documents.calendars(transaction.session)
    if step.event is None:
        statistics.tell_again(transaction, told_of(step, calendars, None))
        return
    answer = step.data.get("answer")
    if _has_rejected(step) and not isinstance(answer, Mapping):
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
    parts = [Part("opened")] if step.before is None else []
    if was_open and not is_open:
        parts.append(Part("closed"))
    if _has_ended(step):
        parts += [_finished(step, calendars), Part("decided", detail=reason_of(step.after.result))]
    if _has_rejected(step):
        code = answer.get("reason_code") if isinstance(answer, Mapping) else None
        parts.append(Part("refused", detail=reason_of(code)))
    if step.event in REFUSING:
        parts.append(Part("refused", detail=reason_of(step.data.get("reason_code") or step.data.get("reason"))))
    return parts + _funds(step)


def _has_ended(step: Step) -> bool:
    was_running = step.before is None or step.before.clock_ended is None
    return was_running and step.after.clock_ended is not None and step.event not in UNFINISHED


def _has_rejected(step: Step) -> bool:
    return _has_ended(step) and step.after.result == "REJECTED"


def _funds(step: Step) -> list[Part]:
    measure = FUNDS.get(step.event or "")
    if measure is None:
        return []
    difference = step.data.get("difference_fen", 0)
    if measure == "reconciled" and type(difference) is int and difference:
        return [Part("mismatched", total=difference)]
    amount = step.data.get("amount_fen", 0)
    return [Part(measure, total=amount if type(amount) is int else 0)]


def _finished(step: Step, calendars: Calendars) -> Part:
    state, limits = step.after, step.rules.item.promised
    limit = limits[0] if limits else None
    begun, ended = (datetime.fromisoformat(str(one)) for one in (state.clock_from, state.clock_ended))
    unit = limit.unit if limit else "working_day"
    try:
        taken = _minutes(state, begun, ended) if unit == "minute" else _days(state, begun, ended, unit, calendars)
        is_kept = limit is None or _is_kept(step, limit, taken, calendars)
    except CalendarMissing:
        return Part("finished", TOTAL, UNCOUNTED)
    return Part("finished", TOTAL, unit, 1, taken, limit.value if limit else 0, int(is_kept))


def _days(state: CaseState, begun: datetime, ended: datetime, unit: str, calendars: Calendars) -> int:
    pauses = [Pause(_moment(one.started), _moment(one.ended) if one.ended else None) for one in state.pauses]
    return days_taken(_day(begun), _day(ended), unit, calendars, pauses)


def _minutes(state: CaseState, begun: datetime, ended: datetime) -> int:
    """Return the whole minutes that were begun, without the pauses."""
    spans = [(datetime.fromisoformat(one.started), one.ended) for one in state.pauses]
    paused = sum((datetime.fromisoformat(to or ended.isoformat()) - since).total_seconds() for since, to in spans)
    return max(0, -int(-((ended - begun).total_seconds() - paused) // 60))


def _is_kept(step: Step, limit: Limit, taken: int, calendars: Calendars) -> bool:
    """Say whether a leg ended in time: by its due day, which may lie after a limit of calendar days."""
    last = times_of(step.rules, step.after, calendars).promised
    return taken <= limit.value if last is None else _moment(str(step.after.clock_ended)) <= last


def _running(step: Step, calendars: Calendars) -> tuple[Running, ...]:
    if step.after.clock_from is None or step.after.clock_ended is not None:
        return ()
    try:
        last = times_of(step.rules, step.after, calendars).promised
    except CalendarMissing:
        last = None
    return (Running(TOTAL, last or NO_DUE),)


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
    rules = room.rules(session, item=row.item, catalogue=row.catalogue, procedures=row.procedures)
    state: CaseState | None = None
    answer: Any = None
    told: list[Told] = []
    for stored in _every_event(session, row.number):
        said, sides = said_of(room, stored), (row.accepting, row.responsible)
        if state is None:
            who = said.message.claims.who
            after = begin(rules.procedure, at=said.at, officer=who.officer if who else None)
            step = Step(row.number, 0, *sides, rules, "open", said.at, {}, None, after)
        else:
            event = parse_event(said.message.body)
            after = follow(rules.procedure, state, act_of(row, said, event), reviewers=rules.reviewers)
            step = Step(row.number, len(told), *sides, rules, event.event, said.at, event.data, state, after)
        answer, state = step.data.get("answer") or answer, step.after
        told.append(told_of(step, calendars, answer))
    return told


def _every_event(session: Session, number: str) -> Sequence[Any]:
    found: list[Any] = []
    while True:
        last = found[-1].seq if found else -1
        some = store.placed_events(session, number, after=last, limit=EVENTS_AT_ONCE)
        found += some
        if len(some) < EVENTS_AT_ONCE:
            return found
