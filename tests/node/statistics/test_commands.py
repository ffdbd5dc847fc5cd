"""`tongban stats` and `GET /api/v1/statistics`: both languages, filters, exit codes, and numbers that are fresh."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from node.statistics import commands, service
from node.statistics.api import StatisticsDoor, router
from node.statistics.jobs import StatisticsJobs
from node.statistics.service import Part, Room, Running, Told
from node.storage.schema import upgrade
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from node.terminal import Terminal
from node.transport.problems import bare_app
from tests.node.transport.asking import asked

NOW = datetime(2026, 1, 12, 2, 0, tzinfo=UTC)
OF = ("PEN-TRANSFER", "520300", "442000")
FINISHED = Part("finished", "OUT", "working_day", 1, 3, 5, 1)
LIFE = (
    Told("KS1", 0, *OF, date(2026, 1, 5), (Part("opened"),), True, (Running("OUT", date(2026, 1, 9)),)),
    Told("KS1", 1, *OF, date(2026, 1, 8), (FINISHED, Part("instructed", total=4_497_235)), True),
    Told("KS1", 2, *OF, date(2026, 1, 9), (Part("refused", detail="ARREARS"), Part("closed")), False),
    Told("KS2", 0, *OF, date(2026, 1, 5), (Part("opened"),), True, (Running("OUT", date(2026, 1, 9)),)),
)


@pytest.fixture
def database(open_database: Callable[..., Database], sqlite_url: str) -> Database:
    opened = open_database(sqlite_url)
    upgrade(opened.engine)
    for told in LIFE:
        opened.write(lambda tx, one=told: service.tell(tx, one))  # type: ignore[misc]
    return opened


ROOM = Room(
    lambda: NOW,
    lambda _session, after, _limit: ([one for one in LIFE if one.number > after], ""),
    lambda _session: (date(2026, 1, 12), date(2026, 1, 13)),
)


def ran(database: Database, *line: str, lang: str = "en", as_json: bool = False) -> Result:
    def run(work: Any) -> Any:
        writer = Writer(database)
        writer.start()
        running = SimpleNamespace(node=SimpleNamespace(database=database), statistics=StatisticsJobs(ROOM, writer))
        try:
            return asyncio.run(work(running))
        finally:
            writer.stop()

    app, opening = typer.Typer(), SimpleNamespace(run=run, now=lambda: NOW)
    commands.mount(app, Terminal(lang=lang, json=as_json), opening)
    return CliRunner().invoke(app, ["stats", *line])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.output)["data"])


def test_the_command_counts_what_waits_and_says_how_old_it_is(database: Database) -> None:
    found = told(ran(database, as_json=True))
    assert (found["from"], found["to"], found["age_seconds"], found["stale"]) == (
        "2025-01-01",
        "2026-01-12",
        0.0,
        False,
    )
    assert [(one["open"], one["overdue"]) for one in found["open"]] == [(1, 1)]
    assert [(one["opened"], one["closed"]) for one in found["volumes"]] == [(2, 1)]
    assert [(one["leg"], one["average"], one["average_promised"]) for one in found["legs"]] == [("OUT", 3.0, 5.0)]


def test_filters_narrow_what_is_told(database: Database) -> None:
    assert told(ran(database, "--from", "2026-01-06", as_json=True))["volumes"][0]["opened"] == 0
    assert told(ran(database, "--pair", "442000-520300", as_json=True))["volumes"] == []
    assert told(ran(database, "--item", "PEN-LUMPSUM", as_json=True))["refusals"] == []
    assert told(ran(database, "--leg", "IN_JOIN", as_json=True))["legs"] == []


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("zh", ("平均用时", "工作日", "44,972.35", "超期", "ARREARS", "下一步: tongban case list")),
        ("en", ("working days", "Next:")),
    ],
)
def test_people_read_it_in_both_languages(database: Database, lang: str, words: tuple[str, ...]) -> None:
    result = ran(database, lang=lang)
    assert result.exit_code == 0
    assert [word for word in words if word not in result.output] == []


def test_an_empty_range_says_so(database: Database) -> None:
    result = ran(database, "--from", "2020-01-01", "--to", "2020-01-02", "--item", "X", lang="zh")
    assert "此范围内没有办件" in result.output


def test_a_day_that_is_none_is_wrong_usage(database: Database) -> None:
    assert ran(database, "--from", "yesterday").exit_code == 2


def test_a_rebuild_gives_the_same_numbers(database: Database) -> None:
    before = told(ran(database, as_json=True))
    assert ran(database, "rebuild").exit_code == 0
    assert told(ran(database, as_json=True)) == before


def test_the_interface_answers_and_refuses(database: Database) -> None:
    app: FastAPI = bare_app()
    app.include_router(router(StatisticsDoor(ROOM, database, lambda: None)))
    database.write(lambda tx: service.fold(tx, now=NOW))
    status, found = asked(app, "/api/v1/statistics?item=PEN-TRANSFER&from=2026-01-01&to=2026-01-31")
    assert (status, found["funds"][0]["instructed_fen"]) == (200, 4_497_235)
    for query in ("pair=442000", "from=2026-02-01&to=2026-01-01", "from=x", f"item={'x' * 41}"):
        status, found = asked(app, f"/api/v1/statistics?{query}")
        assert (status, found["slug"]) == (422, "invalid-body")
