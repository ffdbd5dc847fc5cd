"""A warm press, and a room of papers on both databases."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.documents.press import Press
from node.storage.unit_of_work import Database
from tests.node.documents.rooms import LOG, Room

NO_FONT = "needs a font that draws Chinese: apt-get install fonts-noto-cjk, or make fonts"


@pytest.fixture(scope="session")
def press() -> Iterator[Press]:
    """One worker for the whole run; without a font there is nothing to print."""
    press = Press()
    if not press.families():
        pytest.skip(NO_FONT)
    yield press
    press.close()


@pytest.fixture(scope="session")
def pdftotext() -> str:
    found = shutil.which("pdftotext")
    if found is None:
        pytest.skip("needs pdftotext: apt-get install poppler-utils")
    return found


@pytest.fixture
def room(open_database: Callable[..., Database], database_url: str, press: Press, tmp_path: Path) -> Room:
    return _room(open_database(database_url, LOG.close_group), press, tmp_path)


@pytest.fixture
def small(open_database: Callable[..., Database], sqlite_url: str, press: Press, tmp_path: Path) -> Room:
    """A room on SQLite only: where the database makes no difference."""
    return _room(open_database(sqlite_url, LOG.close_group), press, tmp_path)


def _room(database: Database, press: Press, folder: Path) -> Room:
    return Room(database, press, folder / "documents")
