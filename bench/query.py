"""How long a question takes, client included: one city, and the whole network at once; ours against plain httpx.

    query_1_p50_ms                `ask_city` of one live city: sign, commit, send, verify, commit the reply
    query_15_p50_ms               `ask_network` of 15 live cities: until the last has answered
    query_15_plain_p50_ms         the same, over one shared `httpx.AsyncClient`
    query_15_ratio                ours ÷ plain
    query_15_over_1               15 cities ÷ one
    query_15_light_{p50_ms,plain_p50_ms,ratio}    the same over 15 cities that answer at once (`bench/light_peers.py`)

Live cities are processes with a registry each, whose SQLite commits with `synchronous=FULL`; subjects are drawn at
random. They share this machine's cores with each other and with the client, and what they take, several times what
the client takes, stands on both sides of their ratio. The light ones leave a core to the client and show the asking
side alone, as a network of machines would. Queries alternate, one by one; a run is a round of them.
"""

import gc
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

import httpx
import uvloop

from bench.measuring import Figures, Options, Tell, main, on_cores
from bench.peer_client import plain_httpx
from node.__main__ import Opening
from node.app import Running, start
from node.exchange.service import Asking
from node.records.service import CityAnswer, Enquiry, ask_city, ask_network, open_consultation
from node.simulation.demo import new_root
from node.simulation.network import DemoCity, DemoNetwork, fill_registries, free_base, make_network, set_demo_policy
from node.simulation.people import people
from node.terminal import Terminal
from protocol.claims import Who, Why
from protocol.envelope import RawReply
from protocol.manifest import Member
from protocol.messages import RecordKind, Subject

PEOPLE: Final = 1_000
"""in each registry; what the size of a registry costs is the exchange benchmark's to say"""
CLIENT_CORE: Final = 0
PEERS_CORE: Final = 1
QUERIES: Final = 20
"""of each kind in a round"""
READY_SECONDS: Final = 30
SECONDS: Final = 10.0
ANSWERED: Final = ("answer", "none")


@dataclass(frozen=True, slots=True)
class PlainHttpx:
    """What a client without our care would use: one shared `httpx.AsyncClient` for all peers."""

    http: httpx.AsyncClient

    async def post_message(
        self, member: Member, statement: bytes, body: bytes, content_type: str, *, seconds: float
    ) -> tuple[RawReply, str]:
        """Send a message, as `PeerClients.post_message` does."""
        answer = await self.http.post(
            f"{member.endpoints[0]}/v1/messages",
            content=body,
            headers={"content-type": content_type, "tongban-message": statement.decode("ascii")},
            timeout=seconds,
        )
        proof = answer.headers.get("tongban-message", "").encode("ascii")
        return RawReply(answer.status_code, proof, answer.content, answer.headers.get("content-type", "")), member.id


@dataclass(slots=True)
class Questions:
    """Who asks what: an asking node, its purpose, and persons drawn at random."""

    running: Running
    why: Why
    who: Who
    persons: Sequence[tuple[str, str]] = field(repr=False)
    random: Random

    def enquiry(self) -> Enquiry:
        """Return a question about somebody."""
        number, name = self.random.choice(self.persons)
        return Enquiry(RecordKind.ENROLMENT, Subject(id_type="01", id_number=number, name=name), self.why, self.who)

    async def one(self, asking: Asking, peer: str) -> float:
        """Ask one city; return milliseconds."""
        enquiry, begun = self.enquiry(), time.perf_counter()
        answer = await ask_city(asking, enquiry, peer, random=os.urandom, seconds=SECONDS)
        took = (time.perf_counter() - begun) * 1000
        _check([answer])
        return took

    async def all(self, asking: Asking, peers: Sequence[str]) -> float:
        """Ask many cities; return the milliseconds until the last has answered."""
        enquiry, begun = self.enquiry(), time.perf_counter()
        answers = [one async for one in ask_network(asking, enquiry, peers, random=os.urandom, seconds=SECONDS)]
        took = (time.perf_counter() - begun) * 1000
        _check(answers)
        return took


def _check(answers: Sequence[CityAnswer]) -> None:
    for answer in answers:
        if answer.outcome not in ANSWERED:
            raise RuntimeError(f"{answer.member}: {answer.outcome} {answer.slug} {answer.detail}")


async def _median(ask: Callable[[], Awaitable[float]], count: int) -> float:
    return statistics.median([await ask() for _ in range(count)])


async def compare(questions: Questions, peers: Sequence[str], rounds: int) -> tuple[list[float], list[float]]:
    """Ask all peers by turns, over our client and over plain httpx; return both medians of each round, ms."""
    ours, members = questions.running.asking, questions.running.keeper.current.manifest.active()
    seen: tuple[list[float], list[float]] = ([], [])
    async with plain_httpx(questions.running, *members) as http:
        plain = replace(ours, clients=PlainHttpx(http))  # type: ignore[arg-type]
        for number in range(rounds + 1):
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(QUERIES):
                taken[0].append(await questions.all(ours, peers))
                taken[1].append(await questions.all(plain, peers))
            if number:  # the first round warms up
                seen[0].append(statistics.median(taken[0]))
                seen[1].append(statistics.median(taken[1]))
    return seen


