"""The monthly statement: the same at both cities, and where it is not, the lines by name."""

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from node.funds import service
from node.funds.service import Ledger
from node.funds.statement import Statement, as_csv, compare, digest_of, parse_statement
from node.storage.schema import upgrade
from node.storage.unit_of_work import Database, Transaction
from protocol.errors import InvalidBody, TooLarge
from tests.node.funds.money import LEG, PAYEE, PAYER, arrival, instruction, order

BACK = {"payer": PAYEE, "payee": PAYER, "number": "KS442000202412120000011"}
FACTS: tuple[tuple[Any, Any], ...] = (
    (service.instruct, instruction()),
    (service.ordered, order()),
    (service.arrived, arrival(amount_fen=4_000_000)),
    (service.arrived, arrival(bank_ref="B-2", amount_fen=497_235, arrived_on=date(2024, 12, 31))),
    (service.ordered, order(**BACK, order_no="ZY-1", amount_fen=5)),
    (service.ordered, order(order_no="HB-3", value_on=date(2025, 1, 1), amount_fen=7)),
    (service.ordered, order(order_no="HB-4", value_on=date(2024, 11, 30), amount_fen=8)),
)


def written(database: Database, ledger: Ledger, facts: Any = FACTS) -> Database:
    for verb, given in facts:
        database.write(partial(_write, verb, ledger, given))
    return database


def _write(verb: Any, ledger: Ledger, given: Any, transaction: Transaction) -> None:
    verb(ledger, transaction, given)


def made(database: Database, own: str = PAYER, peer: str = PAYEE, month: str = "202412") -> Statement:
    with database.reading() as session:
        return service.statement(session, own, peer, month)


@pytest.fixture
def theirs(open_database: Callable[..., Database], tmp_path: Path) -> Database:
    """The other city's ledger, on SQLite."""
    opened = open_database(f"sqlite:///{tmp_path / 'theirs.db'}")
    upgrade(opened.engine)
    return opened


def test_a_month_holds_the_days_of_that_month_in_both_directions(database: Database, ledger: Ledger) -> None:
    found = made(written(database, ledger))
    assert [(one.kind, one.order_no, one.bank_ref) for one in found.lines] == [
        ("ARRIVAL", "HB-1", "B-1"), ("ARRIVAL", "HB-1", "B-2"), ("ORDER", "HB-1", ""), ("ORDER", "ZY-1", ""),
    ]  # fmt: skip
    assert [(one.payer, one.ordered_fen, one.arrived_fen) for one in found.totals] == [
        (PAYER, 4_497_235, 4_497_235), (PAYEE, 5, 0),
    ]  # fmt: skip
    leg = found.legs[0]
    assert (leg.case, leg.sheet_no, leg.expected_fen, leg.arrived_fen) == (LEG, "XX-1", 4_497_235, 4_497_235)
    assert found.legs[1].expected_fen is None
    assert [one.order_no for one in made(database, month="202501").lines] == ["HB-3"]
    assert made(database, month="202502").lines == []


def test_both_cities_make_the_same_statement_by_themselves(
    database: Database, theirs: Database, ledger: Ledger
) -> None:
    ours = made(written(database, ledger))
    again = made(written(theirs, ledger, FACTS[:1] + FACTS[:0:-1]), PAYEE, PAYER)
    assert ours.digest == again.digest
    assert compare(ours, again) == []
    read = parse_statement(json.dumps({"ok": True, "data": again.model_dump()}).encode())
    assert compare(ours, read) == []


def test_a_difference_is_named_by_its_line(database: Database, theirs: Database, ledger: Ledger) -> None:
    ours = made(written(database, ledger))
    facts = [*FACTS[:2], (service.arrived, arrival(amount_fen=3_999_999)), *FACTS[4:5]]
    other = made(written(theirs, ledger, facts), PAYEE, PAYER)
    assert ours.digest != other.digest
    assert [tuple(one) for one in compare(ours, other)] == [
        ("line", "ARRIVAL 442000 B-1", "amount_fen", 4_000_000, 3_999_999),
        ("line", "ARRIVAL 442000 B-2", "", 497_235, None),
        ("leg", f"442000 {LEG}", "arrived_fen", 4_497_235, 3_999_999),
    ]


def test_what_is_not_matched_stands_apart_and_changes_no_digest(database: Database, ledger: Ledger) -> None:
    before = made(written(database, ledger))
    written(database, ledger, [(service.arrived, arrival(bank_ref="B-7", order_no="HB-77"))])
    after = made(database)
    assert (after.digest, [one.bank_ref for one in after.unmatched]) == (before.digest, ["B-7"])


def test_a_file_that_was_changed_or_is_no_statement_is_refused(database: Database, ledger: Ledger) -> None:
    ours = made(written(database, ledger))
    told = ours.model_dump()
    told["lines"][0]["amount_fen"] += 1
    for data in (json.dumps(told).encode(), b"{}", b"[]", b"\xff", b'{"data": 1}', b"[" * 100_000):
        with pytest.raises(InvalidBody):
            parse_statement(data)
    with pytest.raises(TooLarge):
        parse_statement(b" " * (64 * 1024 * 1024 + 1))
    assert digest_of(ours) == ours.digest


def test_statements_of_another_month_pair_or_of_ourselves_are_not_compared(database: Database, ledger: Ledger) -> None:
    ours = made(written(database, ledger))
    for other in (made(database, PAYEE, PAYER, "202501"), made(database, PAYEE, "450400"), ours):
        with pytest.raises(InvalidBody):
            compare(ours, other)
    for month in ("202413", "2024-1", "20241", "abcdef", "000001", "２０２４１２", "999912"):
        with pytest.raises(InvalidBody):
            made(database, month=month)
    for peer in (PAYER, "52030", "520300 ", "abcdef"):
        with pytest.raises(InvalidBody):
            made(database, peer=peer)


def test_csv_has_a_line_per_movement_and_no_formula(database: Database, ledger: Ledger) -> None:
    written(database, ledger, [*FACTS, (service.arrived, arrival(bank_ref="=1+1", order_no="HB-77"))])
    lines = as_csv(made(database)).split("\r\n")
    assert lines[0] == "kind,payer,payee,case,order_no,bank_ref,day,amount_fen,matched"
    assert len(lines) == 1 + 4 + 1 + 1
    assert "'=1+1,2024-12-17,4497235,no" in lines[-2]
