"""Composition root of the command line: `tongban`.

It reads the settings, opens what a command needs, and mounts the verbs of every room. Common options may
stand anywhere on the line; `terminal.py` says how commands answer. Refusals and faults end here, each with
three lines: what happened, which side, what to do.
"""

import asyncio
import getpass
import os
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import typer
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.exceptions import TyperException

from config.data import procedure_events, read_demo_network, read_demo_policy
from config.faults import SettingsInvalid
from config.load import Loaded, Row, explain, load
from config.settings import Settings
from node.app import (
    SOFTWARE,
    Node,
    Running,
    new_id,
    open_engine_of,
    open_node,
    shared_documents,
    start,
    utc_now,
    values_of,
)
from node.audit import commands as audit_commands
from node.batches import commands as batches_commands
from node.cases import commands as cases_commands
from node.documents import commands as documents_commands
from node.foresight import affected
from node.funds import commands as funds_commands
from node.membership import commands as membership_commands
from node.membership.keyring import Keys, KeysUnusable, read_keys, read_log_key
from node.membership.managed import CertsFault, certs_commands
from node.operations import commands as operations_commands
from node.operations.logs import place_of, set_up_logging
from node.operations.service import Facts, Values
from node.outbox import commands as outbox_commands
from node.records import commands as records_commands
from node.serving import ROLES, NotSafe, Ports, Serving, open_ports, serve, supervise
from node.simulation import commands as simulation_commands
from node.statistics import commands as statistics_commands
from node.storage.schema import status
from node.storage.unit_of_work import is_unavailable
from node.terminal import OK, REFUSED, UNAVAILABLE, USAGE, Terminal, take_common_options
from protocol.errors import NotFound, Refusal

T = TypeVar("T")
MODE: Final = 0o077
"""Nothing that a command creates is readable by others."""


