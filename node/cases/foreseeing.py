"""What a document would do to cases, told before it is taken in: due days that move, open cases that stay as they are.

A calendar counts for open cases, too; catalogue and procedures do not: a case stays with those of its opening.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date

from sqlmodel import Session

from node.cases import store
from node.cases.room import Documents, rules_of
from node.cases.tables import CaseRow
from node.cases.timing import times_of
from protocol.catalogue import parse_catalogue
from protocol.deadlines import CalendarMissing, Calendars
from protocol.errors import UnknownItem
from protocol.procedures.differences import Difference, catalogue_differences, pack_differences
from protocol.procedures.engine import parse_state
from protocol.procedures.pack import parse_pack

PAGE = 500


def moved_days(
    session: Session, documents: Documents, calendars: Calendars
) -> Iterator[tuple[str, date | None, date | None]]:
    """Yield open cases whose due day would move with other calendars: number, day now, day then."""
    for row in _open_cases(session):
        before = row.due_on
        after = _due_on(session, documents, row, calendars)
        if before != after:
            yield row.number, before, after


def _due_on(session: Session, documents: Documents, row: CaseRow, calendars: Calendars) -> date | None:
    catalogue, pack = documents.catalogue(session, row.catalogue), documents.procedures(session, row.procedures)
    if catalogue is None or pack is None:
        return row.due_on
    try:
        rules = rules_of(catalogue, pack, row.item, row.leg).between(row.accepting, row.responsible)
        return times_of(rules, parse_state(json.loads(row.facts)), calendars).promised
    except CalendarMissing:
        return None
    except UnknownItem:
        return row.due_on


def staying(session: Session) -> dict[str, int]:
    """Return how many open cases there are of each item: they stay with their documents."""
    return dict(sorted(Counter(row.item for row in _open_cases(session)).items()))


def procedures_would(session: Session, documents: Documents, data: bytes) -> list[Difference]:
    """Return what a newer pack would change for cases that are opened under it."""
    return pack_differences(documents.procedures_in_force(session), parse_pack(data))


def catalogue_would(session: Session, documents: Documents, data: bytes) -> list[Difference]:
    """Return what a newer catalogue would change for cases that are opened under it."""
    return catalogue_differences(documents.catalogue_in_force(session), parse_catalogue(data))


def _open_cases(session: Session) -> Iterator[CaseRow]:
    after = ""
    while True:
        rows = store.open_cases(session, after=after, limit=PAGE)
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1].number
