"""The benchmarks of a source checkout, each run as a process of its own: `python -m bench.NAME`.

What measures is no part of the distribution: it lies in `bench/`, beside the package `node` of a checkout. A
benchmark writes its raw data to a file (`bench/measuring.py`)::

    {"benchmark": "log", "figures": {name: number or null}, "void": {name: why null}, "machine": {...},
     "options": {...}, "seconds": 12.3, "runs": {name: [...]}, "tables": {...}}

Several are merged into one object of the same keys; `tables` and what was asked of each stand under its name.
An interrupt ends the benchmark that runs, and all that it started.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

NAMES: Final = (
    "exchange", "query", "log", "growth", "peer_client", "cases", "statistics", "amounts", "documents", "batch",
    "footprint",
)  # fmt: skip
PATIENCE_SECONDS: Final = 30.0
"""How long an interrupted benchmark may take to stop its nodes and databases."""
LAST_LINES: Final = 20
Tell = Callable[[str], None]
Keep = Callable[[str, bytes], None]


class NoCheckout(Exception):
    """There is no folder `bench/` beside this package; the text is where it was looked for."""


class BenchmarkFailed(Exception):
    """A benchmark ended with a fault or wrote no raw data."""

    def __init__(self, name: str, said: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.said = "\n".join(said)
        """the end of its standard error"""


def checkout() -> Path:
    """Return the root of the checkout that this package lies in.

    Raises:
        NoCheckout: it was installed without `bench/`.
    """
    root = Path(__file__).absolute().parents[2]
    # Any distribution may bring a folder of this name; ours is known by its harness.
    if not (root / "bench" / "measuring.py").is_file():
        raise NoCheckout(str(root))
    return root


def measure(
    root: Path, names: Sequence[str], arguments: Sequence[str], tell: Tell, keep: Keep = lambda _name, _raw: None
) -> dict[str, Any]:
    """Run benchmarks one after the other and return their merged data.

    Args:
        root: of the checkout.
        names: of the benchmarks.
        arguments: options for each of them.
        tell: takes each line of their progress; called from another thread.
        keep: takes name and raw data of each as soon as it has ended.

    Raises:
        BenchmarkFailed: one of them; those that follow are not run.
        KeyboardInterrupt: at SIGINT, SIGTERM or SIGHUP; every process is gone by then.
    """
    parts: dict[str, dict[str, Any]] = {}
    with _signals_interrupt():
        for name in names:
            raw = _run(root, name, arguments, tell)
            keep(name, raw)
            parts[name] = json.loads(raw)
    return merge(parts)


def merge(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the raw data of several benchmarks as one object; the machine is that of the first.

    Raises:
        ValueError: two of them have a figure of one name.
    """
    merged: dict[str, Any] = {"figures": {}, "void": {}, "machine": {}, "runs": {}, "tables": {}, "benchmarks": {}}
    for name, part in parts.items():
        twice = merged["figures"].keys() & part["figures"].keys()
        if twice:
            raise ValueError(f"{name} has figures of another benchmark: {', '.join(sorted(twice))}")
        for key in ("figures", "void", "runs"):
            merged[key].update(part[key])
        if part["tables"]:
            merged["tables"][name] = part["tables"]
        merged["benchmarks"][name] = {key: part[key] for key in ("machine", "options", "seconds")}
        merged["machine"] = merged["machine"] or part["machine"]
    return merged


def _run(root: Path, name: str, arguments: Sequence[str], tell: Tell) -> bytes:
    """Run one benchmark and return its raw data."""
    said: deque[str] = deque(maxlen=LAST_LINES)
    with tempfile.TemporaryDirectory(prefix="tongban-bench-") as folder:
        output = Path(folder) / "raw.json"
        # A group of its own: Ctrl-C reaches the benchmark once, through us, and what it leaves behind can be ended.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", f"bench.{name}", "--json", "-o", str(output), *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        listener = threading.Thread(target=_listen, args=(process, said, tell), daemon=True)
        try:
            listener.start()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            _end(process)
        listener.join(timeout=5)
        if process.returncode or not output.is_file():
            raise BenchmarkFailed(name, said)
        return output.read_bytes()


def _listen(process: "subprocess.Popen[str]", said: deque[str], tell: Tell) -> None:
    with process.stderr or nullcontext(()) as lines:
        for line in lines:
            said.append(line.rstrip("\n"))
            tell(said[-1])


def _end(process: "subprocess.Popen[str]") -> None:
    """End a benchmark and all of its group: an interrupt and time to clean up first, if it still runs."""
    with suppress(KeyboardInterrupt):  # a second interrupt: no more patience
        _interrupt(process)
    # It is not reaped yet, so that its number, and the group's, can be nobody else's.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _interrupt(process: "subprocess.Popen[str]") -> None:
    os.kill(process.pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let every signal that asks for an end interrupt; children begin with the default of each."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored: started with nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
