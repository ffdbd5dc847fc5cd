"""The list of figures: names in braces, goals that can be told, one meaning for a name."""

import json
from pathlib import Path

import pytest

from bench.goals import FAMILIES, Figure, expand, figures_of
from node.simulation.bench import NAMES
from tests.bench.checkouts import HOUSE

RAW = sorted((HOUSE / "bench" / "results").glob("*.json"))


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("serve_rss_mib", ["serve_rss_mib"]),
        ("a_{b,c}_d", ["a_b_d", "a_c_d"]),
        ("{a,b}_{1,16}", ["a_1", "a_16", "b_1", "b_16"]),
        ("a{,_1}_ratio", ["a_ratio", "a_1_ratio"]),
    ],
)
def test_a_name_with_alternatives_stands_for_each_of_them(name: str, names: list[str]) -> None:
    assert expand(name) == names


def test_every_benchmark_has_its_figures_and_no_name_is_used_twice() -> None:
    assert set(FAMILIES) == set(NAMES)
    names = [name for families in FAMILIES.values() for family in families for name in expand(family.name)]
    assert len(names) == len(set(names))
    assert not any(set("{},") & set(name) for name in names)
    assert [name for benchmark in FAMILIES for name in figures_of(benchmark)] == names


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        (Figure("a", "", "", 0.18, 0.25), 0.179, "missed"),
        (Figure("a", "", "", 0.18, 0.25), 0.18, "met"),
        (Figure("a", "", "", 0.18, 0.25), 0.25, "aim met"),
        (Figure("a", "", "", 4, at_most=True), 4.01, "missed"),
        (Figure("a", "", "", 4, at_most=True), 4, "met"),
        (Figure("a", "", "", 0.5, 0.25, at_most=True), 0.25, "aim met"),
        (Figure("a", "", "", 0.5, 0.25, at_most=True), 0.26, "met"),
        (Figure("a", "", ""), 1, ""),
    ],
)
def test_a_value_misses_or_meets_its_goal(figure: Figure, value: float, verdict: str) -> None:
    assert figure.verdict(value) == verdict


def test_an_aim_is_harder_than_its_goal() -> None:
    figures = [figure for families in FAMILIES.values() for figure in families if figure.aim is not None]
    assert figures
    assert all(figure.floor is not None and figure.verdict(figure.floor) == "met" for figure in figures)


GOALS = {
    "exchange_postgresql_ratio": "≥ 0.18, aim 0.25",
    "exchange_sqlite_ratio": "≥ 0.15, aim 0.22",
    "exchange_over_naive_ratio": "≥ 2.2, aim 3",
    "exchange_logged_postgresql_ratio": "≥ 0.85, aim 0.95",
    "exchange_logged_sqlite_ratio": "≥ 0.7, aim 0.85",
    "exchange_workers_ratio": "≥ 1.5, aim 1.8",
    "overload_throughput_ratio": "≥ 0.9",
    "overload_p99_ms": "≤ 500",
    "outbound_16_ratio": "≥ 5, aim 15",
    "query_1_p50_ms": "≤ 4",
    "query_15_ratio": "≤ 0.5, aim 0.25",
    "growth_sqlite_ratio": "≤ 1.2",
    "growth_postgresql_ratio": "≤ 1.2",
    "log_verify_sqlite_per_second": "≥ 200,000",
    "log_verify_postgresql_per_second": "≥ 150,000",
    "amounts_persons_per_second": "≥ 2,000",
}
"""What was promised before it was measured."""


@pytest.mark.parametrize("name", GOALS)
def test_no_promised_goal_is_lowered(name: str) -> None:
    assert [figures_of(benchmark)[name].goal for benchmark in FAMILIES if name in figures_of(benchmark)] == [
        GOALS[name]
    ]


@pytest.mark.parametrize("path", RAW, ids=lambda path: path.stem)
def test_every_figure_of_the_published_run_is_listed_with_its_runs(path: Path) -> None:
    data = json.loads(path.read_text("utf-8"))
    assert data["benchmark"] == path.stem
    listed = figures_of(path.stem) if path.stem in FAMILIES else {}
    assert data["figures"].keys() <= listed.keys()
    for name, value in data["figures"].items():
        assert (value is None) == (name in data["void"]), name
        assert value is None or data["runs"][name], name
