"""What commands print: results on stdout, progress and warnings on stderr, in the user's language.

Every command ends through `finish` or `fail`: human output closes with `下一步:` / `Next:` and a command that
can be copied; `--json` prints one object `{"ok", "data", "refusal", "next"}` with stable English keys. Exit
codes: 0 ok, 1 refused or a check failed, 2 wrong usage or configuration, 3 something needed is unavailable.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar

import typer
from rich.console import Console, RenderableType

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terminal:
    """The common options of every command."""

    lang: str = "zh"
    json: bool = False
    quiet: bool = False
    color: bool = True
    yes: bool = False
    timeout: float | None = None
    home: Path = field(default_factory=Path.cwd)
    config_file: Path | None = None
    acting: str | None = None

    def text(self, zh: str, en: str) -> str:
        """Return the text in the user's language."""
        return zh if self.lang == "zh" else en

    def out(self) -> Console:
        """Return the console of results; every line is whole, also when it is not a terminal."""
        return _console(sys.stdout, self.color)

    def err(self) -> Console:
        """Return the console of progress and warnings."""
        return _console(sys.stderr, self.color)

    def say(self, zh: str, en: str) -> None:
        """Tell progress, unless asked to be quiet or to speak JSON."""
        if not (self.quiet or self.json):
            self.err().print(self.text(zh, en), highlight=False)

    def read_secret_lines(self, source: str) -> list[str]:
        """Return up to two lines of a file, or of standard input for `-`: identity numbers are never arguments."""
        if source != "-":
            with Path(source).open(encoding="utf-8") as file:
                return [file.readline(200).strip() for _ in range(2)]
        if sys.stdin.isatty():
            self.err().print(self.text("证件号码，回车后输入姓名：", "Id number, then the name on the next line:"))
        return [sys.stdin.readline(200).strip() for _ in range(2)]

    def finish(
        self,
        data: Any,
        *,
        show: Sequence[RenderableType] = (),
        next_step: str = "",
        ok: bool = True,
        code: int | None = None,
    ) -> NoReturn:
        """Print the result and end with its exit code."""
        if self.json:
            print(json.dumps({"ok": ok, "data": data, "refusal": None, "next": next_step or None}, ensure_ascii=False))
        else:
            for one in show:
                self.out().print(one, highlight=False, markup=not isinstance(one, str))
            if next_step and not self.quiet:
                self.out().print(f"{self.text('下一步', 'Next')}: {next_step}", highlight=False, markup=False)
        raise typer.Exit(code if code is not None else (OK if ok else REFUSED))

    def fail(
        self,
        what: tuple[str, str],
        *,
        side: tuple[str, str],
        next_step: tuple[str, str],
        slug: str = "",
        trace: str = "",
        code: int = REFUSED,
        facts: Mapping[str, Any] | None = None,
    ) -> NoReturn:
        """Print what happened, which side, what to do, slug and trace; end with the exit code."""
        happened, whose, todo = self.text(*what), self.text(*side), self.text(*next_step)
        if self.json:
            refusal = {"title": happened, "side": whose, "slug": slug, "trace": trace, **(facts or {})}
            print(json.dumps({"ok": False, "data": None, "refusal": refusal, "next": todo}, ensure_ascii=False))
        else:
            lines = [
                f"✘ {happened}",
                *_lines_of(facts or {}, self.lang),
                f"{self.text('哪一方', 'Side')}: {whose}",
                f"{self.text('下一步', 'Next')}: {todo}",
            ]
            if slug or trace:
                lines.append(" · ".join(part for part in (slug, trace) if part))
            for line in lines:
                self.err().print(line, highlight=False, markup=False)
        raise typer.Exit(code)


def _lines_of(facts: Mapping[str, Any], lang: str) -> list[str]:
    """Return a line per field that a refusal names, and the actions that it offers instead."""
    fields = [one for one in facts.get("fields", ()) if isinstance(one, Mapping)]
    lines = [f"  - {one.get(lang) or one.get('rule', '')} ({one.get('at', '')})" for one in fields]
    actions = facts.get("actions")
    if actions:
        lines.append(f"  {'可执行' if lang == 'zh' else 'possible'}: {' '.join(map(str, actions))}")
    return lines


