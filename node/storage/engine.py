"""Engines for SQLite and PostgreSQL: the same tables and statements on both.

SQLite: WAL, `synchronous=FULL`, foreign keys, and write transactions that begin with `BEGIN IMMEDIATE`,
because one that read first and writes later fails at once, whatever the busy timeout (assurance C30).
PostgreSQL: psycopg 3, `synchronous_commit=on`, lock and idle timeouts of 5 s so that a frozen process
holds nothing for ever (C27).
"""

import sqlite3
import time
from datetime import UTC, datetime
from typing import Any, Final

import stamina
from psycopg.pq import TransactionStatus
from sqlalchemy import DateTime, Dialect, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.types import TypeDecorator

LOCK_TIMEOUT_SECONDS: Final = 5
PING_AFTER_SECONDS: Final = 1.0
"""A connection that has been idle for longer is tested before it is used."""
WRITING: Final = "tongban_writing"
"""Execution option of a connection that will write: SQLite then begins IMMEDIATE."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite has no zone, so it comes back as UTC there too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time before it reaches the database."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive time cannot be stored")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def open_engine(url: str, *, pool: int = 10, password: str | None = None) -> Engine:
    """Return an engine; nothing is opened before the first use.

    Args:
        url: `sqlite:///…` or `postgresql+psycopg://…`.
        pool: connections per process (PostgreSQL).
        password: of the database user; it never stands in the URL.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url)
    options = (
        f"-c synchronous_commit=on -c lock_timeout={LOCK_TIMEOUT_SECONDS}s"
        f" -c idle_in_transaction_session_timeout={LOCK_TIMEOUT_SECONDS}s"
    )
    engine = create_engine(
        parsed if password is None else parsed.set(password=password),
        pool_size=pool,
        max_overflow=0,
        connect_args={"options": options, "connect_timeout": LOCK_TIMEOUT_SECONDS},
    )
    _ping_when_idle(engine)
    return engine


def _ping_when_idle(engine: Engine) -> None:
    """Test a pooled connection before its use, unless it was in use just now: under load that is a round trip less."""

    @event.listens_for(engine, "checkin")
    def _rest(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(connection: Any, record: Any, _proxy: Any) -> None:
        # A commit that failed before it reached the server leaves its transaction open, and SQLAlchemy does not see it.
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            raise DisconnectionError("a transaction was left open")
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < PING_AFTER_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as fault:
            raise DisconnectionError from fault  # the pool gives a new connection instead


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Turn a new file to WAL; SQLite does not wait here when two processes do it at the same time."""
    for attempt in stamina.retry_context(
        on=sqlite3.OperationalError, attempts=20, wait_initial=0.02, wait_jitter=0.02, timeout=LOCK_TIMEOUT_SECONDS
    ):
        with attempt:
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": LOCK_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        _use_wal(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        mode = "IMMEDIATE" if connection.get_execution_options().get(WRITING) else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine
