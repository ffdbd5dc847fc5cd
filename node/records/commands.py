"""CLI verbs of the records room: `query`, `records import`, `records policy`."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.records import service
from node.records.filling import Checked, Filling, check_file, fill_from_file
from node.records.importing import count_rows
from node.records.service import CityAnswer, Enquiry
from node.terminal import REFUSED, UNAVAILABLE, USAGE, Opening, Terminal
from protocol.claims import Who, Why
from protocol.errors import InvalidBody, Refusal
from protocol.identifiers import InvalidIdentifier, normalise_name, parse_person_id
from protocol.messages import RecordKind, Subject

OURS = ("本市", "this city")
KINDS = " | ".join(kind.value for kind in RecordKind)
OUTCOMES = {
    "answer": ("✔ 已答复", "✔ answer"),
    "none": ("○ 无记录", "○ no record"),
    "refused": ("✘ 拒绝", "✘ refused"),
    "no-answer": ("… 无应答", "… no answer"),
}


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    _mount_query(app, terminal, opening)
    records = typer.Typer(
        no_args_is_help=True, help=terminal.text("本市登记库：导入、发布规则", "our registry: import, release rules")
    )
    _mount_import(records, terminal, opening)
    _mount_policy(records, terminal, opening)
    app.add_typer(records, name="records")


def _mount_query(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @app.command(
        help=terminal.text("向一城或全网查询一个人的记录", "ask one city, or the whole network, for a person's record")
    )
    def query(
        item: str = typer.Option(..., help=terminal.text("事项代码", "service item code")),
        record: str = typer.Option("contributions", help=KINDS),
        case: str = typer.Option(None, help=terminal.text("办件编号", "case number")),
        consultation: str = typer.Option(
            None, help=terminal.text("咨询登记：查询缘由", "consultation: the reason of the question")
        ),
        id_file: str = typer.Option(
            "-",
            help=terminal.text(
                "文件：第一行证件号码，第二行姓名；- 为标准输入",
                "file: id number, then name on the next line; - for stdin",
            ),
        ),
        id_type: str = typer.Option("01", help=terminal.text("证件类型", "type of document")),
        city: str = typer.Option(None, help=terminal.text("城市代码", "city code")),
        every: bool = typer.Option(False, "--all", help=terminal.text("全网", "the whole network")),
        fields: str = typer.Option(None, help=terminal.text("字段，逗号分隔", "fields, comma-separated")),
        wait: float = typer.Option(10.0, min=0.1, max=120),
    ) -> None:
        if bool(city) == every or bool(case) == bool(consultation):
            what = (
                "请给出 --city 或 --all，以及 --case 或 --consultation",
                "Give --city or --all, and --case or --consultation",
            )
            terminal.fail(what, side=OURS, next_step=("tongban query --help",) * 2, code=USAGE)
        subject = _subject(terminal, id_type, id_file, opening)
        wanted = tuple(part.strip() for part in fields.split(",")) if fields else None
        seconds = terminal.timeout or wait
        asked = _Asked(item, _kind(terminal, record), case, consultation, subject, city, wanted, seconds)
        answers = opening.run(lambda running: _ask(running, asked, terminal, opening))
        _finish_query(terminal, answers)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question as the command line gave it."""

    item: str
    record: RecordKind
    case: str | None
    consultation: str | None
    subject: Subject
    city: str | None
    fields: tuple[str, ...] | None
    seconds: float


def _subject(terminal: Terminal, id_type: str, source: str, opening: Opening) -> Subject:
    lines = terminal.read_secret_lines(source)
    named = lines[1] if len(lines) > 1 else ""
    try:
        person = parse_person_id(id_type, lines[0] if lines else "", today=opening.now().date())
        return Subject(id_type=person.id_type, id_number=person.number, name=normalise_name(named))  # type: ignore[arg-type]
    except (InvalidIdentifier, ValueError) as fault:
        rule = (
            (fault.rule_zh, fault.rule_en) if isinstance(fault, InvalidIdentifier) else ("姓名必填", "a name is needed")
        )
        what = (f"证件或姓名有误：{rule[0]}", f"Document or name: {rule[1]}")
        return terminal.fail(what, side=OURS, next_step=("核对后重试", "check and try again"), code=USAGE)


def _kind(terminal: Terminal, text: str) -> RecordKind:
    try:
        return RecordKind(text)
    except ValueError:
        what = (f"记录种类为 {KINDS}", f"The record is one of {KINDS}")
        return terminal.fail(what, side=OURS, next_step=("tongban query --help",) * 2, code=USAGE)


