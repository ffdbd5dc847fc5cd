"""One network of three cities for the whole run: tests that only look, or are refused, share it.

A city logs at most thirty refusals of one peer a minute, so each test gets the next *pair* of sender and
receiver: six pairs leave room for 180 refusals a minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, permutations

import pytest

from protocol.envelope import RawMessage, Reply
from protocol.messages import Ping
from protocol.suites import parse_json
from tests.processes.cities import RunningNetwork, running_network
from tests.processes.wire import HttpAnswer

CODES = ("442000", "450400", "520300")
_turns = count()


@pytest.fixture(scope="session")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Three running cities; leave them as they were."""
    with running_network(tmp_path_factory.mktemp("cities"), CODES) as network:
        yield network


@dataclass(frozen=True)
class Pair:
    """A sender and a receiver, and the receiver's log and replay rows as they were before the test."""

    network: RunningNetwork
    sender: str
    receiver: str
    log_size: int

    @property
    def third(self) -> str:
        return next(code for code in CODES if code not in (self.sender, self.receiver))

    def from_now(self) -> "Pair":
        """Return the same pair for what follows: what was logged until now no longer counts."""
        return replace(self, log_size=len(self.network.log_entries(self.receiver)))

    def seal(self, **changes: object) -> RawMessage:
        """Return a good ping, but for `changes`."""
        return self.network.seal(self.sender, self.receiver, Ping(), msg="ping", **changes)

    def post(self, raw: RawMessage, **options: object) -> HttpAnswer:
        return self.network.post(self.sender, self.receiver, raw.statement, raw.body, **options)  # type: ignore[arg-type]

    def new_entries(self, kind: str) -> list[dict[str, object]]:
        """Return what the receiver has logged about the sender since the test began."""
        entries = self.network.log_entries(self.receiver, after=self.log_size - 1)
        return [one for one in entries if one["kind"] == kind and one.get("peer") == self.sender]

    def assert_refused(
        self, answer: HttpAnswer, slug: str, status: int, raw: RawMessage, *, signed: bool = True
    ) -> Reply | None:
        """Check all that a refusal promises: slug, status, signature, one entry, no effect, no echo."""
        problem = parse_json(answer.body)
        assert (problem["slug"], problem["status"], answer.status) == (slug, status, status), problem
        assert answer.headers["content-type"] == "application/problem+json"
        self.assert_no_effect()
        (entry,) = self.new_entries("refusal")
        assert (entry["slug"], entry["status"], entry["dir"]) == (slug, status, "in")
        assert_no_echo(answer.body, raw)
        if not signed:
            assert "tongban-message" not in answer.headers
            return None
        reply = self.network.reply(self.sender, self.receiver, raw, answer)
        assert (reply.claims.msg, reply.claims.log) == ("refusal", None)
        return reply

    def assert_no_effect(self) -> None:
        assert not self.new_entries("message")


def assert_no_echo(said: bytes, raw: RawMessage) -> None:
    """Check that an answer repeats no part of the request that is long enough to mean something."""
    sent = raw.statement + b" " + raw.body
    pieces = {sent[at : at + 24] for at in range(0, max(1, len(sent) - 24), 8)}
    assert not [piece for piece in pieces if len(piece) == 24 and piece in said]


@pytest.fixture
def pair(cities: RunningNetwork) -> Pair:
    """The next pair of sender and receiver."""
    pairs = list(permutations(CODES, 2))
    sender, receiver = pairs[next(_turns) % len(pairs)]
    return Pair(cities, sender, receiver, len(cities.log_entries(receiver)))
