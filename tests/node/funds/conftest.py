"""A database with the tables of the fund ledger, on both, and a ledger."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from node.funds.service import Ledger
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database

NOW = datetime(2024, 12, 20, 2, 0, tzinfo=UTC)


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    opened = open_database(database_url)
    return opened


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(open_vault(b"k" * 32, lambda size: b"n" * size), lambda: NOW)
