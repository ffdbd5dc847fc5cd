"""Real cities on this machine: `tongban serve` processes, made as the demo makes them (assurance E1, layer 5).

::

    with running_network(tmp_path, ["442000", "450400"]) as network:
        raw = network.seal("450400", "442000", Ping(), msg="ping")
        answer = network.post("450400", "442000", raw.statement, raw.body)
        assert network.refusal(answer, raw) == "stale"

Every network has its own id, keys and free ports; some synthetic people and the demo's release policy are
in each registry. Only processes that were started here are ended, by their own handles.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text
from uuid_utils import uuid7

from certs.ca import Ca, open_ca
from node.__main__ import Opening
from node.app import Node, open_node
from node.membership.keyring import read_keys
from node.membership.service import read_trust
from node.membership.setup import PASSPHRASE
from node.simulation.network import DemoCity, free_base, import_people, make_network, set_demo_policy
from node.simulation.people import people, write_csv
from node.terminal import Terminal
from node.transport.tls import TlsIdentity
from protocol.bodies import Body
from protocol.certificates import Purpose
from protocol.claims import Claims, Who, Why, describe_body, sha256
from protocol.envelope import Message, MessageKey, RawMessage, Reply, Trust, read_number, seal, unseal_reply
from protocol.messages import WITHOUT_PURPOSE, RecordKind, RecordQuery, Subject, format_body
from tests.databases import free_port
from tests.making import MadeCa, make_certificate
from tests.processes.wire import Headers, HttpAnswer, Wire, connect, message_bytes, request_bytes

READY_SECONDS = 40.0
PEOPLE = 8
T = TypeVar("T")


def eventually(ask: Callable[[], T], *, seconds: float = 10.0, what: str = "the condition") -> T:
    """Return the first true value of `ask`; a condition that does not come true in time fails the test."""
    deadline = time.monotonic() + seconds
    while True:
        value = ask()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:g} s; last: {value!r}"
        time.sleep(0.02)


class QuietOpening(Opening):
    """What commands open, without taking over the logging of the test process; what was opened can be closed."""

    def __init__(self, terminal: Terminal, opened: list[Any] | None = None) -> None:
        super().__init__(terminal)
        self._opened: list[Any] = [] if opened is None else opened

    def engine(self) -> Any:
        self._opened.append(super().engine())
        return self._opened[-1]

    def node(self) -> Node:
        node = open_node(self.loaded().settings)
        self._opened.append(node.database.engine)
        return self.checked(node)

    def at(self, home: Path) -> "QuietOpening":
        return QuietOpening(Terminal(home=home), self._opened)

    def close(self) -> None:
        """Close every connection: a process that ends does so, and a test goes on."""
        for engine in self._opened:
            engine.dispose()


@dataclass
class RunningNetwork:
    """The cities, and those of their processes that run."""

    name: str
    opening: QuietOpening
    cities: tuple[DemoCity, ...]
    environment: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _nodes: dict[str, Node] = field(default_factory=dict)
    _times_ready: dict[str, int] = field(default_factory=dict)

    # processes

    def city(self, code: str) -> DemoCity:
        return next(one for one in self.cities if one.code == code)

    def start(self, code: str, **environment: str) -> None:
        """Start a city and wait until it says that it is ready; `environment` comes before the network's."""
        self._spawn(code, environment)
        self._await_ready(code)

    def start_all(self) -> None:
        for city in self.cities:
            self._spawn(city.code, {})
        for city in self.cities:
            self._await_ready(city.code)

    def stop(self, code: str) -> int:
        """Ask a city to end; return its exit code."""
        return self._end(code, signal.SIGTERM)

    def kill(self, code: str) -> int:
        """End a city as a power failure would."""
        return self._end(code, signal.SIGKILL)

    def output(self, code: str) -> str:
        """Return everything a city's processes have printed."""
        return (self.city(code).home / "node.log").read_text(encoding="utf-8", errors="replace")

    def _spawn(self, code: str, environment: Mapping[str, str]) -> None:
        home = self.city(code).home
        command = [sys.executable, "-m", "node", "serve", "--home", str(home), "--lang", "en", "--no-console"]
        with (home / "node.log").open("ab") as log:
            self._times_ready[code] = self._said_ready(code)
            self.processes[code] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment, **environment},
            )

    def _said_ready(self, code: str) -> int:
        return self.output(code).count(f"ready {code}")

    def _await_ready(self, code: str) -> None:
        def ready() -> bool:
            assert self.processes[code].poll() is None, f"{code} ended: {self.output(code)[-1500:]}"
            return self._said_ready(code) > self._times_ready[code]

        eventually(ready, seconds=READY_SECONDS, what=f"{code} is ready")

    def _end(self, code: str, number: int) -> int:
        process = self.processes.pop(code)
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
            raise

    def close(self) -> None:
        """End every process that is left, and close the databases."""
        for process in self.processes.values():
            process.terminate()
        for code in list(self.processes):
            self._end(code, signal.SIGTERM)
        self.opening.close()

    # keys

    def passphrase(self, code: str) -> bytes:
        return (self.city(code).home / PASSPHRASE).read_bytes()

    def identity(self, code: str) -> TlsIdentity:
        """Return the TLS certificate of a city, with its key."""
        return read_keys(self.city(code).home / "certs", self.passphrase(code), code).tls

    def message_key(self, code: str) -> MessageKey:
        return read_keys(self.city(code).home / "certs", self.passphrase(code), code).message

    def ca(self, code: str) -> Ca:
        """Return a city's CA, opened: to issue and revoke as its administrator would."""
        return open_ca(self.city(code).home / "certs" / "ca", passphrase=self.passphrase(code))

    def made_ca(self, code: str) -> MadeCa:
        """Return a city's CA for the makers of tests/making.py."""
        ca = self.ca(code)
        return MadeCa(member=ca.member, network=ca.network, key=ca.key, x509=ca.authority.parsed)

    def issue(self, code: str, purpose: Purpose, **changes: Any) -> tuple[TlsIdentity, MessageKey]:
        """Return a fresh certificate of a city's CA, as both kinds of identity; see make_certificate."""
        made = make_certificate(changes.pop("ca", None) or self.made_ca(code), purpose, now(), **changes)
        identity = TlsIdentity(made.certificate, made.pem.encode(), made.key_pem.encode())
        return identity, MessageKey(made.certificate, made.key)

    def ca_pem(self, code: str) -> str:
        """Return the CA certificate that the manifest lists for a city."""
        listed = self.trust(code).manifest.members[code].authorities
        return "".join(ssl.DER_cert_to_PEM_cert(one.der) for one in listed)

    # what a city holds

    def node(self, code: str) -> Node:
        """Return a city's node as a command opens it: its database, log and vault."""
        if code not in self._nodes:
            self._nodes[code] = self.opening.at(self.city(code).home).node()
        return self._nodes[code]

    def trust(self, code: str) -> Trust:
        with self.node(code).database.reading() as session:
            return read_trust(session, code)

    def log_entries(self, code: str, *, after: int = -1) -> list[dict[str, Any]]:
        """Return a city's log, as its entries say it, in order; `index` is added."""
        with self.node(code).database.reading() as session:
            query = text('SELECT "index", data FROM log_entry WHERE "index" > :after ORDER BY "index"')
            rows = session.execute(query, {"after": after}).all()
        return [{"index": row[0], **json.loads(bytes(row[1]))} for row in rows]

    def received_rows(self, code: str) -> list[dict[str, Any]]:
        """Return the replay rows of a city."""
        with self.node(code).database.reading() as session:
            found = session.execute(text("SELECT iss, jti, digest, status FROM received ORDER BY received_at, jti"))
            return [dict(row._mapping) for row in found]

    # messages

    def seal(self, sender: str, receiver: str, body: Body | bytes, *, msg: str, **changes: Any) -> RawMessage:
        """Return a message that is right in everything but `changes`: any claim, or `key`, who signs."""
        key = changes.pop("key", None) or self.message_key(sender)
        data = body if isinstance(body, bytes) else format_body(body)
        issued = changes.pop("iat", int(now().timestamp()))
        purpose = msg not in WITHOUT_PURPOSE
        given: dict[str, Any] = {
            "net": self.name,
            "ver": "1",
            "iss": sender,
            "aud": receiver,
            "iat": issued,
            "exp": issued + 120,
            "jti": str(uuid7()),
            "msg": msg,
            "man": self.trust(sender).manifest.label,
            "why": Why(item="INS-CERT", basis="STATUTORY", ref="ZX4504002026112400012") if purpose else None,
            "who": Who(office="测试窗口", officer="clerk-1", role="clerk") if purpose else None,
            "body": describe_body(data),
            **changes,
        }
        return RawMessage(statement=seal(Claims(**given), key), body=data, content_type="application/json")

    @contextmanager
    def connected(self, sender: str | None, receiver: str, **options: Any) -> Iterator[Wire]:
        """Open a connection of one city to another; options as `wire.connect`, and `identity`."""
        identity = options.pop("identity", None) or (self.identity(sender) if sender else None)
        port = self.city(receiver).peer_port
        with connect(port, identity, self.ca_pem(receiver), **options) as wire:
            yield wire

    def post(
        self, sender: str | None, receiver: str, statement: bytes, body: bytes, headers: Headers = (), **options: Any
    ) -> HttpAnswer:
        """Send one message on a connection of its own."""
        with self.connected(sender, receiver, **options) as wire:
            wire.send(message_bytes(statement, body, headers))
            return wire.answer()

    def get(self, sender: str | None, receiver: str, path: str, headers: Headers = (), **options: Any) -> HttpAnswer:
        """Send one GET on a connection of its own."""
        with self.connected(sender, receiver, **options) as wire:
            wire.send(request_bytes("GET", path, headers, length=False))
            return wire.answer()

    def reply(self, sender: str, receiver: str, raw: RawMessage, answer: HttpAnswer) -> Reply:
        """Return the verified reply, bound to this request and signed by the city asked; raises what is wrong."""
        trust = self.trust(sender)
        key = self.message_key(receiver).certificate
        crls = (*trust.crls, *self.trust(receiver).crls)
        known = Trust(trust.member, trust.manifest, crls, {**trust.certificates, key.fingerprint: key})
        claims = _claims_for_reply(sender, receiver, raw)
        request = Message(claims=claims, statement=raw.statement, digest=sha256(raw.statement), body=raw.body)
        return unseal_reply(answer.raw_reply, request, known, server=receiver, now=now())


