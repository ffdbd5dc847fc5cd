"""A joined node for diagnoses: real database, real keys of a made network; peers and time are fakes.

node = Joined(network, database, tmp_path)
checks = node.diagnose(peers={"450400": healthy(manifest=2)})
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.audit.service import Entry, Log
from node.membership import service as membership
from node.operations.service import Check, Facts, Values, diagnose
from node.storage.unit_of_work import Database
from node.transport.client import NoAnswer
from node.transport.tls import TlsIdentity
from protocol.certificates import Certificate
from protocol.errors import UnknownCertificate
from protocol.manifest import Member
from tests.networks import TestNetwork

GIB = 1024**3
Answer = Callable[[datetime], Awaitable[Any]]


def healthy(**changes: Any) -> Answer:
    """Return a peer that is well. Changes: ahead (seconds), and members of its health document."""
    ahead = changes.pop("ahead", 0.0)

    async def answer(now: datetime) -> Any:
        said = {"software": "tongban/1", "manifest": 1, "time": (now + timedelta(seconds=ahead)).isoformat(), **changes}
        return SimpleNamespace(status=200, body=json.dumps(said).encode())

    return answer


def saying(status: int, body: bytes) -> Answer:
    """Return a peer that answers exactly this."""

    async def answer(now: datetime) -> Any:
        return SimpleNamespace(status=status, body=body)

    return answer


def away(reason: str, refusal: Any = None) -> Answer:
    """Return a peer from which nothing comes back."""

    async def answer(now: datetime) -> Any:
        raise NoAnswer(reason, "", refusal)

    return answer


async def silent(now: datetime) -> Any:
    """Accept, and never answer."""
    await asyncio.sleep(3600)


@dataclass
class FakeClients:
    """Peers by member id."""

    peers: dict[str, Answer]
    now: datetime
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def request(self, member: Member, method: str, path: str, **options: Any) -> Any:
        self.asked.append((member.id, method, path))
        return await self.peers[member.id](self.now)

    async def close(self) -> None:
        raise AssertionError("clients that were given are not closed by a diagnosis")


class Joined:
    """The node of the first city of a network, in a directory of its own."""

    def __init__(self, network: TestNetwork, database: Database, home: Path) -> None:
        self.network, self.home, self.now = network, home, network.now
        self.member = next(iter(network.cities))
        city = network[self.member]
        self.log = Log(city.key_name, None, lambda size: bytes(size))  # type: ignore[arg-type]
        self.database = Database(database.engine, self.log.close_group)
        self.keys: Any = SimpleNamespace(
            tls=TlsIdentity(city.tls.certificate, city.tls.pem.encode(), city.tls.key_pem.encode()),
            message=city.message_key,
            log=city.log,
            crl=city.crl_der,
        )
        self.certs = home / "certs"
        self.certs.mkdir()
        for name in ("tls.key", "message.key", "log.key"):
            (self.certs / name).touch(mode=0o600)
        self.shown: dict[str, Certificate] = {id: one.tls.certificate for id, one in network.cities.items()}
        self.usage = SimpleNamespace(total=100 * GIB, used=50 * GIB, free=50 * GIB)

    def join(self) -> "Joined":
        """Bring manifest, CRLs and message certificates into the database."""

        trust = self.network.trust_of(self.member)

        def work(tx: Any) -> None:
            membership.found_network(tx, self.network.genesis, digest=self.network.digest, now=self.now)
            for city in self.network.cities.values():
                membership.accept_crl(tx, city.member, city.crl_der, now=self.now)
                membership.remember_certificate(tx, trust, city.message.certificate, now=self.now)

        self.database.write(work)
        return self

    def add_entries(self, count: int, at: datetime) -> None:
        for _ in range(count):
            self.database.write(lambda tx: tx.append(Entry(kind="start", dir="local", time=at)))

    async def look(self, member: Member, loopback: bool) -> Certificate:
        if member.id not in self.shown:
            raise UnknownCertificate("nothing is shown")
        return self.shown[member.id]

    def facts(self, peers: dict[str, Answer] | None = None, **changes: Any) -> Facts:
        others = {id: healthy() for id in self.network.cities if id != self.member}
        values = Values(
            member=self.member,
            clock_warn_seconds=30,
            disk_reserve_bytes=GIB,
            warn_days=(60, 30, 14, 7, 1),
            checkpoint_seconds=10,
            certs=self.certs,
            directories={"data": self.home},
            secrets=(),
        )
        given: dict[str, Any] = {
            "home": self.home,
            "now": lambda: self.now,
            "monotonic": lambda: 0.0,
            "node": lambda: self,
            "keys": lambda: self.keys,
            "values": values,
            "clients": FakeClients({**others, **(peers or {})}, self.now),
            "look": self.look,
            "disk": lambda path: self.usage,
            **changes,
        }
        return Facts(**given)

    def diagnose(self, only: str | None = None, peer: str | None = None, **changes: Any) -> dict[str, Check]:
        """Return the lines by name."""
        lines = asyncio.run(diagnose(self.facts(**changes), only=only, peer=peer))
        found = {one.name: one for one in lines}
        assert len(found) == len(lines), "a name occurs twice"
        return found


def other_log_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()
