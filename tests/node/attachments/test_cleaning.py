"""Cleaning: what nobody names goes after seven days, what a case names never, whoever comes first."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from node.attachments import cleaning, jobs, service, store
from node.attachments.cleaning import KEPT, clean_up, delete_file, scan_again
from node.attachments.scanning import Verdict
from node.attachments.service import COMPLETE, HELD, LOCAL, PARTIAL, REFUSED
from node.storage.encryption import shard_key
from node.storage.unit_of_work import Database, Transaction
from protocol.errors import AttachmentMissing
from tests.node.attachments.rooms import CASE, OTHER, PEER, Room, digest_of, pdf

DATA = pdf(5000)
DIGEST = digest_of(DATA)
OLD = KEPT + timedelta(seconds=1)


def clean(room: Room) -> int:
    return clean_up(room.room, room.database)


def test_after_seven_days_what_no_case_names_is_gone(room: Room) -> None:
    room.bring_now(DATA)
    room.bring_now(pdf(6000), upto=100)
    room.now += KEPT - timedelta(seconds=1)
    assert (clean(room), len(room.files())) == (0, 2)
    room.later(seconds=2)
    assert (clean(room), room.files()) == (2, [])
    assert room.state(DIGEST) == ""


def test_what_a_case_names_stays_for_ever(room: Room) -> None:
    room.bring_now(DATA)
    room.bring_now(DATA, by=OTHER)
    room.use(DIGEST)
    room.later(days=4000)
    assert (clean(room), room.files()) == (0, [(DIGEST, "")])
    assert (room.state(DIGEST), room.state(DIGEST, OTHER)) == (COMPLETE, COMPLETE)


def test_an_upload_that_goes_on_counts_from_then(room: Room) -> None:
    data = pdf(3 * 1024 * 1024)
    room.bring_now(data, upto=1024 * 1024)
    room.later(days=6)
    stored = room.bring_now(data, start=1024 * 1024, upto=2 * 1024 * 1024).stored
    room.later(days=6)
    assert clean(room) == 0
    assert room.bring_now(data, start=stored).state == COMPLETE
    room.later(days=6)
    assert clean(room) == 0


def test_the_file_stays_as_long_as_another_brought_it_too(room: Room) -> None:
    room.bring_now(DATA)
    room.later(days=3)
    room.bring_now(DATA, by=OTHER)
    room.later(days=5)
    assert (clean(room), room.files()) == (1, [(DIGEST, "")])
    assert room.use(DIGEST, by=OTHER) == [DIGEST]


def test_a_crash_between_rows_and_files_leaves_what_the_next_run_deletes(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.bring_now(DATA)
    room.bring_now(pdf(6000), upto=100)
    room.now += OLD
    with monkeypatch.context() as patch:
        patch.setattr(cleaning, "_delete_strays", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clean(room)
    assert (room.state(DIGEST), len(room.files())) == ("", 2)
    assert (clean(room), room.files()) == (0, [])


def test_other_files_of_the_folder_are_left_alone(room: Room) -> None:
    room.bring_now(DATA)
    (room.directory / "readme.txt").write_text("mine")
    room.now += OLD
    clean(room)
    assert (room.directory / "readme.txt").exists()


def test_an_upload_under_way_keeps_its_file(room: Room) -> None:
    with room.blobs.open_part(DIGEST, PEER, len(DATA)):
        clean(room)
        assert room.files() == [(DIGEST, PEER)]
    clean(room)
    assert room.files() == []


def test_an_upload_that_begins_while_strays_are_looked_for_keeps_its_file(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row comes after the cleaner has asked for all rows of the batch, and before it deletes the part."""
    room.blobs.open_part(DIGEST, PEER, len(DATA)).close()
    known = cleaning._known
    asked: list[list[str]] = []

    def known_then_begun(database: Database, digests: list[str]) -> set[tuple[str, str, str]]:
        found = known(database, digests)
        if not asked:
            asked.append(digests)
            room.bring_now(DATA, upto=10)
        return found

    monkeypatch.setattr(cleaning, "_known", known_then_begun)
    clean(room)
    assert (asked, room.files()) == ([[DIGEST]], [(DIGEST, PEER)])


