"""Two cities without TLS: real pipelines, outboxes, databases and logs; what lies between them is a function.

async with two_cities(...) as (wuzhou, zhongshan):
    done = await wuzhou.open(application())
    await settle(wuzhou, zhongshan)
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from sqlalchemy import text

from config.data import amounts_bytes, calendar_bytes, catalogue_bytes, procedures_bytes
from node.audit.service import Log
from node.cases import receiving, service
from node.cases.documents import documents_of
from node.cases.opening import tell_all
from node.cases.room import Documents, Room
from node.cases.service import Doing, Done, Opening, Person
from node.exchange.limits import PeerLimits
from node.exchange.pipeline import Pipeline
from node.exchange.service import Exchanging, Learning
from node.membership.service import calendars_in_force
from node.outbox.delivery import Delivery
from node.outbox.service import Outbox
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from node.transport.client import NoAnswer
from protocol.envelope import RawMessage, RawReply, Trust
from protocol.manifest import Member
from tests.networks import TestNetwork, new_number
from tests.node.exchange.receiving import NOW, learns_no_certificate, learns_no_crl, learns_no_manifest

ACCEPTING, RESPONSIBLE = "450400", "442000"
DOCUMENTS = {"catalogue": catalogue_bytes(), "procedures": procedures_bytes(), "amounts": amounts_bytes()} | {
    f"calendar-{year}": data for year, data in calendar_bytes().items()
}
NAMED = {name: hashlib.sha256(data).hexdigest() for name, data in DOCUMENTS.items()}
BY_DIGEST = {NAMED[name]: data for name, data in DOCUMENTS.items()}
Between = Callable[[str, str, RawMessage, Callable[[], Awaitable[RawReply]]], Awaitable[RawReply]]
"""(from, to, message, deliver) -> reply; may raise NoAnswer"""


async def straight(
    _source: str, _target: str, _raw: RawMessage, deliver: Callable[[], Awaitable[RawReply]]
) -> RawReply:
    """Deliver once, and bring the answer back."""
    return await deliver()


def application(**changes: Any) -> dict[str, Any]:
    """Return a complete application for PEN-LUMPSUM whose materials were seen and not attached."""
    seen = "sm3:" + "0" * 64
    content: dict[str, Any] = {
        "person": {"id_type": "01", "id_no": "450400195708151014", "name": "邓国安", "phone": "07740000000"},
        "material": [
            {"material_code": code, "name": code, "form": "original_seen", "digest": seen}
            for code in ("ID_CARD", "TERMINATION_REQUEST", "RIGHTS_NOTICE", "BANK_ACCOUNT")
        ],
        "verification": {
            "method": "counter_card_read",
            "verified_at": "2026-11-24T10:00:00+08:00",
            "operator": "clerk-450400",
        },
        "reason": "AGE_LT15",
        "retire_age_reached_on": "2017-08-15",
        "months_total": 88,
        "notice_given_at": "2026-11-24T09:50:00+08:00",
        "notice_signed_digest": seen,
        "account": {
            "bank_name": "中国银行梧州分行",
            "account_no": "6217000000000000000",
            "account_name": "邓国安",
            "is_social_card_account": True,
        },
    }
    return {**content, **changes}


def answer(**changes: Any) -> dict[str, Any]:
    """Return an answer that approves."""
    content: dict[str, Any] = {
        "result": "APPROVED",
        "decided_at": "2026-11-24T16:00:00+08:00",
        "decided_by": "officer-442000",
        "relation_terminated_on": "2026-11-24",
        "account_balance_fen": 4_123_456,
        "paid_fen": 4_123_456,
        "payment_date": "2026-11-30",
    }
    return {**content, **changes}


CLERK = Person("clerk-450400", "o-clerk", "梧州窗口", "clerk")
OFFICER = Person("officer-442000", "o-officer", "中山社保", "officer")
REVIEWER = Person("reviewer-442000", "o-reviewer", "中山社保", "reviewer")
STEPS: tuple[tuple[str, Person, dict[str, Any]], ...] = (
    ("sign", OFFICER, {}),
    ("decide", OFFICER, {"answer": answer()}),
    ("review", REVIEWER, {}),
    ("handover", CLERK, {"received_by": "person", "received_on": "2026-11-24"}),
)
"""The straight way from the opening to the handover."""


@dataclass
class CaseCity:
    """One city of the pair."""

    code: str
    database: Database
    writer: Writer
    room: Room
    delivery: Delivery
    pipeline: Pipeline
    wire: "Wire"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, content: dict[str, Any], *, request: str | None = None, to: str = RESPONSIBLE) -> Done:
        opening = Opening("PEN-LUMPSUM", to, content)
        return await self.writer.submit(lambda tx: service.open_case(self.room, tx, opening, CLERK, request=request))

    async def act(
        self, number: str, event: str, person: Person, data: dict[str, Any] | None = None, **more: Any
    ) -> Done:
        request = more.pop("request", None)
        doing = Doing(number, event, data or {}, **more)
        return await self.writer.submit(lambda tx: service.act(self.room, tx, doing, person, request=request))

    def row(self, number: str) -> Any:
        with self.database.reading() as session:
            return service.read_case(session, number)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def transcript(self, number: str) -> list[tuple[int, bytes, bytes]]:
        """Return (seq, statement, head) of the placed events."""
        found = self.rows(
            f"SELECT seq, statement, head FROM case_event WHERE number = '{number}' AND seq IS NOT NULL ORDER BY seq"  # noqa: S608
        )
        return [(seq, bytes(statement), bytes(head)) for seq, statement, head in found]

    def waiting(self) -> int:
        return int(self.rows("SELECT count(*) FROM outbox WHERE state = 'waiting'")[0][0])


@dataclass
class Wire:
    """What lies between the cities: their pipelines by code, and a function that may lose, repeat and delay."""

    network: TestNetwork
    clock: list[datetime]
    between: Between = straight
    cities: dict[str, CaseCity] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)
    has_room: bool = True
    """whether the disks of both cities have their reserve"""

    def now(self) -> datetime:
        """Return the tests' own time, which goes on as fast as ours."""
        return self.clock[0] + timedelta(seconds=time.monotonic() - self.begun)


