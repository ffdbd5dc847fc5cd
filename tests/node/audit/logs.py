"""Makers of a log in a real database, and of everything that can happen to it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from node.audit.service import (
    Entry,
    Log,
    Verification,
    sign_checkpoint,
    verify,
)
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database, Place, Transaction
from protocol.checkpoints import SignatureType, key_of

ORIGIN = "tongban/demo/442000/1"
NOW = datetime(2026, 11, 24, 3, 12, 44, 120_000, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOTE_KEY = key_of(ORIGIN, SignatureType.ED25519, KEY)
PERSON = ("01", "442000199003070018")
VAULT = open_vault(bytes(32), os.urandom)
LOG = Log(ORIGIN, VAULT, os.urandom)
ROOT = Path(__file__).parents[3]


def an_entry(number: int = 0, **changes: Any) -> Entry:
    given = {"kind": "message", "dir": "in", "time": NOW, "peer": "450400", "jti": f"jti-{number}", **changes}
    return Entry(**given)


def write(node: Database, count: int, **changes: Any) -> list[Place]:
    places: list[Place] = []

    def work(transaction: Transaction) -> None:
        for number in range(count):
            transaction.append(an_entry(number, **changes), lambda session, place: places.append(place))

    node.write(work)
    return places


def sign(node: Database) -> int | None:
    return sign_checkpoint(node, LOG, KEY, now=NOW)


def verified(node: Database) -> Verification:
    with node.reading() as session:
        return verify(session, LOG, NOTE_KEY)


def change(node: Database, statement: str, **values: Any) -> None:
    with node.engine.begin() as connection:
        assert connection.execute(text(statement), values).rowcount > 0


def flipped(data: bytes, at: int = 5) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
