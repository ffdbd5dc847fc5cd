"""CLI verbs of the cases room: `case list|show|new|form`, and one verb per event of the procedures."""

import json
import mimetypes
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table

from node.cases import service, viewing
from node.cases.estimates import commands as estimates_commands
from node.cases.service import Doing, Opening, Person
from node.cases.viewing import Filter
from node.terminal import USAGE, Terminal
from node.terminal import Opening as Opens

OURS: Final = ("本市", "this city")
FORM_MAX_BYTES: Final = 4 * 1024 * 1024
STANDING: Final = {"overdue": ("超期", "overdue"), "due_soon": ("临期", "due soon"), "normal": ("正常", "normal")}


def mount(app: typer.Typer, terminal: Terminal, opening: Opens, events: dict[str, tuple[str, str]]) -> typer.Typer:
    """Add the verbs, and return their group; `events` are those of the procedures in force, named in both languages."""
    case = typer.Typer(
        no_args_is_help=True, help=terminal.text("办件：受理、办理、查询进度", "cases: open, handle, follow")
    )
    _mount_list(case, terminal, opening)
    _mount_show(case, terminal, opening)
    _mount_new(case, terminal, opening)
    _mount_settle(case, terminal, opening)
    estimates_commands.mount(case, terminal, opening)
    _mount_application(case, terminal, opening)
    for event, named in events.items():
        _mount_event(case, terminal, opening, event, named)
    app.add_typer(case, name="case")
    return case


def _mount_list(case: typer.Typer, terminal: Terminal, opening: Opens) -> None:
    @case.command("list", help=terminal.text("按到期日列出办件，超期在前", "list cases by due day, overdue first"))
    def list_cases(
        box: str = typer.Option(None, help="todo | sent | done"),
        city: str = typer.Option(None, help=terminal.text("对方城市代码", "code of the other city")),
        item: str = typer.Option(None, help=terminal.text("事项代码", "item code")),
        state: str = typer.Option(None, help=terminal.text("状态代码", "state code")),
        due: int = typer.Option(None, min=0, max=366, help=terminal.text("几天内到期", "due within so many days")),
        overdue: bool = typer.Option(False, help=terminal.text("仅超期", "overdue only")),
        limit: int = typer.Option(50, min=1, max=viewing.PAGE_MAX),
        after: str = typer.Option(
            None, help=terminal.text("上一页末尾给出的游标", "cursor that the previous page gave")
        ),
    ) -> None:
        if box not in (None, "todo", "sent", "done"):
            raise typer.BadParameter("todo | sent | done", param_hint="--box")
        until = _until(opening.now().date(), due, overdue)
        wanted = Filter(box, city, item, state, until, after, limit)

        async def read(running: Any) -> tuple[list[dict[str, Any]], str | None]:
            with running.node.database.reading() as session:
                return viewing.list_cases(running.cases.room, session, wanted)

        lines, more = opening.run(read)
        following = f"tongban case list --after {more}" if more else "tongban case show NO"
        terminal.finish({"cases": lines, "after": more}, show=[_table(terminal, lines)], next_step=following)


def _until(today: date, due: int | None, overdue: bool) -> date | None:
    if overdue:
        return today - timedelta(days=1)
    return today + timedelta(days=due) if due is not None else None


def _table(terminal: Terminal, lines: list[dict[str, Any]]) -> Any:
    if not lines:
        return terminal.text("没有办件", "no cases")
    table = Table(box=None, pad_edge=False)
    for zh, en in (("剩余工作日", "days left"), ("办件号", "case"), ("事项", "item"), ("申请人", "person"),
                   ("从→到", "from→to"), ("状态", "state")):  # fmt: skip
        table.add_column(terminal.text(zh, en))
    for line in lines:
        table.add_row(
            _left(terminal, line),
            line["number"],
            line["item"],
            line["person"]["name"],
            f"{line['accepting']}→{line['responsible']}",
            terminal.text(line["state_zh"], line["state_en"]),
        )
    return table


def _left(terminal: Terminal, line: dict[str, Any]) -> str:
    if line["halted"]:
        return terminal.text("✘ 停止", "✘ halted")
    if line["working_days_left"] is None:
        return "–"
    mark = {"overdue": "✘", "due_soon": "!", "normal": ""}[line["standing"]]
    about = terminal.text("暂估", "provisional") if line["due_provisional"] else ""
    return f"{mark}{line['working_days_left']} {about}".strip()


def _mount_show(case: typer.Typer, terminal: Terminal, opening: Opens) -> None:
    @case.command(
        "show",
        help=terminal.text(
            "一个办件：进度、可执行的操作、两市共同的时间线",
            "a case: where it stands, what may be done, the timeline of both cities",
        ),
    )
    def show(
        number: str = typer.Argument(..., metavar="NO"),
        timeline: bool = typer.Option(True, help=terminal.text("显示时间线", "show the timeline")),
        below: int = typer.Option(None, help=terminal.text("只显示此序号之前的事件", "only events before this number")),
    ) -> None:
        async def read(running: Any) -> dict[str, Any]:
            with running.node.database.reading() as session:
                row = service.read_case(session, number)
                return {
                    **viewing.page_of(running.cases.room, session, row),
                    "actions": viewing.actions_of(running.cases.room, session, row),
                    "timeline": viewing.timeline(running.cases.room, session, row, below=below) if timeline else [],
                }

        page = opening.run(read)
        actions = [one["event"] for one in page["actions"]]
        following = f"tongban case {actions[0]} {number}" if actions else "tongban case list --box todo"
        terminal.finish(page, show=_page(terminal, page), next_step=following)


