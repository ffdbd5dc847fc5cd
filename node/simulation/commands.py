"""CLI verbs of the simulation: `demo`, `bench`."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from node.simulation.bench import BENCHMARKS, machine
from node.simulation.demo import Demo, Plan, Report, new_root
from node.simulation.network import CityFailed, PortsBusy
from node.simulation.stories import STORIES
from node.terminal import REFUSED, UNAVAILABLE, USAGE, Opening, Terminal

OURS = ("本机", "this machine")


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    _mount_bench(app, terminal, opening)
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


def _mount_bench(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    raw = terminal.text("原始数据文件", "raw data file")

    @app.command(
        help=terminal.text("基准测试：启动时间、内存、演示用时", "benchmarks: start-up time, memory, demo times")
    )
    def bench(
        only: str = typer.Option("footprint", help=" | ".join(BENCHMARKS)),
        output: Path = typer.Option(None, "-o", "--output", help=raw),
    ) -> None:
        if only not in BENCHMARKS:
            what = (f"没有基准 {only}", f"No benchmark {only}")
            terminal.fail(what, side=OURS, next_step=(f"--only {' | '.join(BENCHMARKS)}",) * 2, code=USAGE)
        about = machine()
        figures = BENCHMARKS[only](opening, lambda text: terminal.say(text, text))
        data = {"figures": figures.values, "machine": about, "runs": figures.runs}
        if output is not None:
            output.write_text(json.dumps(data, indent=1), encoding="utf-8")
        if terminal.json:
            print(json.dumps(data, ensure_ascii=False))
            raise typer.Exit(0)
        table = Table(*terminal.text("指标|中位数|各次", "figure|median|runs").split("|"))
        for name, value in figures.values.items():
            table.add_row(name, str(value), ", ".join(map(str, figures.runs[name])))
        terminal.finish(data, show=[table], next_step="tongban bench --json -o FILE")


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
