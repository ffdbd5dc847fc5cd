"""The full exchange against bare uvicorn: `python -m bench.exchange`, the same as `tongban bench --only exchange`.

One server process on its own core, the client and PostgreSQL on the other. Every question is new, signed
beforehand, about a person drawn at random from the registry; nothing is switched off, the rate limit is raised.
Slices alternate: bare, SQLite, bare, PostgreSQL, bare, …; a ratio is a slice against the mean of its neighbours.
"""

import statistics
from functools import partial
from typing import Final

from bench import overload, steps, workers
from bench.asking import Asker, Echo
from bench.load import CLIENT_BUSY, SERVER_BUSY, Slice
from bench.measuring import Figures, Options, Tell, alternate, main, on_cores, ratios
from bench.stage import CLIENT_CORE, Stage, stage

CONNECTIONS: Final = (16, 1, 64)
FORMS: Final = ("sqlite", "postgresql", "naive", "ceiling", "unlogged_sqlite", "unlogged_postgresql")


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure all forms at 16, 1 and 64 connections."""
    with stage(options, tell) as made, on_cores(CLIENT_CORE):
        make_forms(made)
        for connections in CONNECTIONS:
            _compare(made, options, figures, tell, connections)
        overload.measure(made, options, figures, tell)
        workers.measure(made, options, figures, tell)
        figures.tables["steps"] = steps.measure(made)


def _compare(made: Stage, options: Options, figures: Figures, tell: Tell, connections: int) -> None:
    base, askers = open_forms(made, options, FORMS if connections == 16 else FORMS[:3])
    tell(f"{connections} connection(s): {options.rounds} rounds of bare, {', '.join(askers)}")
    variants = {name: partial(asker.measure, connections) for name, asker in askers.items()}
    for asker in askers.values():
        asker.measure(connections)
        asker.slices.clear()
    series = alternate(lambda: base.measure(connections), variants, options.rounds)
    made.stop()
    report(figures, "bare", base.slices, connections)
    for name, asker in askers.items():
        report(figures, name, asker.slices, connections)
        suffix = "" if connections == 16 else f"_{connections}"
        add_ratio(
            figures, f"exchange_{name}{suffix}_ratio", ratios(series, name), base.slices, asker.slices, connections
        )
    if connections == 16:
        _compare_forms(figures, askers)


def open_forms(made: Stage, options: Options, names: tuple[str, ...]) -> tuple[Echo, dict[str, Asker]]:
    """Start the baseline and these forms of the asked city, each as one process on the server's core."""
    base = Echo(made.serve(made.forms["bare"], "bench.servers", "bare"), made, options)
    askers: dict[str, Asker] = {}
    for name in names:
        if name not in made.forms:
            continue
        kind = name.partition("_")[0]
        command = () if kind in ("sqlite", "postgresql") else ("bench.servers", kind)
        askers[name] = Asker(name, made.serve(made.forms[name], *command), made, options)
    return base, askers


def make_forms(made: Stage) -> None:
    """Make every form beside the two that the stage brings, before any server writes."""
    for name in ("bare", "naive", "ceiling", "unlogged_sqlite"):
        made.form(name)
    if made.postgresql is not None:
        made.copy("postgresql", "unlogged_postgresql")


def report(figures: Figures, name: str, slices: list[Slice], connections: int) -> None:
    """Add rate, latencies and processor time of one server at so many connections."""
    prefix = f"exchange_{name}_{connections}"
    figures.add(f"{prefix}_per_second", [one.rate for one in slices])
    figures.add(f"{prefix}_p50_ms", [one.p50_ms for one in slices])
    figures.add(f"{prefix}_p99_ms", [one.p99_ms for one in slices])
    figures.add(f"{prefix}_cpu_us", [one.cpu_us for one in slices])
    figures.tables[prefix] = {
        "server_busy": [round(one.server_busy, 3) for one in slices],
        "client_busy": [round(one.client_busy, 3) for one in slices],
    }


def add_ratio(
    figures: Figures, name: str, found: list[float], base: list[Slice], slices: list[Slice], connections: int
) -> None:
    """Add a ratio, or say that it is void because the client was the limit."""
    busy = statistics.median(one.server_busy for one in base)
    used = statistics.median(one.client_busy for one in slices)
    if connections > 1 and busy < SERVER_BUSY:
        figures.refuse(name, f"the bare server was only {busy:.0%} busy: the client was the limit")
    elif connections > 1 and used > CLIENT_BUSY:
        figures.refuse(name, f"the client used {used:.0%} of its core")
    else:
        figures.add(name, found)


def _compare_forms(figures: Figures, askers: dict[str, Asker]) -> None:
    pairs = {
        "exchange_over_naive_ratio": ("sqlite", "naive"),
        "exchange_sqlite_of_ceiling_ratio": ("sqlite", "ceiling"),
        "exchange_postgresql_of_ceiling_ratio": ("postgresql", "ceiling"),
        "exchange_logged_sqlite_ratio": ("sqlite", "unlogged_sqlite"),
        "exchange_logged_postgresql_ratio": ("postgresql", "unlogged_postgresql"),
    }
    for name, (ours, other) in pairs.items():
        if ours in askers and other in askers:
            both = zip(askers[ours].slices, askers[other].slices, strict=True)
            figures.add(name, [one.rate / two.rate for one, two in both])


if __name__ == "__main__":
    main("exchange", run)
