"""The stage of the exchange benchmark: one asked city in several forms, one asking city, and signed questions.

The asked city is made as an administrator makes it and filled with `people` invented persons by import. Each form
is a copy of its directory on a port of its own: SQLite as it stands, PostgreSQL, and those that `bench/servers.py`
changes. All are one member, so one asking city's questions fit them all. The asking city runs no process: its CRL
and certificate are known to the asked one beforehand, as after a first exchange.
"""

import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from bench.load import Target
from bench.measuring import Options, Tell, on_cores
from node.__main__ import Opening
from node.app import new_id, utc_now
from node.membership import service as membership
from node.membership.keyring import Keys, read_keys
from node.membership.setup import join_network
from node.records.service import new_salt
from node.simulation.demo import new_root
from node.simulation.network import DemoCity, free_base, import_people, make_network, set_demo_policy
from node.simulation.people import people, write_csv
from node.storage.schema import upgrade
from node.storage.unit_of_work import Transaction
from node.terminal import Terminal
from node.transport.tls import client_context
from protocol.claims import VERSION, Claims, Who, Why, describe_body
from protocol.envelope import Trust, seal
from protocol.manifest import digest_of
from protocol.messages import RecordKind, RecordQuery, Subject, format_body
from tests.databases import PostgreSql, binaries_of_postgresql, running_postgresql

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1
ITEM: Final = "PEN-LUMPSUM"
CASE: Final = "KS450400202611240000012"
READY_SECONDS: Final = 60
LIFETIME_SECONDS: Final = 300


