"""Our peer client (httpx over aiohttp) against plain httpx, over mTLS to one live node: `python bench/peer_client.py`.

Both ask `GET /v1/health` with the same certificate, one and sixteen requests in flight, in slices of two seconds by
turns, so that a machine that is throttled for a while harms both alike. Prints requests per second and the ratio.
"""

import asyncio
import json
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from node.__main__ import Opening
from node.app import start
from node.simulation.bench import machine
from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from node.transport.tls import client_context

SLICE_SECONDS = 2.0
ROUNDS = 5
IN_FLIGHT = (1, 16)


async def rate(ask: Callable[[], Awaitable[object]], in_flight: int) -> float:
    """Return answered requests per second over one slice."""
    ends = time.monotonic() + SLICE_SECONDS
    done = 0

    async def worker() -> None:
        nonlocal done
        while time.monotonic() < ends:
            await ask()
            done += 1

    begun = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return done / (time.monotonic() - begun)


async def compare(opening: Opening, network: DemoNetwork) -> dict[str, float]:
    """Return the median rates and ratios."""
    asked = network.cities[1]
    running = await start(opening.at(network.cities[0].home).node())
    await running.adopt_own()
    await running.catch_up.poll()
    manifest, identity = running.keeper.current.manifest, running.keyring.current.tls
    member = manifest.members[asked.code]
    context = client_context(identity, manifest, asked.code, lambda _certificate: None)
    plain = httpx.AsyncClient(verify=context, trust_env=False)
    askers: dict[str, Callable[[], Awaitable[object]]] = {
        "ours": lambda: running.clients.request(member, "GET", "/v1/health"),
        "plain": lambda: plain.get(f"{asked.endpoint}/v1/health"),
    }
    figures: dict[str, float] = {}
    for in_flight in IN_FLIGHT:
        rates: dict[str, list[float]] = {name: [] for name in askers}
        for _ in range(ROUNDS):
            for name, ask in askers.items():
                rates[name].append(await rate(ask, in_flight))
        for name, seen in rates.items():
            figures[f"{name}_{in_flight}_per_second"] = round(statistics.median(seen))
        pairs = [a / b for a, b in zip(rates["ours"], rates["plain"], strict=True)]
        figures[f"peer_client_{in_flight}_ratio"] = round(statistics.median(pairs), 2)
    await plain.aclose()
    await running.stop()
    return figures


def main() -> None:
    """Start two cities, compare, print one object."""
    opening = Opening(Terminal(lang="en"))
    root = new_root()
    base = free_base(37_000, 2)
    network = DemoNetwork(make_network(root, opening.demo_members()[:2], base, network="bench-client", opening=opening))
    try:
        for city in network.cities:
            network.start(city.code, console=False)
            network.wait(city.code)
        print(json.dumps({"figures": asyncio.run(compare(opening, network)), "machine": machine()}, ensure_ascii=False))
    finally:
        network.stop_all()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