class Opening(Protocol):
    """What the composition root opens for the verbs of the rooms (`node/__main__.py`)."""

    def loaded(self) -> Any:
        """Return settings and their origins (`config.load.Loaded`)."""

    def explain(self, key: str | None) -> Sequence[Any]:
        """Return a row per setting, or those of one setting or section (`config.load.Row`)."""

    def facts(self) -> Any:
        """Return what a diagnosis rests on (`node.operations.service.Facts`); never raises for what is broken."""

    def at(self, home: Path) -> "Opening":
        """Return the same for another node directory."""

    def demo_members(self) -> list[dict[str, Any]]:
        """Return the cities of the demo network."""

    def demo_rules(self) -> list[dict[str, Any]]:
        """Return the release rules of the demo."""

    def engine(self) -> Any:
        """Return the database engine, whatever its schema."""

    def new_id(self) -> str:
        """Return a UUIDv7."""

    def log_key(self) -> Any:
        """Return the private key of our log."""

    def documents(self) -> dict[str, str]:
        """Return SHA-256 (hex) of the shared documents by name."""

    def shared_documents(self) -> Mapping[str, tuple[str, bytes]]:
        """Return the shared documents that came with the software: (name, bytes) by SHA-256 in hex."""

    def now(self) -> datetime:
        """Return the present, aware UTC."""

    def node(self) -> Any:
        """Return the node of this directory (`node.app.Node`)."""

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run a coroutine on a node with writer, clients and trust (`node.app.Running`), but no ports."""

    def starting(self) -> Awaitable[Any]:
        """Return what starts a node inside a running event loop (`node.app.Running`); whoever starts it stops it."""

    def actor(self) -> str:
        """Return who acts: `local:<os user>`, or whom `--as` names in a demo directory."""

    def role(self) -> str:
        """Return the role in which the actor acts."""


def _console(stream: Any, color: bool) -> Console:
    width = None if stream.isatty() else 200
    return Console(file=stream, no_color=not color, width=width, soft_wrap=True, emoji=False)


def take_common_options(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Terminal, list[str]]:
    """Split the common options, which may stand anywhere, from the rest of a command line.

    Raises:
        ValueError: an option without its value, or a value that cannot be.
    """
    values: dict[str, Any] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
            break
        name, equals, inline = word.partition("=")
        if word in _SWITCHES:
            values[_SWITCHES[word]] = True
        elif name in _VALUES:
            value = inline if equals else next(words, None)
            if value is None:
                raise ValueError(f"{name} needs a value")
            values[_VALUES[name]] = value
        else:
            rest.append(word)
    return _terminal(values, environment), rest


_SWITCHES: Final = {
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "--no-color": "no_color",
    "-y": "yes",
    "--yes": "yes",
}
_VALUES: Final = {
    "--home": "home",
    "--config": "config",
    "--lang": "lang",
    "--timeout": "timeout",
    "--as": "acting",
}


def _terminal(values: Mapping[str, Any], environment: Mapping[str, str]) -> Terminal:
    lang = values.get("lang") or environment.get("TONGBAN_LANG") or language_of(environment)
    if lang not in ("zh", "en"):
        raise ValueError("--lang is zh or en")
    timeout = float(values["timeout"]) if "timeout" in values else None
    if timeout is not None and not 0 < timeout <= 3600:
        raise ValueError("--timeout is a number of seconds up to 3600")
    acting = values.get("acting")
    if acting is not None and not all(acting.partition(":")[::2]):
        raise ValueError("--as takes NAME:ROLE")
    return Terminal(
        lang=lang,
        json=bool(values.get("json")),
        quiet=bool(values.get("quiet")),
        color=not (values.get("no_color") or environment.get("NO_COLOR")),
        yes=bool(values.get("yes")),
        timeout=timeout,
        home=Path(values.get("home") or environment.get("TONGBAN_HOME") or os.curdir).resolve(),
        config_file=Path(values["config"]).resolve() if "config" in values else None,
        acting=acting,
    )


def language_of(environment: Mapping[str, str]) -> str:
    """Return zh for a Chinese locale, en for any other that is set, zh when none is."""
    locale = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    if locale in ("", "C", "POSIX") or locale.startswith("C."):
        return "zh"
    return "zh" if locale.lower().startswith("zh") else "en"
