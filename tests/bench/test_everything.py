"""`make bench`: everything runs, its raw data are kept, the pages are written from them."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

from bench.report import BENCHMARKS, PERFORMANCE, pages
from node.simulation.bench import NAMES
from tests.bench.checkouts import HOUSE, Checkout

FIGURES = {
    "exchange": "exchange_sqlite_ratio",
    "query": "query_1_p50_ms",
    "log": "log_verify_sqlite_per_second",
    "growth": "growth_sqlite_ratio",
    "peer_client": "outbound_16_ratio",
    "cases": "cases_per_second_sqlite",
    "statistics": "statistics_answer_sqlite_ms",
    "amounts": "amounts_persons_per_second",
    "documents": "document_p50_ms",
    "batch": "batch_10000_seconds_sqlite",
    "footprint": "serve_rss_mib",
}


def plant(checkout: Checkout) -> None:
    for name, figure in FIGURES.items():
        checkout.plant(name, f"figures.add({figure!r}, [options.rounds])")
    checkout.plant("flame", "figures.tables['stacks'] = ['event loop 3']")


def everything(checkout: Checkout, *arguments: str) -> "CompletedProcess[str]":
    return checkout.run([sys.executable, "-m", "bench.everything", *arguments])


def kept(checkout: Checkout) -> dict[str, Path]:
    return {path.stem: path for path in (checkout.root / "bench" / "results").glob("*")}


def test_everything_is_run_kept_written_and_printed(checkout: Checkout) -> None:
    plant(checkout)
    done = everything(checkout, "--rounds", "7")
    assert done.returncode == 0, done.stderr
    files = kept(checkout)
    assert files.keys() == {*NAMES, "flame"}
    for name, figure in FIGURES.items():
        data = json.loads(files[name].read_text("utf-8"))
        assert (data["benchmark"], data["figures"]) == (name, {figure: 7})
        assert f"\n{figure} " in f"\n{done.stdout}"
    for path, text in pages(checkout.root).items():
        assert (checkout.root / path).read_text("utf-8") == text
    assert "exchange_sqlite_ratio" in (checkout.root / PERFORMANCE).read_text("utf-8")


def test_one_alone_leaves_the_data_of_the_others(checkout: Checkout) -> None:
    plant(checkout)
    for name in ("log", "query"):
        assert everything(checkout, "--only", name, "--rounds", "7").returncode == 0
    done = everything(checkout, "--only", "log", "--rounds", "9")
    figures = {name: json.loads(path.read_text("utf-8"))["figures"] for name, path in kept(checkout).items()}
    assert figures == {"log": {"log_verify_sqlite_per_second": 9}, "query": {"query_1_p50_ms": 7}}
    assert "query_1_p50_ms" in done.stdout


def test_a_failure_is_named_and_what_had_ended_is_kept(checkout: Checkout) -> None:
    plant(checkout)
    checkout.plant("log", "raise RuntimeError('the disk is full')")
    before = (checkout.root / BENCHMARKS).read_bytes()
    done = everything(checkout)
    assert done.returncode == 1
    assert "benchmark log failed" in done.stderr
    assert done.stderr.rstrip().endswith("RuntimeError: the disk is full")
    assert kept(checkout).keys() == {"exchange", "query"}
    assert (checkout.root / BENCHMARKS).read_bytes() == before
    assert not (checkout.root / PERFORMANCE).exists()


def test_make_bench_runs_everything() -> None:
    makefile = (HOUSE / "Makefile").read_text("utf-8")
    assert "bench: setup\n\t@$(BIN)/python -m bench.everything $(ARGS)\n" in makefile
