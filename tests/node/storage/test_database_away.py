"""A database that is away, breaks or is full: callers hear busy or storage-full, and nothing is half done."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from node.storage import engine
from node.storage.unit_of_work import Database, Transaction
from node.storage.writer import Writer
from protocol.errors import Busy, StorageFull
from tests.databases import PostgreSql
from tests.node.storage.works import Lost, names, put, refused_by, together

OPEN = Callable[..., Database]


def test_while_the_database_is_away_the_answer_is_busy_and_afterwards_all_is_well(
    postgresql: PostgreSql, postgresql_url: str, open_database: OPEN
) -> None:
    database = open_database(postgresql_url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE thing (name VARCHAR(20) PRIMARY KEY, amount INTEGER)"))
    writer = Writer(database)
    writer.start()
    try:
        postgresql.stop("immediate")
        results = refused_by(writer.submit(put("a")), writer.submit(put("b")))
        assert [type(result) for result in results] == [Busy, Busy]
    finally:
        postgresql.start()
    assert refused_by(writer.submit(put("c"))) == ["c"]
    writer.stop()
    assert names(database) == ["c"]


@pytest.mark.usefixtures("thing")
def test_a_connection_that_breaks_inside_a_work_makes_the_whole_group_busy(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return  # a file has no connection that could break

    def break_it(transaction: Transaction) -> None:
        transaction.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    results = together(database, put("a"), break_it, put("b"))
    assert [type(result) for result in results] == [Busy, Busy, Busy]
    assert names(database) == []


@pytest.mark.usefixtures("thing")
def test_a_full_disk_is_told_as_storage_full(database: Database) -> None:
    def fill(transaction: Transaction) -> None:
        raise OperationalError("INSERT", {}, Lost("53100"))

    assert [type(one) for one in together(database, fill, put("a"))] == [StorageFull, StorageFull]
    assert names(database) == []


def test_a_sqlite_file_without_room_is_told_as_storage_full(sqlite_url: str, open_database: OPEN) -> None:
    small = open_database(sqlite_url)

    def fill(transaction: Transaction) -> None:
        transaction.session.execute(text("CREATE TABLE big (x BLOB)"))
        transaction.session.execute(text("INSERT INTO big VALUES (zeroblob(10000000))"))

    @event.listens_for(small.engine, "connect")
    def limit(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA max_page_count=100")

    assert [type(one) for one in together(small, fill)] == [StorageFull]


@pytest.mark.usefixtures("thing")
def test_a_mistake_in_a_statement_is_no_absence_of_the_database(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return  # its driver calls every mistake an operational error

    def mistaken(transaction: Transaction) -> None:
        transaction.session.execute(text("INSERT INTO thing VALUES ('more than twenty characters', 1)"))

    fault, good = together(database, mistaken, put("a"))
    assert not isinstance(fault, Busy)
    assert good == "a"


def test_a_connection_that_ended_while_it_was_idle_is_replaced_unnoticed(
    open_database: OPEN, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(postgresql_url)
    other = open_database(postgresql_url)
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )

    def ask(transaction: Transaction) -> int:
        return int(transaction.session.execute(text("SELECT 1")).scalar_one())

    assert database.write(ask) == 1
    other.write(lambda transaction: transaction.session.execute(text(ended)))
    with pytest.raises(OperationalError):
        database.write(ask)  # in use less than a second ago: not tested, so the fault is told once
    assert database.write(ask) == 1
    other.write(lambda transaction: transaction.session.execute(text(ended)))
    monkeypatch.setattr(engine, "PING_AFTER_SECONDS", 0)
    assert database.write(ask) == 1
