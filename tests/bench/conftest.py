"""Fixtures of the benchmarks' tests."""

from pathlib import Path

import pytest

from tests.bench.checkouts import Checkout, make_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without benchmarks."""
    return make_checkout(tmp_path)
