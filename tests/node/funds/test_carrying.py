"""The guard against carrying a transfer twice: through two cases, or through the national system and a case."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from node.funds import service
from node.funds.service import Claim, Ledger
from node.storage.unit_of_work import Database
from protocol.errors import NotFound, TransferStands
from tests.node.funds.money import LEG, PAYER, SECOND

PERSON, OTHER = b"p" * 32, b"q" * 32
NATIONAL = "QG2024121200001234"


def claimed(database: Database, ledger: Ledger, **changes: Any) -> None:
    claim = Claim(**{"subject": PERSON, "out_city": PAYER, "number": LEG, **changes})
    database.write(lambda tx: service.claim_transfer(ledger, tx, claim))


def test_a_second_case_for_the_same_person_and_city_is_refused_with_the_case_that_stands(
    database: Database, ledger: Ledger
) -> None:
    claimed(database, ledger)
    claimed(database, ledger)
    with pytest.raises(TransferStands) as refused:
        claimed(database, ledger, number=SECOND)
    assert refused.value.facts == {"case": LEG, "out_city": PAYER}
    with database.reading() as session:
        assert isinstance(service.standing_of(session, Claim(PERSON, PAYER, SECOND)), TransferStands)
        assert service.standing_of(session, Claim(PERSON, PAYER, LEG)) is None
        assert service.standing_of(session, Claim(OTHER, PAYER, SECOND)) is None
    claimed(database, ledger, out_city="450400", number=SECOND)
    claimed(database, ledger, subject=OTHER, number=SECOND)


def test_a_case_that_closes_gives_up_what_it_carried(database: Database, ledger: Ledger) -> None:
    claimed(database, ledger)
    claimed(database, ledger, out_city="450400")
    assert database.write(lambda tx: service.release_transfer(tx, LEG)) == 2
    claimed(database, ledger, number=SECOND)


def test_what_the_national_system_carries_is_not_opened_here(database: Database, ledger: Ledger) -> None:
    claim = Claim(PERSON, PAYER, None, NATIONAL)
    database.write(lambda tx: service.carry_nationally(ledger, tx, claim))
    with pytest.raises(TransferStands) as refused:
        claimed(database, ledger)
    assert (refused.value.slug, refused.value.facts["case"]) == ("transfer-stands", None)


def test_a_national_number_belongs_to_one_transfer_however_it_is_written(database: Database, ledger: Ledger) -> None:
    claimed(database, ledger)
    database.write(lambda tx: service.note_national_no(ledger, tx, LEG, PAYER, NATIONAL))
    database.write(lambda tx: service.note_national_no(ledger, tx, LEG, PAYER, NATIONAL))
    with database.reading() as session:
        assert service.national_no_of(ledger, session, LEG) == {PAYER: NATIONAL}
    with pytest.raises(TransferStands):
        claimed(database, ledger, subject=OTHER, number=SECOND, national_no=f" {NATIONAL.lower()} ")
    with pytest.raises(TransferStands):
        database.write(lambda tx: service.note_national_no(ledger, tx, LEG, PAYER, "QG-OTHER"))
    with pytest.raises(NotFound):
        database.write(lambda tx: service.note_national_no(ledger, tx, LEG, "450400", NATIONAL))
    with database.engine.connect() as connection:
        stored = [bytes(one) for row in connection.execute(text("SELECT national, national_no FROM transfer_claim"))
                  for one in row]  # fmt: skip
    assert not any(NATIONAL.encode() in one for one in stored)


def test_of_two_openings_at_the_same_moment_one_is_refused(database: Database, ledger: Ledger) -> None:
    refused: list[str] = []
    meeting = threading.Barrier(2)

    def opened(number: str) -> None:
        meeting.wait(10)
        try:
            claimed(database, ledger, number=number)
        except TransferStands as fault:
            refused.append(str(fault.facts["case"]))

    threads = [threading.Thread(target=opened, args=(number,)) for number in (LEG, SECOND)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    with database.engine.connect() as connection:
        assert refused == list(connection.execute(text("SELECT number FROM transfer_claim")).scalars())
