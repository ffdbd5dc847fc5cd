"""How the composition root opens the cases room: room, outbox, delivery and catching up, which know each other."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
from sqlmodel import Session

from node.attachments import service as attachments
from node.cases import telling
from node.cases.catching_up import CaseCatchUp
from node.cases.funding import follow_funds
from node.cases.receiving import recipients
from node.cases.room import Documents, Room, Step
from node.outbox.service import Claimed, Outbox, Recipient
from node.storage.encryption import Vault
from node.storage.unit_of_work import Transaction
from node.storage.writer import Writer
from node.transport.client import PeerClients
from protocol.cases import AttachmentRef
from protocol.envelope import MessageKey, Trust
from protocol.errors import AttachmentMissing, InvalidBody, Problem
from protocol.manifest import Member

Complete = Callable[[Claimed, Problem], Awaitable[bool]]
"""Brings the attachments of a message that its receiver lacks."""


class Delivering(Protocol):
    """What sends the messages of an outbox (`node.outbox.delivery.Delivery`)."""

    def hint(self) -> None:
        """Look at the outbox soon; may be called from any thread."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until the process stops."""


logger = structlog.get_logger("cases")


@dataclass(frozen=True, slots=True)
class OpenedCases:
    """What serves cases in one process."""

    room: Room
    delivery: Delivering
    catch_up: CaseCatchUp

    async def run(self, stopping: asyncio.Event, *, delivering: bool) -> None:
        """Catch up, and deliver where this process does scheduled work, until the process stops."""
        parts = [self.catch_up.run(stopping)]
        if delivering:
            parts.append(self.delivery.run(stopping))
        await asyncio.gather(*parts)


def open_cases(
    *,
    member: str,
    vault: Vault,
    trust: Callable[[], Trust],
    key: Callable[[], MessageKey],
    writer: Writer,
    clients: PeerClients,
    delivering: Callable[[Outbox, Complete], Delivering],
    deliver: Callable[[Member, Sequence[attachments.Described]], Awaitable[bool]],
    attachments: attachments.Attachments,
    documents: Documents,
    has_room: Callable[[], bool],
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    uniform: Callable[[], float],
    random: Callable[[int], bytes],
) -> OpenedCases:
    """Return what serves cases; `deliver` brings attachments to a peer."""
    known: dict[str, Recipient] = {}
    hints: list[Callable[[], None]] = []
    outbox = Outbox(vault, trust, key, now, new_id, uniform, known, lambda: hints[0]() if hints else None)
    room = Room(
        member=member,
        vault=vault,
        outbox=outbox,
        trust=trust,
        documents=documents,
        describe=describe,
        attach=lambda transaction, refs, number, by: attach(attachments, transaction, refs, number, by),
        has_room=has_room,
        now=now,
        random=random,
    )
    room = replace(room, tell=partial(tell_all, room))
    known.update(recipients(room))
    bringing = Bringing(writer, trust, deliver, member)
    delivery = delivering(outbox, bringing.complete)
    hints.append(delivery.hint)
    return OpenedCases(room, delivery, CaseCatchUp(room, writer, clients))


@dataclass(frozen=True, slots=True)
class Bringing:
    """Brings the attachments of a message that its receiver lacks."""

    writer: Writer
    trust: Callable[[], Trust]
    deliver: Callable[[Member, Sequence[attachments.Described]], Awaitable[bool]]
    member: str

    async def complete(self, claimed: Claimed, _problem: Problem) -> bool:
        """Bring what a message names; False when that did not succeed now."""
        listed = [one["sha256"] for one in json.loads(claimed.message.body).get("attachments", [])]
        try:
            with self.writer.database.reading() as session:
                described = attachments.describe(session, listed, by=attachments.LOCAL, case=claimed.line)
        except AttachmentMissing:
            logger.exception("attachment.lost", peer=claimed.peer)
            return False
        return await self.deliver(self.trust().manifest.members[claimed.peer], described)


def tell_all(room: Room, transaction: Transaction, step: Step) -> None:
    """Tell statistics and the fund ledger of a step."""
    telling.tell(room, transaction, step)
    follow_funds(room, transaction, step)


def describe(session: Session, digests: Sequence[str], number: str = "") -> list[AttachmentRef]:
    """Return what a message says about attachments of ours.

    Raises:
        AttachmentMissing: some are not complete here.
    """
    found = attachments.describe(session, digests, by=attachments.LOCAL, case=number)
    return [AttachmentRef(sha256=one.sha256, size=one.size, type=one.type) for one in found]


def attach(
    room: attachments.Attachments, transaction: Transaction, refs: Sequence[AttachmentRef], number: str, by: str
) -> None:
    """Name attachments for a case.

    Raises:
        AttachmentMissing: some are not complete here, or not examined yet.
        InvalidBody: a message says another size or type than what is here.
    """
    if not refs:
        return
    found: list[Any] = attachments.use(room, transaction, [one.sha256 for one in refs], number, by=by)
    if [(one.sha256, one.size, one.type) for one in found] != [(one.sha256, one.size, one.type) for one in refs]:
        raise InvalidBody("an attachment has another size or type", fields=[{"at": "attachments", "rule": "differs"}])
