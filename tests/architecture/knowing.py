"""Who may know whom: rules 1 to 6 of the house, each a function from one module to what is wrong with it.

Lines read `path:line what`; an empty list is the only good answer.
"""

import ast
import sys

from tests.architecture.sources import Import, Source, calls_of, imports_of

OURS = frozenset({"protocol", "certs", "config", "node", "tests", "bench"})

PURE = frozenset(
    {
        "__future__",
        "abc",
        "base64",
        "binascii",
        "bisect",
        "calendar",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "ipaddress",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "uuid",
        "zlib",
    }
)
"""Standard library that reads no clock, file, socket or randomness."""

PROTOCOL_LIBRARIES = frozenset({"cryptography", "pydantic", "pydantic_core", "jwt", "tuf", "securesystemslib"})

IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint"})
IMPURE_ENDINGS = (
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "uuid6",
    "uuid7",
    "generate",
    "generate_private_key",
    "generate_key",
)

ROOTS = frozenset({"node/__main__.py", "node/app.py", "node/worker.py"})
CERTS_DOOR = "node/membership/managed.py"

FLOOR = {"transport": 0, "storage": 0, "failpoints": 0, "terminal": 0}
ROOMS = {
    "audit": 1,
    "exchange": 2,
    "outbox": 3,
    "attachments": 3,
    "documents": 3,
    "membership": 3,
    "accounts": 3,
    "statistics": 3,
    "funds": 3,
    "records": 4,
    "cases": 4,
    "recognition": 4,
    "library": 4,
    "batches": 5,
    "inquiries": 5,
    "operations": 6,
    "console": 7,
}
"""Height of each room: calls go downward only, never sideways."""
DOORS = frozenset({"peer.py", "api.py", "pages.py", "commands.py", "jobs.py"})

LIVING = ("create_engine", "create_async_engine", "sessionmaker", "async_sessionmaker", "scoped_session", "FastAPI")
LIVING_ENDINGS = ("Client", "ClientSession", "Session", "Engine", "Scheduler", "Settings")


def is_in(path: str, places: tuple[str, ...]) -> bool:
    """Return whether a module lies at one of the places: `folder/`, `file.py` in node/, or a full path."""
    name = path.rsplit("/", 1)[-1]
    return any(path.startswith(p) if p.endswith("/") else (path == p or ("/" not in p and name == p)) for p in places)


WEB = ("node/app.py", "node/transport/", "node/console/", "peer.py", "api.py", "pages.py")
DATA = ("node/storage/", "tables.py", "store.py")
ONE_IMPORTER = {
    "httpx": ("node/transport/",),
    "aiohttp": ("node/transport/",),
    "fastapi": WEB,
    "starlette": WEB,
    "sqlmodel": DATA,
    "sqlalchemy": DATA,
    "alembic": ("node/storage/",),
    "psycopg": ("node/storage/",),
    "apscheduler": ("node/worker.py",),
    "jwt": ("protocol/suites.py",),
}
"""The places that may import each library: the seam of one kind of I/O."""


def at(source: Source, line: int, what: str) -> str:
    """Return one complaint."""
    return f"{source.path}:{line} {what}"


def is_standard(one: Import) -> bool:
    """Return whether the import is of the standard library."""
    return one.root in sys.stdlib_module_names


def protocol_is_pure(source: Source) -> list[str]:
    """Rule 1: arithmetic only. No I/O module, nothing of ours outside, no clock, no randomness."""
    if source.package != "protocol":
        return []
    faults = [at(source, one.line, f"imports {one.module}") for one in imports_of(source) if not is_pure_import(one)]
    for name, line in calls_of(source.tree):
        if name in IMPURE_CALLS or ("." in name and name.rsplit(".", 1)[-1] in IMPURE_ENDINGS):
            faults.append(at(source, line, f"calls {name}: now, keys and randomness are arguments"))
    return faults


def is_pure_import(one: Import) -> bool:
    """Return whether protocol/ may import this."""
    if is_standard(one):
        return one.module in PURE or one.root in PURE - {"urllib"} or one.dotted in PURE
    return one.root == "protocol" or one.root in PROTOCOL_LIBRARIES


def packages_keep_their_order(source: Source) -> list[str]:
    """Rule 2: certs knows protocol, config knows pydantic, node knows protocol and config."""
    ours = {
        "protocol": {"protocol"},
        "certs": {"certs", "protocol"},
        "config": {"config"},
        "node": {"node", "protocol", "config"},
    }[source.package] | ({"certs"} if source.path == CERTS_DOOR else set())
    faults = [at(source, one.line, f"imports {one.module}") for one in imports_of(source) if one.root in OURS - ours]
    foreign = {
        "certs": {"cryptography"} | ({"typer", "rich"} if source.name == "commands.py" else set()),
        "config": {"pydantic", "pydantic_core", "pydantic_settings"},
    }.get(source.package)
    if foreign is None:
        return faults
    others = (one for one in imports_of(source) if one.root not in OURS and not is_standard(one))
    return faults + [at(source, one.line, f"imports {one.module}") for one in others if one.root not in foreign]


