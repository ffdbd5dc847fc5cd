"""Catching up: a city that lacks events of a case fetches them from the other, each proven before it is taken.

Asked for by `receiving` when something arrives before its predecessors; `GET /v1/cases/{case}/events` of the
sequencer gives them in order. An event of ours among them is the receipt that we missed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from node.cases import store
from node.cases.legs import tell_of_leg
from node.cases.receiving import take_place
from node.cases.room import Room
from node.cases.service import EVENTS_MAX
from node.cases.transcripts import Said, append, parse_event, place_waiting, rules_of_case
from node.storage.unit_of_work import Transaction
from node.storage.writer import Writer
from node.transport.client import NoAnswer, PeerClients
from protocol.cases import Place
from protocol.claims import JSON_TYPE
from protocol.envelope import Message, RawMessage, unseal_kept
from protocol.errors import Malformed, Refusal
from protocol.suites import decode, encode, parse_json
from protocol.transcript import position

SECONDS: Final = 10.0
PAGES_MAX: Final = 100

logger = structlog.get_logger("cases")


@dataclass(frozen=True, slots=True)
class CaseCatchUp:
    """Fetches what cases of this city lack."""

    room: Room
    writer: Writer
    clients: PeerClients

    async def run(self, stopping: asyncio.Event, *, pause: float = 0.2) -> None:
        """Look after the cases that are behind until the process stops."""
        while not stopping.is_set():
            for number, peer in list(self.room.behind):
                self.room.behind.discard((number, peer))
                try:
                    await self.fetch(number, peer)
                except (NoAnswer, Refusal) as fault:
                    logger.info("case.not_caught_up", peer=peer, fault=type(fault).__name__)
                except Exception:
                    logger.exception("case.catching_up_failed", peer=peer)
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue

    async def fetch(self, number: str, peer: str) -> None:
        """Fetch what follows our transcript, page by page.

        Raises:
            NoAnswer: the peer cannot be asked now.
            Refusal: what it served does not verify.
        """
        member = self.room.trust().manifest.members[peer]
        for _ in range(PAGES_MAX):
            seq = await self.writer.submit(lambda tx: _seq_of(tx, number))
            if seq is None:
                return
            answer = await self.clients.request(
                member, "GET", f"/v1/cases/{number}/events?after={seq}", seconds=SECONDS
            )
            events = _events_in(answer.body) if answer.status == 200 else []
            for one in events:
                await self.writer.submit(partial(self._take, number=number, peer=peer, served=one))
            if len(events) < EVENTS_MAX:
                return

    def _take(self, transaction: Transaction, number: str, peer: str, served: Mapping[str, Any]) -> None:
        row = store.locked_case(transaction.session, number)
        seq, statement, body = served["seq"], str(served["statement"]).encode(), decode(str(served["body"]).encode())
        if row is None or row.halted or type(seq) is not int or seq != row.seq + 1:
            return
        trust, now = self.room.trust(), self.room.now()
        message: Message = unseal_kept(
            RawMessage(statement, body, JSON_TYPE), trust, parties=(peer, self.room.member), now=now
        )
        said, before = Said(message), position(row.seq, row.head)
        if message.claims.iss == self.room.member:
            place = Place(seq=seq, prev=before.head, head=before.after(said.digest).head)
            stored = store.event(transaction.session, number, said.jti)
            if stored is not None:
                take_place(self.room, transaction, row, stored, place)
            return
        event = parse_event(message.body)
        if event.seq != seq or event.prev != encode(row.head):
            return
        append(self.room, transaction, row, said, event, rules_of_case(self.room, transaction, row), is_stored=False)
        place_waiting(self.room, transaction, number)
        tell_of_leg(self.room, transaction, row)


def _seq_of(transaction: Transaction, number: str) -> int | None:
    row = store.case(transaction.session, number)
    return row.seq if row is not None and not row.halted else None


def _events_in(body: bytes) -> list[Mapping[str, Any]]:
    content = parse_json(body)
    events = content.get("events")
    if not isinstance(events, list) or len(events) > EVENTS_MAX or not all(isinstance(one, dict) for one in events):
        raise Malformed("the events of a case are a list")
    return events
