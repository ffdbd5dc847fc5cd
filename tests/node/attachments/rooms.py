"""A room of attachments over a real database and a real folder, with a clock, a disk and an examination to set."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node.attachments import service
from node.attachments.receiving import Receiving, directly
from node.attachments.scanning import Verdict
from node.attachments.service import Attachments, Limits, Progress, Upload
from node.attachments.tables import Attachment, AttachmentUse
from node.storage.blobs import Blobs
from node.storage.encryption import open_vault, shard_key
from node.storage.unit_of_work import Database

ME, PEER, OTHER = "450400", "442000", "440900"
CASE = "KS450400202611240000012"
MIB = 1024 * 1024
START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
PDF = "application/pdf"


def pdf(size: int, seed: str = "") -> bytes:
    """Return bytes that look like a PDF."""
    return (b"%PDF-1.7\n" + (seed or str(size)).encode() + b"\n" + b"0123456789abcdef" * (size // 16))[:size]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def in_pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@dataclass
class Room:
    """What a test sets and asks."""

    database: Database
    directory: Path
    now: datetime = START
    disk: tuple[int, int] = (10**9, 10**12)
    limits: Limits = field(default_factory=lambda: Limits(8 * MIB, 16 * MIB, MIB))
    verdicts: list[Verdict] | None = None
    examined: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        tables = [Attachment.__table__, AttachmentUse.__table__]  # type: ignore[attr-defined]
        Attachment.metadata.create_all(self.database.engine, tables=tables)
        self.vault = open_vault(b"k" * 32, os.urandom)
        self.blobs = Blobs(self.directory, self.vault)

    @property
    def room(self) -> Attachments:
        scan = None if self.verdicts is None else self._examine
        return Attachments(self.blobs, self.limits, lambda: self.disk, scan, lambda: self.now)

    def _examine(self, pieces: Iterable[bytes]) -> Verdict:
        self.examined.append(b"".join(pieces))
        assert self.verdicts is not None
        return self.verdicts.pop(0)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def receiving(self) -> Receiving:
        return Receiving(self.room, self.database, directly(self.database), silent_seconds=5)

    async def bring(
        self, data: bytes, *, by: str = PEER, type: str = PDF, digest: str = "", start: int = 0, upto: int | None = None
    ) -> Progress:
        """Bring an attachment, or a part of it."""
        receiving = self.receiving()
        try:
            upload = Upload(digest or digest_of(data), len(data), type, by)
            return await receiving.receive(upload, start, in_pieces(data[start:upto]))
        finally:
            receiving.close()

    def bring_now(self, data: bytes, **options: object) -> Progress:
        return asyncio.run(self.bring(data, **options))  # type: ignore[arg-type]

    def use(self, *digests: str, case: str = CASE, by: str = PEER) -> list[str]:
        used = self.database.write(lambda tx: service.use(self.room, tx, digests, case, by=by))
        return [one.sha256 for one in used]

    def state(self, digest: str, by: str = PEER) -> str:
        with self.database.reading() as session:
            row = session.get(Attachment, (shard_key(digest), digest, by))
            return "" if row is None else row.state

    def files(self) -> list[tuple[str, str]]:
        return sorted(self.blobs.names())
