"""`case estimate`: amounts, benefit place, who takes the relation, retirement, fee and due days, without a case."""

import json
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table

from node.cases.estimates import service
from node.cases.estimates.showing import yuan
from node.terminal import USAGE, Opening, Terminal

OURS: Final = ("本市", "this city")
FILE_MAX_BYTES: Final = 1024 * 1024
ONLY_IF_ANY: Final = frozenset({"deemed_months", "months_left", "before_1998_fen"})
"""Figures that say nothing to people when they are zero."""
OPTIONS: Final = {
    "birth": ("retirement", "birth_month"),
    "category": ("retirement", "category"),
    "paid": ("retirement", "paid_months"),
    "ui_kind": ("unemployment", "case_kind"),
    "ui_monthly": ("unemployment", "monthly_fen"),
    "ui_months": ("unemployment", "months_unused"),
    "certified": ("certification", "certified_on"),
    "item": ("due", "item"),
    "received": ("due", "received_on"),
}
"""Section and field that each option fills."""


def mount(case: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verb."""
    text = terminal.text

    @case.command(
        "estimate",
        help=text(
            "试算：金额、待遇领取地、接续方、退休时间、划转费用、到期日，每个数字附规则与来源，不建办件",
            "what if: amounts, places, ages, fee and due days, the rule and its source beside each; opens no case",
        ),
    )
    def estimate(
        file: str = typer.Option(None, help=text("问题 JSON，见 docs/operate/estimates.md", "the question, JSON")),
        birth: str = typer.Option(None, metavar="YYYYMM", help=text("退休：出生年月", "retirement: month of birth")),
        category: str = typer.Option(None, help="MALE | FEMALE_55 | FEMALE_50"),
        paid: int = typer.Option(None, help=text("退休：已缴月数", "retirement: months paid")),
        ui_kind: str = typer.Option(None, help="EMPLOYED | ENTITLED | RECEIVING"),
        ui_monthly: int = typer.Option(None, help=text("月失业保险金（分）", "monthly benefit, fen")),
        ui_months: int = typer.Option(None, help=text("未领月数", "months not drawn")),
        certified: str = typer.Option(None, metavar="DATE", help=text("上次认证日期", "last certification")),
        item: str = typer.Option(None, help=text("到期日：事项代码", "due days: item code")),
        received: str = typer.Option(None, metavar="DATE", help=text("到期日：受理日期", "due days: received on")),
        rules: bool = typer.Option(False, "--rules", help=text("列出所依据的规则", "list the rules in force")),
    ) -> None:
        given = {"birth": birth, "category": category, "paid": paid, "ui_kind": ui_kind, "ui_monthly": ui_monthly,
                 "ui_months": ui_months, "certified": certified, "item": item, "received": received}  # fmt: skip
        question = _question(_read(terminal, file) if file else {}, given)

        async def read(running: Any) -> dict[str, Any]:
            room = running.cases.room
            with running.node.database.reading() as session:
                if rules:
                    return service.rules_in_force(room, session)
                return service.estimate(room, session, question)

        answered = opening.run(read)
        show = _rules(terminal, answered) if rules else _sections(terminal, answered)
        terminal.finish(answered, show=show, next_step="tongban case new --item CODE --to CODE --file FORM.json")


def _question(content: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the file's question with what the options say beside it."""
    question = dict(content)
    for option, value in given.items():
        if value is not None:
            section, field = OPTIONS[option]
            before = question.get(section)
            question[section] = {**(before if isinstance(before, dict) else {}), field: value}
    return question


def _sections(terminal: Terminal, answered: dict[str, Any]) -> list[Any]:
    text = terminal.text
    show: list[Any] = []
    for section in answered["sections"]:
        show.append(_section(terminal, section))
        if section.get("years"):
            show.append(_years(terminal, section["years"]))
    if any(one["uncertain"] for section in answered["sections"] for one in section["figures"]):
        show.append(
            text("? 标记的规则未经核实，以经办机构核定为准",
                 "rules marked ? have not been verified: the agency's decision counts")
        )  # fmt: skip
    show.append(text("试算不建办件，规则版本 ", "No case was opened; rules version ") + answered["rules"]["version"])
    return show


def _section(terminal: Terminal, section: dict[str, Any]) -> Table:
    """Return a section; a rule is told in full where it stands first, then by its code."""
    text, told = terminal.text, set()
    table = Table(title=text(section["zh"], section["en"]), box=None, pad_edge=False, title_justify="left")
    for zh, en in (("项目", "figure"), ("结果", "result"), ("规则与来源", "rule and source")):
        table.add_column(text(zh, en), overflow="fold")
    for one in section["figures"]:
        if one["name"] in ONLY_IF_ANY and not one["value"]:
            continue
        note = one.get("note")
        result = one["shown"][terminal.lang] + (f" {text(note['zh'], note['en'])}" if note else "")
        rules = [_rule(terminal, rule, brief=rule["code"] in told) for rule in one["rules"]]
        told |= {rule["code"] for rule in one["rules"]}
        table.add_row(text(one["zh"], one["en"]), result, "\n".join(rules))
    return table


def _years(terminal: Terminal, years: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    words = ("年度|月数|缴费工资|记账额|利息|储存额|统筹", "year|months|wages|credited|interest|balance|pooled")
    for name in terminal.text(*words).split("|"):
        table.add_column(name, justify="right")
    for one in years:
        amounts = [one[f"{name}_fen"] for name in ("wages", "credited", "interest", "close", "pooled")]
        table.add_row(str(one["year"]), str(one["months"]), *map(yuan, amounts))
    return table


def _rule(terminal: Terminal, rule: dict[str, Any], *, brief: bool = False) -> str:
    mark = f"? [{rule['mark']}] " if rule["uncertain"] else f"[{rule['mark']}] "
    words = rule["code"] if brief else terminal.text(rule["zh"], rule["en"])
    # Brackets are markup to the terminal; these are ours.
    return f"{mark}{words} · {rule['source']}".replace("[", r"\[")


def _rules(terminal: Terminal, answered: dict[str, Any]) -> list[Any]:
    table = Table(box=None, pad_edge=False)
    for zh, en in (("代码", "code"), ("自", "since"), ("规则与来源", "rule and source")):
        table.add_column(terminal.text(zh, en), overflow="fold")
    for one in answered["rules"]:
        table.add_row(one["code"], one["valid_from"] or "", _rule(terminal, one))
    return [table]


def _read(terminal: Terminal, name: str) -> dict[str, Any]:
    path = Path(name)
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ValueError("too large")
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError):
        what = (f"读不出 JSON 文件 {path.name}", f"{path.name} cannot be read as a JSON object")
        terminal.fail(what, side=OURS, next_step=("核对文件后重试", "check the file and try again"), code=USAGE)
    return content
