"""How long a question takes, client included: one city, and the whole network at once; ours against plain httpx.

    query_1_p50_ms          `ask_city` of one live peer: sign, commit message and entry, send, verify, commit the reply
    query_15_p50_ms         `ask_network` of 15 live peers: until the last has answered
    query_15_plain_p50_ms   the same, over one shared `httpx.AsyncClient`
    query_15_ratio          ours ÷ plain
    query_15_over_1         15 peers ÷ one

Every city is a process with a registry of its own, whose SQLite commits with `synchronous=FULL`; subjects are drawn
at random. This process and the peers each have a core, so 15 peers share one: in a network of machines they would not,
and what they take stands in both sides of the ratio. Queries alternate, one by one; a run is a round of them.
"""

import os
import re
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

import httpx
import psutil
import uvloop

from bench.measuring import Figures, Options, Tell, main, on_cores
from bench.peer_client import plain_httpx
from node.__main__ import Opening
from node.app import Running, start
from node.exchange.service import Asking
from node.records.service import CityAnswer, Enquiry, ask_city, ask_network, open_consultation
from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, fill_registries, free_base, make_network, set_demo_policy
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
WARM_UP: Final = 10
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


async def measure(questions: Questions, peers: Sequence[str], rounds: int, figures: Figures) -> None:
    """Ask by turns, and add the figures."""
    ours = questions.running.asking
    members = questions.running.keeper.current.manifest.active()
    async with plain_httpx(questions.running, *members) as http:
        plain = replace(ours, clients=PlainHttpx(http))  # type: ignore[arg-type]
        for asking in (ours, plain):
            await _median(lambda asking=asking: questions.all(asking, peers), WARM_UP)  # type: ignore[misc]
        seen: dict[str, list[float]] = {"one": [], "all": [], "plain": []}
        for number in range(rounds):
            taken: dict[str, list[float]] = {"one": [], "all": [], "plain": []}
            for _ in range(QUERIES):
                taken["one"].append(await questions.one(ours, peers[number % len(peers)]))
                taken["all"].append(await questions.all(ours, peers))
                taken["plain"].append(await questions.all(plain, peers))
            for name, values in taken.items():
                seen[name].append(statistics.median(values))
    figures.add("query_1_p50_ms", seen["one"])
    figures.add("query_15_p50_ms", seen["all"])
    figures.add("query_15_plain_p50_ms", seen["plain"])
    figures.add("query_15_ratio", [a / b for a, b in zip(seen["all"], seen["plain"], strict=True)])
    figures.add("query_15_over_1", [a / b for a, b in zip(seen["all"], seen["one"], strict=True)])


async def _ask_everybody(home: Path, opening: Opening, options: Options, figures: Figures, codes: list[str]) -> None:
    running = await start(opening.at(home).node())
    try:
        await running.adopt_own()
        await running.catch_up.poll()
        questions = await _questions(running, options, codes)
        peers = [code for code in codes if code != running.node.member]
        await measure(questions, peers, max(options.rounds, 6), figures)
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
    """Start the cities, ask, end them."""
    opening, root = Opening(Terminal(lang="en")), new_root()
    members = opening.demo_members()[: options.cities]
    tell(f"{len(members)} cities")
    base = free_base(25_000, len(members))
    network = DemoNetwork(make_network(root, members, base, network="bench-query", opening=opening))
    try:
        _open(network, opening, options, tell)
        codes = [city.code for city in network.cities]
        with on_cores(CLIENT_CORE):
            uvloop.run(_ask_everybody(network.cities[0].home, opening, options, figures, codes))
    finally:
        network.stop_all()
        shutil.rmtree(root, ignore_errors=True)


def _open(network: DemoNetwork, opening: Opening, options: Options, tell: Tell) -> None:
    set_demo_policy(network.cities, opening, opening.demo_rules())
    count = min(options.people, PEOPLE)
    tell(f"{count} people per city")
    fill_registries(network.cities, opening, seed=options.seed, count=count, progress=lambda *_: None)
    for city in network.cities:
        _as_in_service(city.home / "tongban.toml")
        network.start(city.code, console=False)
        network.wait(city.code)
    for process in network.processes.values():
        for thread in psutil.Process(process.pid).threads():
            os.sched_setaffinity(thread.id, {PEERS_CORE})


def _as_in_service(path: Path) -> None:
    """Sign checkpoints as seldom as a city does, not every second as in demos, and raise the rate limit."""
    text = re.sub(r"(?m)^checkpoint_seconds = .*$", "checkpoint_seconds = 10", path.read_text(encoding="utf-8"))
    path.write_text(text + "\n[limits]\npeer_rps = 100000\n", encoding="utf-8")


if __name__ == "__main__":
    main("query", run)
