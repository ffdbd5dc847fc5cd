"""The schema: the migrations make exactly the tables that the code speaks of, on both databases."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from node.storage import schema
from node.storage.schema import HEAD, SchemaStatus, SchemaUnknown, sql, status, upgrade
from node.storage.unit_of_work import Database

ROOT = Path(__file__).parents[3]
OPEN = Callable[..., Database]


def every_table() -> SQLModel:
    """Import each `tables.py` of the node, and return the metadata that they fill."""
    for path in sorted(ROOT.glob("node/**/tables.py")):
        import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return SQLModel.metadata  # type: ignore[return-value]


def test_the_migrated_schema_is_the_one_of_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, every_table()) == []  # type: ignore[arg-type]


def test_a_column_of_another_width_is_found(database: Database) -> None:
    statement = "ALTER TABLE sent ADD COLUMN surplus VARCHAR(7)"
    with database.engine.begin() as connection:
        connection.execute(text(statement))
        context = MigrationContext.configure(connection)
        assert [one[0] for one in compare_metadata(context, every_table())] == ["remove_column"]  # type: ignore[arg-type]


def test_no_table_draws_its_keys_from_a_sequence(postgresql_url: str, open_database: OPEN) -> None:
    with open_database(postgresql_url).engine.connect() as connection:
        assert inspect(connection).get_sequence_names() == []


def test_the_constant_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(schema._config()).get_heads() == [HEAD]


def test_an_empty_database_tells_what_is_pending_and_is_current_afterwards(
    empty_database_url: str, open_database: OPEN
) -> None:
    engine = open_database(empty_database_url).engine
    assert status(engine) == SchemaStatus(None, HEAD, ("0001", "0002", HEAD))
    assert upgrade(engine) == SchemaStatus(HEAD, HEAD, ())
    assert status(engine) == SchemaStatus(HEAD, HEAD, ())


def test_the_statements_are_shown_in_the_words_of_the_database_and_change_nothing(
    empty_database_url: str, open_database: OPEN
) -> None:
    engine = open_database(empty_database_url).engine
    statements = sql(engine)
    blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"
    assert "CREATE TABLE log_entry" in statements
    assert f"data {blob} NOT NULL" in statements
    assert status(engine).current is None
    upgrade(engine)
    assert sql(engine) == ""


def test_a_database_of_a_newer_software_is_refused(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (upgrade, status, sql):
        with pytest.raises(SchemaUnknown, match="9999"):
            attempt(database.engine)


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str, open_database: OPEN) -> None:
    engine = open_database(empty_database_url).engine
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE job_tick (x INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(engine)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["job_tick"]


def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    code = (
        "import sys; from node.storage.engine import open_engine; from node.storage.schema import upgrade;"
        "print(upgrade(open_engine(sys.argv[1])).current)"
    )
    command = [sys.executable, "-c", code, empty_database_url]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    # A process that had to wait says so first: opening may meet a sister that turns the journal on.
    assert [out.splitlines()[-1:] for out, _ in answers] == [[HEAD]] * 3, answers


def test_threads_on_one_engine_may_migrate_together(empty_database_url: str, open_database: OPEN) -> None:
    engine, faults = open_database(empty_database_url).engine, list[BaseException]()

    def run() -> None:
        try:
            upgrade(engine)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert status(engine).current == HEAD


def test_a_current_schema_is_recognised_in_5_ms(database: Database) -> None:
    upgrade(database.engine)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        upgrade(database.engine)
        times.append(time.perf_counter() - started)
    assert sorted(times)[10] < 0.005


def test_a_current_schema_is_recognised_without_alembic(sqlite_url: str) -> None:
    code = (
        "import sys; from node.storage.engine import open_engine; from node.storage.schema import upgrade;"
        "print(upgrade(open_engine(sys.argv[1])).current, 'alembic' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, sqlite_url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [HEAD, "False"]