@dataclass
class WireClient:
    """The peer client of one city."""

    source: str
    wire: Wire

    async def post_message(
        self, member: Member, statement: bytes, body: bytes, content_type: str, *, seconds: float
    ) -> tuple[RawReply, str]:
        raw = RawMessage(statement, body, content_type)

        async def deliver() -> RawReply:
            target = self.wire.cities.get(member.id)
            if target is None:
                raise NoAnswer("unreachable", "the city is down")
            sealed = await target.pipeline.receive(raw, self.wire.network[self.source].tls.certificate)
            return RawReply(
                sealed.status, sealed.statement, sealed.body, sealed.content_type, sealed.retry_after_seconds
            )

        return await self.wire.between(self.source, member.id, raw, deliver), member.id


def documents_under(trust: list[Trust]) -> Documents:
    """Return the documents that came with the software, in force by the manifest."""
    return documents_of(
        lambda _session, digest: BY_DIGEST.get(digest),
        lambda session: calendars_in_force(session, trust[0].manifest, BY_DIGEST),
        lambda: trust[0].manifest,
        NAMED,
    )


def make_city(
    code: str, database_url: str, open_database: Callable[..., Database], wire: Wire, **changes: Any
) -> CaseCity:
    """Return a city on a database; it serves once it stands in `wire.cities`."""
    vault = open_vault(hashlib.sha256(code.encode()).digest(), os.urandom)
    log = Log(f"tongban/yizhangwang/{code}/1", vault, os.urandom)
    database = open_database(database_url, log.close_group)
    writer = Writer(database)
    network, random = wire.network, Random(code)
    learning = Learning(learns_no_certificate, learns_no_manifest, learns_no_crl)
    trust: list[Trust] = [network.trust_of(code)]
    key = network[code].message_key
    recipients: dict[str, Any] = {}
    hints: list[Callable[[], None]] = []
    outbox = Outbox(
        vault=vault, trust=lambda: trust[0], key=lambda: key, now=wire.now, new_id=new_number, random=random.random,
        recipients=recipients, hint=lambda: hints[0]() if hints else None,
    )  # fmt: skip
    room = Room(
        member=code, vault=vault, outbox=outbox, trust=lambda: trust[0],
        documents=documents_under(trust),
        describe=lambda _session, _digests, _number: [], attach=lambda _tx, _refs, _number, _by: None,
        has_room=lambda: wire.has_room, now=wire.now, random=os.urandom,
    )  # fmt: skip
    room = replace(room, tell=partial(tell_all, room))
    recipients.update(receiving.recipients(room))
    clients: Any = WireClient(code, wire)
    exchanging = Exchanging(clients, lambda: trust[0], learning, wire.now)

    async def complete(_claimed: Any, _problem: Any) -> bool:
        return False

    delivery = Delivery(outbox, writer, exchanging, complete, poll_seconds=0.02)
    hints.append(delivery.hint)
    given: dict[str, Any] = {
        "writer": writer, "vault": vault, "limits": PeerLimits(100_000), "handlers": receiving.message_handlers(room),
        "trust": lambda: trust[0], "key": lambda: key, "learning": learning, "now": wire.now, "new_id": new_number,
        "has_room": lambda: wire.has_room,
    }  # fmt: skip
    return CaseCity(code, database, writer, room, delivery, Pipeline(**{**given, **changes}), wire)


@asynccontextmanager
async def running(*cities: CaseCity) -> AsyncIterator[None]:
    """Run writers and deliveries of cities."""
    tasks = []
    for city in cities:
        city.writer.start()
        city.wire.cities[city.code] = city
        tasks.append(asyncio.create_task(city.delivery.run(city.stopping)))
    try:
        yield
    finally:
        for city in cities:
            city.stopping.set()
        await asyncio.gather(*tasks)
        for city in cities:
            city.writer.stop()


async def settle(*cities: CaseCity, seconds: float = 20.0) -> None:
    """Wait until nothing waits in an outbox."""
    async with asyncio.timeout(seconds):
        while any(city.waiting() for city in cities):
            await asyncio.sleep(0.01)


def at(**later: float) -> datetime:
    """Return a moment after NOW."""
    return NOW.astimezone(UTC) + timedelta(**later)
