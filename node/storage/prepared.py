"""Statements that are compiled once and then go straight to the driver: for the few that every exchange runs.

A `Prepared` runs on the session's connection, in its transaction and savepoint, beside everything else that
the session does. Left out is what SQLAlchemy does anew for each execution: cache key, parameter dictionaries,
event hooks, result objects, and the mapper's work on an `insert(Entity)`. Values and rows are plain tuples;
they pass the same type processors as ever, so that both ways read and write the same (a `UtcDateTime` is text
in SQLite). Faults are SQLAlchemy's own (`IntegrityError`, …), and a broken connection leaves the pool.

    _ADD = Prepared(insert(Tick))                                         # one value per column, in their order
    _FIND = Prepared(select(col(Tick.due_at)).where(col(Tick.job) == bindparam("job")), "job")

    _ADD.many(session, [("poll", due_at), ("sign", due_at)])
    _ADD.one(session, "poll", due_at)                                     # the number of rows written: 1
    _FIND.rows(session, "poll")                                           # [(due_at,)]

Deliberately absent: defaults that SQLAlchemy makes (keys are ours), `IN` lists of varying length, and flushing
what waits in the session.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Insert, LargeBinary
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine
from sqlmodel import Session

from node.storage.engine import UtcDateTime

ARRAYS_FROM: Final = 8
"""Rows from which PostgreSQL takes one statement with an array per column, rather than one statement per row."""

Processor = Callable[[Any], Any]
Row = tuple[Any, ...]
Fetch = Callable[[], list[Row]]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement in the words of one dialect; processors stand at the place of their value."""

    text: str
    arrays: str | None
    placed: Callable[[Row], Row] | None
    """puts the values in the order of the text; None: they are in it"""
    binding: tuple[tuple[int, Processor], ...]
    loading: tuple[tuple[int, Processor], ...]
    cursor_options: dict[str, Any]

    def bound(self, values: Row) -> Row:
        if self.placed is not None:
            values = self.placed(values)
        if not self.binding:
            return values
        changed = list(values)
        for place, process in self.binding:
            changed[place] = process(changed[place])
        return tuple(changed)

    def columns(self, rows: Sequence[Row]) -> list[list[Any]]:
        columns = [list(column) for column in zip(*rows, strict=True)]
        for place, process in self.binding:
            columns[place] = [process(value) for value in columns[place]]
        return columns

    def loaded(self, row: Row) -> Row:
        changed = list(row)
        for place, process in self.loading:
            changed[place] = process(changed[place])
        return tuple(changed)


