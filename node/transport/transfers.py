"""Attachments on their way to a peer and from it: in pieces, resumed where an earlier try ended (protocol §4).

They use connections of their own (`TRANSFERRING`), few of them, so that no message ever waits for them. An upload has
no limit of time as long as it moves; it ends when nothing could be sent for 30 s, and goes on with the next try.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from node.transport.client import TRANSFERRING, NoAnswer, PeerAnswer, PeerClients
from node.transport.outbound import JUDGED_SECONDS, Streamed
from protocol.errors import Busy, Malformed, Problem, parse_problem
from protocol.manifest import Member
from protocol.suites import parse_json

PIECE_BYTES: Final = 2 * 1024 * 1024
SILENT_SECONDS: Final = 30.0
PAUSES: Final = (0.2, 1.0, 3.0)
"""before each try that follows one which brought nothing: the peer may still be storing what came before a cut"""
LONGEST_SECONDS: Final = 6 * 3600.0
ANSWER_MAX_BYTES: Final = 16 * 1024
_HERE: Final = re.compile(r"bytes (?:0-([0-9]{1,15})|\*)/([0-9]{1,15})")

OpenAt = Callable[[int], Iterator[bytes]]
"""Returns the bytes from an offset on, in pieces; read in a thread."""


class PeerRefused(Exception):
    """The peer said a named "no"."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.slug}: {problem.detail}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Standing:
    """How our upload stands at a peer: `complete`, `held`, `refused` or `partial` there, and how many bytes it has."""

    state: str
    stored: int


@dataclass(frozen=True, slots=True)
class Transfers:
    """Moves attachments over the peer clients of a process."""

    clients: PeerClients
    silent_seconds: float = SILENT_SECONDS
    pauses: tuple[float, ...] = PAUSES

    async def put_attachment(
        self, member: Member, digest: str, size: int, media_type: str, open_at: OpenAt
    ) -> Standing:
        """Bring an attachment to a peer, from where an earlier try ended; nothing is sent that is there already.

        A connection that is cut is followed by another as long as each brings something.

        Raises:
            NoAnswer: the peer cannot be reached, or brings nothing forward.
            PeerRefused: what it said.
        """
        reached = fruitless = 0
        while True:
            standing = await self.standing(member, digest)
            if standing.state != "partial":
                return standing
            if standing.stored > reached:
                reached, fruitless = standing.stored, 0
            try:
                return await self._put(member, digest, size, media_type, open_at, standing.stored)
            except (NoAnswer, PeerRefused) as fault:
                if fruitless == len(self.pauses) or not _may_go_on(fault):
                    raise
            await asyncio.sleep(self.pauses[fruitless])
            fruitless += 1

    async def standing(self, member: Member, digest: str) -> Standing:
        """Return how our upload stands at a peer; one that it does not know is partial, with no byte there.

        Raises:
            As `put_attachment`.
        """
        answer = await self.clients.request(member, "HEAD", _path(digest), use=TRANSFERRING)
        if answer.status == 404:
            return Standing("partial", 0)
        if answer.status != 200:  # the answer to a HEAD has no body that could say more
            raise NoAnswer("refused", f"{member.id} answered {answer.status}")
        return _standing(answer.headers)

    async def get_attachment(self, member: Member, digest: str, size: int, start: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes of an attachment that a peer has, in pieces of at most 2 MiB; unverified.

        Raises:
            As `put_attachment`.
        """
        while start < size:
            stop = min(size, start + PIECE_BYTES)
            answer = await self.clients.request(
                member, "GET", _path(digest),
                headers={"range": f"bytes={start}-{stop - 1}"}, max_bytes=PIECE_BYTES, seconds=120.0, use=TRANSFERRING,
            )  # fmt: skip
            if answer.status not in (200, 206):
                raise PeerRefused(_problem(answer))
            if len(answer.body) != stop - start:
                raise NoAnswer("interrupted", f"{member.id} sent another part than was asked for")
            yield answer.body
            start = stop

    async def _put(
        self, member: Member, digest: str, size: int, media_type: str, open_at: OpenAt, start: int
    ) -> Standing:
        headers = {
            "content-type": media_type,
            "content-length": str(size - start),
            "content-range": f"bytes {start}-{size - 1}/{size}",
        }
        try:
            async with asyncio.timeout(self.silent_seconds) as silence:
                answer = await self.clients.request(
                    member,
                    "PUT",
                    _path(digest),
                    content=Streamed(self._moving(open_at(start), silence)),
                    headers=headers,
                    max_bytes=ANSWER_MAX_BYTES,
                    seconds=LONGEST_SECONDS,
                    use=TRANSFERRING,
                )
        except TimeoutError:
            raise NoAnswer("timeout", f"{member.id} took nothing for {self.silent_seconds:g} s") from None
        if answer.status not in (200, 201, 202):
            raise PeerRefused(_problem(answer))
        return _standing(answer.headers)

    async def _moving(self, source: Iterator[bytes], silence: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Yield pieces; each that is asked for sets the clock on, and the last gives the peer time to judge."""
        now = asyncio.get_running_loop().time
        while piece := await asyncio.to_thread(next, source, b""):
            silence.reschedule(now() + self.silent_seconds)
            yield piece
        silence.reschedule(now() + JUDGED_SECONDS)


def _may_go_on(fault: NoAnswer | PeerRefused) -> bool:
    if isinstance(fault, PeerRefused):
        return fault.problem.known is Busy
    return fault.reason == "interrupted"


def _path(digest: str) -> str:
    return f"/v1/attachments/{digest}"


def _standing(headers: Mapping[str, str]) -> Standing:
    here = _HERE.fullmatch(headers.get("content-range", ""))
    if here is None:
        raise NoAnswer("malformed", "the answer does not say what is there")
    return Standing(headers.get("tongban-state", ""), int(here[1]) + 1 if here[1] else 0)


def _problem(answer: PeerAnswer) -> Problem:
    try:
        return parse_problem(parse_json(answer.body))
    except (Malformed, ValueError):
        raise NoAnswer("malformed", f"{answer.server} answered {answer.status} without a reason") from None
