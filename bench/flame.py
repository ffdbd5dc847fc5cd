"""Where the time of a loaded server goes: `python -m bench.flame`; `--seconds` counts twenty times.

Samples are taken by py-spy, from outside: the server that is sampled is the one that is measured, without a line
changed or a tracer inside. The stage of the exchange benchmark is made, and its SQLite node loaded through 16
connections. Native frames are left out: with them the server was half as fast and hardly one was named.

There is no figure in it. The raw data has the table `stacks`, folded as in `bench/stacks.py`, or `not_sampled`,
the reason why there are none. `python -m bench.report` draws docs/performance/flame.svg.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.load import run_slice
from bench.measuring import Figures, Options, Tell, main, on_cores
from bench.stacks import fold
from bench.stage import CLIENT_CORE, stage

SLICES: Final = 20
HERTZ: Final = 200
CONNECTIONS: Final = 16
MOST_PER_SECOND: Final = 3_000
"""questions prepared; a faster server idles at the end"""


class NotSampled(Exception):
    """No samples were taken; the text says why."""


def sample(pid: int, seconds: float) -> str:
    """Return the stacks of a running Python process, folded.

    Raises:
        NotSampled: py-spy is absent, or may not look into that process (it needs the right to trace it).
    """
    spy = Path(sys.executable).parent / "py-spy"
    if not spy.exists():
        raise NotSampled("py-spy is not installed: make setup")
    with tempfile.TemporaryDirectory(prefix="tongban-flame-") as folder:
        output = Path(folder) / "raw.txt"
        wanted = ["--pid", str(pid), "--duration", str(max(1, round(seconds))), "--rate", str(HERTZ)]
        line = [str(spy), "record", *wanted, "--format", "raw", "--function", "--output", str(output)]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode or not output.exists():
            raise NotSampled(f"py-spy: {(done.stderr or done.stdout).strip()[-400:]}")
        return fold(output.read_text("utf-8"))


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Load a node, one process on its own core, and sample it meanwhile."""
    seconds = SLICES * options.seconds
    with stage(options, tell, postgresql=False) as made, on_cores(CLIENT_CORE):
        target = made.serve(made.asked.home)
        tell("signing questions")
        questions = made.questions(int(seconds * MOST_PER_SECOND))
        tell(f"{seconds:g} s of load, {HERTZ} samples a second")
        with ThreadPoolExecutor(1) as pool:
            sampled = pool.submit(sample, target.pids[0], seconds)
            seen = run_slice(target, questions, connections=CONNECTIONS, seconds=seconds + 1)
        if set(seen.statuses) != {200}:
            raise RuntimeError(f"answers were {seen.statuses}")
        try:
            figures.tables["stacks"] = sampled.result().splitlines()
        except NotSampled as fault:
            tell(f"no flame graph: {fault}")
            figures.tables["not_sampled"] = str(fault)


if __name__ == "__main__":
    main("flame", run)
