"""Prepared statements write and read as SQLAlchemy itself does, fail as it does, and lie in the same transaction."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlmodel import Session, col

from node.audit.tables import LogEntry, LogHead
from node.storage.prepared import ARRAYS_FROM, Prepared
from node.storage.tables import JobTick
from node.storage.unit_of_work import Database, Transaction

ADD = Prepared(insert(LogEntry))
NOON = datetime(2026, 11, 24, 12, 0, 0, 120_001, tzinfo=timezone(timedelta(hours=8)))
FULL = (b"\x00data\xff", bytes(32), NOON, "message", "450400", "jti", "PEN-LUMPSUM", "o-7f3c", bytes(range(32)))
SPARSE = (b"", b"", datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "办件", None, None, None, None, None)
SIZES = [1, 2, ARRAYS_FROM - 1, ARRAYS_FROM, 3 * ARRAYS_FROM]


def some_rows(count: int) -> list[tuple[Any, ...]]:
    return [(2**40 + number, *(FULL if number % 2 else SPARSE)) for number in range(count)]


def write(database: Database, work: Callable[[Session], Any]) -> Any:
    return database.write(lambda transaction: work(transaction.session))


def stored(database: Database) -> list[tuple[Any, ...]]:
    """What SQLAlchemy reads, and what lies in the database as text."""
    with database.reading() as session:
        read = session.execute(select(*LogEntry.__table__.columns).order_by(col(LogEntry.index))).all()  # type: ignore[attr-defined]
        raw = session.execute(text('SELECT CAST(time AS TEXT) FROM log_entry ORDER BY "index"')).all()
    return [(*one, *other) for one, other in zip(read, raw, strict=True)]


@pytest.mark.parametrize("count", SIZES)
def test_rows_are_stored_as_sqlalchemy_stores_them(database: Database, count: int) -> None:
    write(database, lambda session: ADD.many(session, some_rows(count)))
    prepared = stored(database)
    assert [row[:-1] for row in prepared] == some_rows(count)
    names = LogEntry.__table__.columns.keys()  # type: ignore[attr-defined]
    write(database, lambda session: session.execute(delete(LogEntry)))
    by_name = [dict(zip(names, row, strict=True)) for row in some_rows(count)]
    write(database, lambda session: session.execute(insert(LogEntry), by_name))
    assert stored(database) == prepared


def test_a_group_in_which_a_column_is_always_empty_is_stored(database: Database) -> None:
    rows = [(number, *SPARSE) for number in range(2 * ARRAYS_FROM)]
    write(database, lambda session: ADD.many(session, rows))
    assert [row[:-1] for row in stored(database)] == rows


def test_no_rows_are_no_statement(database: Database) -> None:
    write(database, lambda session: ADD.many(session, []))
    assert stored(database) == []


def test_a_naive_time_is_refused_as_ever(database: Database) -> None:
    rows = [(number, *FULL[:2], NOON.replace(tzinfo=None), *FULL[3:]) for number in range(SIZES[-1])]
    for count in SIZES:
        with pytest.raises(ValueError, match="naive"):
            write(database, partial(ADD.many, rows=rows[:count]))


@pytest.mark.parametrize("count", SIZES)
def test_a_value_longer_than_its_column_is_refused_not_cut(
    open_database: Callable[..., Database], postgresql_url: str, count: int
) -> None:
    rows = [(number, *FULL[:4], "4504001", *FULL[5:]) for number in range(count)]
    with pytest.raises(DBAPIError, match="too long"):
        write(open_database(postgresql_url), lambda session: ADD.many(session, rows))


@pytest.mark.parametrize("count", SIZES)
def test_a_row_that_exists_is_sqlalchemys_integrity_error_and_says_no_value(database: Database, count: int) -> None:
    write(database, lambda session: ADD.many(session, some_rows(count)[-1:]))
    with pytest.raises(IntegrityError) as refused:
        write(database, lambda session: ADD.many(session, some_rows(count)))
    assert refused.value.orig is not None
    assert "o-7f3c" not in str(refused.value)
    assert len(stored(database)) == 1


def test_a_fault_undoes_its_savepoint_alone(database: Database) -> None:
    def work(session: Session) -> None:
        ADD.one(session, 1, *FULL)
        for rows in (some_rows(1) * 2, some_rows(20) * 2):
            with pytest.raises(IntegrityError), session.begin_nested():
                ADD.many(session, rows)
        ADD.one(session, 3, *FULL)

    write(database, work)
    assert [row[0] for row in stored(database)] == [1, 3]


def test_a_statement_is_undone_with_its_transaction(database: Database) -> None:
    def work(transaction: Transaction) -> None:
        ADD.many(transaction.session, some_rows(2))
        assert len(list(transaction.session.execute(select(LogEntry)).scalars())) == 2
        raise LookupError

    with pytest.raises(LookupError):
        database.write(work)
    assert stored(database) == []


GROW = Prepared(
    update(LogHead)
    .where(col(LogHead.origin) == bindparam("origin"))
    .values(size=col(LogHead.size) + bindparam("count"))
    .returning(col(LogHead.size)),
    "origin",
    "count",
)
TICKS = Prepared(
    select(col(JobTick.due_at), col(JobTick.job))
    .where(col(JobTick.job) != "other", col(JobTick.due_at) >= bindparam("since"))
    .order_by(col(JobTick.due_at))
    .limit(2),
    "since",
)


def test_values_are_given_in_the_order_of_their_names(database: Database) -> None:
    write(database, lambda session: Prepared(insert(LogHead)).one(session, "here", 5))
    assert write(database, lambda session: GROW.rows(session, "here", 3)) == [(8,)]
    assert write(database, lambda session: GROW.rows(session, "elsewhere", 3)) == []


def test_rows_come_back_as_sqlalchemy_reads_them(database: Database) -> None:
    add, hours = Prepared(insert(JobTick)), [timedelta(hours=hour) for hour in range(4)]
    write(database, lambda session: add.many(session, [("job", NOON + hour) for hour in hours]))
    write(database, lambda session: add.one(session, "other", NOON + hours[1]))
    with database.reading() as session:
        found = TICKS.rows(session, NOON + hours[1])
    assert found == [(NOON + hours[1], "job"), (NOON + hours[2], "job")]
    assert {one.tzinfo for one, _ in found} == {UTC}


def test_binary_columns_come_back_as_bytes(database: Database) -> None:
    write(database, lambda session: ADD.many(session, some_rows(2)))
    find = Prepared(select(col(LogEntry.data), col(LogEntry.subject_index)).order_by(col(LogEntry.index)))
    with database.reading() as session:
        assert find.rows(session) == [(b"", None), (b"\x00data\xff", bytes(range(32)))]


def test_the_number_of_rows_written_is_told(database: Database) -> None:
    forget = Prepared(delete(LogEntry).where(col(LogEntry.kind) == bindparam("kind")), "kind")
    write(database, lambda session: ADD.many(session, some_rows(3)))
    assert [write(database, lambda session: forget.one(session, "message")) for _ in range(2)] == [1, 0]


def test_a_row_that_may_exist_already_is_passed_over(database: Database) -> None:
    words: Any = {"postgresql": postgresql, "sqlite": sqlite}[database.engine.dialect.name]
    add = Prepared(words.insert(LogEntry).on_conflict_do_nothing())
    for count in (1, *SIZES):
        write(database, partial(add.many, rows=some_rows(count)))
    assert len(stored(database)) == SIZES[-1]


def test_parameters_that_are_not_named_are_refused(database: Database) -> None:
    wrong = [
        Prepared(select(col(LogHead.size)).where(col(LogHead.origin) == bindparam("origin"))),
        Prepared(select(col(LogHead.size)).where(col(LogHead.origin) == bindparam("origin")), "origin", "more"),
        Prepared(select(col(LogHead.size)).where(col(LogHead.origin).in_(["a"]))),
    ]
    with database.reading() as session:
        for one in wrong:
            with pytest.raises(ValueError, match="cannot be given"):
                one.rows(session, "a")


BREAKING: dict[str, Callable[[Session], Any]] = {
    "one": lambda session: ADD.one(session, 1, *FULL),
    "many": lambda session: ADD.many(session, some_rows(2)),
    "arrays": lambda session: ADD.many(session, some_rows(2 * ARRAYS_FROM)),
    "rows": lambda session: GROW.rows(session, "here", 1),
}


@pytest.mark.parametrize("run", BREAKING.values(), ids=BREAKING.keys())
def test_a_broken_connection_leaves_the_pool(
    open_database: Callable[..., Database], postgresql_url: str, run: Callable[[Session], Any]
) -> None:
    database = open_database(postgresql_url)
    with Session(database.engine) as session, database.engine.connect() as other:
        served_by = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": served_by})
        with pytest.raises(OperationalError) as refused:
            run(session)
        assert refused.value.connection_invalidated
    write(database, lambda session: ADD.one(session, 1, *FULL))
    assert len(stored(database)) == 1