async def measure_live(questions: Questions, peers: Sequence[str], rounds: int, figures: Figures) -> None:
    """Add the figures of live cities."""
    ours = questions.running.asking
    single = [await _median(lambda: questions.one(ours, peers[0]), QUERIES * 2) for _ in range(rounds + 1)][1:]
    mine, plain = await compare(questions, peers, rounds)
    figures.add("query_1_p50_ms", single)
    figures.add("query_15_p50_ms", mine)
    figures.add("query_15_plain_p50_ms", plain)
    figures.add("query_15_ratio", [a / b for a, b in zip(mine, plain, strict=True)])
    figures.add("query_15_over_1", [a / b for a, b in zip(mine, single, strict=True)])


async def measure_light(questions: Questions, peers: Sequence[str], rounds: int, figures: Figures) -> None:
    """Add the figures of light cities."""
    mine, plain = await compare(questions, peers, rounds)
    figures.add("query_15_light_p50_ms", mine)
    figures.add("query_15_light_plain_p50_ms", plain)
    figures.add("query_15_light_ratio", [a / b for a, b in zip(mine, plain, strict=True)])


Measure = Callable[[Questions, Sequence[str], int, Figures], Awaitable[None]]


async def _ask(measure: Measure, cities: Sequence[DemoCity], opening: Opening, options: Options, fs: Figures) -> None:
    """Run a measurement from a node without ports of the first city; the others are asked."""
    running, codes = await start(opening.at(cities[0].home).node()), [city.code for city in cities]
    try:
        await running.adopt_own()
        if measure is measure_live:
            await running.catch_up.poll()
        questions = await _questions(running, options, codes)
        gc.collect()
        gc.freeze()  # as a serving process does
        await measure(questions, codes[1:], max(options.rounds, 6), fs)
    finally:
        await running.stop()


async def _questions(running: Running, options: Options, codes: list[str]) -> Questions:
    node, code = running.node, running.node.member
    reference = await running.writer.submit(
        lambda tx: open_consultation(tx, node.vault, "本人到窗口咨询", member=code, actor="clerk", now=running.now())
    )
    why = Why(item="INS-CERT", basis="STATUTORY", ref=reference)
    who = Who(office="窗口 2", officer=node.vault.pseudonym("clerk"), role="clerk")
    count = min(options.people, PEOPLE)
    persons = [(one.id_number, one.name) for one in people(codes[1], options.seed, count, cities=codes)]
    return Questions(running, why, who, persons, Random(options.seed))


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Start the cities, ask, end them; then again with light ones."""
    opening, root = Opening(Terminal(lang="en")), new_root()
    members = opening.demo_members()[: options.cities]
    tell(f"{len(members)} cities")
    base = free_base(25_000, len(members))
    network = DemoNetwork(make_network(root, members, base, network="bench-query", opening=opening))
    try:
        _open(network, opening, options, tell)
        tell("live cities")
        uvloop.run(_ask(measure_live, network.cities, opening, options, figures))
        network.stop_all()
        tell("light cities")
        with light_cities(network.cities[1:]), on_cores(CLIENT_CORE):
            uvloop.run(_ask(measure_light, network.cities, opening, options, figures))
    finally:
        network.stop_all()
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def light_cities(cities: Sequence[DemoCity]) -> Iterator[None]:
    """Run these cities as light peers, on a core of their own."""
    log = cities[0].home / "light.log"
    homes = [word for city in cities for word in ("--home", str(city.home))]
    with log.open("wb") as said, on_cores(PEERS_CORE):
        command = [sys.executable, "-m", "bench.light_peers", *homes]
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        for _ in range(READY_SECONDS * 50):
            if b"ready" in log.read_bytes():
                break
            time.sleep(0.02)
        else:
            raise RuntimeError(f"the light cities did not become ready: {log.read_text(errors='replace')[-800:]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _open(network: DemoNetwork, opening: Opening, options: Options, tell: Tell) -> None:
    set_demo_policy(network.cities, opening, opening.demo_rules())
    count = min(options.people, PEOPLE)
    tell(f"{count} people per city")
    fill_registries(network.cities, opening, seed=options.seed, count=count, progress=lambda *_: None)
    for city in network.cities:
        _as_in_service(city.home / "tongban.toml")
        network.start(city.code, console=False)
        network.wait(city.code)


def _as_in_service(path: Path) -> None:
    """Sign checkpoints as seldom as a city does, not every second as in demos, and raise the rate limit."""
    text = re.sub(r"(?m)^checkpoint_seconds = .*$", "checkpoint_seconds = 10", path.read_text(encoding="utf-8"))
    path.write_text(text + "\n[limits]\npeer_rps = 100000\n", encoding="utf-8")


if __name__ == "__main__":
    main("query", run)
