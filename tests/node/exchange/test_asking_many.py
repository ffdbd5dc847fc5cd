"""A question to many cities: one commit before anything is sent, and each city's own outcome (protocol §5)."""

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from node.audit.service import Log
from node.exchange.service import Asking, Learning, Question
from node.records.service import CityAnswer, Enquiry, ask_city, ask_network
from node.storage.unit_of_work import Database, Pending
from node.storage.writer import Writer
from protocol.claims import Who, Why
from protocol.envelope import RawMessage, RawReply, Trust, unseal
from protocol.errors import Busy, NotAMember, Refusal
from protocol.manifest import Manifest, Member, Status
from protocol.messages import Ping, RecordAnswer, RecordKind, Subject, format_body
from tests.networks import TestNetwork, make_network, new_number
from tests.node.exchange.receiving import NOW, VAULT, learns_no_certificate, learns_no_crl, learns_no_manifest

US = "450400"
PEERS = ("442000", "520300", "360700", "440900")
NOTHING = RecordAnswer(salt="AAAAAAAAAAAAAAAAAAAAAA", found=False, withheld=[], as_of="2026-11-24T11:00:00+08:00")
ENQUIRY = Enquiry(
    RecordKind.ENROLMENT,
    Subject(id_type="01", id_number="442000199003070018", name="查无此人"),
    Why(item="INS-CERT", basis="STATUTORY", ref="ZX450400202611240000012"),
    Who(office="窗口 2", officer="o-7f3c", role="clerk"),
)
LOG = Log(f"tongban/yizhangwang/{US}/1", VAULT, os.urandom)


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return make_network([US, *PEERS], NOW)


@dataclass
class Groups:
    """The log of our city, and how many entries each commit brought."""

    sizes: list[int] = field(default_factory=list)

    def close(self, session: Session, pending: Sequence[Pending]) -> None:
        LOG.close_group(session, pending)
        self.sizes.append(len(pending))


@dataclass
class Peers:
    """Peers that answer without a wire, and look at our database when the first question reaches them."""

    network: TestNetwork
    database: Database
    committed: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def post_message(
        self, member: Member, statement: bytes, body: bytes, content_type: str, *, seconds: float
    ) -> tuple[RawReply, str]:
        self.committed.append(len(rows(self.database, "SELECT jti FROM sent")))
        self.asked.append(member.id)
        raw = RawMessage(statement, body, content_type)
        request = unseal(raw, self.network.trust_of(member.id), peer=US, now=NOW)
        return self.network.answer(request, NOTHING, msg="record.answer"), member.id


def rows(database: Database, query: str) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(text(query)))


@dataclass
class Node:
    """An asking node without TLS: its real writer, database and log."""

    network: TestNetwork
    database: Database
    groups: Groups
    trust: Trust
    peers: Peers

    def run(self, use: Callable[[Asking], Awaitable[Any]], **changes: Any) -> Any:
        """Run with a writer; fields of Asking can be changed by name."""

        async def running() -> Any:
            writer = Writer(self.database)
            writer.start()
            given: dict[str, Any] = {
                "read": writer.read,
                "clients": self.peers,
                "trust": lambda: self.trust,
                "key": lambda: self.network.cities[US].message_key,
                "learning": Learning(learns_no_certificate, learns_no_manifest, learns_no_crl),
                "now": lambda: NOW,
                "new_id": new_number,
                "monotonic": lambda: 0.0,
            }
            try:
                return await use(Asking(**{**given, **changes}))
            finally:
                writer.stop()

        return asyncio.run(running())

    def ask(self, *members: str, **changes: Any) -> dict[str, CityAnswer]:
        async def use(asking: Asking) -> dict[str, CityAnswer]:
            asked = ask_network(asking, ENQUIRY, members, random=os.urandom, seconds=5)
            return {answer.member: answer async for answer in asked}

        found: dict[str, CityAnswer] = self.run(use, **changes)
        return found

    def log(self) -> list[tuple[str, str]]:
        """Return (kind, peer) of all entries, in their order."""
        return [(kind, peer) for kind, peer in rows(self.database, 'SELECT kind, peer FROM log_entry ORDER BY "index"')]