def _page(terminal: Terminal, page: dict[str, Any]) -> list[Any]:
    text = terminal.text
    lines: list[Any] = [
        f"{page['number']}  {text(page['item_zh'], page['item_en'])}",
        f"{page['person']['name']} {page['person']['id_no']}   {page['accepting']}→{page['responsible']}",
        f"{text('状态', 'state')}: {text(page['state_zh'], page['state_en'])}   "
        f"{text('剩余工作日', 'working days left')}: {_left(terminal, page)}"
        + (f"   {text('应于', 'due on')} {page['due_on']}" if page["due_on"] else ""),
    ]
    lines += [f"  {part}: {stand}" for part, stand in page["parts"].items()]
    if "elapsed_minutes" in page:
        lines.append(text(f"已用 {page['elapsed_minutes']} 分钟", f"{page['elapsed_minutes']} minutes used"))
    lines += [_waiting(terminal, one) for one in page["waiting"]]
    offered = " ".join(f"{one['event']}({text(one['zh'], one['en'])})" for one in page["actions"])
    lines.append(f"{text('可执行', 'possible')}: {offered or text('无', 'nothing here')}")
    if not page["timeline"]:
        return lines
    table = Table(box=None, pad_edge=False)
    for zh, en in (("序号", "no"), ("时间", "time"), ("城市", "city"), ("事件", "event"), ("经办", "by"), ("", "")):
        table.add_column(text(zh, en))
    for one in page["timeline"]:
        place = "–" if one["seq"] is None else str(one["seq"])
        mark = f"✘ {one['refused']}" if one["refused"] else "✔" if one["receipt"] else text("未送达", "not delivered")
        table.add_row(
            place, one["at"][:16], one["city"], text(one["event_zh"], one["event_en"]), one["role"] or "", mark
        )
    return [*lines, table]


def _waiting(terminal: Terminal, one: dict[str, Any]) -> str:
    if one["state"] == "dead":
        return terminal.text(
            f"✘ 未送达 {one['peer']}，需要处理：{one['slug']}",
            f"✘ not delivered to {one['peer']}, somebody must act: {one['slug']}",
        )
    when = (one["next_at"] or "")[:19]
    return terminal.text(
        f"… 尚未送达 {one['peer']}，下次尝试 {when}", f"… not yet delivered to {one['peer']}, next attempt at {when}"
    )


def _mount_new(case: typer.Typer, terminal: Terminal, opening: Opens) -> None:
    attaching = terminal.text("材料代码=扫描件", "material code and scan")

    @case.command(
        "new", help=terminal.text("受理一个办件并发给责任城市", "open a case and send it to the responsible city")
    )
    def new(
        item: str = typer.Option(..., help=terminal.text("事项代码", "item code")),
        to: str = typer.Option(..., help=terminal.text("责任城市代码", "code of the responsible city")),
        file: str = typer.Option(..., help=terminal.text("申请表 JSON", "application form, JSON")),
        attach: list[str] = typer.Option([], metavar="CODE=FILE", help=attaching),
        follows: str = typer.Option(None, help=terminal.text("接续的办件号", "case that this one follows")),
        key: str = typer.Option(None, help=terminal.text("幂等键", "idempotency key")),
        dry_run: bool = typer.Option(False, help=terminal.text("只检查，不受理", "check only, open nothing")),
    ) -> None:
        form, files = _read(terminal, file), dict(_pairs(attach))

        async def work(running: Any) -> dict[str, Any]:
            person = person_of(running, opening, "clerk")
            wanted = Opening(item, to, await _attached(running, form, files), follows=follows)
            if dry_run:
                with running.node.database.reading() as session:
                    rules, _ = service.check_case(running.cases.room, session, wanted)
                return {"item": rules.item.code, "number": None}
            done = await running.writer.submit(
                lambda tx: service.open_case(running.cases.room, tx, wanted, person, request=key)
            )
            with running.node.database.reading() as session:
                return viewing.page_of(running.cases.room, session, service.read_case(session, done.number))

        page = opening.run(work)
        if dry_run:
            terminal.finish(page, show=[terminal.text("✔ 申请无误", "✔ the application is in order")],
                            next_step=f"tongban case new --item {item} --to {to} --file {file}")  # fmt: skip
        terminal.finish(page, show=_page(terminal, {**page, "actions": [], "timeline": []}),
                        next_step=f"tongban case show {page['number']}")  # fmt: skip


