"""Scheduled work of statistics: add what was told to the sums, and go on with a rebuild that was cut."""

from dataclasses import dataclass
from functools import partial

import structlog

from node.statistics import service
from node.statistics.service import Room
from node.storage.writer import Writer

logger = structlog.get_logger("statistics")


@dataclass(frozen=True, slots=True)
class StatisticsJobs:
    """The jobs of one process."""

    room: Room
    writer: Writer

    async def fold(self) -> int:
        """Fold until nothing waits; return how many rows there were. Other works of the process run in between."""
        with self.writer.database.reading() as session:
            unfinished = service.is_rebuilding(session)
        if unfinished:
            await self._go_on()
        folded = 0
        while True:
            taken = await self.writer.submit(partial(service.fold, now=self.room.now()))
            folded += taken
            if taken < service.BATCH:
                return folded

    async def rebuild(self) -> int:
        """Make all sums anew from the transcripts, and fold what came meanwhile; return what that was."""
        await self.writer.submit(service.begin_rebuild)
        return await self.fold()

    async def _go_on(self) -> None:
        logger.info("statistics.rebuilding")
        while await self.writer.submit(partial(service.rebuild_step, replay=self.room.replay)):
            pass
