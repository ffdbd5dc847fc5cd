"""CLI verbs of the log: `audit list`, `audit show`, `audit verify`."""

import json
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from node.audit import service
from node.terminal import USAGE, Opening, Terminal
from protocol.errors import NotFound
from protocol.log import leaf_hash
from protocol.notes import SignatureType, key_of
from protocol.suites import encode

OURS = ("本市", "this city")
CHINA: Final = timezone(timedelta(hours=8))
COLUMNS = "条目|时间|方向|类型|对端|事项|办件|结果|谁", "entry|time|dir|kind|peer|item|case|result|who"


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    audit = typer.Typer(
        no_args_is_help=True, help=terminal.text("日志：检索、证明、核验", "the log: search, prove, verify")
    )
    _mount_list(audit, terminal, opening)
    _mount_show(audit, terminal, opening)
    _mount_verify(audit, terminal, opening)
    app.add_typer(audit, name="audit")


def _mount_list(audit: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    of_number = terminal.text("证件号码文件，- 为标准输入", "file with the id number, - for stdin")

    @audit.command("list", help=terminal.text("检索条目，最新在前", "search entries, newest first"))
    def list_entries(
        peer: str = typer.Option(None, help=terminal.text("对端城市", "peer city")),
        item: str = typer.Option(None, help=terminal.text("事项代码", "service item")),
        kind: str = typer.Option(None, help="message | reply | refusal | look-up | import | policy | manifest | crl"),
        account: str = typer.Option(None, help=terminal.text("经办人", "who acted")),
        id_file: str = typer.Option(None, help=of_number),
        id_type: str = typer.Option("01", help=terminal.text("证件类型", "type of document")),
        since: str = typer.Option(None, "--from", help="YYYY-MM-DD"),
        until: str = typer.Option(None, "--to", help="YYYY-MM-DD"),
        limit: int = typer.Option(50, min=1, max=1000),
        after: int = typer.Option(None, help=terminal.text("上一页给出的游标", "cursor of the page before")),
    ) -> None:
        node, period = opening.node(), _period(terminal, since, until)
        wanted = {
            "peer": peer,
            "item": item,
            "kind": kind,
            "actor": node.vault.pseudonym(account) if account else None,
            "subject_index": node.vault.blind_index(id_type, terminal.read_secret_lines(id_file)[0])
            if id_file
            else None,
            "since": period[0],
            "until": period[1],
        }
        node.database.write(lambda tx: service.book_search(tx, actor=opening.actor(), now=opening.now()))
        with node.database.reading() as session:
            rows = list(service.entries(session, limit=limit, below=after, **wanted))
        asked = [name for name, value in wanted.items() if value is not None]
        _show_entries(terminal, rows, asked, full=len(rows) == limit)


def _show_entries(terminal: Terminal, rows: list[dict[str, Any]], asked: list[str], *, full: bool) -> None:
    cursor = rows[-1]["index"] if rows and full else None
    if not rows:
        told = terminal.text(
            f"无匹配条目（条件：{'、'.join(asked) or '无'}）", f"No entry matches ({', '.join(asked) or 'no filter'})"
        )
        terminal.finish({"entries": [], "after": None}, show=[told], next_step="tongban audit list --help")
    table = Table(*terminal.text(*COLUMNS).split("|"))
    for row in rows:
        table.add_row(*_cells(row))
    step = f"tongban audit list --after {cursor}" if cursor is not None else "tongban audit show INDEX --proof"
    terminal.finish({"entries": rows, "after": cursor}, show=[table], next_step=step)


def _cells(row: dict[str, Any]) -> list[str]:
    result = row.get("slug") or row.get("status") or ""
    names = ("index", "time", "dir", "kind", "peer", "item", "case")
    return [*(str(row.get(name, "")) for name in names), str(result), str(row.get("officer", ""))]


def _period(terminal: Terminal, since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the first instant of the first day and the first after the last, in Asia/Shanghai."""
    try:
        start = datetime.combine(date.fromisoformat(since), time(), CHINA) if since else None
        end = datetime.combine(date.fromisoformat(until) + timedelta(days=1), time(), CHINA) if until else None
    except ValueError:
        what = ("日期格式为 YYYY-MM-DD", "A date is YYYY-MM-DD")
        terminal.fail(what, side=OURS, next_step=("tongban audit list --help",) * 2, code=USAGE)
    return start, end


def _mount_show(audit: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @audit.command(help=terminal.text("一个条目及其包含证明", "one entry and its inclusion proof"))
    def show(
        index: int = typer.Argument(..., min=0),
        proof: bool = typer.Option(False, help=terminal.text("打印 C2SP 证明", "print the C2SP tlog-proof")),
    ) -> None:
        node = opening.node()
        node.database.write(lambda tx: service.book_search(tx, actor=opening.actor(), now=opening.now()))
        with node.database.reading() as session:
            data, opening_bytes = service.entry(session, index)
            text = _proof_or_none(node, session, index)
        leaf = encode(leaf_hash(data))
        found = {
            "index": index,
            "entry": json.loads(data),
            "leaf": leaf,
            "origin": node.log.origin,
            "subject_can_be_opened": opening_bytes is not None,
            "proof": text,
        }
        signed = (
            terminal.text("已在签名检查点中", "under a signed checkpoint")
            if text
            else terminal.text("尚未签名检查点", "not under a checkpoint yet")
        )
        lines = [f"{node.log.origin} #{index}", data.decode(), f"leaf {leaf}", signed]
        step = "tongban audit verify" if text else terminal.text("10 秒后再试", "try again in 10 seconds")
        terminal.finish(found, show=[*lines, *([text] if proof and text else [])], next_step=step)


def _proof_or_none(node: Any, session: Any, index: int) -> str | None:
    try:
        return service.prove(session, node.log, index)
    except NotFound:
        return None


def _mount_verify(audit: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @audit.command(help=terminal.text("重新计算全部条目并核对检查点", "re-hash every entry and check the checkpoints"))
    def verify() -> None:
        node = opening.node()
        key = key_of(node.log.origin, SignatureType.ED25519, opening.log_key())
        with node.database.reading() as session, _progress(terminal) as progress:
            task = progress.add_task(terminal.text("核验", "verify"), total=service.size(session, node.log))
            done = service.verify(session, node.log, key, progress=lambda count: progress.update(task, completed=count))
        data = {
            "origin": done.origin,
            "entries": done.entries,
            "checkpoints": done.checkpoints,
            "signed_size": done.signed_size,
            "root": done.root,
            "finding": None
            if done.finding is None
            else {"index": done.finding.index, "expected": done.finding.expected, "found": done.finding.found},
        }
        terminal.finish(data, show=_verdict(terminal, done), next_step="tongban audit list", ok=done.ok)


def _verdict(terminal: Terminal, done: service.Verification) -> list[str]:
    if done.finding is not None:
        bad = done.finding
        return [
            terminal.text(f"✘ 条目 {bad.index} 不一致", f"✘ entry {bad.index} does not agree"),
            terminal.text(f"  应为 {bad.expected}", f"  expected {bad.expected}"),
            terminal.text(f"  实为 {bad.found}", f"  found    {bad.found}"),
        ]
    unsigned = done.entries - done.signed_size
    return [
        terminal.text(
            f"✔ {done.entries} 条全部重新计算，编号连续", f"✔ {done.entries} entries re-hashed, numbered without a gap"
        ),
        terminal.text(
            f"✔ {done.checkpoints} 个检查点：签名与树根一致",
            f"✔ {done.checkpoints} checkpoints: signature and root agree",
        ),
        terminal.text(
            f"– 最后 {unsigned} 条尚未被检查点覆盖，只证明编号连续" if unsigned else "✔ 全部条目都在签名检查点之下",
            f"– the last {unsigned} are not under a checkpoint yet: only their numbering is proven"
            if unsigned
            else "✔ every entry is under a signed checkpoint",
        ),
        terminal.text(
            "– 未证明：其他城市的见证（见证功能尚未加入）",
            "– not proven: cosignatures of other cities (witnessing is not part of this version)",
        ),
    ]


def _progress(terminal: Terminal) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=terminal.err(), disable=terminal.quiet or terminal.json, transient=True)
