"""Makers of works on one small table, and ways to submit them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, text

from node.storage.unit_of_work import Database, Transaction
from node.storage.writer import Writer


def put(name: str, amount: int = 1) -> Callable[[Transaction], str]:
    def work(transaction: Transaction) -> str:
        transaction.session.execute(text("INSERT INTO thing VALUES (:name, :amount)"), {"name": name, "amount": amount})
        return name

    return work


def failing(transaction: Transaction) -> None:
    put("half")(transaction)
    raise LookupError("the work itself failed")


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.execute(text("SELECT name FROM thing ORDER BY name")).scalars())


@contextmanager
def commits(database: Database) -> Iterator[list[float]]:
    times: list[float] = []

    def note(_connection: Any) -> None:
        times.append(time.monotonic())

    event.listen(database.engine, "commit", note)
    yield times
    event.remove(database.engine, "commit", note)


def together(database: Database, *works: Callable[[Transaction], Any], **options: Any) -> list[Any]:
    """Submit works before the writer starts, so that they meet in one group; faults come back as values."""
    writer = Writer(database, **options)

    async def run() -> list[Any]:
        waiting = [asyncio.create_task(writer.submit(work)) for work in works]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        writer.stop()


def refused_by(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.wait_for(asyncio.gather(*works, return_exceptions=True), timeout=30)

    return asyncio.run(run())


@dataclass
class Lost(Exception):
    """An error of the driver, as PostgreSQL gives it."""

    sqlstate: str
