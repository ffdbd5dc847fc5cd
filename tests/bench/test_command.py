"""`tongban bench`: every benchmark a process of its own, one object, a failure by its name, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from bench.measuring import Options
from node.simulation import bench
from node.simulation.bench import NAMES, merge
from tests.bench.checkouts import HOUSE, Checkout

LEAVE = """\
with open("held", "wb") as held:
    child = subprocess.Popen(["sleep", "300"], pass_fds=[held.fileno()])
tell("started")
"""
"""A benchmark that starts a process which holds a FIFO open: who reads it sees the end when that process is gone."""


def said(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """Return the one object on stdout of a command that ended well."""
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def part(name: str, **figures: float) -> dict[str, Any]:
    """Return raw data as a benchmark writes them."""
    runs = {figure: [value] for figure, value in figures.items()}
    return {
        "benchmark": name, "figures": figures, "void": {}, "machine": {"load_before": len(name)},
        "options": {"seed": 1}, "seconds": 2.0, "runs": runs, "tables": {},
    }  # fmt: skip


@contextmanager
def held_open(root: Path) -> Iterator[int]:
    """Make the FIFO `held` and open it for reading."""
    os.mkfifo(root / "held")
    reading = os.open(root / "held", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    try:
        yield reading
    finally:
        os.close(reading)


def test_one_benchmark_prints_its_figures_machine_and_runs(checkout: Checkout) -> None:
    checkout.plant("log", "figures.add('b', [1.0, 2.0, 9.0])\nfigures.tables['steps'] = [['x', 1]]")
    told = said(checkout.bench("--only", "log", "--json"))
    assert told["figures"] == {"b": 2.0}
    assert told["runs"] == {"b": [1.0, 2.0, 9.0]}
    assert told["tables"] == {"log": {"steps": [["x", 1]]}}
    assert {"system", "python", "processors"} <= told["machine"].keys()
    assert told["benchmarks"]["log"]["machine"] == told["machine"]


def test_without_only_all_benchmarks_run_in_their_order(checkout: Checkout) -> None:
    checkout.plant_all()
    told = said(checkout.bench("--json"))
    assert told["figures"] == dict.fromkeys(NAMES, 2.0)
    assert list(told["benchmarks"]) == list(NAMES)


OPTIONS = {"seconds": 0.25, "rounds": 3, "cities": 5, "size": 77, "workers": 4, "people": 12, "seed": 9}


def test_every_option_reaches_the_benchmark_and_what_is_not_given_keeps_its_default(checkout: Checkout) -> None:
    checkout.plant("query", "figures.add('asked', [1])")
    given = [f"--{name}={value}" for name, value in OPTIONS.items()]
    assert said(checkout.bench("--only", "query", "--json", *given))["benchmarks"]["query"]["options"] == OPTIONS
    told = said(checkout.bench("--only", "query", "--json", "--rounds", "3"))["benchmarks"]["query"]["options"]
    assert told == {**asdict(Options()), "rounds": 3}


def test_the_output_file_holds_what_is_printed_and_no_raw_data_stay_in_the_checkout(checkout: Checkout) -> None:
    checkout.plant("log", "figures.add('b', [1.0])")
    told = said(checkout.bench("--only", "log", "--json", "-o", "raw.json"))
    assert json.loads((checkout.root / "raw.json").read_text("utf-8")) == told
    assert not (checkout.root / "bench" / "results").exists()


def test_people_see_a_table_with_quartiles_and_why_a_figure_is_void(checkout: Checkout) -> None:
    checkout.plant("log", "figures.add('b', [1, 2, 3, 4, 5])\nfigures.refuse('c', 'the client was the limit')")
    done = checkout.bench("--only", "log")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert rows == [["b", "3", "2 … 4", "5"], ["c", "void", "the client was the limit", ""]]
    assert json.loads(checkout.bench("--only", "log", "--json").stdout)["figures"] == {"b": 3, "c": None}


def test_a_benchmark_that_nobody_knows_is_refused_with_the_names(checkout: Checkout) -> None:
    done = checkout.bench("--only", "speed")
    assert done.returncode == 2
    assert " | ".join(NAMES) in done.stderr


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(checkout: Checkout) -> None:
    checkout.plant("log", "Path('ran').touch()")
    assert checkout.bench("--only", "log", "-o", "nowhere/raw.json").returncode == 2
    assert not (checkout.root / "ran").exists()


@pytest.mark.parametrize("foreign", [False, True], ids=["no folder", "a folder of another package"])
@pytest.mark.parametrize(
    ("lang", "words"), [("en", ("source", "Next: ", "make bench")), ("zh", ("源码", "下一步: ", "make bench"))]
)
def test_an_installed_package_says_where_the_benchmarks_are(
    checkout: Checkout, foreign: bool, lang: str, words: tuple[str, ...]
) -> None:
    shutil.rmtree(checkout.root / "bench")
    if foreign:
        (checkout.root / "bench").mkdir()
    done = checkout.bench("--lang", lang)
    assert done.returncode == 3
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


FAILING = "for n in range(40):\n    tell(f'line {n}')\nraise RuntimeError('the database went away')"


def test_a_benchmark_that_fails_is_named_with_the_end_of_what_it_said_and_the_next_is_not_run(
    checkout: Checkout,
) -> None:
    checkout.plant_all()
    checkout.plant("query", FAILING)
    checkout.plant("log", "Path('ran').touch()")
    done = checkout.bench("-q")
    assert done.returncode == 1
    assert "Benchmark query failed" in done.stderr
    assert "RuntimeError: the database went away" in done.stderr
    assert "line 0\n" not in done.stderr
    assert "python -m bench.query" in done.stderr
    assert not (checkout.root / "ran").exists()


def test_a_failure_is_one_object_too(checkout: Checkout) -> None:
    checkout.plant("query", FAILING)
    done = checkout.bench("--only", "query", "--json")
    assert done.returncode == 1
    refusal = json.loads(done.stdout)["refusal"]
    assert refusal["benchmark"] == "query"
    assert refusal["said"].endswith("RuntimeError: the database went away")


@pytest.mark.parametrize(
    "body",
    ["os._exit(0)", "import atexit\nfigures.add('b', [1])\natexit.register(os._exit, 3)"],
    ids=["no raw data", "raw data, then a fault"],
)
def test_a_benchmark_without_raw_data_or_with_a_fault_at_its_end_has_failed(checkout: Checkout, body: str) -> None:
    checkout.plant("log", body)
    done = checkout.bench("--only", "log")
    assert done.returncode == 1
    assert "Benchmark log failed" in done.stderr


def test_progress_is_told_while_the_benchmark_runs_and_not_with_q(checkout: Checkout) -> None:
    os.mkfifo(checkout.root / "go")
    checkout.plant("log", "tell('half [red] done')\nopen('go').read()\nfigures.add('b', [1])")
    running = subprocess.Popen(
        checkout.command("--only", "log", "--json"),
        cwd=checkout.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    assert running.stderr.readline() == "half [red] done\n"
    (checkout.root / "go").write_text("")
    out, _ = running.communicate(timeout=30)
    assert json.loads(out)["figures"] == {"b": 1}
    checkout.plant("log", "tell('half done')\nfigures.add('b', [1])")
    assert checkout.bench("--only", "log", "-q").stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_lets_the_benchmark_clean_up_and_ends_what_it_started(
    checkout: Checkout, number: signal.Signals
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:  # under nohup, and children would inherit it
        signal.signal(number, signal.SIG_DFL)
    body = indent(LEAVE + "time.sleep(300)", "    ")
    checkout.plant("log", f"try:\n{body}\nfinally:\n    Path('cleaned').touch()")
    with held_open(checkout.root) as reading:
        running = subprocess.Popen(
            checkout.command("--only", "log"),
            cwd=checkout.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stderr is not None
        assert running.stderr.readline() == "started\n"
        running.send_signal(number)
        running.communicate(timeout=30)
        assert os.read(reading, 1) == b"", "the last process that the benchmark started is gone"
    assert running.returncode == 130, running.returncode
    assert (checkout.root / "cleaned").exists()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time to clean up."""
    monkeypatch.setattr(bench, "PATIENCE_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_benchmark_that_heeds_no_interrupt_is_ended_with_all_of_its_group(checkout: Checkout) -> None:
    checkout.plant("log", "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + LEAVE + "time.sleep(300)")
    before = signal.getsignal(signal.SIGINT)
    with held_open(checkout.root) as reading:
        with pytest.raises(KeyboardInterrupt):
            bench.measure(checkout.root, ["log"], [], lambda _line: os.kill(os.getpid(), signal.SIGINT))
        assert os.read(reading, 1) == b""
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_benchmark_leaves_running_is_ended_with_it(checkout: Checkout) -> None:
    checkout.plant("log", LEAVE + "figures.add('b', [1])")
    with held_open(checkout.root) as reading:
        assert bench.measure(checkout.root, ["log"], [], lambda _line: None)["figures"] == {"b": 1}
        assert os.read(reading, 1) == b""


def test_several_are_merged_and_the_machine_is_that_of_the_first() -> None:
    parts = {"log": {**part("log", a=1), "tables": {"t": 1}, "void": {"v": "why"}}, "growth": part("growth", b=2)}
    assert merge(parts) == {
        "figures": {"a": 1, "b": 2},
        "void": {"v": "why"},
        "machine": {"load_before": 3},
        "runs": {"a": [1], "b": [2]},
        "tables": {"log": {"t": 1}},
        "benchmarks": {
            "log": {"machine": {"load_before": 3}, "options": {"seed": 1}, "seconds": 2.0},
            "growth": {"machine": {"load_before": 6}, "options": {"seed": 1}, "seconds": 2.0},
        },
    }


def test_two_benchmarks_with_a_figure_of_one_name_are_not_merged() -> None:
    with pytest.raises(ValueError, match=r"growth .*: a"):
        merge({"log": part("log", a=1), "growth": part("growth", a=2)})


def test_every_benchmark_that_can_be_named_exists() -> None:
    assert [name for name in NAMES if not (HOUSE / "bench" / f"{name}.py").exists()] == []


def test_the_installed_package_is_without_them() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))
    assert "bench" not in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