async def _attached(running: Any, form: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """Take scans in, and let the materials of their codes name them."""
    materials = [dict(one) if isinstance(one, dict) else one for one in form.get("material") or []]
    for code, name in files.items():
        kept = await running.receiving.keep_file(Path(name), type_of(name))
        named = next((one for one in materials if isinstance(one, dict) and one.get("material_code") == code), None)
        if named is None:
            named = {"material_code": code, "name": code}
            materials.append(named)
        named |= {"form": "scan", "digest": f"sha256:{kept.sha256}"}
    return {**form, "material": materials} if files else form


def type_of(name: str) -> str:
    """Return the media type that a file's name says; what is not accepted is refused by what takes it in."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _mount_event(case: typer.Typer, terminal: Terminal, opening: Opens, event: str, named: tuple[str, str]) -> None:
    @case.command(event, help=terminal.text(named[0], named[1]))
    def do(
        number: str = typer.Argument(..., metavar="NO"),
        file: str = typer.Option(None, help=terminal.text("内容 JSON", "data, JSON")),
        field: list[str] = typer.Option(
            [],
            "--field",
            metavar="NAME=VALUE",
            help=terminal.text("一个字段", "one field"),  # noqa: B008 - texts of one run
        ),
        reason: str = typer.Option(None, help=terminal.text("理由", "reason")),
        text: str = typer.Option(None, help=terminal.text("说明", "text")),
        key: str = typer.Option(None, help=terminal.text("幂等键", "idempotency key")),
    ) -> None:
        data = {**(_read(terminal, file) if file else {}), **dict(_pairs(field))}
        data |= {name: value for name, value in (("reason", reason), ("text", text)) if value}
        page = opening.run(_doing(opening, Doing(number, event, data), key))
        terminal.finish(page, show=_page(terminal, {**page, "timeline": []}), next_step=f"tongban case show {number}")


def _mount_settle(case: typer.Typer, terminal: Terminal, opening: Opens) -> None:
    told = terminal.text("双方核对后，让停止的办件继续", "let a halted case go on, after both cities have settled it")

    @case.command("settle", help=told)
    def settle(
        number: str = typer.Argument(..., metavar="NO"),
        reason: str = typer.Option(..., help=terminal.text("双方核对的结论", "what both cities have settled")),
    ) -> None:
        async def work(running: Any) -> None:
            room, actor = running.cases.room, opening.actor()
            await running.writer.submit(lambda tx: service.settle_halt(room, tx, number, reason=reason, actor=actor))

        opening.run(work)
        done = terminal.text("✔ 办件继续", "✔ the case goes on")
        terminal.finish({"number": number}, show=[done], next_step=f"tongban case show {number}")


def _mount_application(case: typer.Typer, terminal: Terminal, opening: Opens) -> None:
    told = terminal.text("查看申请全文（记入日志）", "look at the whole application (the look is logged)")

    @case.command("application", help=told)
    def application(
        number: str = typer.Argument(..., metavar="NO"),
        reason: str = typer.Option(..., help=terminal.text("查看理由", "why you look")),
    ) -> None:
        async def work(running: Any) -> dict[str, Any]:
            person = person_of(running, opening, "officer")
            done: dict[str, Any] = await running.writer.submit(
                lambda tx: service.look_at_application(running.cases.room, tx, number, person, reason=reason)
            )
            return done

        content = opening.run(work)
        shown = json.dumps(content, ensure_ascii=False, indent=2)
        terminal.finish({"application": content}, show=[shown], next_step=f"tongban case show {number}")


def _doing(opening: Opens, doing: Doing, key: str | None) -> Callable[[Any], Any]:
    async def work(running: Any) -> dict[str, Any]:
        with running.node.database.reading() as session:
            role = viewing.first_role(
                running.cases.room, session, service.read_case(session, doing.number), doing.event
            )
        person = person_of(running, opening, role)
        await running.writer.submit(lambda tx: service.act(running.cases.room, tx, doing, person, request=key))
        with running.node.database.reading() as session:
            row = service.read_case(session, doing.number)
            page = viewing.page_of(running.cases.room, session, row)
            return {**page, "actions": viewing.actions_of(running.cases.room, session, row)}

    return work


def person_of(running: Any, opening: Opens, role: str) -> Person:
    """Return who acts here: by `--as` in a demo, else the user of the system in the role of the step."""
    actor, settings = opening.actor(), running.node.settings
    acting = opening.role()
    return Person(
        actor, running.node.vault.pseudonym(actor), settings.member.name_zh, role if acting == "system" else acting
    )


def _pairs(fields: list[str]) -> list[tuple[str, Any]]:
    found = []
    for one in fields:
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter("NAME=VALUE", param_hint="--field")
        found.append((name, value))
    return found


def _read(terminal: Terminal, name: str) -> dict[str, Any]:
    file = Path(name)
    try:
        if file.stat().st_size > FORM_MAX_BYTES:
            raise ValueError("too large")
        content = json.loads(file.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError):
        what = (f"读不出 JSON 文件 {file.name}", f"{file.name} cannot be read as a JSON object")
        terminal.fail(what, side=OURS, next_step=("核对文件后重试", "check the file and try again"), code=USAGE)
    return content
