"""A room of papers for tests: its city, its document key, and a clock that is moved by hand."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from node.audit.service import Log
from node.documents import service
from node.documents.kinds import KINDS
from node.documents.press import Press, Signer
from node.documents.service import Asked, City, Documents, Printed
from node.documents.verifying import Trusted
from node.storage.blobs import Blobs
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database, Transaction
from protocol.certificates import Purpose, parse_crl
from tests.making import make_certificate, make_city_ca, make_crl
from tests.node.documents.papers import CASE, ID_NO, PAPERS

NOW = datetime(2024, 12, 12, 2, 0, tzinfo=UTC)
NETWORK = "yizhangwang"
CA = make_city_ca("450400", NETWORK, NOW)
LEAF = make_certificate(CA, Purpose.DOCUMENT, NOW)
VAULT = open_vault(bytes(range(32)), os.urandom)
LOG = Log(f"tongban/{NETWORK}/450400/1", VAULT, os.urandom)
TRUSTED = Trusted(
    NETWORK, {"450400": [CA.authority]}, [parse_crl(make_crl(CA, NOW + timedelta(days=1)), [CA.authority])]
)


def signer() -> Signer:
    """Return who signs for 梧州."""
    return Signer(LEAF.der, CA.der, lambda data: bytes(LEAF.key.sign(data, ECDSA(SHA256()))))


def asked(kind: str = "fund-notice", size: str = "normal", case: str | None = CASE, **changes: Any) -> Asked:
    """Ask for one of the papers of `papers.py`, with changes to its data."""
    value = KINDS[kind].value.model_validate(PAPERS[kind] | changes)
    return Asked(KINDS[kind], value, case=case, size=size, person=("01", ID_NO), actor="clerk")


class Room:
    """A room, and its verbs without an event loop."""

    def __init__(self, database: Database, press: Press, folder: Path) -> None:
        self.database, self.folder, self.now = database, folder, NOW
        self.room = Documents(
            press=press,
            blobs=Blobs(folder, VAULT),
            vault=VAULT,
            city=City("450400", "梧州", "Wuzhou"),
            verify_url="https://wuzhou.example",
            signer=signer,
            has_room=lambda: True,
            now=lambda: self.now,
            random=os.urandom,
        )

    def change(self, **changes: Any) -> None:
        self.room = replace(self.room, **changes)

    def print(self, paper: Asked) -> Printed:
        async def submit(work: Callable[[Transaction], Any]) -> Any:
            return self.database.write(work)

        return asyncio.run(service.print_document(self.room, self.database, submit, asyncio.to_thread, paper))

    def read(self, number: str) -> Printed:
        with self.database.reading() as session:
            return service.read(self.room, session, number)

    def list(self, case: str = CASE) -> list[dict[str, Any]]:
        with self.database.reading() as session:
            return service.list_documents(session, case)

    def look_up(self, code: str) -> service.Known:
        with self.database.reading() as session:
            return service.look_up(self.room, session, code)
