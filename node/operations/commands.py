"""CLI verbs of operations: `doctor`, `config`, `db`, and `certs status` for the typer app of the CA tool."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table
from rich.text import Text

from node.operations.holdings import BELOW, Holding, Judge, Standing, own_holdings, peer_holdings
from node.operations.service import GROUPS, Check, State, ask_peers, diagnose, trust_of
from node.storage import schema
from node.terminal import REFUSED, UNAVAILABLE, USAGE, Opening, Terminal

OURS: Final = ("本市", "this city")
MARKS: Final = {
    State.OK: ("✔", "green"),
    State.WARN: ("!", "yellow"),
    State.FAIL: ("✘", "red"),
    State.OFF: ("–", "dim"),
}


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    _mount_doctor(app, terminal, opening)
    _mount_config(app, terminal, opening)
    _mount_db(app, terminal, opening)


def mount_certs_status(certs: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add `status` to the typer app of the CA tool, which knows no peers itself."""

    @certs.command("status", help=terminal.text("全部密钥与证书的剩余天数", "every key and certificate, days left"))
    def status(
        warn: int = typer.Option(30, min=0, help=terminal.text("少于此天数即告警", "warn below so many days")),
    ) -> None:
        certs_status(terminal, opening, warn)


def _mount_doctor(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    written = terminal.text("写入文件，不含个人信息", "write a file without personal data")

    @app.command(help=terminal.text("诊断：原因、影响、下一步", "what is wrong, what it affects, what to do next"))
    def doctor(
        peer: str = typer.Option(None, metavar="CODE", help=terminal.text("只看这个对端", "only this peer")),
        only: str = typer.Option(None, metavar="CHECK", help=" | ".join(GROUPS)),
        report: Path = typer.Option(None, metavar="FILE", help=written),
    ) -> None:
        if only is not None and only.partition(".")[0] not in GROUPS:
            what = (f"没有检查项 {only}；可选：{' '.join(GROUPS)}", f"No check is called {only}: {' '.join(GROUPS)}")
            terminal.fail(what, side=OURS, next_step=("tongban doctor --help",) * 2, code=USAGE)
        facts = opening.facts()
        checks = asyncio.run(diagnose(facts, only=only, peer=peer))
        data = {
            "time": opening.now().isoformat(timespec="seconds"),
            "member": facts.values.member if facts.values else None,
            "counts": {state.value: sum(one.state is state for one in checks) for state in State},
            "checks": [_as_data(terminal, one) for one in checks],
        }
        if report is not None:
            _write_report(terminal, report, data)
        bad = [one for one in checks if one.state is State.FAIL] or [one for one in checks if one.state is State.WARN]
        step = terminal.text(*bad[0].next) if bad else "tongban ping --all"
        lines = [line for one in checks for line in check_lines(terminal, one)]
        ok = all(one.state is not State.FAIL for one in checks)
        terminal.finish(data, show=[*lines, _summary(data["counts"])], next_step=step, ok=ok)


def check_lines(terminal: Terminal, check: Check) -> list[Text]:
    """Return one line for a check, and cause, effect and next step below it where it is not good."""
    mark, style = MARKS[check.state]
    head = Text(f"{mark} ", style=style).append(terminal.text(*check.title), style="")
    if check.state is State.OFF:
        return [head.append(f"  {terminal.text(*check.cause)}", style="dim")]
    parts = (("原因", "cause", check.cause), ("影响", "effect", check.effect), ("下一步", "next", check.next))
    below = [Text(f"    {terminal.text(zh, en)}: {terminal.text(*words)}") for zh, en, words in parts if words[0]]
    return [head, *below]


def _summary(counts: Any) -> Text:
    return Text("   ".join(f"{MARKS[state][0]} {counts[state.value]}" for state in State))


def _as_data(terminal: Terminal, check: Check) -> dict[str, Any]:
    words = {"title": check.title, "cause": check.cause, "effect": check.effect, "next": check.next}
    said = {name: terminal.text(*both) for name, both in words.items()}
    return {"name": check.name, "state": check.state.value, **said, "facts": dict(check.facts)}


def _write_report(terminal: Terminal, path: Path, data: dict[str, Any]) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    except OSError as fault:
        what = (f"报告无法写入：{fault.strerror}", f"The report cannot be written: {fault.strerror}")
        todo = ("换一个文件名：tongban doctor --report 文件", "another file name: tongban doctor --report FILE")
        terminal.fail(what, side=OURS, next_step=todo, code=UNAVAILABLE)


def _mount_config(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    config = typer.Typer(no_args_is_help=True, help=terminal.text("设置：说明、检查", "settings: explain, check"))

    @config.command(help=terminal.text("每项设置的值、来源、含义", "value, source and meaning of every setting"))
    def explain(key: str = typer.Argument(None, help=terminal.text("设置或小节", "a setting or a section"))) -> None:
        rows = opening.explain(key)
        table = Table(*terminal.text("设置|值|来源|含义", "setting|value|source|meaning").split("|"))
        for row in rows:
            value = f"{row.value} {row.unit}".strip() if row.value else "–"
            meaning = terminal.text(row.meaning_zh, row.meaning_en)
            table.add_row(*(Text(cell) for cell in (row.key, value, row.source, meaning)))
        names = ("key", "value", "unit", "source", "default", "meaning_zh", "meaning_en")
        data = [{name: getattr(row, name) for name in names} for row in rows]
        terminal.finish(data, show=[table], next_step="tongban config check")

    @config.command(help=terminal.text("检查设置，不改变任何东西", "check the settings; changes nothing"))
    def check() -> None:
        count = len(opening.loaded().origins)
        told = terminal.text(f"✔ {count} 项设置全部有效", f"✔ all {count} settings are valid")
        terminal.finish({"settings": count, "faults": []}, show=[told], next_step="tongban doctor")

    app.add_typer(config, name="config")


def _mount_db(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    db = typer.Typer(no_args_is_help=True, help=terminal.text("数据库结构：升级、状态", "schema: upgrade, status"))

    @db.command(help=terminal.text("结构版本", "versions of the schema"))
    def status() -> None:
        found = _schema(terminal, opening.engine(), schema.status)
        step = "tongban db upgrade" if found.pending else "tongban doctor --only database"
        terminal.finish(_schema_data(found), show=[_schema_line(terminal, found)], next_step=step)

    @db.command(help=terminal.text("升级到最新版本，只增不删", "bring it to the newest version; additive only"))
    def upgrade(
        dry_run: bool = typer.Option(False, help=terminal.text("只显示，不改变", "show only; changes nothing")),
        sql: bool = typer.Option(False, help=terminal.text("只打印 SQL，不改变", "print the SQL; changes nothing")),
    ) -> None:
        engine = opening.engine()
        before = _schema(terminal, engine, schema.status)
        if sql:
            statements = _schema(terminal, engine, schema.sql)
            data = {**_schema_data(before), "sql": statements}
            terminal.finish(data, show=[Text(statements.rstrip())] if statements else [])
        if dry_run:
            terminal.finish(_schema_data(before), show=[_schema_line(terminal, before)], next_step="tongban db upgrade")
        after = _schema(terminal, engine, schema.upgrade)
        data = {**_schema_data(after), "applied": list(before.pending)}
        terminal.finish(data, show=[_schema_line(terminal, after)], next_step="tongban doctor --only database")

    app.add_typer(db, name="db")


def _schema(terminal: Terminal, engine: Any, ask: Any) -> Any:
    try:
        return ask(engine)
    except schema.SchemaUnknown as unknown:
        what = (f"数据库比本程序新：{unknown}", f"The database is newer than this program: {unknown}")
        todo = ("安装与数据库相同或更新的版本", "install the version that made it, or a newer one")
        return terminal.fail(what, side=OURS, next_step=todo, code=REFUSED)


def _schema_data(found: schema.SchemaStatus) -> dict[str, Any]:
    return {"current": found.current, "head": found.head, "pending": list(found.pending)}


def _schema_line(terminal: Terminal, found: schema.SchemaStatus) -> str:
    if not found.pending:
        return terminal.text(f"✔ 结构为最新版本 {found.head}", f"✔ the schema is the newest, {found.head}")
    waiting = " ".join(found.pending)
    return terminal.text(
        f"! 现为 {found.current or '空'}，待升级：{waiting}",
        f"! it is {found.current or 'empty'}, to be run: {waiting}",
    )


def certs_status(terminal: Terminal, opening: Opening, warn: int) -> None:
    """Print every key and certificate, ours and peers'; exit 1 when one has fewer than `warn` days, or is refused."""
    opening.node()
    facts = opening.facts()
    found = asyncio.run(_holdings(facts, warn))
    table = Table(
        *terminal.text("城市|用途|剩余天数|有效期至|状态|指纹", "city|use|days left|until|state|fingerprint").split("|")
    )
    for one in found:
        until = one.ends.date().isoformat() if one.ends else ""
        days = "–" if one.days is None else str(one.days)
        word = f"{_standing(terminal, one.standing)} {one.slug}".strip()
        table.add_row(one.member, one.what, days, until, word, one.fingerprint[:16])
    below = [one for one in found if one.standing in BELOW]
    mine = facts.values is not None and any(one.member == facts.values.member for one in below)
    step = "tongban certs renew --help" if mine else "tongban doctor --only peers"
    data = [_holding_data(one) for one in found]
    terminal.finish(data, show=[table], next_step=step if below else "tongban doctor", ok=not below)


async def _holdings(facts: Any, warn: int) -> list[Holding]:
    keys, trust = facts.keys(), trust_of(facts.node(), facts.values.member)
    judge = Judge(trust, facts.now(), warn)
    peers = [one for one in trust.manifest.active() if one.id != trust.member]
    seen = await ask_peers(facts, keys, trust, peers)
    return [*own_holdings(judge, keys, facts.values.certs), *peer_holdings(judge, seen)]


def _standing(terminal: Terminal, standing: Standing) -> str:
    words = {
        Standing.OK: ("有效", "good"),
        Standing.DUE: ("即将到期", "ends soon"),
        Standing.EXPIRED: ("已过期", "expired"),
        Standing.REFUSED: ("不被接受", "not accepted"),
        Standing.REPLACED: ("已被替换", "replaced"),
        Standing.UNSEEN: ("未见到", "not seen"),
        Standing.ENDLESS: ("无期限", "no end"),
    }
    return terminal.text(*words[standing])


def _holding_data(one: Holding) -> dict[str, Any]:
    return {
        "member": one.member,
        "use": one.what,
        "state": one.standing.value,
        "days_left": one.days,
        "until": one.ends.isoformat() if one.ends else None,
        "fingerprint": one.fingerprint,
        "slug": one.slug,
    }