def test_more_than_one_batch_is_cleaned(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "BATCH", 3)
    for number in range(10):
        room.bring_now(pdf(100 + number))
    room.use(digest_of(pdf(104)))
    room.now += OLD
    assert (clean(room), room.files()) == (9, [(digest_of(pdf(104)), "")])


def test_a_case_that_is_just_naming_an_attachment_wins(room: Room) -> None:
    """The cleaner comes while the transaction of the case is still open, on another connection."""
    room.bring_now(DATA)
    room.now += OLD
    named, proceed = threading.Event(), threading.Event()

    def name(transaction: Transaction) -> None:
        service.use(room.room, transaction, [DIGEST], CASE, by=PEER)
        transaction.session.flush()
        named.set()
        assert proceed.wait(10)

    with ThreadPoolExecutor(2) as threads:
        naming = threads.submit(room.database.write, name)
        assert named.wait(10)
        cleaned = threads.submit(clean, room)
        time.sleep(0.3)
        proceed.set()
        naming.result(10)
        assert cleaned.result(10) == 0
    assert clean(room) == 0
    assert (room.state(DIGEST), room.files()) == (COMPLETE, [(DIGEST, "")])


def test_a_case_that_comes_after_the_cleaner_is_told_that_it_is_missing(room: Room) -> None:
    """The case comes while the cleaner's transaction is still open: it waits, and never names what goes away."""
    room.bring_now(DATA)
    room.now += OLD
    deleted, proceed = threading.Event(), threading.Event()

    def delete(transaction: Transaction) -> None:
        session = transaction.session
        assert store.old_and_unused(session, before=room.now, limit=9) == [(DIGEST, PEER)]
        assert store.delete_unused(session, DIGEST, PEER)
        deleted.set()
        assert proceed.wait(10)

    with ThreadPoolExecutor(2) as threads:
        cleaning_ = threads.submit(room.database.write, delete)
        assert deleted.wait(10)
        naming = threads.submit(room.use, DIGEST)
        time.sleep(0.3)
        assert not naming.done()
        proceed.set()
        cleaning_.result(10)
        with pytest.raises(AttachmentMissing):
            naming.result(10)
    with room.database.reading() as session:
        assert service.cases_naming(session, DIGEST) == []


def test_whether_a_case_names_it_is_asked_again_under_the_lock(
    postgresql_url: str, open_database: Callable[[str], Database], tmp_path: Path
) -> None:
    """PostgreSQL looks for rows of cases before it locks: what was committed in between is seen by the deletion."""
    room = Room(open_database(postgresql_url), tmp_path / "attachments")
    room.bring_now(DATA)
    room.now += OLD

    def delete(transaction: Transaction) -> bool:
        session = transaction.session
        assert store.old_and_unused(session, before=room.now, limit=9) == [(DIGEST, PEER)]
        with room.database.engine.begin() as other:
            other.execute(
                text("INSERT INTO attachment_use VALUES (:key, :digest, :number, now())"),
                {"key": shard_key(DIGEST), "digest": DIGEST, "number": CASE},
            )
        return store.delete_unused(session, DIGEST, PEER)

    assert room.database.write(delete) is False
    assert room.state(DIGEST) == COMPLETE


