"""How every figure here is measured: slices by turns, ratios against neighbours, quartiles, and the machine.

Machines like ours are throttled in spells of a minute, so two numbers taken one after the other say nothing.
`alternate` runs one slice of the baseline between any two slices of a variant; `ratios` compares each slice of
a variant with the mean of the two baseline slices beside it. A figure is the median of such ratios, and all of
them are kept, so that `docs/performance.md` can print quartiles.

A benchmark module has one function `run(options, figures, tell)` and ends with `main("name", run)`::

    python -m bench.log --json -o FILE        {"figures": {name: number}, "runs": {name: [...]}, "machine": {...}}
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from tests.databases import binaries_of_postgresql

ROUNDS: Final = 8
PEOPLE: Final = 340_000
SEED: Final = 20241210
AVAILABLE: Final = frozenset(os.sched_getaffinity(0))
"""The cores that this process may use, as it found them."""
Tell = Callable[[str], None]
Measure = Callable[[], float]
"""Runs one slice and returns its rate."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for."""

    seconds: float = 1.0
    """of one slice"""
    rounds: int = ROUNDS
    people: int = PEOPLE
    """in the registry that is asked"""
    cities: int = 16
    workers: int = 2
    size: int = 1_000_000
    """entries in the large log"""
    seed: int = SEED


@dataclass(slots=True)
class Figures:
    """What was measured: the median per name, all runs, and why a figure is void."""

    values: dict[str, float | None] = field(default_factory=dict)
    runs: dict[str, list[float]] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    """raw material beside the figures, by a name of the benchmark's own"""

    def add(self, name: str, runs: Sequence[float]) -> None:
        """Add a figure by its runs."""
        self.runs[name] = [_rounded(one) for one in runs]
        self.values[name] = _rounded(statistics.median(runs))

    def refuse(self, name: str, reason: str) -> None:
        """Say that a figure could not be measured honestly, and why; its value is null."""
        self.values[name], self.void[name] = None, reason


def _rounded(value: float) -> float:
    return round(value, 3) if abs(value) < 100 else round(value, 1)


def quartiles(runs: Sequence[float]) -> tuple[float, float, float]:
    """Return first quartile, median, third quartile; all three are the value when there is one run."""
    if len(runs) < 2:
        return runs[0], runs[0], runs[0]
    first, middle, third = statistics.quantiles(runs, n=4, method="inclusive")
    return first, middle, third


def alternate(
    baseline: Callable[[], float], variants: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, Any]:
    """Run slices by turns: baseline, variant, baseline, next variant, …, baseline.

    Returns ``{"": [rates of the baseline], name: [(position, rate), …]}``: a variant's slice at position p lies
    between the baseline's slices p and p + 1.
    """
    series: dict[str, Any] = {"": [baseline()], **{name: [] for name in variants}}
    for _ in range(rounds):
        for name, measure in variants.items():
            series[name].append((len(series[""]) - 1, measure()))
            series[""].append(baseline())
    return series


def ratios(series: dict[str, Any], name: str) -> list[float]:
    """Return each slice of a variant divided by the mean of its two neighbours."""
    base = series[""]
    return [rate / statistics.mean(base[place : place + 2]) for place, rate in series[name]]


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Keep this process, and all that it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) & AVAILABLE or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processor_seconds(*pids: int) -> float:
    """Return the processor time that processes have used so far, all their threads, user and system."""
    total = 0.0
    for pid in pids:
        used = psutil.Process(pid).cpu_times()
        total += used.user + used.system
    return total


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "system": platform.platform(),
        "processor": _processor(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgresql(),
        "processors": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _postgresql() -> str:
    binaries = binaries_of_postgresql()
    if binaries is None:
        return "none"
    told = subprocess.run([binaries / "postgres", "--version"], capture_output=True, check=False, text=True)
    return told.stdout.strip()


def main(name: str, run: Callable[[Options, Figures, Tell], None]) -> None:
    """Read options, run one benchmark, print its figures; exit 1 when something went wrong meanwhile."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=sys.modules[run.__module__].__doc__)
    default = Options()
    for option in ("seconds", "rounds", "people", "cities", "workers", "size", "seed"):
        value = getattr(default, option)
        parser.add_argument(f"--{option}", type=type(value), default=value)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("-o", "--output", type=Path, help="keep the raw data in this file")
    asked = vars(parser.parse_args())
    as_json, output = asked.pop("json"), asked.pop("output")
    figures, about, begun = Figures(), machine(), time.monotonic()
    run(Options(**asked), figures, lambda text: print(text, file=sys.stderr, flush=True))
    data = {
        "benchmark": name,
        "figures": figures.values,
        "void": figures.void,
        "machine": about,
        "options": asked,
        "seconds": round(time.monotonic() - begun, 1),
        "runs": figures.runs,
        "tables": figures.tables,
    }
    if output is not None:
        output.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    print(json.dumps(data, ensure_ascii=False) if as_json else table(figures))


def table(figures: Figures) -> str:
    """Return the figures as text: name, median, quartiles, number of runs."""
    width = max((len(name) for name in figures.values), default=0)
    lines = []
    for name, value in figures.values.items():
        if value is None:
            lines.append(f"{name:{width}}  void: {figures.void[name]}")
            continue
        first, _, third = quartiles(figures.runs[name])
        lines.append(
            f"{name:{width}}  {value:>10g}  ({_rounded(first):g} … {_rounded(third):g}, {len(figures.runs[name])} runs)"
        )
    return "\n".join(lines)
