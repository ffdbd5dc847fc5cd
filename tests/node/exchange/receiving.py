"""A receiving node without TLS: the real pipeline, a real database and log, real messages of a real network.

What surrounds the pipeline can be changed by name: handlers, limits, key, learning, has_room::

    node = receiving(database, network, has_room=lambda: False)
    sealed = node.receive(network.seal("450400", "442000", Ping(), msg="ping"))
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from node.audit.service import Log
from node.exchange import peer
from node.exchange.limits import PeerLimits
from node.exchange.pipeline import Pipeline, Sealed
from node.exchange.service import Learning
from node.storage.encryption import Vault, open_vault
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from protocol.certificates import Certificate
from protocol.envelope import RawMessage
from protocol.errors import Refusal
from protocol.suites import parse_json, parse_statement
from tests.networks import TestNetwork, new_number

NOW = datetime(2026, 11, 24, 3, 12, 44, tzinfo=UTC)
SENDER, RECEIVER = "450400", "442000"
VAULT = open_vault(bytes(32), os.urandom)
LOG = Log(f"tongban/yizhangwang/{RECEIVER}/1", VAULT, os.urandom)


async def learns_no_certificate(_member: str, _fingerprint: str) -> bool:
    return False


async def learns_no_crl(_member: str) -> None:
    return None


async def learns_no_manifest(_member: str) -> None:
    return None


@dataclass
class ReceivingNode:
    """The pipeline of a city, its database, and the clock that it reads."""

    network: TestNetwork
    database: Database
    changes: dict[str, Any]
    clock: list[datetime] = field(default_factory=lambda: [NOW])
    vault: Vault = VAULT

    def receive(self, *raws: RawMessage, fault: Refusal | None = None) -> Sealed:
        """Return the answer to the last message; all are received at the same time."""
        return self.receive_all(*raws, fault=fault)[-1]

    def receive_all(self, *raws: RawMessage, fault: Refusal | None = None) -> list[Sealed]:
        certificate: Certificate = self.network[SENDER].tls.certificate

        async def together() -> list[Sealed]:
            with self.pipeline() as pipeline:
                return list(await asyncio.gather(*(pipeline.receive(raw, certificate, fault) for raw in raws)))

        return asyncio.run(together())

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        writer = Writer(self.database)
        writer.start()
        try:
            yield Pipeline(**{**self._given(writer), **self.changes})
        finally:
            writer.stop()

    def _given(self, writer: Writer) -> dict[str, Any]:
        return {
            "writer": writer,
            "vault": self.vault,
            "limits": PeerLimits(1_000),
            "handlers": peer.handlers(software="tongban/test", manifest_version=lambda: 1, now=lambda: self.clock[0]),
            "trust": lambda: self.network.trust_of(RECEIVER),
            "key": lambda: self.network[RECEIVER].message_key,
            "learning": Learning(learns_no_certificate, learns_no_manifest, learns_no_crl),
            "now": lambda: self.clock[0],
            "new_id": new_number,
            "has_room": lambda: True,
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def received(self) -> int:
        """Return how many replay rows there are."""
        return int(self.rows("SELECT count(*) FROM received")[0][0])

    def kinds(self) -> list[str]:
        """Return the kinds of the log's entries, in order."""
        return [row[0] for row in self.rows('SELECT kind FROM log_entry ORDER BY "index"')]


def slug(sealed: Sealed) -> str:
    """Return the slug of a refusal, empty for any other answer."""
    return str(parse_json(sealed.body).get("slug", "")) if sealed.status >= 400 else ""


def payload(sealed: Sealed) -> dict[str, Any]:
    """Return the claims of a signed answer."""
    return parse_statement(sealed.statement).claims
