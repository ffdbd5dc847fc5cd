"""`tongban packs`: what is in force, what an import does, and that no refused file leaves a trace."""

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from config.data import catalogue_bytes, procedures_bytes
from node.audit.service import entries
from node.membership import pack_commands
from node.membership.packs import Affected, Effects, Examined, Kind, Moved
from node.membership.service import DOCUMENT_MAX_BYTES, accept_version, stored_document
from node.storage.unit_of_work import Database
from node.terminal import Terminal
from protocol.deadlines import Calendars
from tests.networks import TestNetwork
from tests.node.membership.documents import (
    CALENDAR,
    NOW,
    OFFICIAL,
    PROVISIONAL,
    a_calendar,
    a_network,
    digests,
    join,
    name_of,
)

BUILTIN = {
    name_of(data): (name, data)
    for name, data in (("catalogue", catalogue_bytes()), ("procedures", procedures_bytes()), (CALENDAR, PROVISIONAL))
}
NAMED = {"catalogue": catalogue_bytes(), "procedures": procedures_bytes(), "calendar_2027": PROVISIONAL}


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return a_network(**NAMED)


class Desk:
    """A command line over a node that has joined."""

    def __init__(self, node: Database, network: TestNetwork, home: Path) -> None:
        self.node, self.network, self.home = node, network, home
        self.affected: Affected | None = None
        join(node, network)

    def run(self, *line: str, lang: str = "en", as_json: bool = False) -> Result:
        app, terminal = typer.Typer(), Terminal(lang=lang, json=as_json)
        opening: Any = SimpleNamespace(
            node=lambda: SimpleNamespace(database=self.node),
            shared_documents=lambda: BUILTIN,
            now=lambda: NOW,
            actor=lambda: "local:sysadmin",
        )
        pack_commands.mount(app, terminal, opening, self.affected)
        return CliRunner().invoke(app, ["packs", *line])

    def data(self, *line: str, code: int = 0) -> Any:
        result = self.run(*line, as_json=True)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)["data"]

    def file(self, data: bytes) -> str:
        path = self.home / "pack.json"
        path.write_bytes(data)
        return str(path)

    def has(self, data: bytes) -> bool:
        with self.node.reading() as session:
            return stored_document(session, {}, name_of(data)) is not None

    def logged(self) -> int:
        with self.node.reading() as session:
            return len(list(entries(session, kind="document")))

    def next_manifest(self, **documents: bytes) -> None:
        data = self.network.next_version(documents=digests(**{**NAMED, **documents}))
        self.node.write(lambda tx: accept_version(tx, data, now=NOW))


@pytest.fixture
def desk(small_node: Database, network: TestNetwork, tmp_path: Path) -> Desk:
    return Desk(small_node, network, tmp_path)


def lines_of(data: Any) -> list[tuple[str, str | None, str, str | None]]:
    return [(one["name"], one["kind"], one["standing"], one["status"]) for one in data["documents"]]


def test_the_list_tells_kind_status_and_whether_each_is_in_force(desk: Desk) -> None:
    assert lines_of(desk.data("list")) == [
        (CALENDAR, "calendar", "in_force", "provisional"),
        ("catalogue", "catalogue", "in_force", None),
        ("procedures", "procedures", "in_force", None),
    ]
    shown = desk.run("list", lang="zh").stdout
    assert all(word in shown for word in (CALENDAR, "工作日历", "暂估", "✔ 已生效", "随软件"))


def test_an_import_waits_for_the_manifest_and_is_in_force_once_it_is_named(desk: Desk) -> None:
    done = desk.data("import", desk.file(OFFICIAL))
    assert done == {
        "name": CALENDAR,
        "kind": "calendar",
        "version": "2",
        "status": "official",
        "digest": name_of(OFFICIAL),
        "in_force_as": [],
        "was_here": False,
        "taken": True,
    }
    assert (CALENDAR, "calendar", "not_named", "official") in lines_of(desk.data("list"))
    desk.next_manifest(calendar_2027=OFFICIAL)
    assert lines_of(desk.data("list"))[0] == (CALENDAR, "calendar", "in_force", "official")
    assert (CALENDAR, "calendar", "not_named", "provisional") in lines_of(desk.data("list"))


def test_an_import_is_told_in_both_languages(desk: Desk) -> None:
    file = desk.file(OFFICIAL)
    zh, en = desk.run("import", file, "--dry-run", lang="zh").stdout, desk.run("import", file, "--dry-run").stdout
    assert all(word in zh for word in ("正式", "试运行", "名册列明此摘要后生效", name_of(OFFICIAL)))
    assert all(word in en for word in ("official", "Dry run", "In force once the manifest names this digest"))


def test_a_dry_run_takes_nothing_in(desk: Desk) -> None:
    assert desk.data("import", desk.file(OFFICIAL), "--dry-run")["taken"] is False
    assert (desk.has(OFFICIAL), desk.logged()) == (False, 0)


