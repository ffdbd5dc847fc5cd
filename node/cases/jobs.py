"""Scheduled work of the cases room: due days follow the calendars in force; old idempotency keys are forgotten."""

from dataclasses import dataclass, field
from functools import partial

import structlog

from node.cases import service
from node.cases.room import Room
from node.storage.writer import Writer

logger = structlog.get_logger("cases")


@dataclass(slots=True)
class CaseJobs:
    """The jobs of one process."""

    room: Room
    writer: Writer
    _counted_with: tuple[str, ...] | None = field(default=None)

    async def count_times(self) -> None:
        """Count the due days of open cases anew when other calendars are in force than at the last time."""
        with self.writer.database.reading() as session:
            calendars = self.room.documents.calendars(session)
        in_force = tuple(sorted(one.digest for one in calendars.by_year.values()))
        if in_force == self._counted_with:
            return
        after, changed = "", 0
        while True:
            after, moved = await self.writer.submit(partial(service.count_times, self.room, after=after))
            changed += moved
            if not after:
                break
        logger.info("cases.times_counted", size=changed)
        self._counted_with = in_force

    async def forget_requests(self) -> None:
        """Forget idempotency keys after thirty days."""
        await self.writer.submit(lambda tx: service.forget_requests(self.room, tx))
