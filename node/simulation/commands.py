"""CLI verbs of the simulation: `demo`, `bench`."""

import json
import signal
import threading
from pathlib import Path
from statistics import quantiles
from typing import Any

import typer
from rich.table import Table

from node.simulation.bench import NAMES, BenchmarkFailed, NoCheckout, checkout, measure
from node.simulation.demo import Demo, Plan, Report, new_root
from node.simulation.network import CityFailed, PortsBusy
from node.simulation.stories import STORIES
from node.terminal import REFUSED, UNAVAILABLE, USAGE, Opening, Terminal

OURS = ("本机", "this machine")


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    _mount_bench(app, terminal)
    named = " | ".join(STORIES)
    each = terminal.text("每城虚拟人数", "synthetic people per city")

    @app.command(help=terminal.text("在本机演示一个多城网络", "a network of cities on this machine"))
    def demo(
        cities: int = typer.Option(3, min=3, max=16),
        story: list[str] = typer.Option(None, help=named),
        port_base: int = typer.Option(18000, min=1024, max=59000),
        once: bool = typer.Option(False, help=terminal.text("演示后结束", "end after the stories")),
        keep: bool = typer.Option(False, help=terminal.text("保留运行目录", "keep the run directory")),
        no_console: bool = typer.Option(False, help=terminal.text("不开控制台端口", "no console ports")),
        seed: int = typer.Option(20241210, min=0, max=2**31 - 1),
        people: int = typer.Option(1000, min=0, max=340_000, help=each),
        slow: bool = typer.Option(False, help=terminal.text("每秒一步", "one step per second")),
    ) -> None:
        told = story or list(STORIES)
        unknown = [name for name in told if name not in STORIES]
        if unknown:
            what = (f"没有故事 {'、'.join(unknown)}", f"No story {', '.join(unknown)}")
            terminal.fail(what, side=OURS, next_step=(f"--story {' | '.join(STORIES)}",) * 2, code=USAGE)
        plan = Plan(
            members=opening.demo_members()[:cities],
            rules=opening.demo_rules(),
            stories=told,
            port_base=port_base,
            seed=seed,
            people=people,
            slow=slow,
            console=not no_console,
            network=f"demo-{opening.new_id()[-12:]}",
        )
        _run(Demo(plan, new_root(), opening, terminal.say), terminal, once=once, keep=keep)


def _mount_bench(app: typer.Typer, terminal: Terminal) -> None:
    raw = terminal.text("原始数据文件", "raw data file")

    def number(zh: str, en: str, low: float, high: float | None = None) -> Any:
        return typer.Option(None, min=low, max=high, help=terminal.text(zh, en))

    @app.command(help=terminal.text("基准测试（源码目录中）", "benchmarks, in a source checkout"))
    def bench(
        only: str = typer.Option(None, help=" | ".join(NAMES)),
        seconds: float = number("每片秒数", "of one slice", 0.01, 600),
        rounds: int = number("轮数", "slices of each variant", 1, 1000),
        cities: int = number("城市数", "cities of a network", 2, 16),
        size: int = number("大日志的条数", "entries in the large log", 1),
        workers: int = number("进程数", "processes", 1, 64),
        people: int = number("虚拟人数", "synthetic people", 1),
        seed: int = number("随机种子", "of all that is drawn", 0, 2**31 - 1),
        output: Path = typer.Option(None, "-o", "--output", help=raw),
    ) -> None:
        if only is not None and only not in NAMES:
            what = (f"没有基准 {only}", f"No benchmark {only}")
            terminal.fail(what, side=OURS, next_step=(f"--only {' | '.join(NAMES)}",) * 2, code=USAGE)
        if output is not None and not output.absolute().parent.is_dir():
            what = (f"没有目录 {output.parent}", f"No directory {output.parent}")
            terminal.fail(what, side=OURS, next_step=("-o FILE",) * 2, code=USAGE)
        asked = {
            "seconds": seconds, "rounds": rounds, "cities": cities, "size": size,
            "workers": workers, "people": people, "seed": seed,
        }  # fmt: skip
        arguments = [f"--{name}={value}" for name, value in asked.items() if value is not None]
        data = _measure(terminal, [only] if only else list(NAMES), arguments)
        if output is not None:
            output.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
        if terminal.json:
            print(json.dumps(data, ensure_ascii=False))
            raise typer.Exit(0)
        terminal.finish(data, show=[_table(terminal, data)], next_step="tongban bench --json -o FILE")


