"""Shared documents for tests: calendars of 2027, and a network whose manifest names them."""

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import Any

from node.audit.service import Log
from node.membership.service import accept_crl, found_network
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database
from tests.networks import TestNetwork, make_network

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ME, PEER, OTHER = "442000", "450400", "440900"
LOG = Log("tongban/yizhangwang/442000/1", open_vault(bytes(32), os.urandom), os.urandom)
CALENDAR = "calendar-2027"


def a_calendar(year: int = 2027, **changes: Any) -> bytes:
    """Return a calendar, provisional unless a change says otherwise."""
    content = {"year": year, "version": 1, "status": "provisional", "off": [f"{year}-01-01"], "work": [], **changes}
    return json.dumps(content).encode()


PROVISIONAL = a_calendar()
OFFICIAL = a_calendar(version=2, status="official", off=["2027-01-01", "2027-01-04"], work=["2027-01-02"])


def name_of(data: bytes) -> str:
    """Return the digest by which the network knows a document."""
    return hashlib.sha256(data).hexdigest()


def a_network(**documents: bytes) -> TestNetwork:
    """Return a network whose genesis names these documents; `_` stands for the hyphen of a name."""
    return make_network([ME, PEER, OTHER], NOW, documents=digests(**documents))


def digests(**documents: bytes) -> dict[str, str]:
    return {name.replace("_", "-"): name_of(data) for name, data in documents.items()}


def join(node: Database, network: TestNetwork) -> None:
    """Bring the genesis and everybody's CRL into force."""
    node.write(lambda tx: found_network(tx, network.genesis, digest=network.digest, now=NOW))
    for city in network.cities.values():
        node.write(lambda tx, city=city: accept_crl(tx, city.member, city.crl_der, now=NOW))  # type: ignore[misc]
