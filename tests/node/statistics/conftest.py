"""A database with the tables of statistics, on both."""

from collections.abc import Callable

import pytest
from sqlmodel import SQLModel

from node.statistics import tables  # noqa: F401 - it fills the metadata
from node.storage.unit_of_work import Database

TABLES = [one for one in SQLModel.metadata.sorted_tables if one.name.startswith("statistics_")]
assert len(TABLES) == len(["told", "case", "count", "open", "fold"])


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    opened = open_database(database_url)
    SQLModel.metadata.create_all(opened.engine, tables=TABLES)
    return opened
