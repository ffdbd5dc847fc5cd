"""What the manifest names and this node lacks is fetched from whichever peer has it; its digest proves it."""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from node.membership.catching_up import CatchUp
from node.membership.service import DOCUMENT_MAX_BYTES, accept_version, keep_trust, stored_document, take_document
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from node.transport.client import NoAnswer, PeerClients
from protocol.manifest import Member, Status
from tests.node.membership.documents import (
    ME,
    NOW,
    OFFICIAL,
    OTHER,
    PEER,
    PROVISIONAL,
    a_network,
    digests,
    join,
    name_of,
)

NETWORK = a_network(calendar_2027=PROVISIONAL)
NEXT = digests(calendar_2027=OFFICIAL)
Answer = Callable[[], Any]


def having(data: bytes) -> Answer:
    return lambda: SimpleNamespace(status=200, headers={}, body=data, server="")


def lacking() -> Any:
    return SimpleNamespace(status=404, headers={}, body=b"{}", server="")


def away() -> Any:
    raise NoAnswer("unreachable", "away")


class Peers:
    """Stands for the clients: what each peer answers, and what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {PEER: lacking, OTHER: lacking}
        self.asked: list[tuple[str, str]] = []

    async def request(self, member: Member, method: str, path: str, **options: Any) -> Any:
        assert (method, options["max_bytes"]) == ("GET", DOCUMENT_MAX_BYTES)
        self.asked.append((member.id, path))
        return self.answers[member.id]()


class Desk:
    """A node that has joined and holds the second version of the manifest, whose calendar it lacks."""

    def __init__(self, node: Database) -> None:
        self.node, self.peers, self.writer = node, Peers(), Writer(node)
        self.writer.start()
        join(node, NETWORK)
        node.write(lambda tx: accept_version(tx, NETWORK.next_version(documents=NEXT), now=NOW))
        self.builtin = {name_of(PROVISIONAL): PROVISIONAL}

    def poll(self, times: int = 1) -> None:
        clients: PeerClients = self.peers  # type: ignore[assignment]
        keeper = keep_trust(self.node, ME)
        catch_up = CatchUp(keeper, clients, self.writer, lambda: NOW, lambda: 0.0, self.builtin)

        async def run() -> None:
            for _ in range(times):
                await catch_up.poll_documents()

        asyncio.run(run())

    def has_it(self) -> bool:
        with self.node.reading() as session:
            return stored_document(session, self.builtin, name_of(OFFICIAL)) == OFFICIAL


@pytest.fixture
def desk(node: Database) -> Iterator[Desk]:
    made = Desk(node)
    yield made
    made.writer.stop()


PATH = f"/v1/documents/{name_of(OFFICIAL)}"


def test_a_document_is_fetched_from_the_first_peer_that_has_it_and_asked_for_no_more(desk: Desk) -> None:
    desk.peers.answers[PEER] = desk.peers.answers[OTHER] = having(OFFICIAL)
    desk.poll(times=2)
    assert desk.has_it()
    assert len(desk.peers.asked) == 1
    assert desk.peers.asked[0][1] == PATH


@pytest.mark.parametrize("first", [lacking, away, having(OFFICIAL + b" "), having(b"")],
                         ids=["has it not", "is away", "serves another", "serves nothing"])  # fmt: skip
def test_a_peer_that_cannot_serve_it_is_passed_over(desk: Desk, first: Answer) -> None:
    first_asked, second = sorted([PEER, OTHER])
    desk.peers.answers = {first_asked: first, second: having(OFFICIAL)}
    desk.poll()
    assert desk.has_it()
    assert desk.peers.asked == [(first_asked, PATH), (second, PATH)]


def test_what_nobody_serves_is_asked_for_again_at_the_next_poll(desk: Desk) -> None:
    desk.peers.answers = {PEER: away, OTHER: having(PROVISIONAL)}
    desk.poll(times=2)
    assert not desk.has_it()
    assert len(desk.peers.asked) == 4
    desk.peers.answers[PEER] = having(OFFICIAL)
    desk.poll()
    assert desk.has_it()


def test_nobody_is_asked_for_what_is_here(desk: Desk) -> None:
    desk.node.write(lambda tx: take_document(tx, OFFICIAL, now=NOW))
    desk.poll()
    assert desk.peers.asked == []


def test_a_suspended_member_is_not_asked(desk: Desk) -> None:
    second = NETWORK.upgraded(NETWORK.next_version(documents=NEXT))
    third = second.next_version(documents=NEXT, statuses={OTHER: Status.SUSPENDED})
    desk.node.write(lambda tx: accept_version(tx, third, now=NOW))
    desk.poll()
    assert [one for one, _ in desk.peers.asked] == [PEER]
