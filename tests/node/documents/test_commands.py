"""`tongban document`: printed, listed, shown again, verified and revoked by commands."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from node.documents import commands
from node.terminal import REFUSED, UNAVAILABLE, Terminal
from protocol.errors import InvalidBody, NotFound, PrintingOff
from tests.node.documents.papers import CASE, PAPERS
from tests.node.documents.rooms import NETWORK, NOW, TRUSTED, Room


class Desk:
    """A command line over a room of papers; its node is as far as these commands look."""

    def __init__(self, room: Room, home: Path) -> None:
        self.room, self.home = room, home
        (home / "tongban.toml").touch()
        (home / "data.json").write_text(json.dumps(PAPERS["decision"], ensure_ascii=False), "utf-8")

    def running(self) -> Any:
        async def submit(work: Any) -> Any:
            return self.room.database.write(work)

        members = {name: SimpleNamespace(authorities=found) for name, found in TRUSTED.authorities.items()}
        trust = SimpleNamespace(manifest=SimpleNamespace(network=NETWORK, members=members), crls=TRUSTED.crls)
        trust.manifest.policy = SimpleNamespace(crl_grace_days=7)
        return SimpleNamespace(
            documents=self.room.room,
            node=SimpleNamespace(database=self.room.database),
            writer=SimpleNamespace(submit=submit),
            keeper=SimpleNamespace(current=trust),
        )

    def run(self, *line: str, lang: str = "en", as_json: bool = False, home: Path | None = None) -> Result:
        import asyncio

        terminal = Terminal(lang=lang, json=as_json, home=home or self.home)
        opening: Any = SimpleNamespace(
            run=lambda work: asyncio.run(work(self.running())),
            node=lambda: SimpleNamespace(database=self.room.database),
            actor=lambda: "local:clerk",
            now=lambda: NOW,
        )
        app = typer.Typer()
        commands.mount(app, terminal, opening)
        app.callback()(lambda: None)
        return CliRunner().invoke(app, ["document", *line])

    def print(self, out: str = "paper.pdf", *more: str, **named: Any) -> Result:
        file, data = str(self.home / out), str(self.home / "data.json")
        return self.run("print", CASE, "--kind", "decision", "--data", data, "--out", file, *more, **named)


@pytest.fixture
def desk(small: Room, tmp_path: Path) -> Desk:
    home = tmp_path / "home"
    home.mkdir()
    return Desk(small, home)


def told(result: Result) -> Any:
    return json.loads(result.stdout)["data"]


def test_a_paper_is_printed_handed_out_again_listed_shown_and_verified(desk: Desk) -> None:
    first = told(desk.print(as_json=True))
    again = told(desk.print("again.pdf", as_json=True))
    assert (first["is_new"], again["is_new"], again["number"]) == (True, False, first["number"])
    paper = (desk.home / "paper.pdf").read_bytes()
    assert (desk.home / "again.pdf").read_bytes() == paper
    assert told(desk.run("list", CASE, as_json=True))["documents"][0]["number"] == first["number"]
    assert first["number"] in desk.run("list", CASE, lang="zh").stdout
    shown = desk.run("show", first["number"], "--out", str(desk.home / "shown.pdf"))
    assert shown.exit_code == 0
    assert (desk.home / "shown.pdf").read_bytes() == paper
    verified = desk.run("verify", str(desk.home / "shown.pdf"), lang="zh")
    assert verified.exit_code == 0
    assert verified.stdout.count("✔") == 5
    assert "下一步" in desk.print("third.pdf", lang="zh").stdout


def test_large_type_is_a_paper_of_its_own(desk: Desk) -> None:
    first, second = (told(desk.print("a.pdf", *more, as_json=True)) for more in ((), ("--large",)))
    assert first["number"] != second["number"]


def test_a_changed_file_is_refused_and_a_paper_without_a_node_is_not_passed(desk: Desk) -> None:
    desk.print()
    file = desk.home / "paper.pdf"
    nowhere = desk.run("verify", str(file), home=desk.home.parent, as_json=True)
    assert nowhere.exit_code == UNAVAILABLE
    assert {one["name"]: one["outcome"] for one in told(nowhere)["checks"]}["certificate"] == "unchecked"
    data = bytearray(file.read_bytes())
    data[data.index(b"stream\n") + 30] ^= 1
    file.write_bytes(data)
    changed = desk.run("verify", str(file))
    assert changed.exit_code == REFUSED
    assert "✘" in changed.stdout


def test_what_is_no_paper_is_refused_by_name(desk: Desk) -> None:
    (desk.home / "x.pdf").write_bytes(b"no paper")
    assert isinstance(desk.run("verify", str(desk.home / "x.pdf")).exception, InvalidBody)
    assert isinstance(desk.run("show", "WS0", "--out", str(desk.home / "y.pdf")).exception, NotFound)
    assert not (desk.home / "y.pdf").exists()
    (desk.home / "data.json").write_text("{}")
    refused = desk.print("z.pdf").exception
    assert isinstance(refused, InvalidBody)
    assert ("case_number", "missing") in [(one["at"], one["rule"]) for one in refused.facts["fields"]]


def test_a_revoked_paper_is_listed_as_such(desk: Desk) -> None:
    number = told(desk.print(as_json=True))["number"]
    assert desk.run("revoke", number, "--reason", "printed in error").exit_code == 0
    assert told(desk.run("list", CASE, as_json=True))["documents"][0]["state"] == "revoked"


def test_status_says_whether_papers_can_be_printed_and_if_not_why(desk: Desk) -> None:
    good = desk.run("status", lang="zh")
    assert good.exit_code == 0
    assert "可以打印" in good.stdout

    def no_key() -> Any:
        raise PrintingOff("this node has no document.pem with its key: tongban certs csr --use document")

    desk.room.change(signer=no_key)
    bad = desk.run("status", as_json=True)
    assert bad.exit_code == UNAVAILABLE
    assert told(bad)["faults"][0]["slug"] == "printing-off"
    assert isinstance(desk.print().exception, PrintingOff)
