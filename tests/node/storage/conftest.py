"""A table to work on."""

import pytest
from sqlalchemy import text

from node.storage.unit_of_work import Database


@pytest.fixture
def thing(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE thing (name VARCHAR(20) PRIMARY KEY, amount INTEGER NOT NULL)"))
