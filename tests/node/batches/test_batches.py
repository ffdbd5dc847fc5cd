"""Batches: every good row becomes one case, whatever is wrong beside it, however often the file comes."""

import asyncio
from functools import partial
from typing import Any

import pytest

from node.batches import service
from node.batches.room import Batches, HandedIn
from node.storage.unit_of_work import Transaction
from protocol.errors import NotFound, StorageFull, UnknownItem
from tests.node.batches.cities import ITEM, a_file, batches_of, changed, faults, good_rows, numbers, path, reported, run
from tests.node.cases.two_cities import ACCEPTING, CLERK, RESPONSIBLE, CaseCity, running, settle

Cities = tuple[CaseCity, CaseCity]


def test_good_rows_are_opened_and_reach_the_other_city_beside_faulty_ones(cities: Cities) -> None:
    ours, theirs = cities
    rows = good_rows(70)
    rows[3] = changed(rows[3], person__id_no="450400195708151015")
    rows[68] = changed(rows[68], to="999999", account__account_no="x")
    batches = batches_of(ours)

    async def whole() -> None:
        async with running(ours, theirs):
            page = await run(batches, a_file(rows))
            await settle(ours, theirs)
        assert (page["state"], page["rows"], page["done"]) == ("done", 70, 70)
        assert (page["opened"], page["earlier"], page["faulty"]) == (68, 0, 2)
        told = reported(batches, page["id"])
        assert [one["at"] for one in told] == [f"申请!{number}" for number in range(2, 72)]
        assert [(field, rule) for _, field, rule in faults(told)] == [
            ("person.id_no", "check_character"),
            ("account.account_no", "pattern"),
            ("to", "not-a-member"),
        ]
        assert len(set(numbers(told))) == 68
        assert {row[0] for row in theirs.rows("SELECT number FROM cases")} == set(numbers(told))

    asyncio.run(whole())


def test_the_same_file_again_opens_nothing_and_tells_the_same(cities: Cities) -> None:
    ours, _ = cities
    content, batches = a_file(good_rows(5)), batches_of(ours)

    async def whole() -> None:
        async with running(ours):
            first = await run(batches, content)
            told = reported(batches, first["id"])
            again = await run(batches, content)
        assert (again["id"], again["opened"]) == (first["id"], 5)
        assert reported(batches, first["id"]) == told
        assert ours.rows("SELECT count(*) FROM cases") == [(5,)]

    asyncio.run(whole())


def test_a_mended_file_opens_only_what_was_mended(cities: Cities) -> None:
    ours, _ = cities
    rows, batches = good_rows(6), batches_of(ours)
    wrong = [*rows[:2], changed(rows[2], months_total="many"), *rows[3:]]

    async def whole() -> None:
        async with running(ours):
            first = await run(batches, a_file(wrong))
            second = await run(batches, a_file(rows[::-1]))
        assert (first["opened"], first["faulty"]) == (5, 1)
        assert (second["opened"], second["earlier"], second["faulty"]) == (6, 5, 0)
        before = numbers(reported(batches, first["id"]))
        assert set(before) < set(numbers(reported(batches, second["id"])))
        assert ours.rows("SELECT count(*) FROM cases") == [(6,)]

    asyncio.run(whole())


def test_a_row_that_stands_there_twice_is_opened_once(cities: Cities) -> None:
    ours, _ = cities
    (row,), batches = good_rows(1), batches_of(ours)

    async def whole() -> None:
        async with running(ours):
            page = await run(batches, a_file([row] * 70))
        assert (page["opened"], page["earlier"]) == (70, 69)
        assert ours.rows("SELECT count(*) FROM cases") == [(1,)]

    asyncio.run(whole())


def test_two_runs_at_once_open_every_row_once(cities: Cities) -> None:
    ours, _ = cities
    content, batches = a_file(good_rows(130)), batches_of(ours)

    async def whole() -> None:
        async with running(ours):
            pages = await asyncio.gather(run(batches, content), run(batches, content))
        assert [one["opened"] for one in pages] == [130, 130]
        assert ours.rows("SELECT count(*), count(DISTINCT subject) FROM cases") == [(130, 130)]
        assert ours.rows("SELECT count(*) FROM outbox") == [(130,)]

    asyncio.run(whole())


def test_a_dry_run_says_the_same_and_opens_nothing(cities: Cities) -> None:
    ours, _ = cities
    rows, batches = good_rows(3), batches_of(ours)
    rows[1] = changed(rows[1], reason="X")

    async def whole() -> None:
        async with running(ours):
            page = await run(batches, a_file(rows), dry_run=True)
            assert (page["opened"], page["faulty"], page["done"]) == (0, 1, 3)
            assert [field for _, field, _ in faults(reported(batches, page["id"]))] == ["reason"]
            assert ours.rows("SELECT count(*) FROM cases") == [(0,)]
            assert (await run(batches, a_file(rows)))["opened"] == 2

    asyncio.run(whole())


