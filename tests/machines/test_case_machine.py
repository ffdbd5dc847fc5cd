"""Both cities of a case under concurrent, late and repeated events: a state machine that Hypothesis drives (E3).

Nothing is delivered by itself: the machine takes messages from an outbox, brings them now, later or three times,
loses answers, and lets people of both cities act meanwhile. After every step the accepting city's transcript is a
beginning of the responsible city's; when all is delivered, both are equal and stand in the same state.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.cases import receiving, service, transcripts
from node.cases.service import Doing, Person
from node.cases.service import Opening as CaseOpening
from node.outbox.service import LEASE, Claimed
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database
from protocol.envelope import RawMessage, RawReply
from protocol.errors import InvalidTransition, NotFound
from protocol.suites import decode
from tests.networks import TestNetwork, make_network
from tests.node.cases.two_cities import (
    ACCEPTING,
    NAMED,
    RESPONSIBLE,
    CaseCity,
    Wire,
    answer,
    application,
    make_city,
)
from tests.node.exchange.receiving import NOW

DATA: dict[str, dict[str, Any]] = {
    "decide": {"answer": answer()},
    "supplement": {"missing": ["银行卡"]},
    "handover": {"received_by": "person", "received_on": "2026-11-24"},
    "forward": {"to": "520300", "reason": "r"},
    "uphold": {"reason": "r", "legal_ref": "l", "remedy": "m"},
    **{event: {"reason": "r"} for event in ("return", "withdraw", "suspend", "dispute", "reopen")},
    **{event: {"text": "t"} for event in ("chase", "escalate", "remind")},
}
EVENTS = sorted({*DATA, "sign", "review", "resume", "supplemented"})


class CaseMachine(RuleBasedStateMachine):
    """Two cities and what is under way between them."""

    template: ClassVar[Path]
    network: ClassVar[TestNetwork]

    @initialize()
    def open(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="case-machine-"))
        self.wire = Wire(self.network, [NOW])
        self.engines: list[Any] = []
        self.cities = [self._city(code) for code in (ACCEPTING, RESPONSIBLE)]
        self.late: list[tuple[CaseCity, CaseCity, RawMessage]] = []
        for city in self.cities:
            city.writer.start()
        wanted = CaseOpening("PEN-LUMPSUM", RESPONSIBLE, application())
        person = Person("a", "o-a", "窗口", "clerk")
        done = self.cities[0].database.write(lambda tx: service.open_case(self.cities[0].room, tx, wanted, person))
        self.number = done.number

    def _city(self, code: str) -> CaseCity:
        def opened(url: str, close: Callable[..., None]) -> Database:
            self.engines.append(open_engine(url))
            return Database(self.engines[-1], close)

        url = f"sqlite:///{shutil.copy(self.template, self.root / f'{code}.db')}"
        return make_city(code, url, opened, self.wire)

    # what people do

    @rule(side=st.sampled_from([0, 1]), event=st.sampled_from(EVENTS), officer=st.sampled_from("ab"))
    def act(self, side: int, event: str, officer: str) -> None:
        city = self.cities[side]
        for role in ("clerk", "officer", "reviewer", "director"):
            person = Person(officer, f"o-{officer}", "窗口", role)
            doing = Doing(self.number, event, DATA.get(event, {}))
            try:
                city.database.write(lambda tx, p=person, d=doing: service.act(city.room, tx, d, p))  # type: ignore[misc]
            except InvalidTransition:
                continue
            except NotFound:
                return
            return

    # what the wire does

    @rule(side=st.sampled_from([0, 1]), times=st.sampled_from([1, 1, 3]), heard=st.booleans())
    def deliver(self, side: int, times: int, heard: bool) -> None:
        """Bring the next message once or three times; the answer is heard or lost."""
        for claimed in self._claim(side):
            answers = [self._bring(side, claimed.message) for _ in range(times)]
            if heard:
                self._hear(side, claimed, answers[-1])

    @rule(side=st.sampled_from([0, 1]))
    def keep(self, side: int) -> None:
        """Take the next message, and bring it later; nobody waits for its answer any more."""
        for claimed in self._claim(side):
            raw = RawMessage(claimed.message.statement, claimed.message.body, "application/json")
            self.late.append((self.cities[side], self.cities[1 - side], raw))

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def bring_late(self, data: st.DataObject) -> None:
        source, target, raw = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        self._post(source, target, raw)

    def _claim(self, side: int) -> list[Claimed]:
        self.wire.clock[0] += LEASE + timedelta(minutes=10)  # whoever had it before has lost it
        city = self.cities[side]
        return list(city.database.write(lambda tx: city.room.outbox.claim(tx, under_way={}, per_peer=1, limit=1))[0])

    def _bring(self, side: int, message: Any) -> RawReply:
        raw = RawMessage(message.statement, message.body, "application/json")
        return self._post(self.cities[side], self.cities[1 - side], raw)

    def _post(self, source: CaseCity, target: CaseCity, raw: RawMessage) -> RawReply:
        certificate = self.network[source.code].tls.certificate
        sealed = asyncio.run(target.pipeline.receive(raw, certificate))
        return RawReply(sealed.status, sealed.statement, sealed.body, sealed.content_type, sealed.retry_after_seconds)

    def _hear(self, side: int, claimed: Claimed, raw: RawReply) -> None:
        """Let the delivery of a city take an answer, as if it had just come."""
        city = self.cities[side]

        async def take() -> None:
            exchanging = city.delivery.exchanging
            clients = _Answered(raw, claimed.peer)
            heard = type(exchanging)(clients, exchanging.trust, exchanging.learning, exchanging.now)  # type: ignore[arg-type]
            exchanged = await heard.send(claimed.peer, claimed.message, seconds=1)
            await city.delivery._answered(claimed, exchanged)

        asyncio.run(take())

    # what must hold

    @invariant()
    def the_accepting_transcript_is_a_beginning_of_the_responsible_one(self) -> None:
        if hasattr(self, "number"):
            ours, theirs = (city.transcript(self.number) for city in self.cities)
            if theirs:
                assert ours == theirs[: len(ours)]
            assert [
                row for city in self.cities for row in city.rows("SELECT halted FROM cases WHERE halted <> ''")
            ] == []

    def teardown(self) -> None:
        if not hasattr(self, "number"):
            return
        try:
            for _ in range(200):
                for side in (0, 1):
                    self.deliver(side, 1, True)
                if not any(city.waiting() for city in self.cities):
                    break
            ours, theirs = (city.transcript(self.number) for city in self.cities)
            assert ours == theirs
            rows = [city.row(self.number) for city in self.cities]
            assert rows[0].state == rows[1].state
            assert not any(city.waiting() for city in self.cities), "all is delivered"
        finally:
            for city in self.cities:
                city.writer.stop()
            for engine in self.engines:
                engine.dispose()
            shutil.rmtree(self.root, ignore_errors=True)


class _Answered:
    """A client that has an answer already."""

    def __init__(self, raw: RawReply, member: str) -> None:
        self.raw, self.member = raw, member

    async def post_message(self, *_given: Any, **_more: Any) -> tuple[RawReply, str]:
        return self.raw, self.member


@pytest.fixture
def machine(sqlite_template: Path) -> type[CaseMachine]:
    CaseMachine.template = sqlite_template
    CaseMachine.network = make_network([ACCEPTING, RESPONSIBLE], NOW, documents=NAMED)
    return CaseMachine


def test_both_cities_agree_whatever_happens(machine: type[CaseMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_machine_finds_a_planted_bug(machine: type[CaseMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposal takes its place before its predecessors have come: the heads part, and the machine sees it."""

    def hasty(room: Any, transaction: Any, row: Any, stored: Any, place: Any) -> None:
        if stored.seq is None:
            transcripts.place_own(room, transaction, row, stored, head=decode(place.head.encode()))

    monkeypatch.setattr(receiving, "take_place", hasty)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=400,
                derandomize=True,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                print_blob=False,
                phases=(Phase.generate,),
            ),
        )
