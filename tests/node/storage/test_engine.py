"""Engines: durable commits, no naive time, and write transactions that begin as such."""

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlmodel import Session

from node.storage.engine import WRITING
from node.storage.tables import JobTick, LeaseRow
from node.storage.unit_of_work import Database, Transaction

OPEN = Callable[..., Database]


def setting(database: Database, name: str) -> Any:
    with database.engine.connect() as connection:
        return connection.execute(text(name)).scalar_one()


def test_sqlite_is_set_so_that_a_commit_is_durable(sqlite_url: str, open_database: OPEN) -> None:
    database = open_database(sqlite_url)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    assert {name: setting(database, f"PRAGMA {name}") for name in wanted} == wanted


def test_postgresql_is_set_so_that_a_commit_is_durable_and_a_frozen_process_holds_nothing(
    postgresql_url: str, open_database: OPEN
) -> None:
    database = open_database(postgresql_url)
    wanted = {
        "synchronous_commit": "on",
        "fsync": "on",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "5s",
    }
    assert {name: setting(database, f"SHOW {name}") for name in wanted} == wanted


def test_a_naive_time_is_refused_before_it_reaches_the_database(database: Database) -> None:
    def put(transaction: Transaction) -> None:
        transaction.session.add(JobTick(job="j", due_at=datetime(2026, 11, 24)))

    with pytest.raises(StatementError, match="naive"):
        database.write(put)


def test_a_time_comes_back_as_the_same_instant_in_utc(database: Database) -> None:
    moment = datetime(2026, 11, 24, 11, 12, 44, 120_001, tzinfo=timezone(timedelta(hours=8)))
    database.write(lambda transaction: transaction.session.add(JobTick(job="j", due_at=moment)))
    with database.reading() as session:
        found = session.get(JobTick, ("j", moment))
    assert found is not None
    assert found.due_at == moment
    assert found.due_at.tzinfo is UTC


def test_a_missing_value_stays_missing(database: Database) -> None:
    with pytest.raises(IntegrityError):
        database.write(lambda transaction: transaction.session.add(LeaseRow(name="n", holder="h", epoch=1, until=None)))  # type: ignore[arg-type]


def test_what_writes_begins_immediate_and_what_reads_begins_deferred(sqlite_url: str, open_database: OPEN) -> None:
    database, begun = open_database(sqlite_url), list[str]()

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        begun.extend([statement] if statement.startswith("BEGIN") else [])

    database.write(lambda transaction: transaction.session.execute(text("SELECT 1")))
    with database.reading() as session:
        session.execute(text("SELECT 1"))
    assert begun == ["BEGIN IMMEDIATE", "BEGIN DEFERRED"]


def read_then_write(database: Database, *, as_writer: bool) -> None:
    """Read, let another connection commit if it can, and write on what was read."""
    engine = database.engine.execution_options(**{WRITING: True}) if as_writer else database.engine
    insert = text("INSERT INTO job_tick VALUES (:job, '2026-11-24 00:00:00')")
    with Session(engine) as session:
        session.execute(text("SELECT count(*) FROM job_tick")).scalar_one()
        path = database.engine.url.database or ""
        other = sqlite3.connect(path, timeout=0.1)
        try:
            other.execute("INSERT INTO job_tick VALUES ('other', '2026-11-24 00:00:00')")
            other.commit()
        except sqlite3.OperationalError:
            assert as_writer, "a reader must not hold a writer up"
        finally:
            other.close()
        session.execute(insert, {"job": "mine"})
        session.commit()  # failpoints are a rule of the product, not of its tests


def test_a_transaction_that_reads_first_and_writes_later_works_only_because_it_began_immediate(
    sqlite_url: str, open_database: OPEN
) -> None:
    database = open_database(sqlite_url)
    read_then_write(database, as_writer=True)
    with pytest.raises(OperationalError, match="locked"):
        read_then_write(database, as_writer=False)


def test_reading_goes_on_while_another_writes(database: Database) -> None:
    inside, done = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        transaction.session.add(JobTick(job="j", due_at=datetime(2026, 11, 24, tzinfo=UTC)))
        transaction.session.flush()
        inside.set()
        assert done.wait(10)

    thread = threading.Thread(target=database.write, args=(slow,))
    thread.start()
    assert inside.wait(5)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM job_tick")).scalar_one() == 0
    done.set()
    thread.join()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM job_tick")).scalar_one() == 1


def test_what_is_written_in_a_reading_session_is_never_committed(database: Database) -> None:
    with database.reading() as session:
        session.add(JobTick(job="j", due_at=datetime(2026, 11, 24, tzinfo=UTC)))
        session.flush()
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM job_tick")).scalar_one() == 0