def only_roots_read_config(source: Source) -> list[str]:
    """Rule 3, first half: everybody but the composition roots receives values."""
    if source.package == "config" or source.path in ROOTS:
        return []
    return [at(source, one.line, "imports config") for one in imports_of(source) if one.root == "config"]


def nothing_lives_in_modules(source: Source) -> list[str]:
    """Rule 3, second half: no engine, client, session or setting is made by importing a module."""
    from_config = {one.name for one in imports_of(source) if one.root == "config"}
    faults = []
    for statement in top_level(source.tree.body):
        value = getattr(statement, "value", None)
        for name, line in calls_of(value) if isinstance(value, ast.AST) else ():
            last = name.rsplit(".", 1)[-1]
            if last in LIVING or last.endswith(LIVING_ENDINGS) or name.split(".")[0] in from_config:
                faults.append(at(source, line, f"{name}() at module level"))
    return faults


def top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that run on import, also under `if` and `try`, without functions and classes."""
    found: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With):
            found += top_level(statement.body + getattr(statement, "orelse", []))
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(statement)
    return found


def one_importer_each(source: Source) -> list[str]:
    """Rule 4: each kind of I/O has one seam; a room may name `Session` as a type."""
    faults = []
    for one in imports_of(source):
        places = ONE_IMPORTER.get(one.root)
        is_session_type = source.room in ROOMS and one.dotted in ("sqlmodel.Session", "sqlalchemy.orm.Session")
        if places and not is_in(source.path, places) and not is_session_type:
            faults.append(at(source, one.line, f"imports {one.module}, which belongs to {', '.join(places)}"))
    return faults


def rooms_call_services_downward(source: Source) -> list[str]:
    """Rule 5: a room knows only the `service` of lower rooms; the floor knows no room."""
    height = (FLOOR | ROOMS).get(source.room)
    if height is None:
        return []
    return [complaint for one in imports_of(source) if (complaint := upward(source, height, one))]


def upward(source: Source, height: int, one: Import) -> str:
    """Return what is wrong with one import from within a room, or nothing."""
    parts = one.dotted.split(".")
    room = parts[1] if parts[0] == "node" and len(parts) > 1 else ""
    if not room or room == source.room or room in FLOOR:
        return ""
    if room not in ROOMS:
        return at(source, one.line, f"imports node.{room}, which stands above all rooms")
    if ROOMS[room] >= height:
        return at(source, one.line, f"{source.room} imports {room}, which is not below it")
    if len(parts) < 3 or parts[2] != "service":
        return at(source, one.line, f"imports {one.dotted}; a room may be asked only through its service")
    return ""


def doors_are_thin(source: Source) -> list[str]:
    """Rule 6: a door knows its own service, and refuses nothing by itself."""
    if source.name not in DOORS or source.room not in ROOMS:
        return []
    faults, refusals = [], set()
    for one in imports_of(source):
        parts = one.dotted.split(".")
        if one.module == "protocol.errors":
            refusals.add(one.name)
        if parts[0] == "node" and parts[1] in ROOMS:
            is_shell = parts[1] == "console" and source.name == "pages.py"
            own = parts[1] == source.room and parts[2:3] not in (["store"], ["tables"])
            faults += [] if own or is_shell else [at(source, one.line, f"a door imports {one.dotted}")]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in refusals:
            faults.append(at(source, node.lineno, f"a door refuses: {ast.unparse(node.exc.func)}"))
    return faults


def callers_own_the_transaction(source: Source) -> list[str]:
    """Stores and services never commit; only storage/ does."""
    if source.package != "node" or source.room == "storage":
        return []
    endings = (".commit", ".rollback")
    return [at(source, line, f"calls {name}") for name, line in calls_of(source.tree) if name.endswith(endings)]


def benchmarks_stand_outside(source: Source) -> list[str]:
    """bench/ measures what is served: it knows node and protocol, and of the tests only how a PostgreSQL is started."""
    if source.package != "bench":
        return []
    foreign = (one for one in imports_of(source) if one.root in OURS - {"bench", "node", "protocol"})
    return [at(source, one.line, f"imports {one.module}") for one in foreign if one.module != "tests.databases"]
