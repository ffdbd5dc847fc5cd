"""A database with the tables of statistics, on both."""

from collections.abc import Callable

import pytest

from node.storage.unit_of_work import Database


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    opened = open_database(database_url)
    return opened
