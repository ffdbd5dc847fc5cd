"""Scheduled work of the batches room: files that were handed in are run one after the other, cut ones first."""

from node.batches import service
from node.batches.room import Batches


async def run_waiting(batches: Batches) -> None:
    """Run every batch that waits or was cut, and whose bytes are here."""
    while await service.run_next(batches):
        pass
