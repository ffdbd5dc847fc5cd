"""Write the pages of the figures from raw data: `python -m bench.report`.

    bench/results/NAME.json, bench/{method,tried,limit}.md  ->  docs/performance.md, docs/performance/flame.svg
    bench/goals.py                                          ->  the tables of docs/operate/benchmarks.md

The pages are a function of these files alone: the same raw data give the same bytes, and a test holds the pages
in the repository against it.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench.goals import FAMILIES, Figure, figures_of
from bench.measuring import quartiles
from bench.stacks import draw

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = "bench/results"
PERFORMANCE: Final = "docs/performance.md"
FLAME: Final = "docs/performance/flame.svg"
BENCHMARKS: Final = "docs/operate/benchmarks.md"
MADE: Final = "<!-- Made by `python -m bench.report` from bench/results and bench/*.md: change those. -->"
BEGIN: Final = "<!-- figures: made by `python -m bench.report` from bench/goals.py -->"
END: Final = "<!-- end of figures -->"
NOT_MEASURED: Final = "not measured"
CAPTION: Final = """\
{samples} samples of a node on SQLite at 16 connections, by py-spy; a thread that could run counts, also while another
has the core. Open the picture alone to see all labels. Orange is ours, blue the database, green cryptography and TLS,
violet the web framework. What stands bare on the event loop is uvloop, the parser and TLS records, which are C."""
Results = Mapping[str, Mapping[str, Any]]


class Unlisted(Exception):
    """Raw data has a benchmark or figure that `bench/goals.py` does not know."""


def read_results(root: Path) -> dict[str, dict[str, Any]]:
    """Return the raw data by benchmark, in the order of `bench/goals.py`, the flame graph's last.

    Raises:
        Unlisted: a file or a figure in one that no page would show.
    """
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((root / RESULTS).glob("*.json"))}
    places = [*FAMILIES, "flame"]
    for name, data in found.items():
        known = figures_of(name).keys() if name in FAMILIES else set()
        strange = sorted(data["figures"].keys() - known)
        if name not in places or strange:
            raise Unlisted(f"{RESULTS}/{name}.json: not in bench/goals.py: {', '.join(strange) or name}")
    return {name: found[name] for name in places if name in found}


def pages(root: Path) -> dict[str, str]:
    """Return every page that is made, by its path from the root.

    Raises:
        Unlisted: see `read_results`.
    """
    results = read_results(root)
    stacks = results.get("flame", {}).get("tables", {}).get("stacks")
    made = {
        PERFORMANCE: "\n".join(_performance(root, results)),
        BENCHMARKS: with_tables((root / BENCHMARKS).read_text("utf-8")),
    }
    return {**made, FLAME: draw("\n".join(stacks))} if stacks else made


def with_tables(page: str) -> str:
    """Return docs/operate/benchmarks.md with the tables of all figures between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"{BENCHMARKS} has no place for the figures")
    lines = [BEGIN, ""]
    for benchmark, families in FAMILIES.items():
        lines += [f"## {benchmark}", "", "| figure | what is measured | unit | goal |", "|---|---|---|---|"]
        lines += [f"| `{one.name}` | {one.meaning} | {one.unit} | {one.goal} |" for one in families]
        lines.append("")
    return head + "\n".join([*lines, END]) + tail


def _performance(root: Path, results: Results) -> Iterator[str]:
    def fragment(name: str) -> str:
        return (root / "bench" / f"{name}.md").read_text("utf-8").strip()

    yield from (MADE, "", "# Performance", "", *_goals(results))
    yield from ("## How it is measured", "", fragment("method"), "", "## On which machine", "", *_machine(results))
    yield from ("## Figures", "")
    for benchmark in FAMILIES:
        yield from _benchmark(benchmark, results.get(benchmark))
    yield from ("## Where the time goes", "", *_time(results))
    yield from ("## What was tried and did not pay", "", fragment("tried"), "")
    yield from ("## The limit", "", fragment("limit"), "")


def _goals(results: Results) -> Iterator[str]:
    """Yield the table of all figures that have a goal."""
    rows, met, count = [], 0, 0
    for benchmark in FAMILIES:
        data = results.get(benchmark)
        for name, figure in figures_of(benchmark).items():
            if figure.floor is None:
                continue
            value, verdict = _median(figure, data), _verdict(figure, data)
            rows.append(f"| `{name}` | {figure.meaning} | {figure.goal} | {value} | {verdict} |")
            count, met = count + 1, met + (verdict in ("met", "aim met"))
    yield f"{met} of {count} goals are met. Every figure comes from `make bench`; one that is not met says so."
    yield from ("", "| figure | what is measured | goal | median | |", "|---|---|---|---|---|", *rows, "")