async def _ask(running: Any, asked: _Asked, terminal: Terminal, opening: Opening) -> list[CityAnswer]:
    actor, member = opening.actor(), running.node.member
    reference = None
    if asked.consultation:
        reference = await running.writer.submit(
            lambda tx: service.open_consultation(
                tx, running.node.vault, asked.consultation or "", member=member, actor=actor, now=opening.now()
            )
        )
    why = Why(item=asked.item, basis="STATUTORY", case=asked.case, ref=reference)
    who = Who(
        office=running.node.settings.member.name_zh, officer=running.node.vault.pseudonym(actor), role=opening.role()
    )
    enquiry = Enquiry(asked.record, asked.subject, why, who, fields=asked.fields)
    members = [asked.city] if asked.city else [one.id for one in running.keeper.current.manifest.active()]
    answers: list[CityAnswer] = []
    with Live(console=terminal.err(), transient=True, auto_refresh=False) as live:
        async for answer in _every_answer(running, enquiry, members, member, asked.seconds):
            answers.append(answer)
            if not (terminal.json or terminal.quiet):
                live.update(_table(terminal, answers), refresh=True)
    return answers


async def _every_answer(
    running: Any, enquiry: Enquiry, members: list[str], own: str, seconds: float
) -> AsyncIterator[CityAnswer]:
    if own in members:
        node = running.node
        yield await running.writer.submit(lambda tx: service.look_up(node.registry, tx, enquiry, member=own))
    others = [one for one in members if one != own]
    async for answer in service.ask_network(running.asking, enquiry, others, random=os.urandom, seconds=seconds):
        yield answer


def _finish_query(terminal: Terminal, answers: list[CityAnswer]) -> None:
    data = [
        {
            "city": one.member,
            "outcome": one.outcome,
            "ms": one.milliseconds,
            "record": list(one.lines),
            "withheld": list(one.withheld),
            "as_of": one.as_of,
            "slug": one.slug,
            "detail": one.detail,
            "signed": one.signed,
            "jti": one.jti,
            "log_index": one.log_index,
        }
        for one in answers
    ]
    outcomes = {one.outcome for one in answers}
    code = 0 if outcomes & {"answer", "none"} else REFUSED if "refused" in outcomes else UNAVAILABLE
    lines = [_lines_table(terminal, one) for one in answers if one.lines]
    terminal.finish(
        data, show=[_table(terminal, answers), *lines], next_step="tongban audit list", ok=code == 0, code=code
    )


def _table(terminal: Terminal, answers: list[CityAnswer]) -> Table:
    table = Table(
        *terminal.text("城市|结果|毫秒|记录行|隐去字段|说明", "city|outcome|ms|lines|withheld|explanation").split("|")
    )
    for one in answers:
        told = f"{one.slug}: {one.detail}" if one.slug else one.as_of
        table.add_row(
            one.member, terminal.text(*OUTCOMES[one.outcome]), str(one.milliseconds), str(len(one.lines)),
            ", ".join(one.withheld), told,
        )  # fmt: skip
    return table


def _lines_table(terminal: Terminal, answer: CityAnswer) -> Table:
    columns = list(answer.lines[0])
    table = Table(*columns, title=answer.member)
    for line in answer.lines[:40]:
        table.add_row(*(_shown(name, line.get(name)) for name in columns))
    if len(answer.lines) > 40:
        table.caption = terminal.text(
            f"另有 {len(answer.lines) - 40} 行，--json 可见全部",
            f"{len(answer.lines) - 40} more lines, all of them with --json",
        )
    return table


def _shown(name: str, value: Any) -> str:
    return (
        f"{value / 100:,.2f}"
        if name.endswith("_fen") and isinstance(value, int)
        else str(value if value is not None else "")
    )


