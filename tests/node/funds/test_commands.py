"""`tongban fund` and `GET /api/v1/funds`: amounts in yuan, statements as files, differences by exit code."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from node.funds import commands, service
from node.funds.api import FundsDoor, router
from node.funds.service import Ledger
from node.storage.schema import upgrade
from node.storage.unit_of_work import Database
from node.terminal import Terminal
from node.transport.problems import bare_app
from tests.node.funds.money import ACCOUNT, LEG, PAYEE, PAYER, arrival, instruction, order
from tests.node.transport.asking import asked

NOW = datetime(2024, 12, 20, 2, 0, tzinfo=UTC)
MONTH = ("statement", "--month", "202412", "--peer")


class Desk:
    """The command line of one city over its ledger."""

    def __init__(self, member: str, database: Database, ledger: Ledger) -> None:
        self.member, self.database, self.ledger = member, database, ledger
        upgrade(database.engine)
        database.write(lambda tx: service.instruct(ledger, tx, instruction()))
        database.write(lambda tx: service.ordered(ledger, tx, order()))

    def run(self, *line: str, lang: str = "en", as_json: bool = False) -> Result:
        node = SimpleNamespace(database=self.database, vault=self.ledger.vault, member=self.member)
        app, opening = typer.Typer(), SimpleNamespace(node=lambda: node, now=lambda: NOW)
        commands.mount(app, Terminal(lang=lang, json=as_json), opening)
        return CliRunner().invoke(app, ["fund", *line])

    def told(self, *line: str, exit_code: int = 0) -> dict[str, Any]:
        result = self.run(*line, as_json=True)
        assert result.exit_code == exit_code, result.output
        return dict(json.loads(result.output)["data"])


@pytest.fixture
def desks(open_database: Any, tmp_path: Path, ledger: Ledger) -> tuple[Desk, Desk]:
    paying, paid = (open_database(f"sqlite:///{tmp_path / name}.db") for name in ("paying", "paid"))
    return Desk(PAYER, paying, ledger), Desk(PAYEE, paid, ledger)


def test_money_that_came_is_noted_listed_and_shown(desks: tuple[Desk, Desk]) -> None:
    _, desk = desks
    received = ("receive", "--payer", PAYER, "--ref", "B-1", "--amount", "44,972.35", "--date", "2024-12-17")
    assert desk.told(*received, "--order", "HB-1")["number"] == LEG
    shown = desk.told("show", LEG)
    assert (shown["arrived_fen"], shown["difference_fen"], shown["state"]) == (4_497_235, 0, "ARRIVED")
    assert [one["number"] for one in desk.told("list")["funds"]] == [LEG]
    for lang, words in (("zh", ("已到账", "44,972.35", "到账", "下一步")), ("en", ("arrived", "HB-1", "Next"))):
        result = desk.run("show", LEG, lang=lang)
        assert [word for word in words if word not in result.output] == []
        assert ACCOUNT not in result.output


def test_money_of_no_known_order_waits_until_it_is_matched(desks: tuple[Desk, Desk]) -> None:
    _, desk = desks
    received = ("receive", "--payer", PAYER, "--ref", "B-1", "--amount", "1.5", "--date", "2024-12-17")
    assert desk.told(*received, "--order", "HB-9")["number"] is None
    assert [one["amount_fen"] for one in desk.told("unmatched")["arrivals"]] == [150]
    assert "tongban fund match 442000 B-1 NO" in desk.run("unmatched").output
    desk.told("match", PAYER, "B-1", LEG)
    assert desk.told("unmatched", "--payer", PAYER)["arrivals"] == []
    assert "没有未匹配的到账" in desk.run("unmatched", lang="zh").output


@pytest.mark.parametrize("amount", ["", "1.234", "-1", "1e3", "１", "0x1", "123456789012"])
def test_an_amount_that_is_none_is_wrong_usage(desks: tuple[Desk, Desk], amount: str) -> None:
    line = ("receive", "--payer", PAYER, "--ref", "B-1", "--order", "HB-1", "--date", "2024-12-17", "--amount", amount)
    assert desks[1].run(*line).exit_code == 2


def test_two_cities_compare_their_statements_by_file(desks: tuple[Desk, Desk], tmp_path: Path) -> None:
    paying, paid = desks
    ours, theirs, lines = (str(tmp_path / name) for name in ("ours.json", "theirs.json", "lines.csv"))
    assert paying.told(*MONTH, PAYEE, "-o", ours)["digest"] == paid.told(*MONTH, PAYER, "-o", theirs)["digest"]
    assert paying.told(*MONTH, PAYEE, "--compare", theirs)["differences"] == []
    paid.database.write(lambda tx: service.arrived(paid.ledger, tx, arrival()))
    paid.told(*MONTH, PAYER, "-o", theirs)
    found = paying.told(*MONTH, PAYEE, "--compare", theirs, exit_code=1)["differences"]
    assert [(one["what"], one["field"], one["ours"], one["theirs"]) for one in found] == [
        ("line", "", None, 4_497_235), ("leg", "arrived_fen", 0, 4_497_235),
    ]  # fmt: skip
    assert "✘ 2 处不一致" in paying.run(*MONTH, PAYEE, "--compare", theirs, lang="zh").output
    paid.told(*MONTH, PAYER, "--format", "csv", "-o", lines)
    assert Path(lines).read_bytes().startswith(b"\xef\xbb\xbfkind,payer")
    assert paid.run(*MONTH, PAYER, "--format", "pdf").exit_code == 2
    assert "摘要 sha256:" in paid.run(*MONTH, PAYER, lang="zh").output


def test_the_interface_tells_legs_statement_and_what_is_not_matched(desks: tuple[Desk, Desk]) -> None:
    desk = desks[1]
    app: FastAPI = bare_app()
    app.include_router(router(FundsDoor(desk.ledger, desk.database, PAYEE, lambda: None)))
    assert asked(app, "/api/v1/funds?limit=1")[1]["after"] == LEG
    assert asked(app, f"/api/v1/funds/{LEG}")[1]["state"] == "ORDERED"
    assert asked(app, "/api/v1/funds/unmatched")[1] == {"arrivals": []}
    status, found = asked(app, f"/api/v1/funds/statement?peer={PAYER}&month=202412")
    assert (status, found["totals"][0]["ordered_fen"]) == (200, 4_497_235)
    assert asked(app, f"/api/v1/funds/statement?peer={PAYEE}&month=202412")[0] == 422
    assert asked(app, "/api/v1/funds/statement?peer=x&month=202412")[0] == 422
    assert asked(app, "/api/v1/funds/KS1")[0] == 404
