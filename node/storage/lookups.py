"""Rows by their whole key, many keys at once: what readings name beforehand (`unit_of_work.Reading`).

SQLite runs the statement once per key, which costs it a few microseconds; PostgreSQL joins the keys, as one
array per column, to the table, so that a group costs one round trip. Values pass the types of the model.

    RECEIVED = Lookup(Received, ("shard_key", "iss", "jti"), ("digest", "payload"))
    RECEIVED.rows(session, [(7, "450400", "019a…")])     # {(7, "450400", "019a…"): ("Yk0…", b"{…}")}
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Dialect, bindparam, select
from sqlmodel import Session, SQLModel

from node.storage.prepared import Prepared, Row, Statement, compile_text

Key = tuple[Any, ...]


class Lookup:
    """The rows of one table, found by the columns of a unique key."""

    def __init__(self, entity: type[SQLModel], key: Sequence[str], read: Sequence[str]) -> None:
        """`key`: the columns of a unique key; `read`: the columns that are wanted."""
        table = entity.__table__  # type: ignore[attr-defined]
        wanted = [table.c[name] for name in (*key, *read)]
        self._key = len(key)
        self._one = Prepared(select(*wanted).where(*(table.c[name] == bindparam(name) for name in key)), *key)
        self._columns, self._wanted = [table.c[name] for name in key], select(*wanted)
        self._many: Statement | None = None

    def rows(self, session: Session, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return the rows that exist, by their keys.

        Raises:
            DBAPIError: as `session.execute` does.
        """
        return self.asked(session, keys)()

    def asked(self, session: Session, keys: Sequence[Key]) -> Callable[[], dict[Key, Row]]:
        """Return what fetches the rows that exist: several look-ups are sent before the first answer is waited for.

        Raises:
            DBAPIError: as `session.execute` does, here or when the rows are fetched.
        """
        dialect = session.get_bind().dialect
        if len(keys) == 1:
            fetch = self._one.asked(session, *keys[0])
        elif keys and dialect.name == "postgresql":
            fetch = self._joined(dialect).asked(session, [list(one) for one in zip(*keys, strict=True)])
        else:
            rows = self._one.each(session, keys)
            return lambda: self._by_key(rows)
        return lambda: self._by_key(fetch())

    def _by_key(self, rows: Sequence[Row]) -> dict[Key, Row]:
        return {row[: self._key]: row[self._key :] for row in rows}

    def _joined(self, dialect: Dialect) -> Statement:
        if self._many is None:
            names = [dialect.identifier_preparer.quote(column.name) for column in self._columns]
            types = [re.sub(r"\(.*?\)", "", column.type.compile(dialect)) for column in self._columns]
            arrays = ", ".join(f"%b::{one}[]" for one in types)
            table = dialect.identifier_preparer.format_table(self._columns[0].table)
            matches = " AND ".join(f"{table}.{name} = wanted.{name}" for name in names)
            wanted = f"unnest({arrays}) AS wanted({', '.join(names)})"
            text = f"{compile_text(self._wanted, dialect)} JOIN {wanted} ON {matches}"
            self._many = Statement(text, self._wanted, dialect)
        return self._many