def _mount_import(records: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @records.command("import", help=terminal.text("导入 CSV 或 XLSX", "import a CSV or XLSX file"))
    def import_file(
        file: Path = typer.Argument(..., exists=True, dir_okay=False),
        kind: str = typer.Option(
            None, help=f"{KINDS}; " + terminal.text("缺省由表名或表头判断", "else told by sheet or header")
        ),
        dry_run: bool = typer.Option(False, help=terminal.text("只检查，不写入", "check only, write nothing")),
    ) -> None:
        node, chosen = opening.node(), _kind(terminal, kind) if kind else None
        with _progress(terminal) as progress:
            task = progress.add_task(terminal.text("检查", "check"), total=count_rows(file) or None)
            checked = check_file(
                file, chosen, now=opening.now(), progress=lambda done: progress.update(task, completed=done)
            )
            if checked.error_count == 0 and not dry_run:
                progress.update(task, description=terminal.text("写入", "write"), completed=0, total=checked.rows)
                filling = Filling(node.database, node.vault, opening.new_id(), opening.actor(), opening.now())
                fill_from_file(filling, file, chosen, progress=lambda done: progress.update(task, completed=done))
        _finish_import(terminal, checked, dry_run=dry_run)


def _finish_import(terminal: Terminal, checked: Checked, *, dry_run: bool) -> None:
    errors = [
        {"kind": one.kind.value if one.kind else None, "row": one.row, "column": one.column, "rule": one.rule}
        for one in checked.errors
    ]
    data = {"rows": checked.rows, "errors": errors, "error_count": checked.error_count, "written": 0}
    if checked.error_count:
        table = Table(*terminal.text("种类|行|列|问题", "kind|row|column|problem").split("|"))
        for one in checked.errors:
            table.add_row(
                one.kind.value if one.kind else "", str(one.row), one.column, terminal.text(one.rule_zh, one.rule_en)
            )
        told = terminal.text(
            f"✘ {checked.error_count} 处有误，没有写入任何内容（显示前 {len(errors)} 处）",
            f"✘ {checked.error_count} cells are wrong, nothing was written (the first {len(errors)} are shown)",
        )
        step = terminal.text("改正后重新导入", "mend the cells and import again")
        terminal.finish(data, show=[table, told], next_step=step, ok=False)
    if dry_run:
        told = terminal.text(
            f"✔ {checked.rows} 行可以导入，未写入", f"✔ {checked.rows} rows can be imported; nothing was written"
        )
        terminal.finish(data, show=[told], next_step="tongban records import FILE")
    told = terminal.text(f"✔ 已导入 {checked.rows} 行", f"✔ {checked.rows} rows imported")
    terminal.finish({**data, "written": checked.rows}, show=[told], next_step="tongban records policy show")


def _progress(terminal: Terminal) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=terminal.err(), disable=terminal.quiet or terminal.json, transient=True)


def _mount_policy(records: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    policy = typer.Typer(
        no_args_is_help=True, help=terminal.text("发布规则：谁可看什么字段", "release rules: who may see which fields")
    )
    records.add_typer(policy, name="policy")

    @policy.command(help=terminal.text("当前规则；没有规则即拒绝", "the rules in force; no rule, no field"))
    def show() -> None:
        with opening.node().database.reading() as session:
            rules = service.release_rules(session)
        table = Table(*terminal.text("对端|事项|记录|字段", "peer|item|record|fields").split("|"))
        for rule in rules:
            table.add_row(rule["peer"], rule["item"], rule["record"], ", ".join(rule["fields"]))
        empty = [] if rules else [terminal.text("没有规则：对所有城市拒绝", "No rules: every city is denied")]
        terminal.finish(rules, show=[*empty, table] if rules else empty, next_step="tongban records policy set FILE")

    _mount_set(policy, terminal, opening)


def _mount_set(policy: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @policy.command(
        "set",
        help=terminal.text(
            "以文件替换全部规则，下一条消息即生效", "replace all rules by a file; in force for the next message"
        ),
    )
    def set_rules(
        file: Path = typer.Argument(..., exists=True, dir_okay=False),
        dry_run: bool = typer.Option(False, help=terminal.text("只检查", "check only")),
    ) -> None:
        node = opening.node()
        try:
            rules = json.loads(file.read_text(encoding="utf-8"))["rules"]
            count = service.check_release_rules(rules, items=node.items)
            if not dry_run:
                node.database.write(
                    lambda tx: service.set_release_rules(
                        tx, rules, items=node.items, actor=opening.actor(), now=opening.now()
                    )
                )
        except (InvalidBody, ValueError, KeyError, TypeError) as fault:
            detail = fault.detail if isinstance(fault, Refusal) else '{"rules": [...]}'
            what = (f"规则文件有误，未作更改：{detail}", f"The rules file is wrong, nothing was changed: {detail}")
            terminal.fail(what, side=OURS, next_step=("改正后重试", "mend it and try again"))
        told = terminal.text(
            f"✔ {count} 条规则" + ("可用，未更改" if dry_run else "已生效"),
            f"✔ {count} rules " + ("are valid; nothing was changed" if dry_run else "are in force"),
        )
        terminal.finish({"rules": count, "in_force": not dry_run}, show=[told], next_step="tongban records policy show")
