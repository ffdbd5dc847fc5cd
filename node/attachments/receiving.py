"""Taking an attachment: from a peer, a local caller or a file, in pieces, to an encrypted file and its row.

The event loop only gathers pieces; hashing, encrypting and writing run in a thread, one chunk while the next arrives.
So an upload holds a few MiB, whatever its size. What came in whole chunks survives a cut connection and a killed
process: the next try goes on there.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Final, Protocol, TypeVar

from node.attachments import media, service
from node.attachments.cleaning import delete_file, examine
from node.attachments.service import COMPLETE, HELD, LOCAL, PARTIAL, REFUSED, Attachments, Described, Progress, Upload
from node.storage.blobs import CHUNK_BYTES, BlobHeld, BlobMissing, BlobTooLong, DigestDiffers, Part
from node.storage.unit_of_work import Database, Transaction
from protocol.errors import Busy, DigestMismatch, InvalidBody, Malformed, StorageFull

AT_A_TIME: Final = 4
"""uploads of one member at a time in one process; each holds some MiB"""
SILENT_SECONDS: Final = 30.0
"""how long an upload may bring nothing; then it may go on later"""

T = TypeVar("T")


class Submit(Protocol):
    """Runs a work in a transaction and gives its result after the commit: `Writer.submit`, or `directly`."""

    def __call__(self, work: Callable[[Transaction], T], /) -> Awaitable[T]: ...


def directly(database: Database) -> Submit:
    """Return a `Submit` for commands, which have no writer: each work in its own transaction."""

    async def submit(work: Callable[[Transaction], T]) -> T:
        return await asyncio.to_thread(database.write, work)

    return submit


@dataclass(slots=True)
class Receiving:
    """Takes attachments for one process."""

    room: Attachments
    database: Database
    submit: Submit
    silent_seconds: float = SILENT_SECONDS
    _open: Counter[str] = field(default_factory=Counter)
    _writing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "attachments"))
    _examining: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "examination"))

    async def receive(self, upload: Upload, start: int, pieces: AsyncIterator[bytes]) -> Progress:
        """Take bytes of an upload, the first of them at `start`, and finish it with its last; return how it stands.

        Where an upload ends early, what is in whole chunks stays, and `stored` says where to go on. Nothing is read
        from `pieces` before it is clear that they are wanted.

        Raises:
            InvalidBody, TooLarge, StorageFull: as `service.begin`; InvalidBody also for bytes of another type.
            Busy: another upload of this member has it, too many are under way, or nothing more came.
            Malformed: `start` lies behind what is here.
            DigestMismatch: every byte came, and they are others; all of them are forgotten.
        """
        # 1 turn   2 row   3 file, as far as it came   4 bytes   5 digest, type, name   6 examination
        with self._turn(upload.by):  # 1
            state = await self.submit(lambda transaction: service.begin(self.room, transaction, upload))  # 2
            if state != PARTIAL:
                return Progress(state, upload.size, upload.size)
            part = await self._in_thread(lambda: self._opened(upload))  # 3
            try:
                await self._take(part, start, pieces)  # 4
                if not part.is_whole:
                    return Progress(PARTIAL, part.stored, upload.size)
                await self._name(part, upload)  # 5
            finally:
                await self._in_thread(part.close)
            return await self._settle(upload)  # 6

    async def keep_file(self, path: Path, type: str) -> Described:
        """Take a file of this machine as an attachment of this city.

        Raises:
            OSError: the file cannot be read.
            As `receive`.
        """
        digest, size = await self._in_thread(lambda: _digest_of(path))
        progress = await self.receive(Upload(digest, size, type, LOCAL), 0, _pieces_of(path))
        if progress.state == HELD:
            raise Busy("the attachment is here, and waits for its examination")
        return Described(digest, size, type)

    def close(self) -> None:
        """End the threads; what they do is finished first."""
        self._writing.shutdown()
        self._examining.shutdown()

    @contextmanager
    def _turn(self, by: str) -> Iterator[None]:
        if by != LOCAL and self._open[by] >= AT_A_TIME:
            raise Busy(f"{AT_A_TIME} attachments of this member are coming already", retry_after_seconds=2)
        self._open[by] += 1
        try:
            yield
        finally:
            self._open[by] -= 1

    async def _in_thread(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, do)

    def _opened(self, upload: Upload) -> Part:
        try:
            return self.room.blobs.open_part(upload.digest, upload.by, upload.size)
        except BlobHeld:
            raise Busy("this attachment is coming already", retry_after_seconds=2) from None

    async def _take(self, part: Part, start: int, pieces: AsyncIterator[bytes]) -> None:
        if start > part.stored:
            raise Malformed(f"the upload goes on at byte {part.stored}", offset=part.stored)
        known = part.stored - start
        batch: list[bytes] = []
        size = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for piece in _lively(pieces, self.silent_seconds):
                fresh, known = piece[known:], max(0, known - len(piece))
                batch.append(fresh)
                size += len(fresh)
                if size >= CHUNK_BYTES:
                    await _done(writing)
                    writing, batch, size = self._append(part, batch), [], 0
        finally:
            await _done(writing)
        await self._append(part, batch)

    def _append(self, part: Part, batch: list[bytes]) -> "asyncio.Future[None]":
        def append() -> None:
            try:
                part.append(b"".join(batch))
            except BlobTooLong:
                raise Malformed("more bytes came than were announced") from None
            except OSError as fault:
                if fault.errno in (ENOSPC, EDQUOT):
                    raise StorageFull("the disk of attachments is full") from None
                raise

        return asyncio.get_running_loop().run_in_executor(self._writing, append)

    async def _name(self, part: Part, upload: Upload) -> None:
        try:
            await self._in_thread(lambda: _checked(part, upload))
        except (DigestMismatch, InvalidBody):
            await self.submit(lambda transaction: service.forget(transaction, upload))
            raise

    async def _settle(self, upload: Upload) -> Progress:
        """Note that all is here; with an examination as held first, so that a crash leaves nothing unexamined."""
        room = self.room
        first = COMPLETE if room.scan is None else HELD
        await self.submit(lambda transaction: service.settle(room, transaction, upload, first, scanned=False))
        if first == COMPLETE:
            return Progress(COMPLETE, upload.size, upload.size)
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._examining, examine, room, upload.digest)
        await self.submit(lambda transaction: service.settle(room, transaction, upload, state, scanned=True))
        if state == REFUSED:
            await self._in_thread(lambda: delete_file(room, self.database, upload.digest))
            raise service.refused_by_scan()
        return Progress(state, upload.size, upload.size)


def _checked(part: Part, upload: Upload) -> None:
    """Check digest and type, and give the file its name; what does not hold is deleted."""
    try:
        part.check()
        media.check_content(upload.type, part.read, upload.size)
        part.finish()
    except DigestDiffers:
        part.discard()
        raise DigestMismatch("the bytes have another digest than the address says") from None
    except InvalidBody:
        part.discard()
        raise
    except BlobMissing:
        raise Busy("the upload was cleaned away meanwhile") from None


async def _done(writing: "asyncio.Future[None] | None") -> None:
    if writing is not None:
        await writing


async def _lively(pieces: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """Yield pieces as long as they come."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Busy(f"nothing more came within {seconds:g} s; the upload may go on later") from None
        yield piece


def _digest_of(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