@dataclass(slots=True)
class Stage:
    """What the benchmark plays on; made by `stage`."""

    root: Path
    asked: DemoCity
    keys: Keys
    trust: Trust
    persons: list[tuple[str, str]] = field(repr=False)
    random: Random
    postgresql: PostgreSql | None
    forms: dict[str, Path] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def questions(self, count: int) -> list[bytes]:
        """Return so many whole requests, each a new signed question about a person drawn at random."""
        return [self._question() for _ in range(count)]

    def _question(self) -> bytes:
        number, name = self.random.choice(self.persons)
        body = format_body(
            RecordQuery(
                salt=new_salt(self.random.randbytes),
                record=RecordKind.BALANCE,
                subject=Subject(id_type="01", id_number=number, name=name),
            )
        )
        issued, key = int(time.time()), self.keys.message
        claims = Claims(
            net=self.trust.manifest.network,
            ver=VERSION,
            iss=self.trust.member,
            aud=self.asked.code,
            iat=issued,
            exp=issued + LIFETIME_SECONDS,
            jti=new_id(),
            msg="record.query",
            man=self.trust.manifest.label,
            why=Why(item=ITEM, case=CASE, basis="STATUTORY"),
            who=Who(office="窗口 2", officer="o-7f3c", role="clerk"),
            body=describe_body(body),
        )
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\ntongban-message: "
        )
        return head.encode() + seal(claims, key) + b"\r\n\r\n" + body

    def form(self, name: str, database: str = "sqlite:///data/tongban.db") -> Path:
        """Return the directory of another form of the asked city: a copy with its own port and database."""
        home = self.root / name
        other = shutil.ignore_patterns("tongban.db*") if database.startswith("postgresql") else None
        shutil.copytree(self.asked.home, home, ignore=other)
        settings = home / "tongban.toml"
        text = re.sub(r'(?m)^url = "[^"]*"', f'url = "{database}"', settings.read_text(encoding="utf-8"), count=1)
        settings.write_text(text, encoding="utf-8")
        self.forms[name] = home
        return home

    def form_of(self, database: str, name: str) -> Path:
        """Return another form on a copy of that database: `sqlite` or `postgresql`."""
        return self.form(f"{name}_sqlite") if database == "sqlite" else self.copy(database, f"{name}_postgresql")

    def copy(self, name: str, new: str) -> Path:
        """Return another form with a copy of that form's PostgreSQL database; no server may run on it."""
        if self.postgresql is None:
            raise RuntimeError("no PostgreSQL")
        source = self.databases[name].rpartition("/")[2]
        # What filled the database keeps its connections in a pool until this process ends.
        ours = f"WHERE datname = '{source}'"
        self.postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {ours}")  # noqa: S608
        self.postgresql.execute(f"CREATE DATABASE {source}_{new} TEMPLATE {source}")
        self.databases[new] = self.postgresql.url(f"{source}_{new}")
        return self.form(new, self.databases[new])

    def serve(self, home: Path, *command: str, cores: tuple[int, ...] = (SERVER_CORE,)) -> Target:
        """Start a server for a form and return it when it is ready; `command` defaults to `tongban serve`."""
        port = _free_port()
        line = command or ("node", "serve", "--no-console", "--lang", "en")
        log = (home / "node.log").open("wb")
        with on_cores(*cores):
            process = subprocess.Popen(
                [sys.executable, "-m", *line, "--home", str(home), "--peer", f"127.0.0.1:{port}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        log.close()
        self.processes.append(process)
        _wait(process, home / "node.log")
        children = tuple(_children(process.pid)) or (process.pid,)
        return Target(port, children, self.context())

    def context(self) -> ssl.SSLContext:
        """Return the TLS context of the asking city."""
        return client_context(self.keys.tls, self.trust.manifest, self.asked.code, lambda _certificate: None)

    def stop(self) -> None:
        """End every server."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=5)
        self.processes.clear()


@contextmanager
def stage(options: Options, tell: Tell, *, postgresql: bool = True) -> Iterator[Stage]:
    """Make the cities, fill the registry, start a PostgreSQL on the client's core; remove all afterwards."""
    binaries = binaries_of_postgresql() if postgresql else None
    root = new_root()
    try:
        if binaries is None:
            yield from _kept(_make(root, options, tell, None))
            return
        with on_cores(CLIENT_CORE):
            running = running_postgresql(binaries)
            server = running.__enter__()
        try:
            yield from _kept(_make(root, options, tell, server))
        finally:
            running.__exit__(None, None, None)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _kept(made: Stage) -> Iterator[Stage]:
    try:
        yield made
    finally:
        made.stop()


def _make(root: Path, options: Options, tell: Tell, server: PostgreSql | None) -> Stage:
    opening = Opening(Terminal(lang="en"))
    members = opening.demo_members()[:2]
    asked, asking = make_network(root, members, free_base(33_000, 2), network="bench-exchange", opening=opening)
    set_demo_policy([asked], opening, opening.demo_rules())
    _raise_limit(asked.home)
    keys = _keys(opening, asking)
    trust = _introduce(opening, asked.home, keys, asking.code)
    tell(f"registry of {options.people} people")
    persons = _write_people(asked, options)
    made = Stage(root, asked, keys, trust, persons, Random(options.seed), server)
    if server is not None:
        made.databases["postgresql"] = server.pattern(["442000"]).format(code="442000")
        home = made.form("postgresql", made.databases["postgresql"])
        _join_again(opening, home, root)
        _introduce(opening, home, keys, asking.code)
        tell("import, PostgreSQL")
        import_people(home, opening)
        set_demo_policy([_at(asked, home)], opening, opening.demo_rules())
    tell("import, SQLite")
    import_people(asked.home, opening)
    made.forms["sqlite"] = asked.home
    return made


def opening_at(home: Path) -> Opening:
    """Return what may be opened of a city's directory."""
    return Opening(Terminal(lang="en")).at(home)


def _at(city: DemoCity, home: Path) -> DemoCity:
    return DemoCity(city.code, city.name_zh, city.name_en, home, city.console_port, city.peer_port)


def _raise_limit(home: Path) -> None:
    path = home / "tongban.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n[limits]\npeer_rps = 100000\n", encoding="utf-8")


def _keys(opening: Opening, city: DemoCity) -> Keys:
    node = opening.at(city.home).node()
    return read_keys(node.settings.dirs.certs, node.passphrase, city.code)


def _introduce(opening: Opening, home: Path, keys: Keys, code: str) -> Trust:
    """Make the asking city's CRL and message certificate known, and return the trust of the asking city."""
    node, now = opening.at(home).node(), utc_now()

    def accept(transaction: Transaction) -> None:
        membership.accept_crl(transaction, code, keys.crl, now=now)

    def remember(transaction: Transaction) -> None:
        trust = membership.read_trust(transaction.session, node.member)
        membership.remember_certificate(transaction, trust, keys.message.certificate, now=now)

    node.database.write(accept)
    node.database.write(remember)
    with node.database.reading() as session:
        return membership.read_trust(session, code)


def _write_people(city: DemoCity, options: Options) -> list[tuple[str, str]]:
    """Write the balances of the people for import, and return those who have one: (number, name)."""
    folder = city.home / "data" / "import"
    folder.mkdir(mode=0o700, exist_ok=True)
    persons: list[tuple[str, str]] = []

    def balances() -> Iterator[Any]:
        for person in people(city.code, options.seed, options.people):
            if person.lines[RecordKind.BALANCE]:
                persons.append((person.id_number, person.name))
            yield person

    for kind, path in write_csv(folder, balances()).items():
        if kind is not RecordKind.BALANCE:
            path.unlink()
    return persons


def _join_again(opening: Opening, home: Path, root: Path) -> None:
    here = opening.at(home)
    upgrade(here.engine())
    genesis = (root / "manifest.json").read_bytes()
    join_network(home, here.node().database, genesis, digest_of(genesis), now=utc_now())


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(READY_SECONDS * 50):
        if b"ready" in log.read_bytes():
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"a server did not become ready: {log.read_text(errors='replace')[-800:]}")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]
