"""Two cities on both databases."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from node.storage.unit_of_work import Database
from tests.networks import TestNetwork, make_network
from tests.node.cases.two_cities import ACCEPTING, NAMED, RESPONSIBLE, CaseCity, Wire, make_city
from tests.node.exchange.receiving import NOW


@pytest.fixture(scope="session")
def network() -> TestNetwork:
    return make_network([ACCEPTING, RESPONSIBLE], NOW, documents=NAMED)


@pytest.fixture
def wire(network: TestNetwork) -> Wire:
    return Wire(network, [NOW])


@pytest.fixture
def new_database(
    database_url: str, sqlite_template: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], str]]:
    """Function that makes another migrated database of the same kind, and returns its URL."""
    with ExitStack() as stack:

        def make() -> str:
            if database_url.startswith("sqlite"):
                return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / f'{uuid4()}.db')}"
            making = request.getfixturevalue("postgresql").make("migrated")
            stack.callback(next, making, None)
            return str(next(making))

        yield make


@pytest.fixture
def second_url(new_database: Callable[[], str]) -> str:
    """URL of another database of the same kind."""
    return new_database()


@pytest.fixture
def cities(
    wire: Wire, open_database: Callable[..., Database], database_url: str, second_url: str
) -> tuple[CaseCity, CaseCity]:
    return (
        make_city(ACCEPTING, database_url, open_database, wire),
        make_city(RESPONSIBLE, second_url, open_database, wire),
    )
