"""A checkout in miniature: the real `node` and the real harness, with benchmarks that tests write."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from node.simulation.bench import NAMES

HOUSE = Path(__file__).resolve().parents[2]
REAL = ("__init__.py", "measuring.py", "goals.py", "stacks.py", "report.py", "everything.py")
TEXTS = ("method.md", "tried.md", "limit.md")
MODULE = """\
import os, signal, subprocess, sys, time
from pathlib import Path
from bench.measuring import main

def run(options, figures, tell):
{body}

if __name__ == "__main__":
    main("{name}", run)
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Its root, and how to write and run benchmarks in it."""

    root: Path

    def plant(self, name: str, body: str) -> None:
        """Write a benchmark whose `run(options, figures, tell)` has this body."""
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (self.root / "bench" / f"{name}.py").write_text(MODULE.format(name=name, body=lines), "utf-8")

    def plant_all(self) -> None:
        """Write every benchmark; each has one figure, its own name, unless `plant` writes another."""
        for name in NAMES:
            self.plant(name, f"figures.add({name!r}, [1.0, 3.0])")

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `tongban bench`, in English."""
        return [sys.executable, "-m", "node", "bench", "--lang", "en", *arguments]

    def bench(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `tongban bench` in this checkout."""
        return self.run(self.command(*arguments))

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command in this checkout."""
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=60, check=False)


def make_checkout(root: Path) -> Checkout:
    """Make a checkout without benchmarks, and with the pages that `bench/report.py` writes into."""
    (root / "node").symlink_to(HOUSE / "node")
    (root / "bench").mkdir()
    (root / "docs" / "operate").mkdir(parents=True)
    for name in (*REAL, *TEXTS):
        shutil.copy(HOUSE / "bench" / name, root / "bench" / name)
    shutil.copy(HOUSE / "docs" / "operate" / "benchmarks.md", root / "docs" / "operate")
    return Checkout(root)
