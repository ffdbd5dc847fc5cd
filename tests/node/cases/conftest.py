"""Two cities on both databases."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

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
def second_url(
    database_url: str, sqlite_template: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """URL of another database of the same kind."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'second.db')}"
    else:
        yield from request.getfixturevalue("postgresql").make("migrated")


@pytest.fixture
def cities(
    wire: Wire, open_database: Callable[..., Database], database_url: str, second_url: str
) -> tuple[CaseCity, CaseCity]:
    return (
        make_city(ACCEPTING, database_url, open_database, wire),
        make_city(RESPONSIBLE, second_url, open_database, wire),
    )