def test_a_row_that_is_refused_only_when_it_is_opened_does_not_stop_its_group(
    cities: Cities, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = cities
    rows, batches = good_rows(5), batches_of(ours)
    opens = batches.open

    def fails_for_the_third(transaction: Transaction, opening: Any, person: Any) -> Any:
        done = opens(transaction, opening, person)
        if opening.application["months_total"] == int(rows[2][path("months_total")]):
            raise UnknownItem("gone meanwhile")
        return done

    object.__setattr__(batches, "open", fails_for_the_third)

    async def whole() -> None:
        async with running(ours):
            page = await run(batches, a_file(rows))
        assert (page["opened"], page["faulty"]) == (4, 1)
        assert list(faults(reported(batches, page["id"]))) == [("申请!4", "", "unknown-item")]
        assert ours.rows("SELECT count(*) FROM cases") == [(4,)]

    asyncio.run(whole())


def test_a_batch_that_meets_a_full_disk_goes_on_where_it_stopped(cities: Cities) -> None:
    ours, _ = cities
    content, batches = a_file(good_rows(200)), batches_of(ours)
    handed = HandedIn(ITEM, content)

    def fill_the_disk(done: int, _rows: int) -> None:
        ours.wire.has_room = done < 128

    async def whole() -> None:
        async with running(ours):
            await ours.writer.submit(lambda tx: service.hand_in(batches, tx, handed, CLERK, keep=False))
            with pytest.raises(StorageFull):
                await service.run(batches, handed, CLERK, fill_the_disk)
            assert ours.rows("SELECT count(*) FROM cases") == [(128,)]
            ours.wire.has_room = True
            seen: list[int] = []
            await service.run(batches, handed, CLERK, lambda done, _rows: seen.append(done))
        assert seen == [128, 192, 200]
        assert ours.rows("SELECT count(*) FROM cases") == [(200,)]

    asyncio.run(whole())


def test_a_file_that_was_handed_in_is_kept_encrypted_until_it_is_done(cities: Cities) -> None:
    ours, _ = cities
    content, batches = a_file(good_rows(3)), batches_of(ours)
    handed = HandedIn(ITEM, content)

    async def whole() -> None:
        async with running(ours):
            await ours.writer.submit(lambda tx: service.hand_in(batches, tx, handed, CLERK, keep=True))
            ((kept,),) = ours.rows("SELECT content FROM batch_file")
            assert content[:64] not in bytes(kept)
            assert await service.run_next(batches)
            assert not await service.run_next(batches)
        assert ours.rows("SELECT count(*) FROM batch_file") == [(0,)]
        assert ours.rows("SELECT count(*) FROM cases") == [(3,)]

    asyncio.run(whole())


def hand_in(batches: Batches, handed: HandedIn, transaction: Transaction) -> str:
    return service.hand_in(batches, transaction, handed, CLERK, keep=True)


def test_a_batch_that_fails_again_and_again_lets_the_next_one_go(cities: Cities) -> None:
    ours, _ = cities
    batches = batches_of(ours)
    first, second = HandedIn(ITEM, a_file(good_rows(2))), HandedIn(ITEM, a_file(good_rows(3, seed=2)))
    opens = batches.open

    def fails(transaction: Transaction, opening: Any, person: Any) -> Any:
        raise RuntimeError("unforeseen")

    async def whole() -> None:
        async with running(ours):
            for one in (first, second):
                await ours.writer.submit(partial(hand_in, batches, one))
            object.__setattr__(batches, "open", fails)
            for _ in range(service.ATTEMPTS):
                with pytest.raises(RuntimeError):
                    await service.run_next(batches)
            object.__setattr__(batches, "open", opens)
            assert await service.run_next(batches)
            with ours.database.reading() as session:
                states = [service.progress(session, one.number)["state"] for one in (first, second)]
        assert states == ["failed", "done"]

    asyncio.run(whole())


def test_a_row_to_the_own_city_and_an_unknown_item_are_refused(cities: Cities) -> None:
    ours, _ = cities
    batches = batches_of(ours)
    rows = [changed(good_rows(1)[0], to=city) for city in (ACCEPTING, "", "４", RESPONSIBLE)]

    async def whole() -> None:
        async with running(ours):
            page = await run(batches, a_file(rows))
            with pytest.raises(UnknownItem):
                await run(batches, a_file(rows), item="NO-SUCH")
        assert list(faults(reported(batches, page["id"]))) == [
            ("申请!A2", "to", "own"),
            ("申请!A3", "to", "required"),
            ("申请!A4", "to", "not-a-member"),
        ]
        with ours.database.reading() as session, pytest.raises(NotFound):
            service.report(session, "0" * 32)

    asyncio.run(whole())


def test_no_table_of_batches_and_no_report_repeats_what_stands_in_a_cell(cities: Cities) -> None:
    ours, _ = cities
    canaries = ("CANARY-NAME", "CANARY-BANK", "450400195708151014")
    rows, batches = good_rows(2), batches_of(ours)
    rows[0] = changed(rows[0], person__name=canaries[0], account__bank_name=canaries[1], months_total="x")
    rows[1] = changed(rows[1], person__id_no=canaries[2], person__name=canaries[0])

    async def whole() -> None:
        async with running(ours):
            page = await run(batches, a_file(rows))
        assert (page["opened"], page["faulty"]) == (1, 1)
        asked = ("SELECT * FROM batch", "SELECT * FROM batch_row", "SELECT * FROM batch_opening")
        held = str([ours.rows(query) for query in asked])
        told = str(reported(batches, page["id"]))
        assert [one for one in canaries if one in held or one in told] == []

    asyncio.run(whole())
