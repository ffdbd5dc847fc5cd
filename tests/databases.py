"""Real databases for tests: SQLite in a file, and a throwaway PostgreSQL that this run starts (assurance E2).

Fixtures; those marked * run a test once on each of the two::

    database_url*         URL of a fresh database with the newest schema
    empty_database_url*   URL of a fresh database without any table
    sqlite_url            as database_url, SQLite only: where the database makes no difference
    postgresql_url        as database_url, PostgreSQL only
    open_database         (url, close_group=...) -> Database; its engine is disposed of after the test
    database*             open_database(database_url): groups end without a log

PostgreSQL is started once per process of the run (each worker of pytest-xdist has its own) with `fsync=on`
in a directory of its own, on a free port of 127.0.0.1, and stopped at the end. `initdb` refuses root, so
under root it runs as `postgres`, else `nobody`. Each database is copied from a migrated template.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from node.storage.engine import open_engine
from node.storage.schema import upgrade
from node.storage.unit_of_work import CloseGroup, Database, Pending

ABSENT = "needs PostgreSQL: apt-get install postgresql"
SETTINGS = {
    "fsync": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
    "listen_addresses": "127.0.0.1",
}


@dataclass
class PostgreSql:
    """A running server; `url` is that of one of its databases."""

    directory: Path
    binaries: Path
    port: int
    account: pwd.struct_passwd | None
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://tongban@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs, never as root; what it says is shown only when it fails."""
        who: dict[str, Any] = {}
        if self.account is not None:
            who = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [self.binaries / program, *arguments],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=60, check=False, **who,
            )  # fmt: skip
            said.seek(0)
            assert done.returncode == 0, f"{program} failed: {said.read().decode(errors='replace')[-2000:]}"

    def start(self) -> None:
        options = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.directory)}
        text = " ".join(f"-c {name}={value}" for name, value in options.items())
        self.run("pg_ctl", "start", "-w", "-D", "data", "-l", "server.log", "-o", text)

    def stop(self, mode: str = "fast") -> None:
        """Stop this server: `pg_ctl` reads its process id from our own data directory."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", "data")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    def pattern(self, codes: Sequence[str]) -> str:
        """Make a migrated database per city; return their URLs as one pattern with `{code}`."""
        number = next(self.numbers)
        for code in codes:
            self.execute(f"CREATE DATABASE net_{number}_{code} TEMPLATE migrated")
        return self.url(f"net_{number}_{{code}}")

    def make(self, template: str) -> Iterator[str]:
        """Yield the URL of a new database, dropped afterwards."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def binaries_of_postgresql() -> Path | None:
    """Return where `initdb` and `postgres` lie, the newest version first; None when there are none."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    for place in [*packaged, *([Path(found).resolve().parent] if found else [])]:
        if all((place / program).exists() for program in ("initdb", "postgres", "pg_ctl")):
            return place
    return None


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account under which root starts the server; None when we are not root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


@contextmanager
def running_postgresql(binaries: Path) -> Iterator[PostgreSql]:
    """Start a server with a migrated template database, and stop it afterwards; figures use it without pytest."""
    directory = Path(tempfile.mkdtemp(prefix="tongban-pg-"))
    server = PostgreSql(directory, binaries, free_port(), unprivileged_account())
    if server.account is not None:
        os.chown(directory, server.account.pw_uid, server.account.pw_gid)
    try:
        # Only the making of the empty cluster is not synced; the server itself keeps fsync=on.
        server.run("initdb", "-D", "data", "-U", "tongban", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        server.start()
        try:
            server.execute("CREATE DATABASE migrated TEMPLATE template0")
            migrate(server.url("migrated"))
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """A server with a migrated template database, for the whole run."""
    binaries = binaries_of_postgresql()
    if binaries is None:
        pytest.skip(ABSENT)
    with running_postgresql(binaries) as server:
        yield server


def migrate(url: str) -> str:
    """Bring a database to the newest schema and return its URL."""
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that others are copied from."""
    path = tmp_path_factory.mktemp("template") / "node.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh migrated SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}"


@pytest.fixture
def postgresql_url(postgresql: PostgreSql) -> Iterator[str]:
    """URL of a fresh migrated PostgreSQL database."""
    yield from postgresql.make("migrated")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh migrated database; the test runs on both."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def empty_postgresql_url(postgresql: PostgreSql) -> Iterator[str]:
    """URL of a PostgreSQL database without tables."""
    yield from postgresql.make("template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh database without tables; the test runs on both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("empty_postgresql_url"))


def without_log(session: Any, pending: Sequence[Pending]) -> None:
    """End a group without a log; a work that appends to one is a mistake of the test."""
    assert not pending, "this test's database has no log: give open_database a close_group"


@pytest.fixture
def open_database() -> Iterator[Callable[..., Database]]:
    """Open databases by URL; their engines are disposed of after the test."""
    opened: list[Database] = []

    def open_one(url: str, close_group: CloseGroup = without_log) -> Database:
        opened.append(Database(open_engine(url), close_group))
        return opened[-1]

    yield open_one
    for database in opened:
        database.engine.dispose()


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    """A fresh migrated database, on both; its groups end without a log."""
    return open_database(database_url)
