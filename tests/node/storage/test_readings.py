"""Readings: look-ups of a whole group at once, rows added at its end, and what keeps them apart from other works."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, column, event, insert, select, table, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from node.storage.lookups import Lookup
from node.storage.prepared import Prepared
from node.storage.tables import JobTick, LeaseRow
from node.storage.unit_of_work import Again, Database, Reading, Transaction
from node.storage.writer import Writer

ADD = Prepared(insert(JobTick))
TICK = Lookup(JobTick, ("job", "due_at"), ("job",))
LEASE = Lookup(LeaseRow, ("name",), ("holder", "until"))
NOON = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)


def together(database: Database, *works: tuple[Callable[[Reading], Any], Any]) -> list[Any]:
    """Submit readings with what they look up, so that they meet in one group; faults come back as values."""
    writer = Writer(database)

    async def run() -> list[Any]:
        waiting = [asyncio.create_task(writer.read(work, ahead)) for work, ahead in works]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        writer.stop()


def adding(job: str) -> tuple[Callable[[Reading], str], Any]:
    """A reading that adds a row unless there is one, as the exchange does with its replay row."""

    def work(reading: Reading) -> str:
        if reading.find(TICK, (job, NOON)) is not None:
            return "seen"
        reading.claim(job)
        reading.add(ADD, (job, NOON))
        return "added"

    return work, [(TICK, (job, NOON))]


def jobs(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.execute(text("SELECT job FROM job_tick ORDER BY job")).scalars())


def test_a_lookup_gives_what_exists_by_its_key_typed_as_the_model(database: Database) -> None:
    def put(transaction: Transaction) -> None:
        for name in ("a", "b", "c'\"—城"):
            transaction.session.add(LeaseRow(name=name, holder=f"of {name}", epoch=1, until=NOON))

    database.write(put)
    with database.reading() as session:
        keys = [("a",), ("absent",), ("c'\"—城",), ("a",)]
        assert LEASE.rows(session, keys) == {("a",): ("of a", NOON), ("c'\"—城",): ("of c'\"—城", NOON)}
        assert LEASE.rows(session, [("b",)]) == {("b",): ("of b", NOON)}
        assert LEASE.rows(session, [("absent",)]) == LEASE.rows(session, []) == {}


def test_readings_of_a_group_share_their_lookups_and_one_commit(database: Database) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    assert together(database, *(adding(f"{n:03}") for n in range(60))) == ["added"] * 60
    assert len(commits) == 1
    assert len(jobs(database)) == 60


def test_two_readings_for_one_key_do_not_both_add(database: Database) -> None:
    assert sorted(together(database, *[adding("same")] * 5)) == ["added", *["seen"] * 4]
    assert jobs(database) == ["same"]


def test_a_reading_that_fails_adds_nothing_and_harms_nobody(database: Database) -> None:
    def fails(reading: Reading) -> None:
        reading.add(ADD, ("half", NOON))
        raise LookupError("the work itself")

    first, fault, last = together(database, adding("a"), (fails, ()), adding("b"))
    assert (first, last) == ("added", "added")
    assert isinstance(fault, LookupError)
    assert jobs(database) == ["a", "b"]


def test_a_row_that_another_process_added_meanwhile_is_seen_by_the_next_attempt(database: Database) -> None:
    work, ahead = adding("raced")
    raced: list[bool] = []

    def late(reading: Reading) -> str:
        answer = work(reading)
        if not raced:
            raced.append(True)
            reading.add(ADD, ("raced", NOON))  # the same row twice: as if another process had been faster
        return answer

    assert together(database, (late, ahead), adding("other")) == ["added", "added"]
    assert jobs(database) == ["other", "raced"]


def test_a_statement_that_fails_in_one_reading_leaves_the_others_whole(
    open_database: Callable[..., Database], postgresql_url: str
) -> None:
    """On PostgreSQL a failed statement ends the whole transaction: the group is run again, work by work."""
    database = open_database(postgresql_url)
    broken = Lookup(JobTick, ("job",), ("job",))
    broken._one = Prepared(
        select(column("absent")).select_from(table("job_tick")).where(column("job") == bindparam("job")), "job"
    )
    first, fault, last = together(
        database, adding("a"), (lambda reading: reading.find(broken, ("x",)), ()), adding("b")
    )
    assert (first, last) == ("added", "added")
    assert isinstance(fault, DBAPIError)
    assert jobs(database) == ["a", "b"]


def test_a_reading_has_no_session_to_write_through(database: Database) -> None:
    (fault,) = together(database, (lambda reading: reading.session, ()))  # type: ignore[attr-defined]
    assert isinstance(fault, AttributeError)


def test_works_and_readings_keep_their_order_in_groups_of_their_own(database: Database) -> None:
    writer, seen = Writer(database), list[str]()

    def put(transaction: Transaction) -> None:
        seen.append("work")
        transaction.session.add(LeaseRow(name="x", holder="h", epoch=1, until=NOON))

    def look(reading: Reading) -> object:
        seen.append("reading")
        return reading.find(LEASE, ("x",))

    async def run() -> list[Any]:
        waiting = [
            asyncio.create_task(writer.read(look, [(LEASE, ("x",))])),
            asyncio.create_task(writer.submit(put)),
            asyncio.create_task(writer.read(look, [(LEASE, ("x",))])),
        ]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting)

    try:
        before, _, after = asyncio.run(run())
    finally:
        writer.stop()
    assert seen == ["reading", "work", "reading"]
    assert (before, after) == (None, ("h", NOON))


def test_a_claim_is_kept_from_others_of_the_group_only(database: Database) -> None:
    with database.reading() as session:
        claimed: set[Any] = set()
        Reading(session, {}, claimed).claim("key")
        with pytest.raises(Again):
            Reading(session, {}, claimed).claim("key")
        Reading(session).claim("key")


def test_the_same_row_added_twice_is_a_fault_of_that_reading(database: Database) -> None:
    def twice(reading: Reading) -> None:
        reading.add(ADD, ("twice", NOON))
        reading.add(ADD, ("twice", NOON))

    fault, other = together(database, (twice, ()), adding("other"))
    assert isinstance(fault, IntegrityError)
    assert other == "added"
    assert jobs(database) == ["other"]
