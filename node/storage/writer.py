"""The single writer of a process: a thread that commits in groups what coroutines submit.

Works that are submitted in one turn of the event loop reach the thread together, and results come back
together: one wake-up each way per group, whatever its size. While a group waits for the disk, the loop
verifies the messages of the next.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from node.storage.unit_of_work import Ahead, Database, Job, Reading, Transaction, is_full, is_unavailable, settle_all
from protocol.errors import Busy, StorageFull

GROUP_MAX: Final = 256

T = TypeVar("T")
Told = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Writer:
    """Commits in groups; one per process."""

    def __init__(self, database: Database, *, queue_max: int = 2_000) -> None:
        """`queue_max`: works that may wait; one more is refused with `busy`."""
        self.database = database
        self._queue: SimpleQueue[list[Job[Any]] | None] = SimpleQueue()
        self._queue_max = queue_max
        self._turns: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
        self._waiting = 0
        self._told: dict[asyncio.AbstractEventLoop, list[Told]] = {}
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread; what is submitted from now on is refused."""
        self._stopping = True
        for turn in self._turns.values():
            self._queue.put(turn[:])
            turn.clear()
        self._queue.put(None)
        self._thread.join(timeout=30)

    async def submit(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of `work` after its commit.

        Raises:
            Busy: too many works wait, this process is stopping, or the database is away.
            StorageFull: its disk is full.
            What the work raised; nothing of it is stored then.
        """
        return await self._submit(work, None)

    async def read(self, work: Callable[[Reading], T], ahead: Ahead) -> T:
        """Return the result of a reading after the commit of what it appended and added.

        Raises:
            As `submit`.
        """
        return await self._submit(work, ahead)

    def _submit(self, work: Callable[[Any], T], ahead: Ahead | None) -> "asyncio.Future[T]":
        if self._stopping:
            raise Busy("this node is stopping", retry_after_seconds=5)
        if self._waiting >= self._queue_max:
            raise Busy("too many requests are waiting", retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def done(value: T | None, fault: BaseException | None) -> None:
            self._told.setdefault(loop, []).append((future, value, fault))

        turn = self._turns.setdefault(loop, [])
        turn.append(Job(work, done, ahead))
        self._waiting += 1
        if len(turn) == 1:
            loop.call_soon(self._hand_over, turn)
        return future

    def _hand_over(self, turn: list[Job[Any]]) -> None:
        if turn:
            self._queue.put(turn[:])
            turn.clear()

    def _run(self) -> None:
        waiting: deque[Job[Any]] = deque()
        open_ended = True
        while open_ended or waiting:
            open_ended = self._take(waiting) and open_ended
            if waiting:
                settle_all(self.database, _next_group(waiting))
                self._tell()

    def _take(self, waiting: deque[Job[Any]]) -> bool:
        """Take what was handed over, waiting for it when there is nothing to do; False after the end was told."""
        with suppress(Empty):
            while len(waiting) < GROUP_MAX:
                turn = self._queue.get(block=not waiting)
                if turn is None:
                    return False
                waiting.extend(turn)
        return True

    def _tell(self) -> None:
        for loop, told in self._told.items():
            # A caller whose loop has ended is told nothing, and must not end the writer of the others.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._settle, told)
        self._told = {}

    def _settle(self, told: list[Told]) -> None:
        self._waiting -= len(told)
        for future, value, fault in told:
            if future.done():
                continue
            if fault is None:
                future.set_result(value)
            else:
                future.set_exception(_outward(fault))


def _next_group(waiting: deque[Job[Any]]) -> list[Job[Any]]:
    """Return the works from the front that may run together: readings, or other works, in their order."""
    group = [waiting.popleft()]
    while waiting and len(group) < GROUP_MAX and (waiting[0].ahead is None) == (group[0].ahead is None):
        group.append(waiting.popleft())
    return group


def _outward(fault: BaseException) -> BaseException:
    if is_full(fault):
        return StorageFull("the disk of the database is full")
    return Busy("the database is away") if is_unavailable(fault) else fault
