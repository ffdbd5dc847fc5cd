"""CLI verbs of papers: `document print|list|show|verify|revoke|status`."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table

from node.documents import service
from node.documents.kinds import KINDS
from node.documents.press import Examined, Press, PressFault
from node.documents.service import DATA_MAX_BYTES, Asked
from node.documents.verifying import PDF_MAX_BYTES, Check, Outcome, Trusted, paper_of, verify
from node.terminal import OK, REFUSED, UNAVAILABLE, Opening, Terminal

OURS: Final = ("本市", "this city")
MARKS: Final = {Outcome.PASSED: "✔", Outcome.FAILED: "✘", Outcome.UNCHECKED: "?"}


def mount(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    """Add the verbs of this room."""
    documents = typer.Typer(no_args_is_help=True, help=terminal.text("文书：打印、查看、验真", "papers: print, verify"))
    _mount_print(documents, terminal, opening)
    _mount_list(documents, terminal, opening)
    _mount_show(documents, terminal, opening)
    _mount_verify(documents, terminal, opening)
    _mount_revoke(documents, terminal, opening)
    _mount_status(documents, terminal, opening)
    app.add_typer(documents, name="document")


def _mount_print(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("print", help=terminal.text("打印一份文书", "print a paper"))
    def print_one(
        case: str = typer.Argument(None, metavar="CASE", help=terminal.text("办件编号", "case number")),
        kind: str = typer.Option(..., help=" | ".join(KINDS)),
        data: str = typer.Option("-", help=terminal.text("内容，JSON 文件", "what it says: a JSON file")),
        out: str = typer.Option(..., help=terminal.text("写入的 PDF 文件", "PDF file to write")),
        part: str = typer.Option("", help=terminal.text("同类文书的区分，如函号", "which of several, a letter number")),
        large: bool = typer.Option(False, help=terminal.text("大字版（16 磅）", "large type, 16 pt")),
    ) -> None:
        known, value = service.read_value(kind, _read(data, DATA_MAX_BYTES + 1))
        size = "large" if large else "normal"
        asked = Asked(known, value, case=case, part=part, size=size, actor=opening.actor())

        async def work(running: Any) -> service.Printed:
            room, node = running.documents, running.node
            return await service.print_document(room, node.database, running.writer.submit, asyncio.to_thread, asked)

        printed = opening.run(work)
        Path(out).write_bytes(printed.pdf)
        told = ("已打印", "printed") if printed.is_new else ("内容相同，再次取出", "the same facts, handed out again")
        lines = [f"✔ {terminal.text(*told)} · {terminal.text(known.zh, known.en)} · {printed.number}", out]
        shown = {"number": printed.number, "code": printed.code, "digest": printed.digest, "is_new": printed.is_new}
        terminal.finish(shown | {"file": out}, show=lines, next_step=f"tongban document verify {out}")


def _read(source: str, most: int) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read(most)
    with Path(source).open("rb") as file:
        return file.read(most)


def _mount_list(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("list", help=terminal.text("一件办件的文书", "the papers of a case"))
    def list_of_case(case: str = typer.Argument(..., metavar="CASE")) -> None:
        with opening.node().database.reading() as session:
            lines = service.list_documents(session, case)
        table = Table(box=None, pad_edge=False)
        for zh, en in (("编号", "number"), ("文书", "paper"), ("字号", "size"), ("日期", "day"), ("状态", "state")):
            table.add_column(terminal.text(zh, en))
        for one in lines:
            kind = KINDS[one["kind"]]
            replaced = f" → {one['replaced_by']}" if one["replaced_by"] else ""
            name = terminal.text(kind.zh, kind.en)
            table.add_row(one["number"], name, one["size"], one["issued_on"], one["state"] + replaced)
        show = table if lines else terminal.text("没有文书", "no papers")
        terminal.finish({"documents": lines}, show=[show], next_step="tongban document show NUMBER --out FILE")


def _mount_show(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("show", help=terminal.text("取出已打印的文书，字节不变", "hand a paper out again, unchanged"))
    def show(
        number: str = typer.Argument(..., metavar="NUMBER"),
        out: str = typer.Option(..., help=terminal.text("写入的 PDF 文件", "PDF file to write")),
    ) -> None:
        async def work(running: Any) -> service.Printed:
            with running.node.database.reading() as session:
                return service.read(running.documents, session, number)

        printed = opening.run(work)
        Path(out).write_bytes(printed.pdf)
        data = {"number": printed.number, "state": printed.state, "digest": printed.digest, "file": out}
        terminal.finish(data, show=[f"✔ {printed.number} · {printed.state} · {out}"])


def _mount_verify(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("verify", help=terminal.text("验真一份文书", "verify a paper"))
    def verify_file(file: str = typer.Argument(..., metavar="FILE")) -> None:
        with Path(file).open("rb") as opened:
            pdf = opened.read(PDF_MAX_BYTES + 1)
        try:
            found, trusted = _examined(terminal, opening, pdf)
        except PressFault as fault:
            raise service.refusal_of(fault) from None
        checks = verify(found, trusted, now=opening.now())
        outcomes = {one.outcome for one in checks}
        is_good = outcomes == {Outcome.PASSED}
        code = OK if is_good else REFUSED if Outcome.FAILED in outcomes else UNAVAILABLE
        paper = paper_of(found) or {}
        data = {
            "checks": [{"name": one.name, "outcome": one.outcome, "found": one.found} for one in checks],
            "number": paper.get("number"),
            "kind": paper.get("kind"),
            "replaces": paper.get("replaces"),
        }
        terminal.finish(data, show=[_line(terminal, one) for one in checks], ok=is_good, code=code)


def _examined(terminal: Terminal, opening: Opening, pdf: bytes) -> tuple[Examined, Trusted | None]:
    """Examine with the node of this directory, whose manifest says whom to trust; without one, trust nobody."""
    if not (terminal.home / "tongban.toml").exists():
        press = Press()
        try:
            return press.examine(pdf), None
        finally:
            press.close()

    async def work(running: Any) -> tuple[Examined, Trusted]:
        trust = running.keeper.current
        authorities = {name: member.authorities for name, member in trust.manifest.members.items()}
        found = await asyncio.to_thread(running.documents.press.examine, pdf)
        grace = timedelta(days=trust.manifest.policy.crl_grace_days)
        return found, Trusted(trust.manifest.network, authorities, trust.crls, grace)

    return opening.run(work)


def _line(terminal: Terminal, check: Check) -> str:
    found = f" · {check.found}" if check.found else ""
    unchecked = terminal.text("（未核验）", " (not checked)") if check.outcome is Outcome.UNCHECKED else ""
    return f"{MARKS[check.outcome]} {terminal.text(check.zh, check.en)}{unchecked}{found}"


def _mount_revoke(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("revoke", help=terminal.text("作废一份文书", "declare a paper invalid"))
    def revoke(
        number: str = typer.Argument(..., metavar="NUMBER"),
        reason: str = typer.Option(..., help=terminal.text("原因", "why")),
    ) -> None:
        async def work(running: Any) -> None:
            room, actor = running.documents, opening.actor()
            await running.writer.submit(lambda tx: service.revoke(room, tx, number, reason=reason, actor=actor))

        opening.run(work)
        terminal.finish({"number": number}, show=[terminal.text("✔ 已作废", "✔ revoked") + f" · {number}"])


def _mount_status(documents: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @documents.command("status", help=terminal.text("能否打印；不能时的原因", "can papers be printed, and if not, why"))
    def status() -> None:
        async def work(running: Any) -> Any:
            return await asyncio.to_thread(service.state_of_printing, running.documents)

        families, faults = opening.run(work)
        fonts = ", ".join(families) or terminal.text("无", "none")
        lines = [f"{terminal.text('字体', 'fonts')}: {fonts}"]
        lines += [f"✘ {terminal.text(one.title_zh, one.title_en)} · {one.detail}" for one in faults]
        if not faults:
            lines.append(terminal.text("✔ 可以打印", "✔ papers can be printed"))
        data = {"families": list(families), "faults": [{"slug": one.slug, "detail": one.detail} for one in faults]}
        terminal.finish(data, show=lines, ok=not faults, code=UNAVAILABLE if faults else OK)
