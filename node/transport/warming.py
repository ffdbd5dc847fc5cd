"""Warm connections: one to every active member, open before the first question, so that no clerk waits for a handshake.

A connection is opened by `GET /v1/health` soon after the start and soon after the manifest, a CRL or our certificate
has changed, at a random moment of a few seconds: cities that restart together, or learn a manifest together, do not
call each other in one instant. An idle one is used again before a minute is over, because the peer ends it after
75 s of rest, ours after 60 s, and a firewall between them when it likes; polls cannot do this, for they run in one
process of a node only, and on connections apart (`client.READING`). A question keeps a connection warm as well. The
cost is one small request per city and 45 s. Nobody waits for any of it, and a city that does not answer is tried
again at the next turn.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from node.transport.client import NoAnswer, PeerClients
from protocol.manifest import Member

REST_SECONDS: Final = 45.0
"""how long a connection may rest: a quarter of it less than we keep one, so that a late turn is early enough"""
SPREAD_SECONDS: Final = 5.0
"""the first calls are spread over this time"""
TURN_SECONDS: Final = 1.0
CALL_SECONDS: Final = 5.0
HEALTH_MAX_BYTES: Final = 16 * 1024

logger = structlog.get_logger("transport")


class Warming:
    """When each member is called next. `run` is the loop of a process; a turn can be taken alone."""

    def __init__(self, clients: PeerClients, random: Callable[[], float]) -> None:
        """`random`: a number from 0 up to 1, for each moment that is chosen."""
        self._clients = clients
        self._random = random
        self._rests_on: tuple[object, ...] = ()
        self._due: dict[str, float] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep connections warm until the process stops."""
        try:
            while not stopping.is_set():
                self.take_turn()
                await _pause(stopping)
        finally:
            for call in self._calls:
                call.cancel()

    def take_turn(self) -> None:
        """Begin to call whoever is due; returns at once."""
        now, trust = self._clients.monotonic(), self._clients.trust()
        rests_on = (trust.manifest, trust.crls, self._clients.identity())
        if not _same(rests_on, self._rests_on):
            self._rests_on = rests_on
            self._due = {
                one.id: now + self._random() * SPREAD_SECONDS
                for one in trust.manifest.active()
                if one.id != trust.member
            }
        for member_id in [one for one, due in self._due.items() if due <= now]:
            member = trust.manifest.members[member_id]
            rested = self._clients.rested_seconds(member)
            if rested < REST_SECONDS:
                self._due[member_id] = now + REST_SECONDS - rested
                continue
            self._due[member_id] = now + REST_SECONDS
            call = asyncio.get_running_loop().create_task(self._call(member))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, member: Member) -> None:
        try:
            await self._clients.request(member, "GET", "/v1/health", max_bytes=HEALTH_MAX_BYTES, seconds=CALL_SECONDS)
        except NoAnswer as missing:
            logger.debug("peer.cold", peer=member.id, reason=missing.reason)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


async def _pause(stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), TURN_SECONDS)
    except TimeoutError:
        return