@pytest.fixture
def node(network: TestNetwork, open_database: Callable[..., Database], database_url: str) -> Node:
    groups = Groups()
    database = open_database(database_url, groups.close)
    return Node(network, database, groups, network.trust_of(US), Peers(network, database))


def test_all_questions_are_committed_in_one_transaction_before_the_first_is_sent(node: Node) -> None:
    answers = node.ask(*PEERS)
    assert {one.outcome for one in answers.values()} == {"none"}
    assert node.groups.sizes[0] == len(PEERS), "the questions are one group"
    assert node.peers.committed == [len(PEERS)] * len(PEERS), "no city was asked before all were committed"
    assert node.log()[: len(PEERS)] == [("message", peer) for peer in PEERS]
    assert sorted(node.log()[len(PEERS) :]) == sorted(("reply", peer) for peer in PEERS)


def test_each_question_and_each_answer_is_kept(node: Node) -> None:
    node.ask(*PEERS)
    kept = rows(node.database, "SELECT aud, status, reply FROM sent")
    assert sorted((aud, status) for aud, status, _ in kept) == sorted((peer, 200) for peer in PEERS)
    assert len({reply for *_, reply in kept}) == len(PEERS)


def suspending(manifest: Manifest, member: str) -> Manifest:
    changed = dataclasses.replace(manifest.members[member], status=Status.SUSPENDED)
    return dataclasses.replace(manifest, members={**manifest.members, member: changed})


def test_a_city_that_may_not_be_asked_is_refused_alone_and_nothing_is_signed_for_it(node: Node) -> None:
    resting, unknown = PEERS[1], "659003"
    node.trust = dataclasses.replace(node.trust, manifest=suspending(node.trust.manifest, resting))
    answers = node.ask(*PEERS, unknown)
    said = {member: (one.outcome, one.slug) for member, one in answers.items()}
    assert said.pop(resting) == ("refused", "member-suspended")
    assert said.pop(unknown) == ("refused", "not-a-member")
    assert set(said.values()) == {("none", "")}
    assert {aud for (aud,) in rows(node.database, "SELECT aud FROM sent")} == set(PEERS) - {resting}
    assert resting not in node.peers.asked


def test_what_cannot_be_committed_is_not_sent(node: Node) -> None:
    async def full(_work: Any, _ahead: Any) -> None:
        raise Busy("too many requests are waiting", retry_after_seconds=1)

    answers = node.ask(*PEERS, read=full)
    assert {member: (one.outcome, one.slug) for member, one in answers.items()} == dict.fromkeys(
        PEERS, ("refused", "busy")
    )
    assert node.peers.asked == []


def test_a_failure_halfway_leaves_nothing_of_any_question(node: Node) -> None:
    twice = new_number()
    numbers = iter([new_number(), twice, twice])
    with pytest.raises(IntegrityError):
        node.ask(*PEERS[:3], new_id=lambda: next(numbers))
    assert (rows(node.database, "SELECT jti FROM sent"), node.log(), node.peers.asked) == ([], [], [])


def test_one_city_is_asked_as_many_are(node: Node) -> None:
    async def use(asking: Asking) -> CityAnswer:
        return await ask_city(asking, ENQUIRY, PEERS[0], random=os.urandom, seconds=5)

    answer = node.run(use)
    assert (answer.outcome, node.peers.committed, node.groups.sizes) == ("none", [1], [1, 1])


def test_a_question_to_no_member_is_refused_before_anything_is_signed(node: Node) -> None:
    async def use(asking: Asking) -> None:
        await asking.ask(Question("659003", "ping", format_body(Ping())), seconds=1)

    with pytest.raises(Refusal) as refused:
        node.run(use)
    assert isinstance(refused.value, NotAMember)
    assert node.groups.sizes == []
