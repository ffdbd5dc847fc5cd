"""Two real cities, a harmful wire between them, and `kill -9` at random: what must hold afterwards (assurance P1, P2).

People act on the node directories, as commands do; the serving processes deliver. An independent checker then reads
both databases with plain SQL and its own arithmetic.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine, text

from node.cases import service
from node.cases.service import Doing, Person
from node.cases.service import Opening as CaseOpening
from node.simulation.demo import new_root
from node.simulation.network import DemoCity, free_base, make_network
from node.terminal import Terminal
from protocol.errors import InvalidTransition, NotFound
from tests.faults.proxy import FaultProxy
from tests.node.cases.two_cities import CLERK, STEPS, application
from tests.processes.cities import QuietOpening

OURS, THEIRS = "450400", "442000"
ACT_SECONDS = 600
"""in which a case must come so far that the next step is possible, kills and harm included"""


@dataclass
class Fire:
    """The two cities while they are harmed."""

    cities: dict[str, DemoCity]
    root: Path
    random: Random
    opening: QuietOpening
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    proxies: dict[str, FaultProxy] = field(default_factory=dict)
    kills: int = 0

    def start(self, code: str) -> None:
        city = self.cities[code]
        log = (city.home / "node.log").open("ab")
        command = [sys.executable, "-m", "node", "serve", "--home", str(city.home), "--no-console", "--lang", "en"]
        self.processes[code] = subprocess.Popen(
            [*command, "--peer", f"127.0.0.1:{real_port(city)}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        log.close()

    def kill(self, code: str) -> None:
        self.processes[code].send_signal(signal.SIGKILL)
        self.processes[code].wait()
        self.kills += 1
        self.start(code)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=30)


def real_port(city: DemoCity) -> int:
    return city.peer_port + 1000


@contextmanager
def on_fire(seed: int, pattern: str) -> Iterator[Fire]:
    """Make two cities whose endpoints are harmful proxies; `pattern` is the database URL with `{code}`."""
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (OURS, THEIRS)]
    root = new_root()
    made = make_network(root, members, free_base(38_000, 2), network="cases-fire", opening=opening, database=pattern)
    fire = Fire({city.code: city for city in made}, root, Random(seed), opening)
    try:
        yield fire
    finally:
        fire.stop()
        opening.close()
        shutil.rmtree(root, ignore_errors=True)


async def play(fire: Fire, *, cases: int, kills: int, at_once: int, calm_seconds: float) -> list[str]:
    """Open cases, so many at once, and bring each to its end while processes are killed; return their numbers."""
    for code, city in fire.cities.items():
        fire.proxies[code] = FaultProxy(city.peer_port, real_port(city), Random(fire.random.random()))
        await fire.proxies[code].start()
        fire.start(code)
    running = {code: await fire.opening.at(city.home).starting() for code, city in fire.cities.items()}
    try:
        killing = asyncio.create_task(_kill(fire, kills))
        slots = asyncio.Semaphore(at_once)
        numbers = await asyncio.gather(*(_case(running, slots, fire.random.random()) for _ in range(cases)))
        await killing
        for proxy in fire.proxies.values():
            proxy.calm = True
        await _calm(fire, calm_seconds)
        return list(numbers)
    finally:
        for one in running.values():
            await one.stop()
        for proxy in fire.proxies.values():
            await proxy.stop()


async def _kill(fire: Fire, kills: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(0.5 + fire.random.random())
        await asyncio.to_thread(fire.kill, fire.random.choice([OURS, THEIRS]))


async def _case(running: dict[str, Any], slots: asyncio.Semaphore, pace: float) -> str:
    async with slots:
        await asyncio.sleep(pace / 10)
        ours = running[OURS]
        wanted = CaseOpening("PEN-LUMPSUM", THEIRS, application())
        done = await ours.writer.submit(lambda tx: service.open_case(ours.cases.room, tx, wanted, CLERK))
        for event, person, data in STEPS:
            await _act(running[OURS if person is CLERK else THEIRS], done.number, event, person, data)
        return str(done.number)


async def _act(city: Any, number: str, event: str, person: Person, data: dict[str, Any]) -> None:
    """Act as soon as the case has come so far."""
    doing = Doing(number, event, data)
    async with asyncio.timeout(ACT_SECONDS):
        while not await _acted(city, doing, person):
            await asyncio.sleep(0.1)


async def _acted(city: Any, doing: Doing, person: Person) -> bool:
    with suppress(InvalidTransition, NotFound):
        await city.writer.submit(lambda tx: service.act(city.cases.room, tx, doing, person))
        return True
    return False


async def _calm(fire: Fire, seconds: float) -> None:
    """Wait until nothing waits any more; what is stuck after so long fails the test."""
    async with asyncio.timeout(seconds):
        while any(
            _count(fire, code, "SELECT count(*) FROM outbox WHERE state IN ('waiting', 'dead')") for code in fire.cities
        ):
            await asyncio.sleep(0.2)


def url_of(fire: Fire, code: str) -> str:
    settings = fire.opening.at(fire.cities[code].home).loaded().settings
    return str(settings.database.url)


def rows(fire: Fire, code: str, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(url_of(fire, code))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def _count(fire: Fire, code: str, query: str) -> int:
    return int(rows(fire, code, query)[0][0])


def violations(fire: Fire, numbers: list[str]) -> list[str]:
    """Return what is wrong, by plain SQL and our own arithmetic: lost, double, phantom, unequal, out of order."""
    found = []
    transcripts = {code: _transcripts(fire, code) for code in (OURS, THEIRS)}
    for code, held in transcripts.items():
        if held.keys() != set(numbers):
            found.append(f"{code}: {len(held.keys() ^ set(numbers))} cases lost or invented")
        found += [f"{code} {number}: {fault}" for number, events in held.items() if (fault := fault_of(events))]
    for number in numbers:
        if transcripts[OURS].get(number) != transcripts[THEIRS].get(number):
            found.append(f"{number}: the transcripts differ")
    for code in (OURS, THEIRS):
        states = rows(fire, code, "SELECT state, halted, count(*) FROM cases GROUP BY state, halted")
        if states != [("HANDED_OVER", "", len(numbers))]:
            found.append(f"{code}: states {states}")
        double = rows(fire, code, "SELECT iss, jti FROM received GROUP BY iss, jti HAVING count(*) > 1")
        if double:
            found.append(f"{code}: {len(double)} messages executed twice")
    return found


def _transcripts(fire: Fire, code: str) -> dict[str, list[tuple[int, str, bytes, bytes]]]:
    held: dict[str, list[tuple[int, str, bytes, bytes]]] = {}
    query = "SELECT number, seq, event, statement, head FROM case_event WHERE seq IS NOT NULL ORDER BY number, seq"
    for number, seq, event, statement, head in rows(fire, code, query):
        held.setdefault(number, []).append((seq, event, bytes(statement), bytes(head)))
    return held


def fault_of(events: list[tuple[int, str, bytes, bytes]]) -> str:
    """Return what is wrong with one transcript: places, events, heads by the formula of the specification."""
    if [seq for seq, *_ in events] != list(range(len(events))):
        return "places"
    if [event for _, event, _, _ in events] != ["open", *(one[0] for one in STEPS)]:
        return f"events {[event for _, event, _, _ in events]}"
    head = b""
    for _, _, statement, told in events:
        digest = hashlib.sha256(statement).digest()
        head = hashlib.sha256(head + digest).digest() if head else digest
        if head != told:
            return "heads"
    return ""


def seed() -> int:
    return int(os.environ.get("TONGBAN_FIRE_SEED", "1"))
