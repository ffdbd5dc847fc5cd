"""A database whose groups end with the log."""

from collections.abc import Callable

import pytest

from node.storage.unit_of_work import Database
from tests.node.membership.documents import LOG


@pytest.fixture
def node(open_database: Callable[..., Database], database_url: str) -> Database:
    return open_database(database_url, LOG.close_group)


@pytest.fixture
def small_node(open_database: Callable[..., Database], sqlite_url: str) -> Database:
    return open_database(sqlite_url, LOG.close_group)
