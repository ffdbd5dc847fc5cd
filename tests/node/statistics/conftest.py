"""A database with the tables of statistics, on both."""

from collections.abc import Callable

import pytest
from sqlmodel import SQLModel

from node.statistics import tables
from node.storage.unit_of_work import Database

TABLES = [
    one.__table__  # type: ignore[attr-defined]
    for one in (tables.ToldRow, tables.CountedCase, tables.CountRow, tables.OpenRow, tables.FoldRow)
]


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    opened = open_database(database_url)
    SQLModel.metadata.create_all(opened.engine, tables=TABLES)
    return opened
