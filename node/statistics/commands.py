"""CLI verbs of statistics: `stats` and `stats rebuild`. Both fold first, so what they print is exact as of now."""

from datetime import date
from typing import Any, Final

import typer
from rich.table import Table

from node.statistics import service
from node.terminal import Opening, Terminal

COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "item": ("事项", "item"), "accepting": ("受理地", "accepting"), "responsible": ("责任地", "responsible"),
    "leg": ("环节", "leg"), "unit": ("单位", "unit"), "result": ("结果", "result"), "reason": ("理由", "reason"),
    "open": ("在办", "open"), "due_soon": ("临期", "due soon"), "overdue": ("超期", "overdue"),
    "opened": ("受理", "opened"), "closed": ("办结", "closed"), "count": ("件数", "count"),
    "finished": ("完成", "finished"), "kept": ("按时", "in time"), "taken": ("共用时", "taken"),
    "promised": ("共承诺", "promised"), "average": ("平均用时", "average"), "average_promised": ("平均承诺", "promise"),
    "instructed": ("划转笔数", "fund orders"), "instructed_fen": ("划转金额", "ordered"),
    "reconciled": ("已对账", "reconciled"), "reconciled_fen": ("对账金额", "amount reconciled"),
    "mismatched": ("有差额", "mismatched"), "difference_fen": ("差额", "difference"),
}  # fmt: skip
BLOCKS: Final[dict[str, tuple[str, str]]] = {
    "open": ("在办、临期、超期", "open, due soon, overdue"),
    "legs": ("各环节用时与承诺", "days of legs against promise"),
    "volumes": ("受理与办结量", "volumes"),
    "decisions": ("办理结果", "decisions"),
    "refusals": ("不予办理的理由", "refusals by reason"),
    "funds": ("资金划转与对账", "funds ordered and reconciled"),
}
UNITS: Final = {
    "working_day": ("工作日", "working days"), "calendar_day": ("自然日", "calendar days"),
    "minute": ("分钟", "minutes"), "uncounted": ("缺日历未计", "no calendar: not counted"),
}  # fmt: skip


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs."""
    stats = typer.Typer(
        help=terminal.text("统计：用时、业务量、超期、资金", "statistics: days, volumes, overdue, funds")
    )
    _mount_answer(stats, terminal, opening)
    _mount_rebuild(stats, terminal, opening)
    app.add_typer(stats, name="stats")


def _mount_answer(stats: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @stats.callback(invoke_without_command=True)
    def answer(
        context: typer.Context,
        item: str = typer.Option(None, help=terminal.text("事项代码", "item code")),
        pair: str = typer.Option(None, metavar="A-B", help=terminal.text("受理城市-责任城市", "accepting-responsible")),
        first: str = typer.Option(None, "--from", metavar="DATE", help=terminal.text("开始日期", "first day")),
        last: str = typer.Option(None, "--to", metavar="DATE", help=terminal.text("结束日期", "last day")),
        leg: str = typer.Option(None, help=terminal.text("环节代码", "code of a leg")),
    ) -> None:
        if context.invoked_subcommand is not None:
            return
        days = {"first": _day(first, "--from"), "last": _day(last, "--to")}

        async def work(running: Any) -> dict[str, Any]:
            jobs = running.statistics
            await jobs.fold()
            with running.node.database.reading() as session:
                asked = service.ask(jobs.room, session, **days, item=item, pair=pair, leg=leg)  # type: ignore[arg-type]
                return service.answer(jobs.room, session, asked)

        told = opening.run(work)
        terminal.finish(told, show=_shown(terminal, told), next_step="tongban case list --overdue")


def _mount_rebuild(stats: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    told = terminal.text("按办件时间线重新统计", "count all transcripts anew")

    @stats.command("rebuild", help=told)
    def rebuild() -> None:
        async def work(running: Any) -> int:
            terminal.say("正在重新统计，期间业务照常…", "counting anew; the node goes on working …")
            return int(await running.statistics.rebuild())

        folded = opening.run(work)
        done = terminal.text("✔ 已按时间线重新统计", "✔ counted anew from the transcripts")
        terminal.finish({"folded": folded}, show=[done], next_step="tongban stats")


def _day(text: str | None, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter("YYYY-MM-DD", param_hint=option) from None


def _shown(terminal: Terminal, told: dict[str, Any]) -> list[Any]:
    head = f"{told['from']} … {told['to']}   " + terminal.text(
        f"数据截至 {told['as_of']}（{told['age_seconds']} 秒前）",
        f"as of {told['as_of']} ({told['age_seconds']} s ago)",
    )
    blocks: list[Any] = [_table(terminal, named, told[name]) for name, named in BLOCKS.items() if told[name]]
    return [head, *(blocks or [terminal.text("此范围内没有办件", "no cases in this range")])]


def _table(terminal: Terminal, named: tuple[str, str], lines: list[dict[str, Any]]) -> Table:
    columns = [name for name in COLUMNS if any(line.get(name) is not None for line in lines)]
    table = Table(box=None, pad_edge=False, title=terminal.text(*named), title_justify="left")
    for name in columns:
        table.add_column(terminal.text(*COLUMNS[name]), justify="right" if _is_number(lines, name) else "left")
    for line in lines:
        table.add_row(*(_cell(terminal, name, line.get(name)) for name in columns))
    return table


def _is_number(lines: list[dict[str, Any]], name: str) -> bool:
    return any(isinstance(line.get(name), int | float) for line in lines)


def _cell(terminal: Terminal, name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_fen"):
        return f"{value // 100:,}.{value % 100:02}" if value >= 0 else f"-{-value // 100:,}.{-value % 100:02}"
    return terminal.text(*UNITS[value]) if name == "unit" and value in UNITS else str(value)