class Prepared:
    """One statement, compiled at its first use on each kind of database."""

    def __init__(self, statement: Any, *names: str) -> None:
        """`names`: of the bound parameters, in the order in which values are given; an insert has its columns'."""
        self._statement = statement
        self._names = names or (tuple(statement.table.columns.keys()) if isinstance(statement, Insert) else ())
        self._compiled: dict[str, _Compiled] = {}

    def one(self, session: Session, *values: Any) -> int:
        """Run the statement once and return how many rows it wrote.

        Raises:
            DBAPIError: as `session.execute` does.
        """
        connection = session.connection()
        compiled = self._for(connection.dialect)
        try:
            cursor = connection.connection.cursor()
            cursor.execute(compiled.text, compiled.bound(values))
            written: int = cursor.rowcount
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as fault:
            raise _as_sqlalchemys(connection, compiled.text, fault) from fault
        return written

    def many(self, session: Session, rows: Sequence[Row]) -> None:
        """Run the statement once per row; nothing when there are none.

        Raises:
            DBAPIError: as `session.execute` does; rows before the one at fault may stand in the transaction.
        """
        if len(rows) < 2:
            for row in rows:
                self.one(session, *row)
            return
        connection = session.connection()
        compiled = self._for(connection.dialect)
        try:
            cursor = connection.connection.cursor()
            if compiled.arrays is not None and len(rows) >= ARRAYS_FROM:
                cursor.execute(compiled.arrays, compiled.columns(rows))
            else:
                cursor.executemany(compiled.text, [compiled.bound(row) for row in rows])
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as fault:
            raise _as_sqlalchemys(connection, compiled.text, fault) from fault

    def rows(self, session: Session, *values: Any) -> list[Row]:
        """Run the statement once and return all rows of its answer; for answers that fit into memory.

        Raises:
            DBAPIError: as `session.execute` does.
        """
        return self.asked(session, *values)()

    def asked(self, session: Session, *values: Any) -> Fetch:
        """Run the statement once and return what fetches all rows of its answer, once.

        Raises:
            DBAPIError: as `session.execute` does; inside `one_journey`, what fetches may raise it too.
        """
        connection = session.connection()
        compiled = self._for(connection.dialect)
        return _asked(connection, compiled, compiled.bound(values))

    def each(self, session: Session, values: Sequence[Row]) -> list[Row]:
        """Run the statement once for each of these values and return the rows of all answers.

        Raises:
            DBAPIError: as `session.execute` does.
        """
        connection = session.connection()
        compiled = self._for(connection.dialect)
        found: list[Row] = []
        try:
            cursor = connection.connection.cursor(**compiled.cursor_options)
            for one in values:
                cursor.execute(compiled.text, compiled.bound(one))
                found += cursor.fetchall()
            cursor.close()
        except connection.dialect.loaded_dbapi.Error as fault:
            raise _as_sqlalchemys(connection, compiled.text, fault) from fault
        return [compiled.loaded(row) for row in found] if compiled.loading else found

    def _for(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _compile(self._statement, self._names, dialect)
        return compiled


@contextmanager
def one_journey(connection: Connection) -> Iterator[None]:
    """Let statements wait for each other's answers no longer than they need to: on PostgreSQL, its pipeline.

    A statement whose answer nobody fetches is sent with the next one that is fetched, or with the commit, which
    then raises its fault. Until then `Prepared.one` does not know how many rows it wrote. SQLite has no journey.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "postgresql":
        yield
        return
    pipeline = driver.pipeline()
    pipeline.__enter__()
    try:
        yield
    except BaseException:
        # What was under way fails with it, and says nothing that the first fault does not say.
        with suppress(connection.dialect.loaded_dbapi.Error):
            pipeline.__exit__(None, None, None)
        raise
    try:
        pipeline.__exit__(None, None, None)
    except connection.dialect.loaded_dbapi.Error as fault:
        raise _as_sqlalchemys(connection, "", fault) from fault


def _asked(connection: Connection, compiled: _Compiled, values: Sequence[Any]) -> Fetch:
    raised = connection.dialect.loaded_dbapi.Error
    try:
        cursor = connection.connection.cursor(**compiled.cursor_options)
        cursor.execute(compiled.text, values)
    except raised as fault:
        raise _as_sqlalchemys(connection, compiled.text, fault) from fault

    def fetch() -> list[Row]:
        try:
            found: Any = cursor.fetchall()
            cursor.close()
        except raised as fault:
            raise _as_sqlalchemys(connection, compiled.text, fault) from fault
        return [compiled.loaded(row) for row in found] if compiled.loading else found

    return fetch


def _cursor_options(dialect: Dialect) -> dict[str, Any]:
    # As text, binary columns would be twice as long on their way from PostgreSQL.
    return {"binary": True} if dialect.name == "postgresql" else {}


def _compile(statement: Any, names: Sequence[str], dialect: Dialect) -> _Compiled:
    positional: Any = type(dialect)
    compiled = statement.compile(
        dialect=positional(paramstyle="qmark" if dialect.name == "sqlite" else "format"), for_executemany=True
    )
    order: list[str] = list(compiled.positiontup)
    if {name for name in order if compiled.binds[name].required} != set(names) or "POSTCOMPILE" in compiled.string:
        raise ValueError(f"a statement with the parameters {sorted(set(order))} cannot be given {sorted(names)}")
    types = [compiled.binds[name].type for name in order]
    is_plain_insert = isinstance(statement, Insert) and order == list(names)
    return _Compiled(
        text=compiled.string,
        arrays=_with_arrays(compiled.string, types, dialect) if is_plain_insert else None,
        placed=None if order == list(names) else _placing(order, names, compiled.params),
        binding=_processors([_bind_processor(one, dialect) for one in types]),
        loading=_processors([_result_processor(one.type, dialect) for one in statement.exported_columns]),
        cursor_options=_cursor_options(dialect),
    )


def _placing(order: Sequence[str], names: Sequence[str], constants: dict[str, Any]) -> Callable[[Row], Row]:
    """Return what puts given values and the statement's own constants where its text has them."""
    fixed = tuple(constants[name] for name in order if name not in names)
    known = [*names, *(name for name in order if name not in names)]
    places = [known.index(name) for name in order]
    return lambda values: tuple([(*values, *fixed)[place] for place in places])


def _processors(processors: list[Processor | None]) -> tuple[tuple[int, Processor], ...]:
    return tuple((place, process) for place, process in enumerate(processors) if process is not None)


def _bind_processor(column: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    # Both drivers take bytes as they are; SQLAlchemy wraps them for drivers that do not.
    if isinstance(column, LargeBinary):
        return None
    process = column.dialect_impl(dialect).bind_processor(dialect)
    # The rows of one exchange carry the same instant, whose text takes SQLAlchemy longer than SQLite the row.
    return process and (lru_cache(maxsize=64)(process) if isinstance(column, UtcDateTime) else process)


def _result_processor(column: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    if isinstance(column, LargeBinary):
        return None
    return column.dialect_impl(dialect).result_processor(dialect, None)


def _with_arrays(text: str, types: Sequence[TypeEngine[Any]], dialect: Dialect) -> str | None:
    """Return a plain insert as one from arrays, one per column; None where it is not that plain, or not PostgreSQL."""
    values = re.search(r"VALUES \((?:%s(?:::[A-Z ]+)?(?:, )?)+\)", text)
    is_plain = values is not None and values[0].count("%s") == len(types) and "DO UPDATE" not in text
    if dialect.name != "postgresql" or values is None or not is_plain:
        return None
    # A cast to VARCHAR(n) would cut a long value silently: the column itself refuses it.
    names = [re.sub(r"\(.*?\)", "", one.compile(dialect)) for one in types]
    arrays = ", ".join(f"%b::{name}[]" for name in names)
    return f"{text[: values.start()]}SELECT * FROM unnest({arrays}){text[values.end() :]}"  # noqa: S608  # nosec B608 - words of our own tables only


def _as_sqlalchemys(connection: Connection, text: str, fault: Exception) -> Exception:
    """Return the fault as SQLAlchemy would raise it, without the values; a broken connection is given up."""
    dialect: Any = connection.dialect
    is_broken = dialect.is_disconnect(fault, connection.connection.dbapi_connection, None)
    if is_broken:
        connection.invalidate(fault)
    return DBAPIError.instance(
        text, (), fault, dialect.loaded_dbapi.Error,
        hide_parameters=True, connection_invalidated=is_broken, dialect=dialect,
    )  # fmt: skip


class Statement:
    """A text in the words of one dialect that answers with the columns of a select."""

    def __init__(self, text: str, answer: Any, dialect: Dialect) -> None:
        """`answer`: the select whose columns, in that order, the text answers with."""
        loading = _processors([_result_processor(one.type, dialect) for one in answer.exported_columns])
        self._compiled = _Compiled(text, None, None, (), loading, _cursor_options(dialect))

    def asked(self, session: Session, values: Sequence[Any]) -> Fetch:
        """Run the text once and return what fetches all rows of its answer; values go to the driver as they are.

        Raises:
            DBAPIError: as `Prepared.asked`.
        """
        return _asked(session.connection(), self._compiled, values)


def compile_text(statement: Any, dialect: Dialect) -> str:
    """Return a statement without parameters in the words of one dialect."""
    return str(statement.compile(dialect=dialect))
