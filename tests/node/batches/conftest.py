"""Two cities on both databases, as the cases' tests have them."""

from tests.node.cases.conftest import cities, network, new_database, second_url, wire

__all__ = ["cities", "network", "new_database", "second_url", "wire"]
