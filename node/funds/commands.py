"""CLI verbs of the fund ledger: `fund list|show|unmatched|receive|match|statement`.

What both cities must know of money is an event of the case (`tongban case …`). Here stands what one city does alone:
note what its bank says, match it, make the monthly statement and compare it with the other city's file.
"""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table

from node.funds import service
from node.funds.service import Arrival, Ledger
from node.funds.statement import FILE_MAX_BYTES, Difference, Statement, as_csv, compare, parse_statement
from node.terminal import REFUSED, USAGE, Opening, Terminal

OURS: Final = ("本市", "this city")
STATES: Final = {
    "AWAITING": ("待划转", "awaiting"), "ORDERED": ("已划转", "ordered"), "ARRIVED": ("已到账", "arrived"),
    "RECONCILED": ("已对账", "reconciled"), "MISMATCH": ("有差额", "mismatch"),
}  # fmt: skip
KINDS: Final = {"ORDER": ("划转", "order"), "ARRIVAL": ("到账", "arrival")}
_YUAN: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,2}))?")


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs."""
    fund = typer.Typer(no_args_is_help=True, help=terminal.text("资金与对账", "funds: what is expected, what came"))
    _mount_list(fund, terminal, opening)
    _mount_unmatched(fund, terminal, opening)
    _mount_receive(fund, terminal, opening)
    _mount_match(fund, terminal, opening)
    _mount_statement(fund, terminal, opening)
    app.add_typer(fund, name="fund")


def _mount_list(fund: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @fund.command("list", help=terminal.text("按办件列出应划、已到与差额", "legs: expected, arrived, difference"))
    def list_funds(
        after: str = typer.Option("", help=terminal.text("上一页最后的办件号", "last case of the page before")),
        limit: int = typer.Option(50, min=1, max=service.PAGE_MAX),
    ) -> None:
        node = opening.node()
        with node.database.reading() as session:
            lines = service.list_funds(_ledger(node, opening), session, after=after, limit=limit)
        more = lines[-1]["number"] if len(lines) == limit else None
        following = f"tongban fund list --after {more}" if more else "tongban fund unmatched"
        terminal.finish({"funds": lines, "after": more}, show=[_legs(terminal, lines)], next_step=following)

    @fund.command("show", help=terminal.text("一个办件的资金", "the money of one leg"))
    def show(number: str = typer.Argument(..., metavar="NO")) -> None:
        node = opening.node()
        with node.database.reading() as session:
            told = service.fund_of(_ledger(node, opening), session, number)
        moves = [("ORDER", one["order_no"], one["value_on"], one["amount_fen"]) for one in told["orders"]]
        moves += [("ARRIVAL", one["bank_ref"], one["arrived_on"], one["amount_fen"]) for one in told["arrivals"]]
        table = _columns(terminal, ("类型", "kind"), ("编号", "reference"), ("日期", "day"), ("金额", "amount"))
        for kind, reference, day, amount in moves:
            table.add_row(terminal.text(*KINDS[kind]), reference, day, yuan(amount))
        terminal.finish(told, show=[_legs(terminal, [told]), table], next_step=f"tongban case show {number}")


def _mount_unmatched(fund: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @fund.command("unmatched", help=terminal.text("未匹配的到账", "arrivals that belong to no known order"))
    def unmatched(payer: str = typer.Option(None, help=terminal.text("付款城市代码", "paying city"))) -> None:
        with opening.node().database.reading() as session:
            lines = service.unmatched(session, payer=payer)
        named = (("付款城市", "payer"), ("银行流水号", "bank reference"), ("附言", "remark"), ("到账日", "day"))
        table = _columns(terminal, *named, ("金额", "amount"))
        for one in lines:
            table.add_row(one["payer"], one["bank_ref"], one["order_no"], one["arrived_on"], yuan(one["amount_fen"]))
        show = [table] if lines else [terminal.text("没有未匹配的到账", "everything that came is matched")]
        following = (
            f"tongban fund match {lines[0]['payer']} {lines[0]['bank_ref']} NO" if lines else "tongban fund list"
        )
        terminal.finish({"arrivals": lines}, show=show, next_step=following)


def _mount_receive(fund: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @fund.command("receive", help=terminal.text("登记一笔银行到账", "note what the bank says has come"))
    def receive(
        payer: str = typer.Option(..., help=terminal.text("付款城市代码", "paying city")),
        ref: str = typer.Option(..., help=terminal.text("银行流水号", "reference of the bank")),
        order: str = typer.Option(..., help=terminal.text("附言中的指令号", "order number in the remark")),
        amount: str = typer.Option(..., metavar="YUAN", help=terminal.text("金额（元）", "amount in yuan")),
        day: str = typer.Option(..., "--date", metavar="DATE", help=terminal.text("到账日", "day of arrival")),
    ) -> None:
        node = opening.node()
        came = Arrival(payer, ref, node.member, order, fen_of(amount), _day(day))
        number = node.database.write(lambda tx: service.arrived(_ledger(node, opening), tx, came))
        told = {"payer": payer, "bank_ref": ref, "number": number}
        done = terminal.text(f"✔ 已登记，属于 {number}", f"✔ noted, for {number}")
        waits = terminal.text("! 已登记，尚无对应的指令", "! noted; no order of that number is known yet")
        following = f"tongban case show {number}" if number else "tongban fund unmatched"
        terminal.finish(told, show=[done if number else waits], next_step=following)


def _mount_match(fund: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @fund.command("match", help=terminal.text("把到账归到办件", "say for which leg an arrival is"))
    def match(
        payer: str = typer.Argument(..., metavar="CITY"),
        ref: str = typer.Argument(..., metavar="REF"),
        number: str = typer.Argument(..., metavar="NO"),
    ) -> None:
        opening.node().database.write(lambda tx: service.match(tx, payer, ref, number))
        done = terminal.text("✔ 已匹配", "✔ matched")
        told = {"payer": payer, "bank_ref": ref, "number": number}
        terminal.finish(told, show=[done], next_step=f"tongban fund show {number}")


def _mount_statement(fund: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    comparing = terminal.text("对方导出的对账单", "the statement that the other city exported")

    writing = terminal.text("写入文件", "write to a file")

    @fund.command("statement", help=terminal.text("与一个城市一个月的对账单", "statement of one city and month"))
    def statement(
        peer: str = typer.Option(..., help=terminal.text("对方城市代码", "code of the other city")),
        month: str = typer.Option(..., metavar="YYYYMM", help=terminal.text("月份", "month")),
        form: str = typer.Option("json", "--format", help="json | csv"),
        output: Path = typer.Option(None, "-o", "--output", help=writing),
        against: Path = typer.Option(None, "--compare", exists=True, dir_okay=False, help=comparing),
    ) -> None:
        if form not in ("json", "csv"):
            raise typer.BadParameter("json | csv", param_hint="--format")
        node = opening.node()
        with node.database.reading() as session:
            ours = service.statement(session, node.member, peer, month)
        if output is not None:
            text = as_csv(ours) if form == "csv" else json.dumps(ours.model_dump(), ensure_ascii=False)
            output.write_text(text, encoding="utf-8-sig" if form == "csv" else "utf-8", newline="")
        if against is not None:
            _finish_comparison(terminal, ours, _read(terminal, against))
        following = f"tongban fund statement --peer {peer} --month {month} --compare FILE"
        terminal.finish(ours.model_dump(), show=_statement(terminal, ours), next_step=following)


def _read(terminal: Terminal, file: Path) -> Statement:
    try:
        with file.open("rb") as opened:
            return parse_statement(opened.read(FILE_MAX_BYTES + 1))
    except OSError:
        what = (f"读不出文件 {file.name}", f"{file.name} cannot be read")
        return terminal.fail(what, side=OURS, next_step=("核对文件后重试", "check the file and try again"), code=USAGE)


def _finish_comparison(terminal: Terminal, ours: Statement, theirs: Statement) -> None:
    found = compare(ours, theirs)
    data = {"digest": ours.digest, "theirs": theirs.digest, "differences": [one._asdict() for one in found]}
    if not found:
        same = terminal.text(f"✔ 双方一致 {ours.digest}", f"✔ both cities have the same: {ours.digest}")
        terminal.finish(data, show=[same], next_step="tongban fund list")
    head = terminal.text(f"✘ {len(found)} 处不一致", f"✘ {len(found)} differences")
    table = _columns(terminal, ("行", "line"), ("项目", "field"), ("我方", "ours"), ("对方", "theirs"))
    for one in found:
        table.add_row(one.key, one.field or terminal.text("仅一方有", "on one side only"), *_sides(one))
    terminal.finish(data, show=[head, table], next_step="tongban fund show NO", ok=False, code=REFUSED)


def _sides(one: Difference) -> tuple[str, str]:
    is_money = one.field.endswith("_fen") or not one.field
    ours, theirs = ("–" if v is None else yuan(v) if is_money else str(v) for v in (one.ours, one.theirs))
    return ours, theirs


def _statement(terminal: Terminal, ours: Statement) -> list[Any]:
    table = _columns(terminal, ("类型", "kind"), ("付款", "payer"), ("办件", "case"), ("指令号", "order"),
                     ("流水号", "bank reference"), ("日期", "day"), ("金额", "amount"))  # fmt: skip
    for one in ours.lines:
        kind = terminal.text(*KINDS[one.kind])
        table.add_row(kind, one.payer, one.case, one.order_no, one.bank_ref, one.day, yuan(one.amount_fen))
    sums = []
    for of in ours.totals:
        ordered, came = yuan(of.ordered_fen), yuan(of.arrived_fen)
        zh = f"{of.payer} 付出：划转 {of.orders} 笔 {ordered}，到账 {of.arrivals} 笔 {came}"
        en = f"{of.payer} pays: {of.orders} orders {ordered}, {of.arrivals} arrivals {came}"
        sums.append(terminal.text(zh, en))
    waiting = len(ours.unmatched)
    if waiting:
        sums.append(terminal.text(f"! 未匹配到账 {waiting} 笔，不在摘要内", f"! {waiting} arrivals not matched"))
    return [table, *sums, terminal.text(f"摘要 {ours.digest}", f"digest {ours.digest}")]


def _legs(terminal: Terminal, lines: list[dict[str, Any]]) -> Any:
    if not lines:
        return terminal.text("没有待处理资金", "no funds to handle")
    table = _columns(terminal, ("办件", "case"), ("信息表", "sheet"), ("应划", "expected"), ("到账", "arrived"),
                     ("差额", "difference"), ("状态", "state"))  # fmt: skip
    for one in lines:
        sums = (one.get("expected_fen"), one["arrived_fen"], one["difference_fen"])
        amounts = ("–" if fen is None else yuan(fen) for fen in sums)
        table.add_row(one["number"], one.get("sheet_no", "–"), *amounts, terminal.text(*STATES[one["state"]]))
    return table


def _columns(terminal: Terminal, *named: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for pair in named:
        table.add_column(terminal.text(*pair))
    return table


def yuan(fen: int) -> str:
    """Return an amount as screens show it: 44,972.35."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100:,}.{abs(fen) % 100:02}"


def fen_of(text: str) -> int:
    """Return the fen of an amount in yuan, with at most two decimals."""
    found = _YUAN.fullmatch(text.replace(",", ""))
    if found is None:
        raise typer.BadParameter("44972.35", param_hint="--amount")
    return int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("YYYY-MM-DD", param_hint="--date") from None


def _ledger(node: Any, opening: Opening) -> Ledger:
    return Ledger(node.vault, opening.now)
