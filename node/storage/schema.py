"""The schema of the database: which version it has, and the way to the newest.

Migrations are written by hand in `migrations/versions` and run by alembic, without an `alembic.ini`.
Many processes may call `upgrade` at once: on PostgreSQL an advisory *transaction* lock lets one of them
work (assurance C34), on SQLite the write transaction itself does. A process that starts on a current
schema pays one look at `alembic_version`, and does not import alembic (tens of milliseconds).

    status(engine)   # SchemaStatus(current="0001", head="0001", pending=())
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, text

from node.storage.engine import LOCK_TIMEOUT_SECONDS, WRITING

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0003"
"""The newest version; a test holds it against the migrations."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_KEY: Final = 0x746F6E6762616E
"""Advisory lock of migrations: `tongban` in ASCII."""
WAIT_SECONDS: Final = 600
"""How long a process waits for another one's migration."""


class SchemaUnknown(RuntimeError):
    """The database has a version that this software does not know: it was migrated by a newer one."""


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Version of the database (None: empty), newest version, and the versions still to be run, in order."""

    current: str | None
    head: str
    pending: tuple[str, ...]


def upgrade(engine: Engine, *, to: str = "head") -> SchemaStatus:
    """Bring the schema to version `to` and return its status; nothing happens when it is there already.

    Raises:
        SchemaUnknown: the database was migrated by a newer software.
    """
    if to in ("head", HEAD) and _current_of(engine) == HEAD:
        return SchemaStatus(HEAD, HEAD, ())
    with engine.execution_options(**{WRITING: True}).begin() as connection:
        _wait_for_others(connection)
        if _pending_after(_current(connection)):
            _run(connection, to)
        current = _current(connection)
    return SchemaStatus(current, HEAD, _pending_after(current))


def status(engine: Engine) -> SchemaStatus:
    """Return the status of the schema.

    Raises:
        SchemaUnknown: the database was migrated by a newer software.
    """
    current = _current_of(engine)
    return SchemaStatus(current, HEAD, () if current == HEAD else _pending_after(current))


def sql(engine: Engine) -> str:
    """Return the statements that `upgrade` would run now, in the words of this database; empty when none.

    Raises:
        SchemaUnknown: the database was migrated by a newer software.
    """
    from alembic import command

    current = status(engine).current
    if current == HEAD:
        return ""
    config, written = _config(), io.StringIO()
    config.output_buffer = written
    config.attributes["dialect"] = engine.dialect.name
    command.upgrade(config, f"{current or 'base'}:head", sql=True)
    return written.getvalue()


def _current_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _current(connection)


def _current(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return str(version) if version is not None else None


def _pending_after(current: str | None) -> tuple[str, ...]:
    if current == HEAD:
        return ()
    from alembic.script import ScriptDirectory

    newest_first = ScriptDirectory.from_config(_config()).walk_revisions()
    versions = [one.revision for one in newest_first][::-1]
    if current is None:
        return tuple(versions)
    if current not in versions:
        raise SchemaUnknown(f"the database has schema {current}; this software knows up to {HEAD}")
    return tuple(versions[versions.index(current) + 1 :])


def _wait_for_others(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))


def _run(connection: Connection, to: str) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
