"""A case from the counter to the handover, and its one transcript in two cities (protocol §6, Cases)."""

import asyncio

from node.cases import service, viewing
from tests.node.cases.two_cities import CLERK, OFFICER, REVIEWER, STEPS, CaseCity, answer, application, running, settle

Pair = tuple[CaseCity, CaseCity]


async def played(cities: Pair) -> str:
    """Play the straight way and return the number."""
    accepting, responsible = cities
    number = (await accepting.open(application())).number
    await settle(*cities)
    for event, person, data in STEPS:
        city = accepting if person is CLERK else responsible
        await city.act(number, event, person, data)
        await settle(*cities)
    return number


def test_both_cities_hold_the_same_bytes_in_the_same_order(cities: Pair) -> None:
    async def play() -> str:
        async with running(*cities):
            return await played(cities)

    number = asyncio.run(play())
    accepting, responsible = cities
    assert accepting.transcript(number) == responsible.transcript(number)
    assert [seq for seq, _, _ in accepting.transcript(number)] == [0, 1, 2, 3, 4]
    rows = [city.row(number) for city in cities]
    assert [(row.state, row.box, row.halted) for row in rows] == [("HANDED_OVER", "done", "")] * 2
    assert rows[0].head == rows[1].head
    with accepting.database.reading() as session:
        row = service.read_case(session, number)
        shown = viewing.timeline(accepting.room, session, row)
    assert [one["event"] for one in shown] == ["handover", "review", "decide", "sign", "open"]
    assert all(one["receipt"] for one in shown)
    assert shown[0]["city"] == "450400"


def test_the_possible_actions_are_those_of_the_city_the_role_and_the_person(cities: Pair) -> None:
    accepting, responsible = cities

    def events(city: CaseCity, number: str, person: service.Person | None = None) -> list[str]:
        with city.database.reading() as session:
            row = service.read_case(session, number)
            return [one.event for one in service.possible(city.room, session, row, person=person)]

    async def play() -> None:
        async with running(*cities):
            number = (await accepting.open(application())).number
            await settle(*cities)
            assert events(accepting, number) == ["withdraw", "chase"]
            assert events(responsible, number) == ["sign", "forward", "suspend"]
            assert events(responsible, number, REVIEWER) == []
            await responsible.act(number, "sign", OFFICER)
            await responsible.act(number, "decide", OFFICER, {"answer": answer()})
            assert "review" in events(responsible, number, REVIEWER)
            same_person = service.Person("officer-442000", OFFICER.officer, "中山社保", "reviewer")
            assert events(responsible, number, same_person) == []

    asyncio.run(play())
