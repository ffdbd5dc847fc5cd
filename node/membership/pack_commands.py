"""CLI verbs of the shared documents: `packs list`, `packs import` (mounted by `commands`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import typer
from rich.table import Table

from node.membership import service
from node.membership.packs import (
    Affected,
    Described,
    Effects,
    Examined,
    Kind,
    Listed,
    Moved,
    Standing,
    examine,
    listed,
)
from node.terminal import USAGE, Opening, Terminal

OURS: Final = ("本市", "this city")
KINDS: Final = {
    Kind.CALENDAR: ("工作日历", "calendar"),
    Kind.CATALOGUE: ("事项目录", "catalogue"),
    Kind.PROCEDURES: ("办理规则", "procedures"),
    Kind.AMOUNTS: ("金额与年龄规则", "amounts"),
    Kind.OTHER: ("其他", "other"),
}
STATUSES: Final = {"official": ("正式", "official"), "provisional": ("暂估", "provisional"), None: ("", "")}
STANDINGS: Final = {
    Standing.IN_FORCE: ("✔ 已生效", "✔ in force"),
    Standing.NOT_NAMED: ("– 未生效：名册未列明", "– not in force: the manifest does not name it"),
    Standing.LACKING: ("✘ 缺少：正在向其他城市获取", "✘ lacking: being fetched from other cities"),
    Standing.UNREADABLE: ("✘ 无法使用：与名称不符或本版本不能读取", "✘ not usable: another name, or unreadable here"),
}
COLUMNS: Final = "名称|种类|版本|状态|生效|来源|摘要", "name|kind|version|status|in force|from|digest"
SHOWN: Final = 16
"""Characters of a digest in a table; `--json` has all of them."""


def mount(app: typer.Typer, terminal: Terminal, opening: Opening, affected: Affected | None = None) -> None:
    """Add the verbs; `affected` tells which due days a calendar would move."""
    packs = typer.Typer(
        no_args_is_help=True, help=terminal.text("共享文件：日历、目录、规则", "shared documents: calendars, rules")
    )
    _mount_list(packs, terminal, opening)
    _mount_import(packs, terminal, opening, affected)
    app.add_typer(packs, name="packs")


def _mount_list(packs: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @packs.command("list", help=terminal.text("版本、状态、是否生效", "version, status, in force or not"))
    def list_packs() -> None:
        with opening.node().database.reading() as session:
            manifest = service.manifest_in_force(session)
            found = listed(session, manifest, opening.shared_documents())
        table = Table(*terminal.text(*COLUMNS).split("|"))
        for one in found:
            table.add_row(*_cells(terminal, one))
        bad = [one for one in found if one.standing in (Standing.LACKING, Standing.UNREADABLE)]
        data = {"manifest": manifest.label, "documents": [_as_data(one) for one in found]}
        lacking = any(one.standing is Standing.LACKING for one in bad)
        step = (
            "tongban ping --all" if lacking else terminal.text("tongban packs import 文件", "tongban packs import FILE")
        )
        terminal.finish(data, show=[table], next_step=step, ok=not bad)


def _cells(terminal: Terminal, one: Listed) -> list[str]:
    told = one.described or Described(Kind.OTHER)
    source = ""
    if one.came_with_software:
        source = terminal.text("随软件", "software")
    elif one.taken_at is not None:
        source = one.taken_at.date().isoformat()
    kind = terminal.text(*KINDS[told.kind]) if one.described else ""
    status, standing = terminal.text(*STATUSES[told.status]), terminal.text(*STANDINGS[one.standing])
    return [one.name, kind, told.version, status, standing, source, one.digest[:SHOWN]]


def _as_data(one: Listed) -> dict[str, Any]:
    told = one.described
    return {
        "name": one.name,
        "kind": told.kind.value if told else None,
        "version": told.version if told else None,
        "status": told.status if told else None,
        "standing": one.standing.value,
        "came_with_software": one.came_with_software,
        "taken_at": one.taken_at.isoformat(timespec="seconds") if one.taken_at else None,
        "size": one.size,
        "digest": one.digest,
    }


def _mount_import(packs: typer.Typer, terminal: Terminal, opening: Opening, affected: Affected | None) -> None:
    @packs.command(
        "import",
        help=terminal.text(
            "收入日历、目录或规则；名册列明其摘要后生效", "take a document in; the manifest puts it in force"
        ),
    )
    def import_pack(
        file: Path = typer.Argument(..., metavar="FILE"),
        dry_run: bool = typer.Option(False, "--dry-run", help=terminal.text("只显示，不收入", "show only")),
    ) -> None:
        data, node = _read(terminal, file), opening.node()
        with node.database.reading() as session:
            manifest = service.manifest_in_force(session)
            found = examine(session, manifest, data, opening.shared_documents())
        if found.described.kind is Kind.OTHER and not found.named:
            _refuse(terminal, found.described.fault)
        effects = affected(node, found, data) if affected and not found.named else None
        if not dry_run and not found.is_here:
            actor, now = opening.actor(), opening.now()
            node.database.write(lambda tx: service.take_document(tx, data, now=now, actor=actor))
        _tell(terminal, found, effects, dry_run=dry_run)


def _read(terminal: Terminal, file: Path) -> bytes:
    limit = service.DOCUMENT_MAX_BYTES
    try:
        with file.open("rb") as source:
            data = source.read(limit + 1)
    except OSError as fault:
        what = (f"无法读取文件：{fault.strerror}", f"The file cannot be read: {fault.strerror}")
        terminal.fail(what, side=OURS, next_step=("检查文件名", "check the file name"), code=USAGE)
    if len(data) > limit:
        _refuse(terminal, f"more than {limit} bytes")
    return data


def _refuse(terminal: Terminal, fault: str) -> NoReturn:
    what = (f"不是可收入的文件：{fault}", f"Not a document that can be taken in: {fault}")
    todo = ("向发布该文件的城市索取原件", "ask the city that published it for the original file")
    terminal.fail(what, side=OURS, next_step=todo)


def _tell(terminal: Terminal, found: Examined, effects: Effects | None, *, dry_run: bool) -> None:
    told = found.described
    data: dict[str, Any] = {
        "name": told.name,
        "kind": told.kind.value,
        "version": told.version,
        "status": told.status,
        "digest": found.digest,
        "in_force_as": list(found.named),
        "was_here": found.is_here,
        "taken": not dry_run and not found.is_here,
    }
    show: list[Any] = [_what(terminal, found), _done(terminal, found, dry_run=dry_run), _force(terminal, found)]
    if effects is not None and found.calendars is not None:
        moved = effects.moved
        data["affected"] = [{"number": m.number, "before": _day(m.before), "after": _day(m.after)} for m in moved]
        show += _moved(terminal, moved)
    elif effects is not None:
        data["differs"] = [{"at": at, "zh": zh, "en": en} for at, zh, en in effects.differs]
        data["staying"] = dict(effects.staying)
        show += _differs(terminal, effects)
    step = "tongban packs list"
    if not found.named:
        step = terminal.text("请各市在下一版名册中列明此摘要", "have the cities name this digest in the next manifest")
    terminal.finish(data, show=show, next_step=step)


def _what(terminal: Terminal, found: Examined) -> str:
    told = found.described
    words = [terminal.text(*KINDS[told.kind]), told.name, terminal.text(*STATUSES[told.status])]
    version = terminal.text(f"版本 {told.version}", f"version {told.version}") if told.version else ""
    return " ".join(part for part in [*words, version, found.digest] if part)


def _done(terminal: Terminal, found: Examined, *, dry_run: bool) -> str:
    if found.is_here:
        return terminal.text("本节点已有此文件", "This node has it already")
    if dry_run:
        return terminal.text("试运行：没有收入", "Dry run: nothing was taken in")
    return terminal.text("已收入", "Taken in")


def _force(terminal: Terminal, found: Examined) -> str:
    if found.named:
        names = "、".join(found.named), ", ".join(found.named)
        return terminal.text(f"名册已列明（{names[0]}）：已生效", f"The manifest names it ({names[1]}): in force")
    return terminal.text("名册列明此摘要后生效", "In force once the manifest names this digest")


def _differs(terminal: Terminal, effects: Effects) -> list[Any]:
    count, staying = len(effects.differs), sum(effects.staying.values())
    items = "、".join(f"{item} {number}" for item, number in effects.staying.items())
    lines: list[Any] = [
        terminal.text(f"对今后办件的改变：{count} 处", f"What later cases find otherwise: {count}"),
        *(f"  {at}: {terminal.text(zh, en)}" for at, zh, en in effects.differs),
    ]
    stay = terminal.text(
        f"在办的 {staying} 件仍按受理时的版本办理", f"{staying} open cases stay under the version of their opening"
    )
    return [*lines, f"{stay}{f'（{items}）' if items else ''}"]


def _moved(terminal: Terminal, moved: Sequence[Moved]) -> list[Any]:
    head = terminal.text(f"到期日变动：{len(moved)} 件", f"Due dates that change: {len(moved)}")
    if not moved:
        return [head]
    table = Table(*terminal.text("办件|现到期日|新到期日", "case|due now|due then").split("|"))
    for one in moved:
        table.add_row(one.number, _day(one.before) or "", _day(one.after) or "")
    return [head, table]


def _day(day: Any) -> str | None:
    return day.isoformat() if day is not None else None
