"""Our peer client against one shared plain httpx client: a message to one peer over mutual TLS, 1 and 16 at a time.

    outbound_{1,16}_ratio                 ours ÷ plain, by slices in turn
    outbound_{1,16}_per_second            answered messages
    outbound_plain_{1,16}_per_second      the same, plain
    outbound_{1,16}_cpu_us                the client's processor time per message; outbound_plain_… the same, plain

The peer is the bare server of the exchange benchmark, which sends the body back, on a core of its own; where it was
more than 80 % busy, the figure is void, because then it was the limit. Our client does all that it does in a node:
verdict on the server's certificate before and after, bounded queue, bounded answer, total time.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import uvloop

from bench.measuring import Figures, Options, Tell, alternate, main, on_cores, processor_seconds, ratios
from node.__main__ import Opening
from node.app import Running, start
from node.membership import service as membership
from node.membership.keyring import read_keys
from node.simulation.demo import new_root
from node.simulation.network import DemoCity, free_base, make_network
from node.terminal import Terminal
from node.transport.tls import client_context
from protocol.manifest import Member

IN_FLIGHT: Final = (1, 16)
CLIENT_CORE: Final = 0
SERVER_CORE: Final = 1
SERVER_BUSY: Final = 0.8
STATEMENT_BYTES: Final = 1100
BODY_BYTES: Final = 500
READY_SECONDS: Final = 30
Ask = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Meter:
    """Runs slices of one kind of client, and keeps what each took."""

    run: Callable[[Any], Any]
    server: int
    seconds: float
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    busiest: float = 0.0

    def slice(self, name: str, ask: Ask, in_flight: int) -> float:
        """Return answered messages per second over one slice."""
        served, used, begun = processor_seconds(self.server), time.process_time(), time.perf_counter()
        done = self.run(_slice(ask, in_flight, begun + self.seconds))
        took, used = time.perf_counter() - begun, time.process_time() - used
        self.busiest = max(self.busiest, (processor_seconds(self.server) - served) / took)
        self.cpu_us.setdefault(name, []).append(used / done * 1e6)
        self.rates.setdefault(name, []).append(done / took)
        return float(done / took)


async def _slice(ask: Ask, in_flight: int, ends: float) -> int:
    done = 0

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() < ends:
            await ask()
            done += 1

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return done


def compare(running: Running, member: Member, meter: Meter, rounds: int, figures: Figures) -> None:
    """Take slices in turn, and add the figures."""
    statement, body = b"x" * STATEMENT_BYTES, os.urandom(BODY_BYTES // 2).hex().encode()
    plain = plain_httpx(running, member)
    headers = {"content-type": "application/json", "tongban-message": statement.decode()}
    url = f"{member.endpoints[0]}/v1/messages"
    clients = running.clients

    async def ask_plainly() -> None:
        if (await plain.post(url, content=body, headers=headers)).content != body:
            raise RuntimeError("the peer did not send the body back")

    async def ask() -> None:
        raw, _ = await clients.post_message(member, statement, body, "application/json", seconds=10)
        if raw.body != body:
            raise RuntimeError("the peer did not send the body back")

    for in_flight in IN_FLIGHT:
        meter.busiest = 0.0
        plainly, ours = f"outbound_plain_{in_flight}", f"outbound_{in_flight}"
        meter.run(_slice(ask_plainly, in_flight, time.perf_counter() + 0.3))
        meter.run(_slice(ask, in_flight, time.perf_counter() + 0.3))
        series = alternate(
            lambda: meter.slice(plainly, ask_plainly, in_flight),  # noqa: B023 - called in this round
            {ours: lambda: meter.slice(ours, ask, in_flight)},  # noqa: B023
            rounds,
        )
        for name in (ours, plainly):
            figures.add(f"{name}_per_second", meter.rates[name])
            figures.add(f"{name}_cpu_us", meter.cpu_us[name])
        figures.add(f"{ours}_ratio", ratios(series, ours))
        if meter.busiest > SERVER_BUSY:
            figures.refuse(f"{ours}_ratio", f"the server's core was {meter.busiest:.0%} busy")
    meter.run(plain.aclose())


def plain_httpx(running: Running, *members: Member) -> httpx.AsyncClient:
    """Return one plain client for these peers, with our certificate and their authorities."""
    manifest, identity = running.keeper.current.manifest, running.keyring.current.tls
    context = client_context(identity, manifest, members[0].id, lambda _certificate: None)
    for member in members[1:]:
        context.load_verify_locations(cadata=b"".join(one.der for one in member.authorities))
    return httpx.AsyncClient(verify=context, trust_env=False)


@contextmanager
def bare_server(city: DemoCity) -> Iterator[int]:
    """Run the bare server as this city's peer port; give its process id."""
    command = [sys.executable, "-m", "bench.servers", "bare", "--home", str(city.home)]
    log = city.home / "node.log"
    with log.open("wb") as said, on_cores(SERVER_CORE):
        process = subprocess.Popen(
            [*command, "--peer", f"127.0.0.1:{city.peer_port}"], stdout=said, stderr=said, stdin=subprocess.DEVNULL
        )
    try:
        for _ in range(READY_SECONDS * 50):
            if b"ready" in log.read_bytes():
                break
            time.sleep(0.02)
        else:
            raise RuntimeError(f"the server did not become ready: {log.read_text(errors='replace')[-800:]}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _introduce(opening: Opening, asking: DemoCity, asked: DemoCity) -> None:
    """Make the asked city's CRL known to the asking one, as a first poll would."""
    there, here = opening.at(asked.home).node(), opening.at(asking.home)
    crl = read_keys(there.settings.dirs.certs, there.passphrase, asked.code).crl
    here.node().database.write(lambda tx: membership.accept_crl(tx, asked.code, crl, now=here.now()))


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Make two cities, serve one barely, ask from the other, remove both."""
    opening, root = Opening(Terminal(lang="en")), new_root()
    members = opening.demo_members()[:2]
    try:
        cities = make_network(root, members, free_base(24_000, 2), network="bench-client", opening=opening)
        asking, asked = cities
        _introduce(opening, asking, asked)
        with bare_server(asked) as server, on_cores(CLIENT_CORE):
            tell(f"ours against plain httpx, {options.rounds} rounds each at {IN_FLIGHT} in flight")
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                running = runner.run(start(opening.at(asking.home).node()))
                member = running.keeper.current.manifest.members[asked.code]
                meter = Meter(runner.run, server, options.seconds)
                compare(running, member, meter, options.rounds, figures)
                runner.run(running.stop())
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main("peer_client", run)