class Opening:
    """What commands may open: settings, a node, a running node. Made once per command line."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def loaded(self, flags: Mapping[str, str] = MappingProxyType({})) -> Loaded:
        """Return settings and their origins; flags come before environment and file."""
        return load(self.terminal.home, config_file=self.terminal.config_file, environment=os.environ, overrides=flags)

    def at(self, home: Path) -> "Opening":
        """Return the same for another node directory."""
        return Opening(replace(self.terminal, home=home))

    def demo_members(self) -> list[dict[str, Any]]:
        """Return the cities of the demo network."""
        return list(read_demo_network()["members"])

    def demo_rules(self) -> list[dict[str, Any]]:
        """Return the release rules of the demo."""
        return list(read_demo_policy()["rules"])

    def explain(self, key: str | None) -> Sequence[Row]:
        """Return a row per setting, or those of one setting or section."""
        return explain(self.loaded(), key)

    def facts(self) -> Facts:
        """Return what a diagnosis rests on; never raises for what is broken."""
        try:
            settings = self.loaded().settings
        except SettingsInvalid as fault:
            return self._facts(None, None, (fault.text("zh"), fault.text("en")))
        set_up_logging("error", "text")
        return self._facts(settings, values_of(settings), None)

    def _facts(self, settings: Settings | None, values: Values | None, fault: tuple[str, str] | None) -> Facts:
        def node() -> Node:
            return open_node(settings or self.loaded().settings)

        def keys() -> Keys:
            opened = node()
            return read_keys(opened.settings.dirs.certs, opened.passphrase, opened.member)

        told = (KeysUnusable, SettingsInvalid)
        return Facts(
            self.terminal.home,
            utc_now,
            time.monotonic,
            node,
            keys,
            values,
            fault,
            told=told,
            seconds=self.terminal.timeout or 5.0,
        )

    def engine(self) -> Any:
        """Return the database engine, whatever its schema."""
        return open_engine_of(self.loaded().settings)

    def new_id(self) -> str:
        """Return a UUIDv7."""
        return new_id()

    def log_key(self) -> Ed25519PrivateKey:
        """Return the private key of our log."""
        node = self.node()
        return read_log_key(node.settings.dirs.certs, node.passphrase)

    def documents(self) -> dict[str, str]:
        """Return SHA-256 (hex) of the shared documents by name."""
        return {name: digest for digest, (name, _) in shared_documents().items()}

    def shared_documents(self) -> Mapping[str, tuple[str, bytes]]:
        """Return the shared documents that came with the software: (name, bytes) by SHA-256 in hex."""
        return shared_documents()

    def now(self) -> datetime:
        """Return the present, aware UTC."""
        return utc_now()

    def node(self) -> Node:
        """Return the node of this directory, its database at the present schema."""
        settings = self.loaded().settings
        set_up_logging("warning" if settings.logging.level == "info" else settings.logging.level, "text")
        return self.checked(open_node(settings))

    def checked(self, node: Node) -> Node:
        """Return a node whose database has the schema of this program, or end with the next step."""
        if status(node.database.engine).pending:
            self.terminal.fail(
                ("数据库结构落后于本程序", "The database is behind this program"),
                side=("本市", "this city"),
                next_step=("tongban db upgrade", "tongban db upgrade"),
                code=UNAVAILABLE,
            )
        return node

    def run(self, work: Callable[[Running], Awaitable[T]]) -> T:
        """Run a coroutine on a running node: writer, clients and trust, but no ports."""
        node = self.node()

        async def running() -> T:
            live = await start(node)
            try:
                await live.adopt_own()
                if live.pushing is not None:
                    await live.pushing
                return await work(live)
            finally:
                await live.stop()

        return asyncio.run(running())

    def starting(self) -> Awaitable[Running]:
        """Return what starts this node inside a running event loop; whoever starts it stops it."""
        return start(self.node())

    def actor(self) -> str:
        """Return who acts: `local:<os user>`, or in demo directories whom `--as NAME:ROLE` says."""
        acting = self.terminal.acting
        if acting is None:
            return f"local:{getpass.getuser()}"
        if not (self.terminal.home / "demo.json").exists():
            self.terminal.fail(
                ("--as 只能用于演示目录", "--as works in demo directories only"),
                side=("本市", "this city"),
                next_step=("去掉 --as", "leave --as out"),
                code=USAGE,
            )
        return acting.partition(":")[0]

    def role(self) -> str:
        """Return the role in which the actor acts."""
        return self.terminal.acting.partition(":")[2] if self.terminal.acting else "system"


def command_line(terminal: Terminal) -> typer.Typer:
    """Return the whole command line."""
    opening = Opening(terminal)
    app = typer.Typer(
        name="tongban",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        help=terminal.text(
            "通办：跨市社保服务网关", "Tongban: the gateway for social-insurance services across cities"
        ),
        epilog=terminal.text(
            "通用选项：--home 目录 --config 文件 --json --lang zh|en -q --no-color -y --timeout 秒 --as 姓名:角色",
            "Common options: --home DIR --config FILE --json --lang zh|en -q --no-color -y --timeout S --as NAME:ROLE",
        ),
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="版本 · version")) -> None:
        if version:
            typer.echo(SOFTWARE)
            raise typer.Exit(0)

    membership_commands.mount(
        app, terminal, opening, affected=lambda node, found, data: affected(node, found, data, shared_documents())
    )
    _mount_serve(app, terminal, opening)
    simulation_commands.mount(app, terminal, opening)
    records_commands.mount(app, terminal, opening)
    case = cases_commands.mount(app, terminal, opening, procedure_events())
    batches_commands.mount(case, terminal, opening)
    funds_commands.mount(app, terminal, opening)
    statistics_commands.mount(app, terminal, opening)
    outbox_commands.mount(app, terminal, opening)
    documents_commands.mount(app, terminal, opening)
    audit_commands.mount(app, terminal, opening)
    operations_commands.mount(app, terminal, opening)
    operations_commands.mount_certs_status(certs_commands, terminal, opening)
    app.add_typer(certs_commands, name="certs")
    return app


def _mount_serve(app: typer.Typer, terminal: Terminal, opening: Opening) -> None:
    @app.command("serve", help=terminal.text("运行节点", "run the node"))
    def serve_node(
        peer: str = typer.Option(None, metavar="HOST:PORT", help=terminal.text("对端端口", "peer port")),
        console: str = typer.Option(None, metavar="HOST:PORT", help=terminal.text("控制台端口", "console port")),
        no_console: bool = typer.Option(False, help=terminal.text("不开控制台端口", "no console port")),
        role: str = typer.Option("all", help=" | ".join(ROLES)),
        workers: int = typer.Option(1, min=1, max=64, help=terminal.text("进程数", "processes")),
    ) -> None:
        if role not in ROLES:
            raise typer.BadParameter(" | ".join(ROLES), param_hint="--role")
        flags = {"peer.listen": peer, "console.listen": console}
        loaded = opening.loaded({key: value for key, value in flags.items() if value})
        settings = loaded.settings
        set_up_logging(settings.logging.level, settings.logging.format)
        listen, ours = settings.peer.listen, settings.console.listen
        places = (listen.host, listen.port), None if no_console else (ours.host, ours.port)
        try:
            ports = open_ports(role, *places)
        except OSError as fault:
            what = (f"端口不可用：{fault.strerror}", f"A port cannot be used: {fault.strerror}")
            todo = ("换用 --peer / --console 端口", "use other ports: --peer / --console")
            terminal.fail(what, side=("本市", "this city"), next_step=todo, code=UNAVAILABLE)
        if workers == 1:
            raise typer.Exit(_serve_process(terminal, opening, settings, ports, role))
        ports.close()  # they are free: now each process listens for itself

        def serve_slot(slot: int) -> int:
            part = role if slot == 0 or role != "all" else "peer"
            return _serve_process(terminal, opening, settings, open_ports(part, *places, shared=True), part)

        raise typer.Exit(supervise(workers, serve_slot))


def _serve_process(terminal: Terminal, opening: Opening, settings: Settings, ports: Ports, role: str) -> int:
    """Serve with one process until a signal; return its exit code."""

    def tell(zh: str, en: str) -> None:
        print(terminal.text(zh, en) if not terminal.json else f'{{"ready": "{en}"}}', flush=True)

    async def run() -> None:
        running = await start(opening.checked(open_node(settings)))
        await serve(Serving(role, ports, tell, opening.actor()), running)

    try:
        uvloop.run(run())
    except NotSafe as fault:
        typer.echo(f"✘ {fault}", err=True)
        return REFUSED
    except typer.Exit as end:
        return int(end.exit_code)
    except Exception as fault:
        return _explain(terminal, fault)
    return OK


def main() -> None:
    """Run the command line and end with its exit code."""
    os.umask(MODE)
    warnings.filterwarnings("ignore", category=UserWarning, module="cryptography")
    arguments = sys.argv[1:]
    # The CA tool stands alone on offline machines and reads its own options; `certs status` is a verb of the node.
    own = arguments[:1] == ["certs"] and arguments[1:2] != ["status"]
    try:
        terminal, rest = take_common_options([] if own else arguments, os.environ)
    except ValueError as fault:
        typer.echo(f"✘ {fault}", err=True)
        raise SystemExit(USAGE) from None
    raise SystemExit(_run(terminal, arguments if own else rest))


def _run(terminal: Terminal, arguments: list[str]) -> int:
    try:
        code = command_line(terminal)(arguments, standalone_mode=False)
        return int(code or 0)
    except typer.Exit as end:
        return int(end.exit_code)
    except TyperException as fault:
        typer.echo(f"✘ {fault.format_message()}", err=True)
        typer.echo(terminal.text("下一步: 加 --help 查看用法", "Next: add --help to see how it is used"), err=True)
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return REFUSED
    except Exception as fault:
        return _explain(terminal, fault)


def _explain(terminal: Terminal, fault: Exception) -> int:
    """Turn a fault into three lines and an exit code; what is not foreseen goes on as a traceback."""
    own = ("本市", "this city")
    try:
        if isinstance(fault, SettingsInvalid):
            _print_settings_fault(terminal, fault)
        if isinstance(fault, CertsFault):
            terminal.fail((fault.zh, fault.en), side=own, next_step=("tongban certs --help",) * 2, slug=fault.slug)
        if isinstance(fault, NotFound) and "joined" in fault.detail:
            todo = "tongban init --network manifest.json --genesis DIGEST"
            what = ("本节点尚未加入网络", "This node has not joined a network")
            terminal.fail(what, side=own, next_step=(todo, todo), code=UNAVAILABLE)
        if isinstance(fault, Refusal):
            what = (f"{fault.title_zh}：{fault.detail}", f"{fault.title_en}: {fault.detail}")
            todo_pair = (fault.next_zh, fault.next_en)
            terminal.fail(what, side=own, next_step=todo_pair, slug=fault.slug, facts=fault.facts)
        if isinstance(fault, KeysUnusable):
            what = (f"密钥或证书不可用：{fault}", f"A key or certificate cannot be used: {fault}")
            todo_pair = ("修复该文件；tongban certs status", "mend the file named; tongban certs status")
            terminal.fail(what, side=own, next_step=todo_pair, code=UNAVAILABLE)
        if is_unavailable(fault):
            what = ("数据库不可用", "The database is not available")
            todo_pair = ("检查 database.url；tongban doctor", "check database.url; tongban doctor")
            terminal.fail(what, side=own, next_step=todo_pair, code=UNAVAILABLE)
        # What a fault says may hold personal data: only its kind and place are shown.
        what = (f"未预料的错误：{place_of(fault)}", f"An unforeseen fault: {place_of(fault)}")
        todo_pair = ("将这一行交给开发者", "hand this line to the developers")
        terminal.fail(what, side=own, next_step=todo_pair, slug="internal")
    except typer.Exit as end:
        return int(end.exit_code)


def _print_settings_fault(terminal: Terminal, fault: SettingsInvalid) -> None:
    faults: list[dict[str, Any]] = [
        {"key": one.key, "source": str(one.source), "line": one.line, "problem": one.problem_en, "nearest": one.nearest}
        for one in fault.faults
    ]
    todo = ("改正后运行 tongban config check", "mend them, then tongban config check")
    if terminal.config_file is None and not (terminal.home / "tongban.toml").exists():
        todo = (
            "这里没有节点：tongban init，或用 --home 指定目录",
            "no node is here: tongban init, or name it with --home",
        )
    terminal.fail(
        ("设置有误：\n" + fault.text("zh"), "The settings have faults:\n" + fault.text("en")),
        side=("本市", "this city"),
        next_step=todo,
        code=USAGE,
        facts={"faults": faults},
    )


if __name__ == "__main__":
    main()
