"""The ledger: partial and wrong amounts, money that nobody expected, repeats, and what is refused."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from node.funds import service
from node.funds.service import Bank, Ledger, Reconciled, State
from node.storage.unit_of_work import Database
from protocol.errors import EditConflict, InvalidBody, NotFound
from tests.node.funds.money import ACCOUNT, LEG, PAYER, SECOND, arrival, instruction, order


def fund(database: Database, ledger: Ledger, number: str = LEG) -> dict[str, Any]:
    with database.reading() as session:
        return service.fund_of(ledger, session, number)


def state(database: Database, ledger: Ledger) -> str:
    return str(fund(database, ledger)["state"])


def test_the_straight_way_from_the_instruction_to_the_reconciliation(database: Database, ledger: Ledger) -> None:
    assert database.write(lambda tx: service.instruct(ledger, tx, instruction())) == 1
    assert state(database, ledger) == State.AWAITING
    database.write(lambda tx: service.ordered(ledger, tx, order()))
    assert state(database, ledger) == State.ORDERED
    assert database.write(lambda tx: service.arrived(ledger, tx, arrival())) == LEG
    assert state(database, ledger) == State.ARRIVED
    found = database.write(lambda tx: service.reconcile(ledger, tx, LEG))
    assert (found.state, found.difference_fen) == (State.RECONCILED, 0)
    told = fund(database, ledger)
    assert (told["state"], told["expected_fen"], told["arrived_fen"]) == (State.RECONCILED, 4_497_235, 4_497_235)
    assert (told["payer_account"], told["payee_account"]) == ("****9999", "****1234")


def test_too_little_is_a_mismatch_until_the_rest_has_come(database: Database, ledger: Ledger) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    database.write(lambda tx: service.ordered(ledger, tx, order(amount_fen=4_000_000)))
    database.write(lambda tx: service.arrived(ledger, tx, arrival(amount_fen=4_000_000)))
    found = database.write(lambda tx: service.reconcile(ledger, tx, LEG))
    assert (found.state, found.difference_fen) == (State.MISMATCH, 497_235)
    assert state(database, ledger) == State.MISMATCH
    database.write(lambda tx: service.ordered(ledger, tx, order(order_no="HB-2", amount_fen=497_235)))
    database.write(lambda tx: service.arrived(ledger, tx, arrival(bank_ref="B-2", order_no="HB-2", amount_fen=497_235)))
    assert state(database, ledger) == State.ARRIVED
    assert database.write(lambda tx: service.reconcile(ledger, tx, LEG)).state is State.RECONCILED
    assert [one["bank_ref"] for one in fund(database, ledger)["arrivals"]] == ["B-1", "B-2"]


def test_a_corrected_sheet_is_a_new_version_and_the_old_one_stays(database: Database, ledger: Ledger) -> None:
    wrong = instruction(pooled_fen=2_579_473, total_fen=4_497_236)
    assert database.write(lambda tx: service.instruct(ledger, tx, wrong)) == 1
    assert database.write(lambda tx: service.instruct(ledger, tx, wrong)) == 1, "a repeat changes nothing"
    database.write(lambda tx: service.arrived(ledger, tx, arrival(number=LEG)))
    assert database.write(lambda tx: service.reconcile(ledger, tx, LEG)).difference_fen == 1
    right = instruction(sheet_no="XX-2")
    assert database.write(lambda tx: service.instruct(ledger, tx, right)) == 2
    assert database.write(lambda tx: service.reconcile(ledger, tx, LEG)) == Reconciled(4_497_235, 4_497_235)
    with database.engine.connect() as connection:
        sheets = connection.execute(text("SELECT sheet_no FROM fund_instruction ORDER BY version"))
        assert list(sheets.scalars()) == ["XX-1", "XX-2"]
        found = connection.execute(text("SELECT expected_fen, arrived_fen FROM fund_reconciliation ORDER BY place"))
        assert [tuple(row) for row in found] == [(4_497_236, 4_497_235), (4_497_235, 4_497_235)]


def test_too_much_is_a_difference_below_nothing(database: Database, ledger: Ledger) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    database.write(lambda tx: service.arrived(ledger, tx, arrival(number=LEG, amount_fen=4_497_236)))
    assert database.write(lambda tx: service.reconcile(ledger, tx, LEG)).difference_fen == -1


def test_money_before_its_order_waits_and_is_matched_by_the_order(database: Database, ledger: Ledger) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    assert database.write(lambda tx: service.arrived(ledger, tx, arrival())) is None
    with database.reading() as session:
        assert [one["bank_ref"] for one in service.unmatched(session)] == ["B-1"]
        assert service.unmatched(session, payer="450400") == []
    assert database.write(lambda tx: service.ordered(ledger, tx, order())) == ["B-1"]
    with database.reading() as session:
        assert service.unmatched(session) == []
    assert database.write(lambda tx: service.reconcile(ledger, tx, LEG)).state is State.RECONCILED


def test_money_whose_remark_is_wrong_is_matched_by_hand_once(database: Database, ledger: Ledger) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    database.write(lambda tx: service.instruct(ledger, tx, instruction(number=SECOND, sheet_no="XX-9")))
    database.write(lambda tx: service.arrived(ledger, tx, arrival(order_no="HB-99")))
    database.write(lambda tx: service.match(tx, PAYER, "B-1", LEG))
    database.write(lambda tx: service.match(tx, PAYER, "B-1", LEG))
    assert fund(database, ledger)["arrived_fen"] == 4_497_235
    with pytest.raises(EditConflict):
        database.write(lambda tx: service.match(tx, PAYER, "B-1", SECOND))
    with pytest.raises(EditConflict):
        database.write(lambda tx: service.arrived(ledger, tx, arrival(order_no="HB-99", number=SECOND)))
    for reference, leg in (("B-9", LEG), ("B-1", "KS520300202412120000039")):
        with pytest.raises((NotFound, EditConflict)):
            database.write(lambda tx, r=reference, n=leg: service.match(tx, PAYER, r, n))  # type: ignore[misc]


def test_an_arrival_counts_once_and_other_words_under_its_reference_are_refused(
    database: Database, ledger: Ledger
) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    database.write(lambda tx: service.ordered(ledger, tx, order()))
    for _ in range(2):
        assert database.write(lambda tx: service.arrived(ledger, tx, arrival())) == LEG
    assert fund(database, ledger)["arrived_fen"] == 4_497_235
    with pytest.raises(EditConflict) as refused:
        database.write(lambda tx: service.arrived(ledger, tx, arrival(amount_fen=1)))
    assert [one["at"] for one in refused.value.facts["fields"]] == ["amount_fen"]
    with pytest.raises(EditConflict):
        database.write(lambda tx: service.ordered(ledger, tx, order(amount_fen=1)))
    with pytest.raises(InvalidBody):
        database.write(lambda tx: service.arrived(ledger, tx, arrival(bank_ref="B-2", number=SECOND)))


def test_a_leg_without_instruction_cannot_be_reconciled(database: Database, ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        database.write(lambda tx: service.reconcile(ledger, tx, LEG))
    with pytest.raises(NotFound):
        fund(database, ledger)
    database.write(lambda tx: service.ordered(ledger, tx, order()))
    assert (state(database, ledger), fund(database, ledger)["difference_fen"]) == (State.ORDERED, None)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        (instruction(total_fen=1), "total_fen"),
        (instruction(account_fen=-1), "account_fen"),
        (instruction(pooled_fen=10**13 + 1), "pooled_fen"),
        (instruction(account_fen=True), "account_fen"),
        (instruction(number="KS1"), "number"),
        (instruction(payee="442000"), "payee"),
        (instruction(payer="44200"), "payer"),
        (instruction(letter_no="x" * 65), "letter_no"),
        (instruction(sheet_no=""), "sheet_no"),
        (instruction(payee_bank=Bank("n" * 201)), "payee_bank"),
        (order(amount_fen=0), "amount_fen"),
        (order(order_no="a\nb"), "order_no"),
        (arrival(bank_ref=""), "bank_ref"),
        (arrival(amount_fen=1.5), "amount_fen"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_without_its_value(
    sqlite_url: str, open_database: Any, ledger: Ledger, given: Any, at: str
) -> None:
    verb: Any = {"Instruction": service.instruct, "Order": service.ordered, "Arrival": service.arrived}
    with pytest.raises(InvalidBody) as refused:
        open_database(sqlite_url).write(lambda tx: verb[type(given).__name__](ledger, tx, given))
    assert [one["at"] for one in refused.value.facts["fields"]] == [at]


def test_accounts_lie_encrypted_and_show_four_digits(database: Database, ledger: Ledger) -> None:
    database.write(lambda tx: service.instruct(ledger, tx, instruction()))
    with database.engine.connect() as connection:
        stored = b"".join(bytes(row[0]) for row in connection.execute(text("SELECT accounts FROM fund_instruction")))
    assert ACCOUNT.encode() not in stored
    assert ACCOUNT not in str(fund(database, ledger))
    assert ACCOUNT not in repr(instruction())


def test_legs_are_listed_by_number_a_page_at_a_time(database: Database, ledger: Ledger) -> None:
    for number in (SECOND, LEG):
        database.write(lambda tx, n=number: service.instruct(ledger, tx, instruction(number=n)))  # type: ignore[misc]
    database.write(lambda tx: service.instruct(ledger, tx, instruction(value_on=date(2025, 1, 2))))
    with database.reading() as session:
        assert [one["number"] for one in service.list_funds(ledger, session, limit=1)] == [LEG]
        assert [one["number"] for one in service.list_funds(ledger, session, after=LEG)] == [SECOND]
