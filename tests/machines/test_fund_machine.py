"""The fund ledger under any order of instructions, orders, arrivals, repeats and corrections (Hypothesis, E3).

Beside it runs a naive ledger: lists, and sums over them. After every step nothing that was written has changed, sums
are those of the lists, an arrival told twice under one reference counts once, and what was refused left no trace.
"""

import shutil
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlmodel import SQLModel

from node.funds import service
from node.funds.service import Arrival, Instruction, Ledger, Order, Reconciled
from node.storage.encryption import open_vault
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database
from protocol.errors import EditConflict, InvalidBody, NotFound
from tests.databases import without_log
from tests.node.funds.money import LEG, PAYEE, PAYER, SECOND, arrival, instruction, order

LEGS, REFS, ORDERS = (LEG, SECOND), ("B-1", "B-2", "B-3"), ("HB-1", "HB-2", "HB-3")
FEN = st.sampled_from([1, 2, 499, 10**13])
REFUSED = (EditConflict, InvalidBody, NotFound)
FILLED = {"number"}
"""the one column that may be filled later, in arrivals"""


class FundMachine(RuleBasedStateMachine):
    """One ledger and a naive one."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fund-machine-"))
        engine = open_engine(self.url or f"sqlite:///{self.root / 'funds.db'}")
        tables = [one for one in SQLModel.metadata.sorted_tables if one.name.startswith(("fund_", "transfer_claim"))]
        SQLModel.metadata.drop_all(engine, tables=tables)
        SQLModel.metadata.create_all(engine, tables=tables)
        self.database = Database(engine, without_log)
        self.ledger = Ledger(
            open_vault(b"k" * 32, lambda size: b"n" * size), lambda: datetime(2024, 12, 20, tzinfo=UTC)
        )
        self.instructed: dict[str, list[Instruction]] = {}
        self.orders: dict[str, Order] = {}
        self.arrivals: dict[str, tuple[Arrival, str | None]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.engine.dispose()
            shutil.rmtree(self.root)

    @rule(number=st.sampled_from(LEGS), account=FEN, pooled=FEN)
    def instruct(self, number: str, account: int, pooled: int) -> None:
        given = instruction(number=number, account_fen=account, pooled_fen=pooled, total_fen=account + pooled)
        if given.total_fen > 10**13:
            with pytest.raises(InvalidBody):
                self.database.write(lambda tx: service.instruct(self.ledger, tx, given))
            return
        known = self.instructed.setdefault(number, [])
        if known[-1:] != [given]:
            known.append(given)
        assert self.database.write(lambda tx: service.instruct(self.ledger, tx, given)) == len(known)

    @rule(number=st.sampled_from(LEGS), order_no=st.sampled_from(ORDERS), amount=FEN)
    def order(self, number: str, order_no: str, amount: int) -> None:
        given = order(number=number, order_no=order_no, amount_fen=amount)
        stands = self.orders.get(order_no, given)
        if stands != given:
            with pytest.raises(EditConflict):
                self.database.write(lambda tx: service.ordered(self.ledger, tx, given))
            return
        self.database.write(lambda tx: service.ordered(self.ledger, tx, given))
        self.orders[order_no] = given
        for bank_ref, (came, leg) in self.arrivals.items():
            if leg is None and came.order_no == order_no:
                self.arrivals[bank_ref] = (came, number)

    @rule(bank_ref=st.sampled_from(REFS), order_no=st.sampled_from(ORDERS), amount=FEN, times=st.sampled_from([1, 2]))
    def arrive(self, bank_ref: str, order_no: str, amount: int, times: int) -> None:
        given = arrival(bank_ref=bank_ref, order_no=order_no, amount_fen=amount)
        stands, leg = self.arrivals.get(bank_ref, (given, None))
        if stands != given:
            with pytest.raises(EditConflict):
                self.database.write(lambda tx: service.arrived(self.ledger, tx, given))
            return
        leg = leg or (self.orders[order_no].number if order_no in self.orders else None)
        self.arrivals[bank_ref] = (given, leg)
        for _ in range(times):
            try:
                assert self.database.write(lambda tx: service.arrived(self.ledger, tx, given)) == leg
            except EditConflict:
                assert order_no in self.orders
                assert self.orders[order_no].number != leg

    @rule(bank_ref=st.sampled_from(REFS), number=st.sampled_from(LEGS))
    def match(self, bank_ref: str, number: str) -> None:
        came, leg = self.arrivals.get(bank_ref, (None, None))
        is_known = number in self.instructed or number in [one.number for one in self.orders.values()]
        if came is None or leg not in (None, number) or not is_known:
            with pytest.raises(REFUSED):
                self.database.write(lambda tx: service.match(tx, PAYER, bank_ref, number))
            return
        self.database.write(lambda tx: service.match(tx, PAYER, bank_ref, number))
        self.arrivals[bank_ref] = (came, number)

    @rule(number=st.sampled_from(LEGS))
    def reconcile(self, number: str) -> None:
        if number not in self.instructed:
            with pytest.raises(NotFound):
                self.database.write(lambda tx: service.reconcile(self.ledger, tx, number))
            return
        found = self.database.write(lambda tx: service.reconcile(self.ledger, tx, number))
        assert found == Reconciled(self.instructed[number][-1].total_fen, self.sum_of(number))

    def sum_of(self, number: str) -> int:
        return sum(came.amount_fen for came, leg in self.arrivals.values() if leg == number)

    @invariant()
    def nothing_is_overwritten(self) -> None:
        with self.database.engine.connect() as connection:
            for table in ("fund_instruction", "fund_order", "fund_arrival", "fund_reconciliation"):
                found = [dict(one) for one in connection.execute(text(f"SELECT * FROM {table}")).mappings()]  # noqa: S608
                for before in self.rows.get(table, []):
                    kept = {name: value for name, value in before.items() if name not in FILLED or value is not None}
                    assert any(kept.items() <= one.items() for one in found), table
                self.rows[table] = found

    @invariant()
    def sums_are_those_of_the_lists(self) -> None:
        with self.database.reading() as session:
            for number in self.instructed:
                told = service.fund_of(self.ledger, session, number)
                assert told["arrived_fen"] == self.sum_of(number)
                assert told["expected_fen"] - told["arrived_fen"] == told["difference_fen"]
                assert told["version"] == len(self.instructed[number])
            waiting = {one["bank_ref"] for one in service.unmatched(session)}
            assert waiting == {ref for ref, (_, leg) in self.arrivals.items() if leg is None}
            found = service.statement(session, PAYEE, PAYER, "202412")
            assert len(found.lines) + len(found.unmatched) == len(self.orders) + len(self.arrivals)
            assert {one.day for one in found.lines} <= {str(date(2024, 12, day)) for day in (16, 17)}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_ledger_keeps_everything_and_adds_up(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""
    machine = type("Machine", (FundMachine,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15 if kind == "sqlite" else 8, stateful_step_count=25,
            suppress_health_check=list(HealthCheck), deadline=None,
        ),
    )  # fmt: skip