def _measure(terminal: Terminal, names: list[str], arguments: list[str]) -> dict[str, Any]:
    try:
        return measure(checkout(), names, arguments, lambda line: _progress(terminal, line))
    except NoCheckout:
        what = ("这里没有 bench/：基准测试只随源码提供", "No bench/ here: benchmarks come with the source only")
        todo = ("取得源码，在其中运行 make bench", "get the source, and in it run make bench")
        terminal.fail(what, side=OURS, next_step=todo, code=UNAVAILABLE)
    except BenchmarkFailed as fault:
        what = (f"基准 {fault.name} 失败：\n{fault.said}", f"Benchmark {fault.name} failed:\n{fault.said}")
        facts = {"benchmark": fault.name, "said": fault.said}
        terminal.fail(what, side=OURS, next_step=(f"python -m bench.{fault.name}",) * 2, facts=facts)


def _progress(terminal: Terminal, line: str) -> None:
    # With --json too: a benchmark takes minutes, and its object goes to the other stream.
    if not terminal.quiet:
        terminal.err().print(line, highlight=False, markup=False)


def _table(terminal: Terminal, data: dict[str, Any]) -> Table:
    table = Table(*terminal.text("指标|中位数|四分位|次数", "figure|median|quartiles|runs").split("|"))
    for name, value in data["figures"].items():
        if value is None:
            table.add_row(name, terminal.text("作废", "void"), data["void"].get(name, ""), "")
            continue
        runs = data["runs"][name]
        first, _, third = quantiles(runs, n=4, method="inclusive") if len(runs) > 1 else runs * 3
        table.add_row(name, f"{value:g}", f"{first:g} … {third:g}", str(len(runs)))
    return table


def _run(demo: Demo, terminal: Terminal, *, once: bool, keep: bool) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(stop))
    report: Report | None = None
    try:
        report = demo.run()
        if not once and report.ok:
            _show_end(demo, terminal, report)
            stop.wait()
    except KeyboardInterrupt:
        report = report or Report([])
        terminal.say("已中断", "interrupted")
    except PortsBusy:
        what = ("没有空闲端口", "No free ports")
        terminal.fail(what, side=OURS, next_step=("tongban demo --port-base 28000",) * 2, code=UNAVAILABLE)
    except CityFailed as fault:
        keep = True
        what = (f"节点未能启动：{fault}", f"A node did not start: {fault}")
        terminal.fail(what, side=OURS, next_step=(f"查看 {demo.root}", f"see {demo.root}"))
    finally:
        failed = report is None or not report.ok
        demo.close(keep=keep or (failed and not stop.is_set()))
    _finish(demo, terminal, report, once=once)


def _interrupt(stop: threading.Event) -> None:
    # The first signal ends the demo in order wherever it is.
    if not stop.is_set():
        stop.set()
        raise KeyboardInterrupt


def _show_end(demo: Demo, terminal: Terminal, report: Report) -> None:
    for line in _summary(demo, terminal, report):
        terminal.err().print(line, highlight=False, markup=False)


def _summary(demo: Demo, terminal: Terminal, report: Report) -> list[str]:
    entries = sum(done.entries for _, done in report.logs)
    cities, stories, logs = len(report.cities), len(report.stories), len(report.logs)
    head = terminal.text(
        f"✔ {cities} 城 · {stories} 个故事 · {entries} 条日志 · {logs} 本日志已核验   {report.seconds:.1f} s",
        f"✔ {cities} cities · {stories} stories · {entries} entries · {logs} logs verified   {report.seconds:.1f} s",
    )
    rows = [
        f"  {city.code} {terminal.text(city.name_zh, city.name_en)}  {city.endpoint}"
        f"  http://127.0.0.1:{city.console_port}/.well-known/tongban"
        for city in demo.network.cities
    ]
    home = demo.network.cities[0].home
    step = terminal.text(
        f"下一步: .venv/bin/tongban audit list --home {home}   Ctrl-C 结束并删除本次运行（--keep 保留）",
        f"Next: .venv/bin/tongban audit list --home {home}   Ctrl-C stops and removes this run (--keep keeps it)",
    )
    return [head, *rows, step]


def _finish(demo: Demo, terminal: Terminal, report: Report | None, *, once: bool) -> None:
    if report is None:
        raise typer.Exit(REFUSED)
    data: dict[str, Any] = report.data()
    if not report.cities or (not once and report.ok):
        raise typer.Exit(0)
    if terminal.json:
        print(json.dumps(data, ensure_ascii=False))
        raise typer.Exit(0 if report.ok else REFUSED)
    if report.ok:
        terminal.finish(data, show=_summary(demo, terminal, report)[:1], next_step="tongban demo")
    kept = terminal.text(f"运行目录保留在 {demo.root}", f"the run is kept in {demo.root}")
    terminal.finish(
        data,
        show=[*(f"✘ {one}" for one in report.failures), kept],
        next_step=f"tongban audit list --home {demo.root}",
        ok=False,
    )
