"""Attachments to a peer and from one, between its store and ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from node.attachments import service
from node.attachments.receiving import Receiving
from node.attachments.service import COMPLETE, Attachments, Described, Progress, Upload
from node.transport.client import NoAnswer
from node.transport.transfers import PeerRefused, Transfers
from protocol.errors import Refusal
from protocol.manifest import Member

logger = structlog.get_logger("attachments")


@dataclass(frozen=True, slots=True)
class Sending:
    """Moves attachments for one process."""

    room: Attachments
    transfers: Transfers
    receiving: Receiving

    async def deliver(self, member: Member, attachments: Sequence[Described]) -> bool:
        """Bring attachments to a peer, one after the other; True when all are complete there.

        False is no failure for good: the peer is away, or holds one back, or refused it, which is logged; asking
        again goes on where this ended.
        """
        for one in attachments:
            try:
                standing = await self.transfers.put_attachment(
                    member, one.sha256, one.size, one.type, partial(service.open_stream, self.room, one)
                )
            except NoAnswer as missing:
                logger.info("attachment.not_delivered", peer=member.id, reason=missing.reason)
                return False
            except PeerRefused as refused:
                logger.warning("attachment.refused", peer=member.id, slug=refused.problem.slug)
                return False
            except Refusal as ours:
                logger.error("attachment.unreadable", peer=member.id, slug=ours.slug)
                return False
            if standing.state != COMPLETE:
                logger.info("attachment.not_complete", peer=member.id, state=standing.state)
                return False
        return True

    async def fetch(self, member: Member, one: Described) -> Progress:
        """Fetch an attachment of a common case from the peer, checked like one that it brought itself.

        Raises:
            NoAnswer, PeerRefused: as `Transfers.get_attachment`.
            As `Receiving.receive`.
        """
        upload = Upload(one.sha256, one.size, one.type, member.id)
        start = self.room.blobs.offset(one.sha256, member.id, one.size)
        return await self.receiving.receive(
            upload, start, self.transfers.get_attachment(member, one.sha256, one.size, start)
        )
