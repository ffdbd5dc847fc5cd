"""A room on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.storage.unit_of_work import Database
from tests.node.attachments.rooms import Room


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Room:
    return Room(database, tmp_path / "attachments")


@pytest.fixture
def small(open_database: Callable[[str], Database], sqlite_url: str, tmp_path: Path) -> Room:
    """A room on SQLite only: where the database makes no difference."""
    return Room(open_database(sqlite_url), tmp_path / "attachments")