def test_a_second_import_and_one_of_what_came_with_the_software_change_nothing(desk: Desk) -> None:
    for _ in range(2):
        done = desk.data("import", desk.file(OFFICIAL))
    assert (done["was_here"], done["taken"], desk.logged()) == (True, False, 1)
    done = desk.data("import", desk.file(PROVISIONAL))
    assert (done["in_force_as"], done["was_here"], done["taken"]) == ([CALENDAR], True, False)
    assert desk.logged() == 1


def test_what_the_manifest_names_and_is_not_here_is_listed_and_fails_the_list(desk: Desk) -> None:
    desk.next_manifest(calendar_2027=OFFICIAL)
    found = lines_of(desk.data("list", code=1))
    assert found[0] == (CALENDAR, None, "lacking", None)
    assert "lacking: being fetched" in desk.run("list").stdout
    done = desk.data("import", desk.file(OFFICIAL))
    assert (done["in_force_as"], done["taken"]) == ([CALENDAR], True)
    desk.data("list")


def test_a_named_document_that_this_version_cannot_use_is_listed_as_such(desk: Desk) -> None:
    newer, misnamed = b'{"form": "of a later version"}', a_calendar(2028)
    desk.next_manifest(calendar_2027=misnamed, later=newer)
    for data in (newer, misnamed):
        desk.data("import", desk.file(data))
    found = lines_of(desk.data("list", code=1))
    assert (CALENDAR, "calendar", "unreadable", "provisional") in found
    assert ("later", "other", "unreadable", None) in found


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"[" * 100_000, a_calendar(status="draft"), b'{"catalogue": 1}', b'{"pack": "x"}',
     bytes(DOCUMENT_MAX_BYTES + 1)],
    ids=["empty", "no object", "unknown", "deep", "bad calendar", "bad catalogue", "bad pack", "too large"],
)  # fmt: skip
def test_what_is_no_document_is_refused_and_not_kept(desk: Desk, data: bytes) -> None:
    result = desk.run("import", desk.file(data))
    assert result.exit_code == 1
    assert "Not a document that can be taken in" in result.stderr
    assert (desk.has(data), desk.logged()) == (False, 0)


def test_a_file_that_is_not_there_is_a_mistake_of_the_command_line(desk: Desk) -> None:
    result = desk.run("import", str(desk.home / "nothing.json"))
    assert (result.exit_code, "The file cannot be read" in result.stderr) == (2, True)


def test_due_days_that_a_calendar_would_move_are_asked_of_whoever_knows_cases(desk: Desk) -> None:
    asked: list[Calendars | None] = []

    def affected(node: Any, found: Examined, _data: bytes) -> Effects:
        assert node.database is desk.node
        asked.append(found.calendars)
        return Effects(moved=[Moved("KS450400202612250000013", date(2027, 1, 18), date(2027, 1, 19))])

    desk.affected = affected
    done = desk.data("import", desk.file(OFFICIAL), "--dry-run")
    assert done["affected"] == [{"number": "KS450400202612250000013", "before": "2027-01-18", "after": "2027-01-19"}]
    assert asked[0] is not None
    assert {year: one.digest for year, one in asked[0].by_year.items()} == {2027: name_of(OFFICIAL)}
    shown = desk.run("import", desk.file(OFFICIAL), "--dry-run").stdout
    assert all(word in shown for word in ("Due dates that change: 1", "KS450400202612250000013", "2027-01-19"))
    desk.affected = lambda node, found, data: Effects()
    assert "Due dates that change: 0" in desk.run("import", desk.file(OFFICIAL), "--dry-run").stdout


def test_a_newer_pack_tells_what_changes_and_which_cases_stay(desk: Desk) -> None:
    newer = json.loads(procedures_bytes())
    newer["version"] = "9.0.0"

    def affected(_node: Any, found: Examined, data: bytes) -> Effects:
        assert (found.described.kind, json.loads(data)["version"]) == (Kind.PROCEDURES, "9.0.0")
        return Effects(differs=[("UNIFORM", "步骤 sign 取消", "the step sign is gone")], staying={"PEN-LUMPSUM": 3})

    desk.affected = affected
    file = desk.file(json.dumps(newer).encode())
    done = desk.data("import", file, "--dry-run")
    assert done["differs"] == [{"at": "UNIFORM", "zh": "步骤 sign 取消", "en": "the step sign is gone"}]
    assert done["staying"] == {"PEN-LUMPSUM": 3}
    shown = desk.run("import", file, "--dry-run").stdout, desk.run("import", file, "--dry-run", lang="zh").stdout
    assert "UNIFORM: the step sign is gone" in shown[0]
    assert "3 open cases stay under the version of their opening" in shown[0]
    assert "在办的 3 件仍按受理时的版本办理" in shown[1]


def test_nothing_is_said_of_cases_where_nobody_knows_them_or_the_document_is_in_force(desk: Desk) -> None:
    assert "affected" not in desk.data("import", desk.file(OFFICIAL), "--dry-run")
    desk.affected = lambda node, found, data: pytest.fail("what is in force changes nothing")
    assert "staying" not in desk.data("import", desk.file(catalogue_bytes()), "--dry-run")