def _machine(results: Results) -> Iterator[str]:
    """Yield the facts that are the same for all benchmarks once, and the others per benchmark."""
    machines = {name: data["machine"] for name, data in results.items()}
    keys = list(dict.fromkeys(key for machine in machines.values() for key in machine))
    yield from ("| | |", "|---|---|")
    for key in keys:
        values = {name: machine[key] for name, machine in machines.items() if key in machine}
        text = ", ".join(f"{name} {value}" for name, value in values.items())
        yield f"| {key.replace('_', ' ')} | {text if len(set(values.values())) > 1 else next(iter(values.values()))} |"
    yield ""


def _benchmark(benchmark: str, data: Mapping[str, Any] | None) -> Iterator[str]:
    yield from (f"### {benchmark}", "")
    if data is None:
        yield from (f"Not measured: `tongban bench --only {benchmark}` has left no raw data.", "")
        return
    asked = " ".join(f"--{key} {value}" for key, value in data["options"].items())
    yield f"`tongban bench --only {benchmark} {asked}`; it took {data['seconds']:.0f} s."
    yield from ("", "| figure | unit | goal | median | quartiles | runs | |", "|---|---|---|---|---|---|---|")
    for name, figure in figures_of(benchmark).items():
        runs = data["runs"].get(name, [])
        first, _, third = quartiles(runs) if runs else (0, 0, 0)
        between = f"{number(first)} … {number(third)}" if runs else ""
        verdict = _verdict(figure, data)
        yield (
            f"| `{name}` | {figure.unit} | {figure.goal} | {_median(figure, data)} | {between} "
            f"| {len(runs) or ''} | {verdict} |"
        )
    yield ""


def _time(results: Results) -> Iterator[str]:
    """Yield the flame graph, and the steps of one exchange with their costs."""
    flame = results.get("flame", {}).get("tables", {})
    if "stacks" in flame:
        samples = sum(int(line.rpartition(" ")[2]) for line in flame["stacks"])
        yield "![Flame graph of a loaded node](performance/flame.svg)"
        yield ""
        yield CAPTION.format(samples=f"{samples:,}")
    else:
        yield f"There is no flame graph: {flame.get('not_sampled', 'python -m bench.flame has left no raw data')}."
    yield ""
    for name, data in results.items():
        if "steps" in data["tables"]:
            yield from _steps(name, data["tables"]["steps"])


def _steps(benchmark: str, rows: list[tuple[str, float]]) -> Iterator[str]:
    total = sum(cost for _, cost in rows)
    yield from (f"| step of one {benchmark} | µs | share |", "|---|---|---|")
    yield from (f"| {step} | {number(cost)} | {cost / total:.0%} |" for step, cost in rows)
    yield from (f"| together | {number(total)} | |", "")
    yield "Each step alone and over and over, what it needs in the caches; in the whole path it takes longer."
    yield ""


def _median(figure: Figure, data: Mapping[str, Any] | None) -> str:
    if data is None or figure.name not in data["figures"]:
        return NOT_MEASURED
    value = data["figures"][figure.name]
    return "void" if value is None else f"{number(value)} {figure.unit}".removesuffix(" ×")


def _verdict(figure: Figure, data: Mapping[str, Any] | None) -> str:
    if data is None or figure.name not in data["figures"]:
        return ""
    value = data["figures"][figure.name]
    return str(data["void"][figure.name]) if value is None else figure.verdict(value)


def as_text(results: Results) -> str:
    """Return every figure for a terminal: name, median, quartiles, runs, goal, and what came of it."""
    rows = []
    for benchmark, data in results.items():
        for name, figure in figures_of(benchmark).items() if benchmark in FAMILIES else ():
            runs = data["runs"].get(name, [])
            between = " … ".join(number(one) for one in quartiles(runs)[::2]) if runs else ""
            rows.append((name, _median(figure, data), between, str(len(runs)), figure.goal, _verdict(figure, data)))
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(6)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number as people read it: three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def write(root: Path) -> None:
    """Write every page.

    Raises:
        Unlisted: see `read_results`.
    """
    made = pages(root)
    if FLAME not in made:
        (root / FLAME).unlink(missing_ok=True)
    for path, text in made.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text, "utf-8")


if __name__ == "__main__":
    try:
        write(ROOT)
    except Unlisted as fault:
        sys.exit(str(fault))
