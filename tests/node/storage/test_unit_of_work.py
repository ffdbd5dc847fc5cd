"""Group commit: many works, one transaction, and nobody hears a result before it is durable."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session

from node.storage.tables import LeaseRow
from node.storage.unit_of_work import Database, Pending, Place, Transaction
from node.storage.writer import GROUP_MAX, Writer
from protocol.errors import Busy
from tests.node.storage.works import Lost, commits, failing, names, put, refused_by, together

OPEN = Callable[..., Database]

pytestmark = pytest.mark.usefixtures("thing")


def test_works_that_wait_share_one_commit(database: Database) -> None:
    with commits(database) as times:
        results = together(database, *[put(f"{n:03}") for n in range(100)])
    assert results == [f"{n:03}" for n in range(100)]
    assert len(times) == 1
    assert len(names(database)) == 100


def test_a_group_has_an_upper_bound(database: Database) -> None:
    with commits(database) as times:
        together(database, *[put(f"{n:03}") for n in range(GROUP_MAX + 1)])
    assert len(times) == 2


def test_works_run_in_the_order_of_their_arrival(database: Database) -> None:
    seen: list[int] = []

    def work(n: int) -> Callable[[Transaction], None]:
        return lambda transaction: seen.append(n)

    together(database, *[work(n) for n in range(50)])
    assert seen == list(range(50))


def test_a_failing_work_undoes_itself_alone(database: Database) -> None:
    first, fault, last = together(database, put("a"), failing, put("b"))
    assert (first, last) == ("a", "b")
    assert isinstance(fault, LookupError)
    assert names(database) == ["a", "b"]


def test_a_work_that_fails_when_its_objects_are_flushed_undoes_itself_alone(database: Database) -> None:
    def add_nothing(transaction: Transaction) -> None:
        transaction.session.add(LeaseRow(name="incomplete"))  # type: ignore[call-arg]

    first, fault, last = together(database, put("a"), add_nothing, put("b"))
    assert (first, last) == ("a", "b")
    assert isinstance(fault, IntegrityError)
    assert names(database) == ["a", "b"]


def test_a_work_outside_a_group_undoes_itself_and_tells_why(database: Database) -> None:
    with pytest.raises(LookupError):
        database.write(failing)
    assert database.write(put("a")) == "a"
    assert names(database) == ["a"]


def test_no_result_is_given_before_its_commit(database: Database) -> None:
    writer = Writer(database)
    told: list[float] = []

    async def submit(name: str) -> None:
        await writer.submit(put(name))
        told.append(time.monotonic())

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(submit(str(n)))

    with commits(database) as times:
        event.listen(database.engine, "commit", lambda connection: time.sleep(0.02))
        writer.start()
        asyncio.run(run())
        writer.stop()
    assert min(told) >= times[0] + 0.02


def test_when_the_commit_fails_nobody_gets_a_result(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(session: Session) -> None:
        raise OSError("fsync failed")

    monkeypatch.setattr(Session, "commit", refuse)
    results = together(database, put("a"), put("b"))
    monkeypatch.undo()
    assert [type(result) for result in results] == [OSError, OSError]
    assert names(database) == []


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_a_group_that_lost_to_another_transaction_runs_again(database: Database, state: str) -> None:
    runs: list[str] = []

    def loses_once(transaction: Transaction) -> str:
        put("b")(transaction)
        runs.append("b")
        if len(runs) == 1:
            raise OperationalError("UPDATE", {}, Lost(state))
        return "b"

    assert together(database, put("a"), loses_once) == ["a", "b"]
    assert len(runs) == 2
    assert names(database) == ["a", "b"]


def test_a_real_deadlock_is_retried(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return  # one writer at a time: it has no deadlocks
    for name in ("x", "y"):
        database.write(put(name, 0))
    meeting = threading.Barrier(2)

    def raises(first: str, second: str) -> Callable[[Transaction], None]:
        met: list[bool] = []

        def work(transaction: Transaction) -> None:
            for name in (first, second):
                transaction.session.execute(text("UPDATE thing SET amount = amount + 1 WHERE name = :n"), {"n": name})
                if not met:
                    met.append(True)
                    meeting.wait(timeout=10)

        return work

    threads = [threading.Thread(target=database.write, args=(raises(*pair),)) for pair in (("x", "y"), ("y", "x"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert list(session.execute(text("SELECT amount FROM thing")).scalars()) == [2, 2]


def test_a_writer_waits_for_another_process_and_does_not_fail(database: Database, open_database: OPEN) -> None:
    other = open_database(database.engine.url.render_as_string(hide_password=False))
    inside = threading.Event()

    def slow(transaction: Transaction) -> None:
        put("a", 0)(transaction)
        inside.set()
        time.sleep(0.5)

    thread = threading.Thread(target=other.write, args=(slow,))
    thread.start()
    assert inside.wait(5)
    assert together(database, put("b"), put("c")) == ["b", "c"]
    thread.join()
    assert names(database) == ["a", "b", "c"]


def test_a_work_that_lost_a_unique_row_to_another_process_runs_again_and_sees_it(
    database: Database, open_database: OPEN
) -> None:
    other = open_database(database.engine.url.render_as_string(hide_password=False))
    if database.engine.dialect.name == "sqlite":
        return  # the other process could not write inside this transaction

    def put_if_absent(transaction: Transaction) -> str:
        if transaction.session.execute(text("SELECT 1 FROM thing WHERE name = 'k'")).first():
            return "seen"
        other.write(put("k"))
        return put("k")(transaction)

    assert together(database, put_if_absent, put("z")) == ["seen", "z"]
    assert names(database) == ["k", "z"]


def test_a_unique_row_that_stays_taken_is_told_as_it_is(database: Database) -> None:
    database.write(put("a"))
    first, fault = together(database, put("b"), put("a"))
    assert first == "b"
    assert isinstance(fault, IntegrityError)


def closing(session: Session, pending: Sequence[Pending]) -> None:
    """A log in miniature: an entry is a name, the place of `poison` cannot be given."""
    for index, waiting in enumerate(pending):
        if waiting.entry == "poison":
            raise ValueError("this entry cannot be appended")
        if waiting.then is not None:
            waiting.then(session, Place("log", index, b""))


def appending(entry: str, name: str) -> Callable[[Transaction], str]:
    """Put a row only when the place is known, as the exchange does with its replay row."""

    def work(transaction: Transaction) -> str:
        if transaction.session.execute(text("SELECT 1 FROM thing WHERE name = :name"), {"name": name}).first():
            return "seen"
        transaction.append(entry, placed)
        return name

    def placed(session: Session, place: Place) -> None:
        put(name)(Transaction(session))

    return work


def test_an_entry_that_cannot_be_appended_harms_only_its_own_work(database: Database, open_database: OPEN) -> None:
    logged = open_database(database.engine.url.render_as_string(hide_password=False), closing)
    first, fault, last = together(logged, appending("e", "a"), appending("poison", "p"), appending("e", "b"))
    assert (first, last) == ("a", "b")
    assert isinstance(fault, ValueError)
    assert names(database) == ["a", "b"]
    with pytest.raises(ValueError, match="cannot be appended"):
        logged.write(appending("poison", "p"))


def test_the_same_message_twice_in_one_group_is_executed_once(database: Database, open_database: OPEN) -> None:
    logged = open_database(database.engine.url.render_as_string(hide_password=False), closing)
    assert together(logged, appending("e", "a"), appending("e", "a"), appending("e", "b")) == ["a", "seen", "b"]
    assert names(database) == ["a", "b"]


def test_the_entries_of_a_failed_work_are_not_appended(database: Database, open_database: OPEN) -> None:
    seen: list[Any] = []
    url = database.engine.url.render_as_string(hide_password=False)
    logged = open_database(url, lambda session, pending: seen.extend(one.entry for one in pending))

    def append_and_fail(transaction: Transaction) -> None:
        transaction.append("of the failed")
        raise LookupError

    together(logged, lambda transaction: transaction.append("of the good"), append_and_fail)
    assert seen == ["of the good"]


def test_one_work_more_than_may_wait_is_refused_as_busy(database: Database) -> None:
    results = together(database, put("a"), put("b"), put("c"), queue_max=2)
    assert results[:2] == ["a", "b"]
    assert isinstance(results[2], Busy)
    assert results[2].retry_after_seconds == 1
    assert names(database) == ["a", "b"]


def test_stopping_finishes_what_waits_and_refuses_what_comes_after(database: Database) -> None:
    writer = Writer(database)

    async def run() -> list[Any]:
        waiting = [asyncio.create_task(writer.submit(put(f"{n:03}"))) for n in range(300)]
        await asyncio.sleep(0)
        writer.start()
        await asyncio.to_thread(writer.stop)
        return [*await asyncio.gather(*waiting), *await asyncio.gather(writer.submit(put("x")), return_exceptions=True)]

    *done, late = asyncio.run(run())
    assert len(done) == len(names(database)) == 300
    assert isinstance(late, Busy)


def test_a_caller_that_went_away_does_not_end_the_writer(database: Database) -> None:
    writer = Writer(database)

    async def leave() -> None:
        asyncio.get_running_loop().call_soon(asyncio.create_task, writer.submit(put("left")))
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    writer.start()
    assert refused_by(writer.submit(put("stays"))) == ["stays"]
    writer.stop()
    assert names(database) == ["left", "stays"]