def test_an_attachment_brought_again_while_its_file_is_deleted_is_there_afterwards(room: Room) -> None:
    """The upload has its row when the deletion asks, or it waits for the name until the deletion is over."""
    room.bring_now(DATA)
    room.now += OLD
    with room.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM attachment"))
    with ThreadPoolExecutor(1) as threads:
        bringing: list[Any] = []

        def asked() -> bool:
            with room.database.reading() as session:
                unknown = not store.known(session, [DIGEST], but_state=REFUSED)
            bringing.append(threads.submit(room.bring_now, DATA))
            time.sleep(0.3)  # the upload comes as far as the name, and waits
            return unknown

        assert room.blobs.delete(DIGEST, asked)
        assert bringing[0].result(10).state == COMPLETE
    assert not delete_file(room.room, room.database, DIGEST)
    assert room.use(DIGEST) == [DIGEST]
    assert room.blobs.size(DIGEST) == len(DATA)


def test_cases_and_cleaners_at_once_never_lose_what_is_named(room: Room) -> None:
    data = [pdf(200 + number) for number in range(24)]
    for one in data:
        room.bring_now(one)
    room.now += OLD

    def name(one: bytes) -> bool:
        try:
            return bool(room.use(digest_of(one)))
        except AttachmentMissing:
            return False

    with ThreadPoolExecutor(4) as threads:
        cleaners = [threads.submit(clean, room) for _ in range(2)]
        named = list(threads.map(name, data))
        for cleaner in cleaners:
            cleaner.result(30)
    clean(room)
    kept = {digest_of(one) for one, is_named in zip(data, named, strict=True) if is_named}
    assert {name for name, _ in room.files()} == kept
    assert all(room.state(one) == COMPLETE for one in kept)


@pytest.mark.parametrize(
    ("verdict", "state", "files"),
    [(Verdict.CLEAN, COMPLETE, 1), (Verdict.REFUSED, REFUSED, 0), (Verdict.UNKNOWN, HELD, 1)],
)
def test_what_is_held_is_examined_again(room: Room, verdict: Verdict, state: str, files: int) -> None:
    room.verdicts = [Verdict.UNKNOWN, verdict]
    room.bring_now(DATA)
    room.later(minutes=1)
    assert scan_again(room.room, room.database) == (state != HELD)
    assert (room.state(DIGEST), len(room.files()), room.examined) == (state, files, [DATA, DATA])


def test_who_waited_longest_is_examined_first(room: Room) -> None:
    room.verdicts = [Verdict.UNKNOWN] * 2
    first, second = pdf(100), pdf(101)
    room.bring_now(first)
    room.later(minutes=1)
    room.bring_now(second)
    with room.database.reading() as session:
        assert [row.digest for row in store.waiting(session, HELD, 1)] == [digest_of(first)]


def test_without_an_examination_nothing_stays_held(room: Room) -> None:
    room.verdicts = [Verdict.UNKNOWN]
    room.bring_now(DATA)
    room.verdicts = None
    jobs.scan_again(room.room, room.database)
    assert room.state(DIGEST) == COMPLETE


def test_what_stays_held_and_what_was_refused_goes_after_seven_days(room: Room) -> None:
    room.verdicts = [Verdict.UNKNOWN, Verdict.UNKNOWN]
    room.bring_now(DATA)
    room.later(days=6)
    scan_again(room.room, room.database)
    room.later(days=2)
    jobs.clean_up(room.room, room.database)
    assert (room.state(DIGEST), room.files()) == ("", [])


def test_a_refusal_for_one_member_does_not_take_the_file_of_another(room: Room) -> None:
    room.verdicts = [Verdict.CLEAN, Verdict.UNKNOWN, Verdict.REFUSED]
    room.bring_now(DATA, by=LOCAL)
    room.use(DIGEST, by=LOCAL)
    room.bring_now(DATA)
    scan_again(room.room, room.database)
    assert (room.state(DIGEST), room.state(DIGEST, LOCAL)) == (REFUSED, COMPLETE)
    assert room.files() == [(DIGEST, "")]


def test_an_upload_whose_row_went_away_must_come_again(room: Room) -> None:
    assert room.bring_now(DATA, upto=10).state == PARTIAL
    room.now += OLD
    assert clean(room) == 1
    assert room.bring_now(DATA).state == COMPLETE
