"""CLI verbs of the batches room: `case template`, `case batch`, `case batch-status`."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.batches import service
from node.batches.room import HandedIn
from node.terminal import USAGE, Opening, Terminal

OURS: Final = ("本市", "this city")
SHOWN: Final = 40
REPORT: Final = "FILE.xlsx | FILE.json"
STATES: Final = {
    "waiting": ("等待", "waiting"),
    "running": ("进行中或已中断", "under way, or cut"),
    "done": ("完成", "done"),
    "refused": ("文件有误", "file refused"),
    "failed": ("未能完成", "failed"),
}


def mount(case: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs to those of the cases."""
    _mount_template(case, terminal, opening)
    _mount_batch(case, terminal, opening)
    _mount_status(case, terminal, opening)


def _mount_template(case: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @case.command("template", help=terminal.text("事项的批量申请空表 XLSX", "blank batch workbook of an item, XLSX"))
    def template(
        item: str = typer.Argument(..., metavar="ITEM", help=terminal.text("事项代码", "item code")),
        out: Path = typer.Option(..., dir_okay=False, metavar="FILE.xlsx"),
    ) -> None:
        async def make(running: Any) -> bytes:
            with running.node.database.reading() as session:
                return service.template(running.batches, session, item)

        _write(terminal, out, opening.run(make))
        told = terminal.text(f"✔ 已写入 {out.name}", f"✔ {out.name} is written")
        terminal.finish({"file": str(out)}, show=[told], next_step=f"tongban case batch {out} --item {item} --dry-run")


def _mount_batch(case: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @case.command(
        "batch",
        help=terminal.text("批量受理 XLSX；中断后再次运行即继续", "open cases from an XLSX; run it again after a cut"),
    )
    def batch(
        file: Path = typer.Argument(..., exists=True, dir_okay=False, metavar="FILE.xlsx"),
        item: str = typer.Option(..., help=terminal.text("事项代码", "item code")),
        report: Path = typer.Option(None, dir_okay=False, help=REPORT),
        dry_run: bool = typer.Option(False, help=terminal.text("只检查，不受理", "check only, open nothing")),
    ) -> None:
        if report is not None and report.suffix not in (".xlsx", ".json"):
            raise typer.BadParameter(".xlsx | .json", param_hint="--report")

        async def work(running: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
            handed = HandedIn(item, service.read_file(file), dry_run)
            batches = running.batches
            person = service.clerk(batches, opening.actor(), running.node.settings.member.name_zh, opening.role())
            await running.writer.submit(lambda tx: service.hand_in(batches, tx, handed, person, keep=False))
            with _Telling(terminal) as telling:
                await service.run(batches, handed, person, telling.tell)
            with running.node.database.reading() as session:
                if report is not None:
                    _write(terminal, report, service.report_file(session, handed.number, report.suffix))
                rows, _ = service.report(session, handed.number, limit=SHOWN, faulty=True)
                return service.progress(session, handed.number), rows

        _finish(terminal, *opening.run(work), file=file, report=report)


def _finish(
    terminal: Terminal, page: dict[str, Any], faulty: list[dict[str, Any]], *, file: Path, report: Path | None
) -> None:
    faults = [*page["faults"], *(fault for row in faulty for fault in row["faults"])]
    ok = not faults
    show: list[Any] = [_line(terminal, page)]
    if faults:
        table = Table(*terminal.text("单元格|列|问题", "cell|column|problem").split("|"), box=None, pad_edge=False)
        for one in faults[:SHOWN]:
            table.add_row(one["cell"], one["field"], terminal.text(one["zh"], one["en"]))
        show.append(table)
    step = "tongban case list" if ok else f"tongban case batch {file} --item {page['item']}"
    if faults and report is None:
        step += " --report report.xlsx"
    terminal.finish(
        {**page, "report": str(report) if report else None, "shown": faulty}, show=show, next_step=step, ok=ok
    )


def _line(terminal: Terminal, page: dict[str, Any]) -> str:
    opened, earlier, faulty = page["opened"] - page["earlier"], page["earlier"], page["faulty"]
    told = terminal.text(
        f"共 {page['rows']} 行：受理 {opened}，先前已受理 {earlier}，有误 {faulty}",
        f"{page['rows']} rows: {opened} opened, {earlier} opened before, {faulty} faulty",
    )
    state, when = terminal.text(*STATES[page["state"]]), page["changed_at"][:16]
    return f"{page['id']}  {page['item']}  {state}  {when}  {told}"


def _mount_status(case: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @case.command("batch-status", help=terminal.text("批量受理的进度", "how far batches are"))
    def batch_status(
        number: str = typer.Argument(None, metavar="ID"),
        report: Path = typer.Option(None, dir_okay=False, help=REPORT),
    ) -> None:
        with opening.node().database.reading() as session:
            pages = [service.progress(session, number)] if number else service.newest(session)
            if number and report is not None:
                _write(terminal, report, service.report_file(session, number, report.suffix))
        show = [_line(terminal, one) for one in pages] or [terminal.text("没有批次", "no batches")]
        terminal.finish({"batches": pages}, show=show, next_step="tongban case batch FILE.xlsx --item ITEM")


def _write(terminal: Terminal, path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as fault:
        what = (f"不能写入 {path.name}：{fault.strerror}", f"{path.name} cannot be written: {fault.strerror}")
        terminal.fail(what, side=OURS, next_step=("换一个位置", "choose another place"), code=USAGE)


class _Telling:
    """Progress: a bar for people, a JSON line per group on standard error with `--json`."""

    def __init__(self, terminal: Terminal) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        is_off = terminal.quiet or terminal.json
        self._bar = Progress(*columns, console=terminal.err(), disable=is_off, transient=True)
        self._task = self._bar.add_task(terminal.text("受理", "open"), total=None)
        self._as_json = terminal.json and not terminal.quiet

    def __enter__(self) -> "_Telling":
        self._bar.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._bar.stop()

    def tell(self, done: int, rows: int) -> None:
        """Tell how far it is."""
        self._bar.update(self._task, completed=done, total=rows)
        if self._as_json:
            print(json.dumps({"progress": {"done": done, "rows": rows}}), file=sys.stderr, flush=True)