def now() -> datetime:
    return datetime.now(UTC)


def _claims_for_reply(sender: str, receiver: str, raw: RawMessage) -> Claims:
    # `unseal_reply` compares sender, receiver and number only; a forged request may have no readable number.
    number = read_number(raw.statement) or str(uuid7())
    return Claims(
        net="any-network", ver="1", iss=sender, aud=receiver, iat=1, exp=2, jti=number, msg="ping",
        man="1:" + sha256(b""), body=describe_body(raw.body),
    )  # fmt: skip


def query(person: Subject, record: RecordKind = RecordKind.ENROLMENT, **changes: Any) -> RecordQuery:
    """Return a well-formed record query."""
    return RecordQuery(salt="m3Jv0C2a5v8Y0mO1nE0b9A", record=record, subject=person, **changes)


def some_person(code: str, codes: Sequence[str]) -> Subject:
    """Return a person whom the city's registry holds."""
    life = next(iter(people(code, 7, PEOPLE, cities=list(codes))))
    return Subject(id_type="01", id_number=life.id_number, name=life.name)


@contextmanager
def running_network(
    root: Path,
    codes: Sequence[str],
    *,
    database: str = "",
    environment: Mapping[str, str] | None = None,
    start: bool = True,
    with_people: bool = True,
) -> Iterator[RunningNetwork]:
    """Make a network under `root`, start its cities unless told not to, and end them afterwards.

    `database`: URL pattern with `{code}`, SQLite in each home by default. `environment`: of every process,
    such as `{"TONGBAN_LIMITS__PEER_RPS": "5"}`.
    """
    opening = QuietOpening(Terminal(home=root))
    known = {one["division"]: one for one in opening.demo_members()}
    name = f"test-{os.urandom(4).hex()}"
    base = _free_base(len(codes))
    cities = make_network(root, [known[code] for code in codes], base, network=name, opening=opening, database=database)
    set_demo_policy(cities, opening, opening.demo_rules())
    for city in cities if with_people else ():
        folder = city.home / "data" / "import"
        folder.mkdir(mode=0o700)
        write_csv(folder, people(city.code, 7, PEOPLE, cities=list(codes)))
        import_people(city.home, opening)
    network = RunningNetwork(name, opening, cities, {"TONGBAN_LIMITS__DISK_RESERVE_MIB": "1", **(environment or {})})
    try:
        if start:
            network.start_all()
        yield network
    finally:
        network.close()


def _free_base(count: int) -> int:
    # Workers of one run begin far apart, so that two never choose the same range at the same moment.
    return free_base(20_000 + free_port() % 300 * 100, count)
