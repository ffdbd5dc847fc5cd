"""Cases between two cities that are killed at random over a wire that harms: nothing lost, nothing twice."""

import asyncio
import hashlib

import pytest

from tests.databases import PostgreSql
from tests.faults.cases_under_fire import OURS, THEIRS, fault_of, on_fire, play, seed, violations
from tests.node.cases.two_cities import STEPS

GATE = {"cases": 500, "kills": 30, "at_once": 24, "calm_seconds": 60}
FULL = {"cases": 10_000, "kills": 500, "at_once": 96, "calm_seconds": 60}


def pattern_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return "sqlite:///data/tongban.db"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.pattern([OURS, THEIRS])


def burn(pattern: str, plan: dict[str, int]) -> None:
    with on_fire(seed(), pattern) as fire:
        numbers = asyncio.run(play(fire, **plan))
        assert fire.kills == plan["kills"]
        assert sum(proxy.harmed for proxy in fire.proxies.values()) > 0, "the wire was harmful"
        assert violations(fire, numbers) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_five_hundred_cases_and_thirty_kills(kind: str, request: pytest.FixtureRequest) -> None:
    burn(pattern_of(kind, request), GATE)


@pytest.mark.nightly
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_ten_thousand_cases_and_five_hundred_kills(kind: str, request: pytest.FixtureRequest) -> None:
    burn(pattern_of(kind, request), FULL)


def test_the_checker_finds_what_is_wrong() -> None:
    """Forged histories: each is found, so that an empty list means something."""

    def chained(names: list[str]) -> list[tuple[int, str, bytes, bytes]]:
        head, events = b"", []
        for seq, name in enumerate(names):
            digest = hashlib.sha256(name.encode()).digest()
            head = hashlib.sha256(head + digest).digest() if head else digest
            events.append((seq, name, name.encode(), head))
        return events

    right = ["open", *(one[0] for one in STEPS)]
    assert fault_of(chained(right)) == ""
    assert fault_of(chained(right)[:-1]) != ""
    assert fault_of(chained([*right, right[-1]])) != ""
    swapped = chained(right)
    swapped[1], swapped[2] = swapped[2], swapped[1]
    assert fault_of(swapped) == "places"
    changed = chained(right)
    changed[2] = (2, changed[2][1], b"another text", changed[2][3])
    assert fault_of(changed) == "heads"
