"""What the footprint benchmark takes for ready, for an answer, and for a failure."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench import flame, footprint
from bench.footprint import demo, start_up
from bench.measuring import Figures, Options


def quiet(_line: str) -> None:
    """Tell nobody."""


class Network:
    """Cities that are this very process; `waited` keeps what the log held when a city began to start."""

    def __init__(self, root: Path) -> None:
        self.cities = [SimpleNamespace(code=code, home=root) for code in ("442000", "450400")]
        self.processes = {city.code: SimpleNamespace(pid=os.getpid()) for city in self.cities}
        self.events: list[str] = []

    def start(self, code: str) -> None:
        assert not (self.cities[0].home / "node.log").exists(), "an old line `ready` would end the wait"
        self.events.append(f"start {code}")

    def wait(self, code: str) -> None:
        self.events.append(f"wait {code}")

    def stop_all(self) -> None:
        self.events.append("stop")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory settles at once."""
    monkeypatch.setattr(footprint, "SETTLED_SECONDS", 0)


@pytest.mark.usefixtures("settled")
def test_cities_start_together_and_an_old_line_ready_does_not_count(tmp_path: Path) -> None:
    network: Any = Network(tmp_path)
    (tmp_path / "node.log").write_text("ready 442000\n")
    ready, memory = start_up(network, network.cities, "two", quiet)
    assert network.events == ["start 442000", "start 450400", "wait 442000", "wait 450400", "stop"]
    assert ready >= 0
    assert memory == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.2)


@pytest.fixture
def demo_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of the interpreter that runs the demo."""

    def replace(script: str) -> None:
        (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    return replace


def test_the_first_step_that_came_out_well_is_the_answer(demo_is: Callable[[str], None]) -> None:
    demo_is("echo '✔ nodes are ready' >&2; echo '  ✔ 442000 answered  9 ms' >&2")
    assert demo(3) > 0


@pytest.mark.parametrize(
    "script", ["echo '✔ nodes are ready' >&2", "echo '  ✔ answered' >&2; exit 1", "echo '  ✘ no answer' >&2; exit 1"]
)
def test_a_demo_that_fails_or_answers_nothing_gives_no_figure(demo_is: Callable[[str], None], script: str) -> None:
    demo_is(script)
    with pytest.raises(RuntimeError, match="demo of 3 cities failed"):
        demo(3)


def test_an_interrupted_demo_is_interrupted_not_killed(
    demo_is: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More lines than a pipe holds: the signal comes when somebody reads them.
    lines = "head -c 200000 /dev/zero | tr '\\0' '\\n' >&2"
    forever = "while :; do sleep 0.05; done"
    demo_is(f"trap 'touch {tmp_path}/stopped; exit 1' INT; {lines}; kill -INT {os.getpid()}; {forever}")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            demo(3)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "stopped").exists()


def test_figures_have_the_number_of_cities_in_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "start_up", lambda *_: (1.0, 2.0))
    monkeypatch.setattr(footprint, "demo", float)
    figures = Figures()
    footprint.run(Options(rounds=4, cities=4), figures, quiet)
    assert figures.values == {
        "serve_ready_seconds": 1, "serve_rss_mib": 2, "network_4_ready_seconds": 1, "network_4_rss_mib_per_node": 2,
        "demo_3_first_answer_seconds": 3, "demo_4_first_answer_seconds": 4,
    }  # fmt: skip
    assert len(figures.runs["serve_rss_mib"]) == 4
    assert len(figures.runs["demo_4_first_answer_seconds"]) == 3


def test_without_py_spy_nothing_is_sampled_and_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(flame.NotSampled, match="make setup"):
        flame.sample(os.getpid(), 1)


def test_a_process_that_is_gone_cannot_be_sampled() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(flame.NotSampled, match="py-spy"):
        flame.sample(gone.pid, 1)
