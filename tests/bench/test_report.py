"""The pages of the figures are what the raw data say: nothing left out, nothing by hand, the same bytes each time."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.goals import figures_of
from bench.report import BENCHMARKS, FLAME, PERFORMANCE, Unlisted, pages, with_tables, write
from tests.bench.checkouts import HOUSE, Checkout

STACKS = ["event loop 30", "event loop;seal (protocol/envelope.py) 10", "thread;<lambda> (node/app.py) 60"]


def keep(checkout: Checkout, benchmark: str, **changes: Any) -> None:
    """Write raw data into the checkout."""
    data: dict[str, Any] = {
        "benchmark": benchmark, "figures": {}, "void": {}, "machine": {"processors": 2, "load_before": 0.5},
        "options": {"seconds": 1.0, "size": 1_000_000, "seed": 9}, "seconds": 61.4, "runs": {}, "tables": {}, **changes,
    }  # fmt: skip
    folder = checkout.root / "bench" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{benchmark}.json").write_text(json.dumps(data), "utf-8")


def page_of(checkout: Checkout) -> str:
    return pages(checkout.root)[PERFORMANCE]


def rows_of(page: str, name: str) -> list[list[str]]:
    """Return the cells of each row of a figure: that of the goals, that of its benchmark."""
    return [
        [cell.strip() for cell in row.split("|")[2:-1]] for row in page.splitlines() if row.startswith(f"| `{name}`")
    ]


@pytest.mark.parametrize("path", [PERFORMANCE, BENCHMARKS, FLAME])
def test_the_page_in_the_repository_is_what_the_raw_data_say(path: str) -> None:
    made = pages(HOUSE).get(path)
    there = (HOUSE / path).read_text("utf-8") if (HOUSE / path).exists() else None
    assert there == made, "run: python -m bench.report"


def test_a_figure_stands_with_goal_median_quartiles_runs_and_what_came_of_it(checkout: Checkout) -> None:
    figures: dict[str, Any] = {"log_verify_sqlite_per_second": 314_000, "log_verify_postgresql_per_second": 149_999}
    figures["log_append_sqlite_per_second"] = None
    runs = {"log_verify_sqlite_per_second": [300_000, 314_000, 328_000], "log_verify_postgresql_per_second": [149_999]}
    keep(checkout, "log", figures=figures, runs=runs, void={"log_append_sqlite_per_second": "the disk was full"})
    page = page_of(checkout)
    _, met = rows_of(page, "log_verify_sqlite_per_second")
    assert met == ["entries/s", "≥ 200,000", "314,000 entries/s", "307,000 … 321,000", "3", "met"]
    _, missed = rows_of(page, "log_verify_postgresql_per_second")
    assert missed == ["entries/s", "≥ 150,000", "149,999 entries/s", "149,999 … 149,999", "1", "missed"]
    (void,) = rows_of(page, "log_append_sqlite_per_second")
    assert void == ["entries/s", "", "void", "", "", "the disk was full"]
    assert "`tongban bench --only log --seconds 1.0 --size 1000000 --seed 9`; it took 61 s." in page


def test_goals_stand_first_and_what_was_not_measured_says_so(checkout: Checkout) -> None:
    keep(checkout, "query", figures={"query_1_p50_ms": 3.5}, runs={"query_1_p50_ms": [3.5]})
    page = page_of(checkout)
    assert re.search(r"^1 of \d+ goals are met", page, re.MULTILINE)
    assert rows_of(page, "query_1_p50_ms")[0][1:] == ["≤ 4", "3.50 ms", "met"]
    assert [row[-2:] for row in rows_of(page, "query_15_ratio")] == [["not measured", ""], ["", ""]]
    assert rows_of(page, "query_15_ratio")[1][2] == "not measured"
    assert [row[-2:] for row in rows_of(page, "exchange_sqlite_ratio")] == [["not measured", ""]]
    assert "Not measured: `tongban bench --only exchange`" in page


def test_a_missed_or_void_goal_is_not_counted_as_met(checkout: Checkout) -> None:
    figures = {"query_1_p50_ms": 4.5, "query_15_ratio": None}
    keep(checkout, "query", figures=figures, runs={"query_1_p50_ms": [4.5]}, void={"query_15_ratio": "not even met"})
    assert re.search(r"^0 of \d+ goals are met", page_of(checkout), re.MULTILINE)


def test_every_listed_figure_of_a_benchmark_that_ran_has_a_row(checkout: Checkout) -> None:
    keep(checkout, "exchange")
    page = page_of(checkout)
    assert [name for name in figures_of("exchange") if not rows_of(page, name)] == []


def test_the_machine_stands_once_and_what_differs_by_benchmark(checkout: Checkout) -> None:
    keep(checkout, "log")
    keep(checkout, "query", machine={"processors": 2, "load_before": 0.7})
    page = page_of(checkout)
    assert "| processors | 2 |" in page
    assert "| load before | query 0.7, log 0.5 |" in page


def test_steps_stand_with_their_share(checkout: Checkout) -> None:
    keep(
        checkout,
        "exchange",
        tables={"steps": [["verify", 75.0], ["sign", 25]], "exchange_bare_16": {"client_busy": [1]}},
    )
    page = page_of(checkout)
    rows = page[page.index("| step of one exchange ") :].splitlines()
    assert rows[2:5] == ["| verify | 75.0 | 75% |", "| sign | 25.0 | 25% |", "| together | 100 | |"]
    assert "client_busy" not in page


def test_the_flame_graph_is_drawn_or_the_page_says_why_not(checkout: Checkout) -> None:
    assert FLAME not in pages(checkout.root)
    keep(checkout, "flame", tables={"not_sampled": "py-spy is not installed"})
    assert FLAME not in pages(checkout.root)
    assert "There is no flame graph: py-spy is not installed." in page_of(checkout)
    keep(checkout, "flame", tables={"stacks": STACKS})
    assert "seal (protocol/envelope.py)" in pages(checkout.root)[FLAME]
    assert "(performance/flame.svg)" in page_of(checkout)
    assert "100 samples" in page_of(checkout)


def test_a_drawing_without_stacks_is_not_kept(checkout: Checkout) -> None:
    keep(checkout, "flame", tables={"stacks": STACKS})
    write(checkout.root)
    keep(checkout, "flame", tables={"not_sampled": "no right"})
    write(checkout.root)
    assert not (checkout.root / FLAME).exists()


def test_what_people_write_stands_under_its_heading(checkout: Checkout) -> None:
    for name in ("method", "tried", "limit"):
        (checkout.root / "bench" / f"{name}.md").write_text(f"\n{name} by hand\n", "utf-8")
    page = page_of(checkout)
    for heading, name in (
        ("How it is measured", "method"),
        ("What was tried and did not pay", "tried"),
        ("The limit", "limit"),
    ):
        assert f"## {heading}\n\n{name} by hand\n" in page


@pytest.mark.parametrize(("benchmark", "figures"), [("log", {"log_speed": 1}), ("speed", {}), ("flame", {"heat": 1})])
def test_raw_data_that_no_page_would_show_are_refused(
    checkout: Checkout, benchmark: str, figures: dict[str, Any]
) -> None:
    keep(checkout, benchmark, figures=figures)
    with pytest.raises(Unlisted, match=next(iter(figures), benchmark)):
        pages(checkout.root)


def test_the_order_of_the_raw_data_changes_no_byte(checkout: Checkout) -> None:
    figures = {"log_verify_sqlite_per_second": 2, "log_verify_postgresql_per_second": 3}
    runs = {name: [value] for name, value in figures.items()}
    keep(checkout, "flame", tables={"stacks": STACKS})
    keep(checkout, "log", figures=figures, runs=runs)
    write(checkout.root)
    first = {path: (checkout.root / path).read_bytes() for path in (PERFORMANCE, BENCHMARKS, FLAME)}
    keep(checkout, "log", figures=dict(reversed(figures.items())), runs=dict(reversed(runs.items())))
    keep(checkout, "flame", tables={"stacks": STACKS[::-1]})
    write(checkout.root)
    assert {path: (checkout.root / path).read_bytes() for path in first} == first


def test_the_tables_are_written_between_the_marks_and_nothing_else_changes() -> None:
    page = (HOUSE / BENCHMARKS).read_text("utf-8")
    emptied = re.sub(r"(<!-- figures[^>]*-->).*(<!-- end)", r"\1\2", page, flags=re.DOTALL)
    assert emptied != page
    assert with_tables(emptied) == page
    with pytest.raises(ValueError, match="no place"):
        with_tables(page.replace("<!-- end of figures -->", ""))


def test_the_drawing_is_small_and_names_no_place_of_a_machine() -> None:
    path: Path = HOUSE / FLAME
    if FLAME in pages(HOUSE):
        assert path.stat().st_size < 300_000
        assert not re.search(r"\(/|site-packages", path.read_text("utf-8"))
