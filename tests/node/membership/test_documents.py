"""Shared documents in a real database: taken in once, in force when the manifest names them, and calendars by year."""

from datetime import date
from typing import Any

import pytest

from node.audit.service import entries
from node.membership import store
from node.membership.service import (
    DOCUMENT_MAX_BYTES,
    accept_version,
    calendars_in_force,
    document,
    document_in_force,
    documents_lacking,
    manifest_in_force,
    stored_document,
    take_document,
)
from node.storage.unit_of_work import Database, Transaction
from protocol.deadlines import CalendarMissing, Limit, due
from protocol.errors import NotFound, TooLarge
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

OTHER_YEAR = a_calendar(2026, status="official")
BUILTIN = {name_of(PROVISIONAL): PROVISIONAL, name_of(OTHER_YEAR): OTHER_YEAR}


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return a_network(calendar_2026=OTHER_YEAR, calendar_2027=PROVISIONAL)


def take(node: Database, data: bytes, **options: Any) -> str:
    return node.write(lambda tx: take_document(tx, data, now=NOW, **options))


def logged(node: Database) -> list[dict[str, Any]]:
    with node.reading() as session:
        return list(entries(session, kind="document"))


def generation(node: Database) -> int:
    with node.reading() as session:
        return store.generation(session)


def in_force(node: Database, builtin: dict[str, bytes] = BUILTIN) -> Any:
    with node.reading() as session:
        return calendars_in_force(session, manifest_in_force(session), builtin)


def test_a_document_is_kept_under_its_digest_and_logged(node: Database) -> None:
    digest, before = take(node, OFFICIAL, actor="local:sysadmin"), 0
    assert digest == name_of(OFFICIAL)
    assert generation(node) == before + 1
    (entry,) = logged(node)
    assert (entry["dir"], entry["kind"]) == ("local", "document")
    assert "official" not in str(entry)
    with node.reading() as session:
        assert document(session, {}, digest) == OFFICIAL
        assert store.documents(session) == [(digest, NOW)]


def test_the_same_document_is_taken_once(node: Database) -> None:
    assert take(node, OFFICIAL) == take(node, OFFICIAL)
    assert (generation(node), len(logged(node))) == (1, 1)


def test_of_two_processes_that_take_the_same_document_one_logs_it(
    node: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(node, OFFICIAL)
    monkeypatch.setattr(store, "documents_held", lambda session, digests: frozenset())  # it looked a moment before
    before = generation(node)

    def work(transaction: Transaction) -> str:
        take_document(transaction, PROVISIONAL, now=NOW)
        return take_document(transaction, OFFICIAL, now=NOW)

    assert node.write(work) == name_of(OFFICIAL)
    assert (generation(node), len(logged(node))) == (before + 1, 2)
    with node.reading() as session:
        assert {digest for digest, _ in store.documents(session)} == {name_of(OFFICIAL), name_of(PROVISIONAL)}


def test_a_document_has_at_most_a_mebibyte(node: Database) -> None:
    assert len(take(node, bytes(DOCUMENT_MAX_BYTES))) == 64
    with pytest.raises(TooLarge):
        take(node, bytes(DOCUMENT_MAX_BYTES + 1))
    assert len(logged(node)) == 1


def test_a_digest_that_is_not_here_is_not_found(node: Database) -> None:
    with node.reading() as session:
        assert stored_document(session, BUILTIN, name_of(OFFICIAL)) is None
        assert document(session, BUILTIN, name_of(PROVISIONAL)) == PROVISIONAL
        with pytest.raises(NotFound):
            document(session, BUILTIN, name_of(OFFICIAL))


def test_in_force_is_what_the_manifest_names(node: Database, network: TestNetwork) -> None:
    join(node, network)
    take(node, OFFICIAL)
    with node.reading() as session:
        manifest = manifest_in_force(session)
        assert document_in_force(session, manifest, CALENDAR, BUILTIN) == PROVISIONAL
        assert document_in_force(session, manifest, CALENDAR, {}) is None
        assert document_in_force(session, manifest, "calendar-2028", BUILTIN) is None
    assert {year: one.is_provisional for year, one in in_force(node).by_year.items()} == {2026: False, 2027: True}


def test_the_next_manifest_puts_an_official_calendar_in_the_place_of_the_provisional_one(
    node: Database, network: TestNetwork
) -> None:
    join(node, network)
    take(node, OFFICIAL)
    limit, received = Limit(2, "working_day"), date(2026, 12, 31)
    before = due(received, limit, in_force(node))
    data = network.next_version(documents=digests(calendar_2026=OTHER_YEAR, calendar_2027=OFFICIAL))
    node.write(lambda tx: accept_version(tx, data, now=NOW))
    after = due(received, limit, in_force(node))
    assert (before.on, before.provisional) == (date(2027, 1, 5), True)
    assert (after.on, after.provisional) == (date(2027, 1, 5), False)
    assert in_force(node).of(2027).digest == name_of(OFFICIAL)
    with node.reading() as session:
        assert stored_document(session, {}, name_of(OFFICIAL)) == OFFICIAL
        assert manifest_in_force(session).version == 2


def test_a_calendar_that_the_next_manifest_names_and_nobody_has_yet_is_missing_not_guessed(
    node: Database, network: TestNetwork
) -> None:
    join(node, network)
    data = network.next_version(documents=digests(calendar_2026=OTHER_YEAR, calendar_2027=OFFICIAL))
    node.write(lambda tx: accept_version(tx, data, now=NOW))
    with pytest.raises(CalendarMissing, match="2027"):
        due(date(2026, 12, 31), Limit(2, "working_day"), in_force(node))
    take(node, OFFICIAL)
    assert due(date(2026, 12, 31), Limit(2, "working_day"), in_force(node)).years == (2026, 2027)


@pytest.mark.parametrize("data", [b"no calendar", a_calendar(2026), b'{"catalogue": 1}'], ids=["junk", "2026", "other"])
def test_a_calendar_that_is_unreadable_or_of_another_year_than_its_name_is_left_out(
    node: Database, data: bytes
) -> None:
    join(node, a_network(calendar_2027=data, calendar_next=PROVISIONAL, catalogue=OFFICIAL))
    assert in_force(node, {name_of(one): one for one in (data, PROVISIONAL, OFFICIAL)}).by_year == {}


def test_what_is_lacking_is_what_the_manifest_names_and_is_neither_built_in_nor_stored(
    node: Database, network: TestNetwork
) -> None:
    join(node, network)

    def lacking(builtin: dict[str, bytes]) -> list[str]:
        with node.reading() as session:
            return documents_lacking(session, manifest_in_force(session), builtin)

    assert lacking(BUILTIN) == []
    assert lacking({}) == [name_of(OTHER_YEAR), name_of(PROVISIONAL)]
    take(node, PROVISIONAL)
    assert lacking({}) == [name_of(OTHER_YEAR)]
