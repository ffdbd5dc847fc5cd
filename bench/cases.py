"""Cases between two live nodes: `python -m bench.cases`, the same as `tongban bench --only cases`.

    cases_per_second_{sqlite,postgresql}          opened here and receipted there, both going on, one process each
    cases_latency_{p50,p99}_ms                    from the outbox row to the stored receipt, at 50 cases a second
    cases_backlog_seconds                         10,000 messages after the peer has come back
    cases_beside_backlog_ratio                    p99 of new cases to another city meanwhile ÷ before
    cases_attachment_mb_per_second                100 MB from our store to theirs, and by how much both processes grow
    cases_list_{sqlite,postgresql}_ms             the slowest page of `case list`, every filter, first and deepest
                                                  page, a million cases: median of its queries in the database

The accepting node is this process: its writer, outbox and delivery as `tongban serve` runs them, and clerks that
open cases one after the other. The responsible ones are `tongban serve` processes. Every case is another application.
"""

import asyncio
import hashlib
import os
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import uvloop
from sqlalchemy import text

from bench.measuring import Figures, Options, Tell, main, on_cores
from node.__main__ import Opening
from node.app import Running, start
from node.attachments import service as attachments
from node.cases import service, store, viewing
from node.cases.service import Opening as CaseOpening
from node.cases.service import Person
from node.membership.service import ping
from node.simulation.demo import new_root
from node.simulation.lumpsum import form
from node.simulation.network import DemoNetwork, free_base, make_network
from node.storage.encryption import shard_key
from node.storage.unit_of_work import Transaction
from node.terminal import Terminal
from protocol.identifiers import format_case_number
from tests.databases import binaries_of_postgresql, running_postgresql

ITEM: Final = "PEN-LUMPSUM"
CLERKS: Final = 32
"""who open cases at the same time, each the next when the last is committed"""
WAITING_MAX: Final = 100
"""messages that may wait while clerks go on: the outbox is not the place to hide what is not delivered"""
RATE: Final = 50
LATENCY_SECONDS: Final = 20.0
BACKLOG: Final = 10_000
ATTACHMENT_BYTES: Final = 100_000_000
FILLED_AT_ONCE: Final = 20_000
LISTED: Final = 1_000_000
OURS, THEIRS, OTHER = 0, 1, 2
OUR_CORE: Final = 0
THEIR_CORE: Final = 1
PERSON: Final = Person("clerk", "o-7f3c", "梧州窗口", "clerk")


