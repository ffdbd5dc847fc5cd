"""Benchmarks of a node as a whole; `footprint` is the first, the exchange path joins with the speed issue.

Each benchmark starts real processes on this machine and returns figures under stable names (listed in
docs/operate/benchmarks.md). A figure is the median of its runs; every run is kept beside it.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Opening

RUNS: Final = 5
DEMO_RUNS: Final = 3
PORT_BASE: Final = 31000


@dataclass(slots=True)
class Figures:
    """What was measured: the median per name, and all runs."""

    values: dict[str, float] = field(default_factory=dict)
    runs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, runs: list[float]) -> None:
        """Add a figure by its runs."""
        self.runs[name] = [round(one, 3) for one in runs]
        self.values[name] = round(statistics.median(runs), 3)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


def footprint(opening: Opening, tell: Callable[[str], None]) -> Figures:
    """Measure start-up time and memory of a node, and the time from `tongban demo` to the first answered query.

    Figures: `serve_ready_seconds`, `serve_rss_mib`, `demo_3_first_answer_seconds`,
    `demo_16_first_answer_seconds`.
    """
    figures = Figures()
    ready, memory = _serve(opening, tell)
    figures.add("serve_ready_seconds", ready)
    figures.add("serve_rss_mib", memory)
    for cities, runs in ((3, DEMO_RUNS), (16, 1)):
        tell(f"demo of {cities} cities, {runs} run(s)")
        figures.add(f"demo_{cities}_first_answer_seconds", [_demo(cities) for _ in range(runs)])
    return figures


def _serve(opening: Opening, tell: Callable[[str], None]) -> tuple[list[float], list[float]]:
    root = new_root()
    members = opening.demo_members()[:3]
    base = free_base(PORT_BASE, len(members))
    network = DemoNetwork(make_network(root, members, base, network="bench-footprint", opening=opening))
    ready, memory = [], []
    try:
        for run in range(RUNS):
            tell(f"serve, run {run + 1} of {RUNS}")
            code = network.cities[0].code
            started = time.monotonic()
            network.start(code)
            network.wait(code)
            ready.append(time.monotonic() - started)
            memory.append(_settled_rss(network.processes[code].pid))
            network.stop(code)
    finally:
        network.stop_all()
        shutil.rmtree(root, ignore_errors=True)
    return ready, memory


def _settled_rss(pid: int) -> float:
    """Return the resident memory of a process two seconds after it was ready, MiB."""
    time.sleep(2)
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def _demo(cities: int) -> float:
    """Return the seconds from the start of the command to the first answered query, interpreter included."""
    command = [sys.executable, "-m", "node", "demo", "--once", "--json", "--cities", str(cities), "--story", "query"]
    before = time.time()
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path.cwd())  # noqa: S603 - our own command
    took = time.time() - before
    report = _report(done.stdout)
    if not report.get("ok"):
        raise RuntimeError(f"the demo of {cities} cities failed: {report.get('failures')}")
    # The command's own clock starts after its imports; what lies before is the rest of the whole.
    return float(took - report["seconds"] + report["first_answer_seconds"])


def _report(output: bytes) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(output or b"{}")
    return report


BENCHMARKS: Final = {"footprint": footprint}
