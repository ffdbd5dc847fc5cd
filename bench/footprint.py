"""Start-up time and memory: one node, a network of nodes started together, and the demo until its first answer.

    serve_ready_seconds                from the start of the process to its line `ready`, self-test included
    serve_rss_mib                      resident memory of that process two seconds later
    network_16_ready_seconds           the same for 16 nodes started together, until the last is ready
    network_16_rss_mib_per_node        resident memory of each of them two seconds later, on average
    demo_3_first_answer_seconds        from the command `tongban demo` to the first answered query
    demo_16_first_answer_seconds       the same with 16 cities

`--cities` other than 16 measures that many, under names with that number. Every process uses all processors.
"""

import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psutil

from bench.measuring import Figures, Options, Tell, main
from node.__main__ import Opening
from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal

MIB: Final = 2**20
SMALL: Final = 3
"""cities of the small demo"""
SETTLED_SECONDS: Final = 2.0
PORT_BASE: Final = 31_000
DEMO_BASE: Final = 35_000
STEP: Final = "  ✔"
"""with it begins the line of a step that came out well; the first one asks one city"""
DEMO_RUNS: Final = 3
"""at most, of each size: one takes a minute"""


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure one node `rounds` times, everything larger at most three times."""
    few = min(options.rounds, DEMO_RUNS)
    with made(options.cities) as network:
        own = [start_up(network, network.cities[:1], f"serve, run {n + 1}", tell) for n in range(options.rounds)]
        figures.add("serve_ready_seconds", [ready for ready, _ in own])
        figures.add("serve_rss_mib", [memory for _, memory in own])
        all_of = [start_up(network, network.cities, f"{options.cities} nodes, run {n + 1}", tell) for n in range(few)]
        figures.add(f"network_{options.cities}_ready_seconds", [ready for ready, _ in all_of])
        figures.add(f"network_{options.cities}_rss_mib_per_node", [memory for _, memory in all_of])
    for cities in sorted({SMALL, max(SMALL, options.cities)}):
        tell(f"demo of {cities} cities, {few} run(s)")
        figures.add(f"demo_{cities}_first_answer_seconds", [demo(cities) for _ in range(few)])


@contextmanager
def made(cities: int) -> Iterator[DemoNetwork]:
    """Make a network whose nodes do not run; remove it afterwards."""
    opening, root = Opening(Terminal(lang="en")), new_root()
    members = opening.demo_members()[:cities]
    try:
        base = free_base(PORT_BASE, len(members))
        network = DemoNetwork(make_network(root, members, base, network="bench-footprint", opening=opening))
        try:
            yield network
        finally:
            network.stop_all()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def start_up(network: DemoNetwork, cities: Sequence[Any], what: str, tell: Tell) -> tuple[float, float]:
    """Start nodes together, wait for all, stop them; return seconds until the last was ready, and MiB per node."""
    tell(what)
    for city in cities:
        # `wait` looks for a new line `ready`; without an old one it cannot be content with an open port.
        (city.home / "node.log").unlink(missing_ok=True)
    begun = time.monotonic()
    for city in cities:
        network.start(city.code)
    for city in cities:
        network.wait(city.code)
    ready = time.monotonic() - begun
    time.sleep(SETTLED_SECONDS)
    memory = [psutil.Process(network.processes[city.code].pid).memory_info().rss / MIB for city in cities]
    network.stop_all()
    return ready, statistics.mean(memory)


def demo(cities: int) -> float:
    """Return the seconds from the start of the command to the first answered query, interpreter included."""
    arguments = ["--once", "--lang", "en", "--cities", str(cities), "--story", "query", "--port-base", str(DEMO_BASE)]
    begun, answered = time.monotonic(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "demo", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    said = []
    try:
        for line in process.stderr or ():
            said.append(line)
            if not answered and line.startswith(STEP):
                answered = time.monotonic() - begun
        process.communicate()
    except BaseException:
        # Killed, it would leave its cities behind; interrupted, it stops them.
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    if process.returncode or not answered:
        raise RuntimeError(f"the demo of {cities} cities failed:\n{''.join(said)}")
    return answered


if __name__ == "__main__":
    main("footprint", run)
