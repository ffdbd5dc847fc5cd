"""Networks that a whole module shares, on each of the two databases."""

from collections.abc import Iterator

import pytest

from tests.faults.killing import CITIES, Target, target_network


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_pattern(request: pytest.FixtureRequest) -> str:
    """URL pattern of fresh databases, one per city; empty means SQLite in each city's own directory."""
    return str(request.getfixturevalue("postgresql").pattern(CITIES)) if request.param == "postgresql" else ""


@pytest.fixture(scope="module")
def target(database_pattern: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target_network(tmp_path_factory.mktemp("target"), database_pattern) as made:
        yield made