@dataclass(slots=True)
class Place:
    """Three cities on one kind of database: ours opens, theirs answers, the other one stands beside."""

    network: DemoNetwork
    opening: Opening

    @property
    def codes(self) -> list[str]:
        """Return the codes."""
        return [city.code for city in self.network.cities]


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure both databases."""
    for database in ("sqlite", "postgresql"):
        with _place(database, tell) as place:
            if place is not None:
                _measure_on(place, database, options, figures, tell)


def _measure_on(place: Place, database: str, options: Options, figures: Figures, tell: Tell) -> None:
    tell(f"{database}: cases per second, {options.rounds} rounds")
    with on_cores(OUR_CORE):
        uvloop.run(_with_node(place, lambda running: _measure(place, running, database, options, figures, tell)))
    tell(f"{database}: lists of {min(options.size, LISTED)} cases")
    _lists(place, database, options, figures)


@contextmanager
def _place(database: str, tell: Tell) -> Iterator[Place | None]:
    opening = Opening(Terminal(lang="en"))
    members = opening.demo_members()[:3]
    root = new_root()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        pattern = "sqlite:///data/tongban.db"
        if database == "postgresql":
            binaries = binaries_of_postgresql()
            if binaries is None:
                tell("no PostgreSQL: left out")
                yield None
                return
            pattern = stack.enter_context(running_postgresql(binaries)).pattern([one["division"] for one in members])
        cities = make_network(
            root, members, free_base(36_000, 3), network="bench-cases", opening=opening, database=pattern
        )
        for city in cities:
            _raise_limit(city.home)
        network = DemoNetwork(cities)
        stack.callback(network.stop_all)
        with on_cores(THEIR_CORE):
            for city in cities:
                network.start(city.code, console=False)
            for city in cities:
                network.wait(city.code)
        # As after a first exchange: all know each other's certificates and revocation lists.
        opening.at(cities[OURS].home).run(lambda running: _greet(running, [city.code for city in cities[1:]]))
        network.stop(cities[OURS].code)
        yield Place(network, opening)


async def _greet(running: Running, codes: list[str]) -> None:
    await running.catch_up.poll()
    for code in codes:
        pinged = await ping(running.asking, code, seconds=10)
        if pinged.outcome != "pong":
            raise RuntimeError(f"{code}: {pinged.outcome}")


def _raise_limit(home: Path) -> None:
    settings = home / "tongban.toml"
    settings.write_text(settings.read_text("utf-8") + "\n[limits]\npeer_rps = 100000\n", encoding="utf-8")


async def _with_node(place: Place, work: Callable[[Running], Awaitable[None]]) -> None:
    running = await start(place.opening.at(place.network.cities[OURS].home).node())
    stopping = asyncio.Event()
    try:
        await running.adopt_own()
        await running.catch_up.poll()
        delivering = asyncio.create_task(running.cases.delivery.run(stopping))
        await work(running)
        stopping.set()
        await delivering
    finally:
        await running.stop()


async def _measure(
    place: Place, running: Running, database: str, options: Options, figures: Figures, tell: Tell
) -> None:
    rates = [await _rate(running, place.codes[THEIRS], options.seconds * 5) for _ in range(options.rounds + 1)]
    figures.add(f"cases_per_second_{database}", rates[1:])
    if database == "postgresql":
        return
    tell(f"latency at {RATE} cases a second")
    taken = await _latencies(running, place.codes[THEIRS], LATENCY_SECONDS)
    figures.add("cases_latency_p50_ms", [statistics.median(taken)])
    figures.add("cases_latency_p99_ms", [_p99(taken)])
    tell(f"backlog of {BACKLOG}")
    await _backlog(place, running, figures)
    tell("an attachment of 100 MB")
    await _attachment(place, running, figures)


async def _open(running: Running, to: str) -> str:
    wanted = CaseOpening(ITEM, to, form(datetime.now(UTC).isoformat()))
    done = await running.writer.submit(lambda tx: service.open_case(running.cases.room, tx, wanted, PERSON))
    return done.number


async def _rate(running: Running, to: str, seconds: float) -> float:
    """Return the cases per second that were opened and receipted while clerks went on opening."""
    ends = time.monotonic() + seconds
    opened = waiting = 0

    async def clerk() -> None:
        nonlocal opened
        while time.monotonic() < ends:
            if waiting > WAITING_MAX:
                await asyncio.sleep(0.01)
                continue
            await _open(running, to)
            opened += 1

    async def look() -> None:
        nonlocal waiting
        while time.monotonic() < ends:
            waiting = _waiting(running)
            await asyncio.sleep(0.05)

    begun = time.monotonic()
    await asyncio.gather(look(), *(clerk() for _ in range(CLERKS)))
    while _waiting(running):
        await asyncio.sleep(0.005)
    return opened / (time.monotonic() - begun)


def _waiting(running: Running) -> int:
    with running.node.database.engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM outbox WHERE state = 'waiting'"))
        return int(found.scalar_one())


async def _latencies(running: Running, to: str, seconds: float) -> list[float]:
    """Return milliseconds from the outbox row to the stored receipt, of cases opened at an even pace."""
    numbers = []
    begun = time.monotonic()
    for place in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, begun + place / RATE - time.monotonic()))
        numbers.append(await _open(running, to))
    while _waiting(running):
        await asyncio.sleep(0.01)
    return _took(running, numbers)


def _took(running: Running, numbers: list[str]) -> list[float]:
    wanted = set(numbers)
    with running.node.database.engine.connect() as connection:
        rows = connection.execute(text("SELECT line, created_at, settled_at FROM outbox WHERE state = 'delivered'"))
        return [
            (_moment(settled) - _moment(created)).total_seconds() * 1000
            for line, created, settled in rows
            if line in wanted
        ]


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _p99(taken: list[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, len(taken) * 99 // 100)]


async def _backlog(place: Place, running: Running, figures: Figures) -> None:
    """Stop a city, pile up messages for it, start it again; meanwhile cases go to another one."""
    before = await _latencies(running, place.codes[OTHER], 10.0)
    place.network.stop(place.codes[THEIRS])
    for _ in range(BACKLOG // 100):
        await asyncio.gather(*(_open(running, place.codes[THEIRS]) for _ in range(100)))
    with on_cores(THEIR_CORE):
        place.network.start(place.codes[THEIRS], console=False)
    await asyncio.to_thread(place.network.wait, place.codes[THEIRS])
    begun = time.monotonic()
    numbers: list[str] = []
    while _waiting_for(running, place.codes[THEIRS]):
        numbers.append(await _open(running, place.codes[OTHER]))
        await asyncio.sleep(1 / RATE)
    figures.add("cases_backlog_seconds", [time.monotonic() - begun])
    while _waiting(running):
        await asyncio.sleep(0.01)
    figures.add("cases_beside_backlog_ratio", [_p99(_took(running, numbers)) / _p99(before)])


def _waiting_for(running: Running, peer: str) -> int:
    with running.node.database.engine.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM outbox WHERE state = 'waiting' AND peer = :peer"), {"peer": peer}
        )
        return int(found.scalar_one())


async def _attachment(place: Place, running: Running, figures: Figures) -> None:
    """Bring 100 MB to the other city: how fast, and by how much both processes grow meanwhile."""
    theirs = place.network.processes[place.codes[THEIRS]].pid
    for size in (5_000_000, ATTACHMENT_BYTES):  # the small one warms up
        file = place.network.cities[OURS].home / "scan.pdf"
        file.write_bytes(b"%PDF-1.4\n" + os.urandom(size))
        await running.receiving.keep_file(file, "application/pdf")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        with running.node.database.reading() as session:
            described = attachments.describe(session, [digest], by=attachments.LOCAL)
        member = running.keeper.current.manifest.members[place.codes[THEIRS]]
        before = [_rss_mib(pid) for pid in (os.getpid(), theirs)]
        most, begun = list(before), time.monotonic()
        bringing = asyncio.create_task(running.sending.deliver(member, described))
        while not bringing.done():
            most = [max(one, _rss_mib(pid)) for one, pid in zip(most, (os.getpid(), theirs), strict=True)]
            await asyncio.sleep(0.01)
        if not await bringing:
            raise RuntimeError("the attachment was not delivered")
        took = time.monotonic() - begun
    figures.add("cases_attachment_mb_per_second", [ATTACHMENT_BYTES / 1e6 / took])
    figures.add("cases_attachment_sender_mib", [most[0] - before[0]])
    figures.add("cases_attachment_receiver_mib", [most[1] - before[1]])


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _lists(place: Place, database: str, options: Options, figures: Figures) -> None:
    """Fill a city with cases that only lists read, and time every page."""
    node = place.opening.at(place.network.cities[OURS].home).node()
    total = min(options.size, LISTED)
    with node.database.reading() as session:
        model = store.cases(session, limit=1)[0].model_dump()
    peers = [f"{code}" for code in range(440_100, 440_116)]
    for first in range(0, total, FILLED_AT_ONCE):
        numbers = range(first, min(first + FILLED_AT_ONCE, total))
        node.database.write(lambda tx, numbers=numbers: _fill(tx, numbers, total, model, peers))  # type: ignore[misc]
    _analyse(node)
    slowest = max(_pages(node, peers), key=lambda one: one[1])
    figures.add(f"cases_list_{database}_ms", [slowest[1]])
    figures.tables[f"cases_list_{database}_slowest"] = slowest[0]
    node.database.engine.dispose()


def _fill(transaction: Transaction, numbers: range, total: int, model: dict[str, Any], peers: list[str]) -> None:
    """Write cases as years bring them: numbers and due days go up together."""
    states = ("ACCEPTED", "IN_REVIEW", "SECOND_REVIEW", "SUPPLEMENT", "DECIDED", "HANDED_OVER")
    for number in numbers:
        day = date(2010, 1, 1) + timedelta(days=number // 200)
        text_of = format_case_number("450400", day, number % 200 + 1)
        due = (date(2026, 6, 1) + timedelta(days=400 * number // total)).isoformat()
        changes = {
            "number": text_of, "shard_key": shard_key(text_of), "peer": peers[number % 16], "state": states[number % 6],
            "box": ("todo", "sent", "done")[number % 3], "due_key": due, "item": f"ITEM-{number % 18}",
        }  # fmt: skip
        store.add_case(transaction, {**model, **changes})


def _analyse(node: Any) -> None:
    with node.database.writing.begin() as connection:
        connection.execute(text("ANALYZE"))


def _pages(node: Any, peers: list[str]) -> Iterator[tuple[str, float]]:
    """Yield the median ms of first and deepest page of each filter of `case list`, and of all filters together."""
    single: dict[str, dict[str, Any]] = {
        "none": {}, "box": {"box": "todo"}, "city": {"peer": peers[3]}, "item": {"item": "ITEM-7"},
        "state": {"state": "IN_REVIEW"}, "due": {"due_until": "2026-12-01"}, "overdue": {"due_until": "2026-11-23"},
        "box+city": {"box": "done", "peer": peers[3]}, "box+city+item+state": {
            "box": "sent", "peer": peers[4], "item": "ITEM-4", "state": "DECIDED"},
    }  # fmt: skip
    for name, wanted in single.items():
        for depth, after in (("first", None), ("deepest", ("2027-07-01", "KS"))):
            yield f"{name}, {depth}", _page_ms(node, wanted, after)


def _page_ms(node: Any, wanted: dict[str, Any], after: tuple[str, str] | None) -> float:
    taken = []
    for _ in range(7):
        with node.database.reading() as session:
            begun = time.perf_counter()
            store.cases(session, **wanted, after=after, limit=viewing.PAGE_MAX // 4)
            taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    main("cases", run)
