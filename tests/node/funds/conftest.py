"""A database with the tables of the fund ledger, on both, and a ledger."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlmodel import SQLModel

from node.funds.service import Ledger
from node.funds.tables import TransferClaim  # noqa: F401 - it fills the metadata
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database

TABLES = [one for one in SQLModel.metadata.sorted_tables if one.name.startswith(("fund_", "transfer_claim"))]
NOW = datetime(2024, 12, 20, 2, 0, tzinfo=UTC)


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    opened = open_database(database_url)
    SQLModel.metadata.create_all(opened.engine, tables=TABLES)
    return opened


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(open_vault(b"k" * 32, lambda size: b"n" * size), lambda: NOW)
