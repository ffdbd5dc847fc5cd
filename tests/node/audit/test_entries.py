"""The bytes of an entry are the compact JSON of its members, and no account or person stands in them."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit import service
from node.audit.entries import ENTRY_MAX_BYTES, Entry, format_entry, subject_of
from node.audit.store import opening_of
from node.audit.tables import LogEntry
from node.storage.unit_of_work import Database, Transaction
from protocol.log import leaf_hash
from tests.node.audit.logs import LOG, NOW, PERSON, VAULT, an_entry, verified, write

TEXTS = [one.name for one in fields(Entry) if one.name not in ("time", "status", "actor", "person")]
ORDER = ["kind", "dir", "peer", "jti", "msg", "request", "reply", "status", "slug", "item", "case", "basis", "officer"]
ANY_TEXT = st.text(max_size=40) | st.text('"\\/\n\x00\x7f\u2028办😀', max_size=9)
TIMES = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]), min_value=datetime(1000, 1, 2))


def zeros(count: int) -> bytes:
    return bytes(count)


def expected_members(entry: Entry) -> dict[str, Any]:
    """What the specification wants, said slowly."""
    moment = entry.time.astimezone(UTC)
    members: dict[str, Any] = {"v": 1, "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"}
    for name in ORDER:
        value = getattr(entry, name)
        if name == "officer" and entry.actor is not None:
            value = VAULT.pseudonym(entry.actor)
        if value is not None:
            members[name] = value
    if entry.person is not None:
        members["subject"] = subject_of(bytes(32), *entry.person)
    return members | {"salt": "0" * 32}


@settings(deadline=None)
@given(st.data())
def test_an_entry_is_the_compact_json_of_its_members_in_their_order(data: st.DataObject) -> None:
    given_members: dict[str, Any] = {
        name: data.draw(ANY_TEXT if name in ("kind", "dir") else st.none() | ANY_TEXT, label=name) for name in TEXTS
    }
    entry = Entry(
        time=data.draw(TIMES),
        status=data.draw(st.none() | st.integers(0, 599)),
        actor=data.draw(st.none() | ANY_TEXT),
        person=data.draw(st.none() | st.tuples(ANY_TEXT, ANY_TEXT)),
        **given_members,
    )
    formatted = format_entry(entry, VAULT, zeros)
    stored = dict(zip(LogEntry.__table__.columns.keys()[1:], formatted.columns, strict=True))  # type: ignore[attr-defined]
    members = expected_members(entry)
    assert stored["data"] == json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    assert stored["leaf"] == formatted.leaf == leaf_hash(stored["data"])
    index = VAULT.blind_index(*entry.person) if entry.person else None
    assert formatted.opening == (bytes(32) if entry.person else None)
    assert (stored["time"], stored["actor"], stored["subject_index"]) == (entry.time, members.get("officer"), index)
    assert all(stored[name] == getattr(entry, name) for name in ("kind", "peer", "jti", "item"))


def test_a_character_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        format_entry(an_entry(msg="\ud800"), VAULT, zeros)


@pytest.mark.parametrize("letter", ["m", "办"])
def test_an_entry_has_4096_bytes_and_not_one_more(letter: str) -> None:
    room = ENTRY_MAX_BYTES - len(format_entry(an_entry(msg=""), VAULT, zeros).columns[0])
    fill = letter * (room // len(letter.encode())) + "." * (room % len(letter.encode()))
    assert len(format_entry(an_entry(msg=fill), VAULT, zeros).columns[0]) == ENTRY_MAX_BYTES
    with pytest.raises(ValueError, match="4096"):
        format_entry(an_entry(msg=fill + "."), VAULT, zeros)


@pytest.mark.threat("T21")
def test_an_account_stands_in_the_log_by_its_pseudonym_only() -> None:
    entry = an_entry(actor="zhang.san", officer="o-as-it-travels")
    formatted = format_entry(entry, VAULT, zeros)
    assert b"zhang" not in formatted.columns[0]
    assert "zhang" not in str(formatted.columns)
    assert json.loads(formatted.columns[0])["officer"] == VAULT.pseudonym("zhang.san")


@pytest.mark.parametrize("count", [1, 2, 7, 8, 30])
def test_each_entry_of_a_group_has_its_own_opening_and_is_told_its_own_place(node: Database, count: int) -> None:
    people = [("01", f"44200019900307{number:04}") if number % 3 else None for number in range(count)]
    told: list[tuple[int, int, bytes]] = []

    def work(transaction: Transaction) -> None:
        for number, person in enumerate(people):
            entry = an_entry(number, person=person)
            then = None if number % 4 == 3 else lambda _, place, n=number: told.append((n, place.index, place.leaf))
            transaction.append(entry, then)

    write(node, 3)
    node.write(work)
    with node.reading() as session:
        stored = [(service.entry(session, 3 + number)[0], opening_of(session, 3 + number)) for number in range(count)]
    for number, (person, (data, opening)) in enumerate(zip(people, stored, strict=True)):
        members = json.loads(data)
        assert members["jti"] == f"jti-{number}"
        assert members.get("subject") == (subject_of(opening, *person) if person and opening else None)
        assert (opening is None) == (person is None)
    assert told == [(n, 3 + n, leaf_hash(data)) for n, (data, _) in enumerate(stored) if n % 4 != 3]
    assert verified(node).ok


def test_what_is_told_its_place_writes_in_the_same_transaction(node: Database) -> None:
    seen: list[bytes] = []

    def work(transaction: Transaction) -> None:
        transaction.append(an_entry(), lambda session, place: seen.append(service.entry(session, place.index)[0]))
        transaction.append(an_entry(), _fails)

    with pytest.raises(LookupError):
        node.write(work)
    assert len(seen) == 1
    with node.reading() as session:
        assert service.size(session, LOG) == 0
    assert write(node, 1, time=NOW, person=PERSON)[0].index == 0


def _fails(*_: Any) -> None:
    raise LookupError
