"""Due days of cases: from the clock of the transcript, by signed calendars, anew when other ones come into force."""

import asyncio
import dataclasses
import hashlib
import json
from datetime import date

from node.cases import foreseeing, service
from node.cases.documents import documents_of
from node.cases.jobs import CaseJobs
from node.membership.service import calendars_in_force
from protocol.deadlines import Calendars, parse_calendar
from protocol.envelope import Trust
from tests.node.cases.two_cities import BY_DIGEST, DOCUMENTS, NAMED, CaseCity, application, running, settle

Pair = tuple[CaseCity, CaseCity]


def test_promised_and_statutory_days_are_counted_from_the_acceptance(cities: Pair) -> None:
    async def play() -> str:
        async with running(*cities):
            number = (await cities[0].open(application())).number
            await settle(*cities)
            return number

    number = asyncio.run(play())
    for city in cities:
        row = city.row(number)
        assert (str(row.due_on), str(row.statutory_due_on), row.due_provisional) == ("2026-12-01", "2026-12-22", False)
        assert row.due_key == "2026-12-01"


def test_an_official_calendar_moves_the_provisional_days_of_open_cases(cities: Pair) -> None:
    """Opened on 25 December 2026: five working days run into 2027, whose calendar is not official yet."""
    accepting = cities[0]
    official = json.loads(DOCUMENTS["calendar-2027"])
    official.update(status="official", version=2, off=[*official["off"], "2027-01-04"], work=["2027-01-02"])
    data = json.dumps(official).encode()

    async def play() -> str:
        async with running(*cities):
            accepting.wire.clock[0] = accepting.wire.clock[0].replace(month=12, day=25)
            number = (await accepting.open(application())).number
            assert (str(accepting.row(number).due_on), accepting.row(number).due_provisional) == ("2027-01-04", True)
            jobs = CaseJobs(accepting.room, accepting.writer)
            await jobs.count_times()
            assert str(accepting.row(number).due_on) == "2027-01-04"
            with accepting.database.reading() as session:
                found = Calendars({2026: parse_calendar(DOCUMENTS["calendar-2026"]), 2027: parse_calendar(data)})
                foreseen = list(foreseeing.moved_days(session, accepting.room.documents, found))
                assert foreseen == [(number, date(2027, 1, 4), date(2027, 1, 2))]
                assert foreseeing.staying(session) == {"PEN-LUMPSUM": 1}
                newer = DOCUMENTS["procedures"].replace(b'"due_soon_working_days": 1', b'"due_soon_working_days": 2')
                (told,) = foreseeing.procedures_would(session, accepting.room.documents, newer)
                assert "due soon" in told.en
                assert foreseeing.catalogue_would(session, accepting.room.documents, DOCUMENTS["catalogue"]) == []
            _bring_into_force(accepting, data)
            await jobs.count_times()
            return number

    number = asyncio.run(play())
    row = accepting.row(number)
    assert (str(row.due_on), row.due_provisional, row.due_key) == ("2027-01-02", False, "2027-01-02")


def _bring_into_force(city: CaseCity, calendar: bytes) -> None:
    """Let the manifest of this city name another calendar for 2027, as its next version would."""
    digest = hashlib.sha256(calendar).hexdigest()
    trust = city.room.trust()
    documents = {**trust.manifest.documents, "calendar-2027": digest}
    manifest = dataclasses.replace(trust.manifest, documents=documents, digest="another")
    changed: Trust = dataclasses.replace(trust, manifest=manifest)
    known = {**BY_DIGEST, digest: calendar}
    fresh = documents_of(
        lambda _session, one: known.get(one),
        lambda session: calendars_in_force(session, manifest, known),
        lambda: changed.manifest,
        NAMED,
    )
    object.__setattr__(city.room, "documents", fresh)


def test_a_year_without_a_calendar_gives_no_day_and_stops_nothing(cities: Pair) -> None:
    accepting = cities[0]

    async def play() -> str:
        async with running(*cities):
            object.__setattr__(accepting.room, "documents", _without_calendars(accepting))
            return (await accepting.open(application())).number

    row = accepting.row(asyncio.run(play()))
    assert (row.due_on, row.due_provisional, row.state) == (None, True, "ACCEPTED")
    with accepting.database.reading() as session:
        assert service.read_case(session, row.number).box == "sent"


def _without_calendars(city: CaseCity) -> object:
    return dataclasses.replace(city.room.documents, calendars=lambda _session: Calendars({}))
