"""A network of two cities, and the receiving one on both databases."""

from collections.abc import Callable
from typing import Any

import pytest

from node.storage.unit_of_work import Database
from tests.networks import TestNetwork, make_network
from tests.node.exchange.receiving import LOG, NOW, RECEIVER, SENDER, ReceivingNode


@pytest.fixture(scope="session")
def network() -> TestNetwork:
    return make_network([RECEIVER, SENDER], NOW)


@pytest.fixture
def receiving(
    open_database: Callable[..., Database], database_url: str, network: TestNetwork
) -> Callable[..., ReceivingNode]:
    """Make the receiving node; what surrounds its pipeline can be changed by name."""
    database = open_database(database_url, LOG.close_group)

    def make(**changes: Any) -> ReceivingNode:
        return ReceivingNode(network, database, changes)

    return make
