"""The doors of operations: exit codes, lines for people, one JSON object, a report that is never overwritten."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from node.operations import commands
from node.operations.checks import Check, State
from node.storage.engine import open_engine
from node.storage.schema import HEAD, status
from node.storage.unit_of_work import Database
from node.terminal import Terminal
from tests.networks import make_network
from tests.node.operations.nodes import Joined, away
from tests.node.operations.test_words import NOW, OURS, PEER

ROW = SimpleNamespace(key="limits.peer_rps", value="200", source="file tongban.toml:9", meaning_zh="上限",
                      meaning_en="the [limit]", default="200", unit="1/s")  # fmt: skip


class Desk:
    """A command line over a node whose peers are fakes."""

    def __init__(self, node: Joined, engine: Any) -> None:
        self.node, self.database = node, engine
        self.changes: dict[str, Any] = {}

    def run(self, *line: str, lang: str = "en", as_json: bool = False) -> Result:
        app, terminal = typer.Typer(), Terminal(lang=lang, json=as_json)
        opening: Any = SimpleNamespace(
            facts=lambda: self.node.facts(**self.changes),
            node=lambda: self.node,
            now=lambda: NOW,
            engine=lambda: self.database,
            explain=lambda key: [ROW] if key in (None, "limits") else [],
            loaded=lambda: SimpleNamespace(origins={"a": 1, "b": 2}),
        )
        commands.mount(app, terminal, opening)
        certs = typer.Typer()
        certs.command("show")(lambda: None)
        commands.mount_certs_status(certs, terminal, opening)
        app.add_typer(certs, name="certs")
        return CliRunner().invoke(app, list(line))

    def data(self, *line: str) -> Any:
        result = self.run(*line, as_json=True)
        answer = json.loads(result.stdout)
        assert set(answer) == {"ok", "data", "refusal", "next"}
        assert answer["ok"] == (result.exit_code == 0)
        return answer["data"]


@pytest.fixture
def desk(sqlite_url: str, open_database: Callable[..., Database], tmp_path: Path) -> Desk:
    database = open_database(sqlite_url)
    return Desk(Joined(make_network([OURS, PEER], NOW), database, tmp_path).join(), database.engine)


def test_doctor_ends_with_0_when_nothing_is_red_and_with_1_when_something_is(desk: Desk) -> None:
    assert desk.run("doctor").exit_code == 0
    desk.changes = {"peers": {PEER: away("timeout")}}
    red = desk.run("doctor", lang="zh")
    assert red.exit_code == 1
    lines = red.stdout.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("✘ 对端 450400"))
    assert [line.strip().partition(":")[0] for line in lines[at + 1 : at + 4]] == ["原因", "影响", "下一步"]
    assert lines[-1].startswith("下一步: ")
    assert desk.data("doctor", "--only", "peers")["counts"] == {"ok": 0, "warn": 0, "fail": 1, "off": 0}


def test_doctor_takes_one_check_or_one_peer_and_refuses_unknown_ones(desk: Desk) -> None:
    assert [one["name"] for one in desk.data("doctor", "--only", "database")["checks"]] == ["database"]
    assert [one["name"] for one in desk.data("doctor", "--peer", PEER)["checks"]] == [f"peers.{PEER}"]
    assert desk.run("doctor", "--only", "weather").exit_code == 2
    assert desk.run("doctor", "--peer", "110100").exit_code == 1


def test_a_report_is_one_new_file_and_never_overwrites(desk: Desk, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert desk.run("doctor", "--report", str(report)).exit_code == 0
    said = report.read_text(encoding="utf-8")
    assert json.loads(said)["member"] == OURS
    assert str(tmp_path) not in said
    assert desk.run("doctor", "--report", str(report)).exit_code == 3
    assert report.read_text(encoding="utf-8") == said


def test_words_of_a_line_are_never_read_as_markup() -> None:
    check = Check("disk", State.FAIL, ("[red]标题", "[red]title"), ("因", "c"), ("响", "e"), ("步", "n"))
    lines = [one.plain for one in commands.check_lines(Terminal(lang="en"), check)]
    assert lines == ["✘ [red]title", "    cause: c", "    effect: e", "    next: n"]


def test_config_is_explained_and_checked(desk: Desk) -> None:
    shown = desk.run("config", "explain", "limits")
    assert "200 1/s" in shown.stdout
    assert "the [limit]" in shown.stdout
    assert desk.data("config", "explain")[0]["source"] == "file tongban.toml:9"
    assert desk.data("config", "check") == {"settings": 2, "faults": []}


def test_an_empty_database_is_upgraded_only_when_that_is_asked_for(desk: Desk, tmp_path: Path) -> None:
    desk.database = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    assert desk.data("db", "status")["current"] is None
    assert "CREATE TABLE" in desk.run("db", "upgrade", "--sql").stdout
    assert desk.data("db", "upgrade", "--dry-run")["pending"][-1] == HEAD
    assert status(desk.database).current is None
    assert desk.data("db", "upgrade") == {
        "current": HEAD,
        "head": HEAD,
        "pending": [],
        "applied": ["0001", "0002", HEAD],
    }
    assert desk.data("db", "upgrade")["applied"] == []
    assert desk.run("db", "upgrade", "--sql").stdout == ""
    desk.database.dispose()


def test_a_database_of_a_newer_program_is_refused(desk: Desk) -> None:
    with desk.database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for line in (["db", "status"], ["db", "upgrade"], ["db", "upgrade", "--sql"]):
        assert desk.run(*line).exit_code == 1


def test_certs_status_ends_with_1_below_the_warning(desk: Desk) -> None:
    rows = {(one["member"], one["use"]): one for one in desk.data("certs", "status")}
    assert rows[PEER, "tls"]["days_left"] == 89
    assert desk.run("certs", "status", "--warn", "90").exit_code == 1
    assert "ends soon" in desk.run("certs", "status", "--warn", "90").stdout
    assert "即将到期" in desk.run("certs", "status", "--warn", "90", lang="zh").stdout
