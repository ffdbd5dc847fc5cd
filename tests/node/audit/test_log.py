"""The log: gapless under concurrency, checked before it is signed, and no damage goes unnoticed (T06, T19, T21)."""

import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from node.audit import service, store
from node.audit.service import (
    concerns,
    entries,
    entry,
    prove,
    read_checkpoint,
    read_tile,
    subject_of,
    verify,
)
from node.storage.unit_of_work import Database, Transaction
from protocol.checkpoints import check_proof, open_checkpoint, parse_proof
from protocol.errors import NotFound
from protocol.log import (
    Frontier,
    ProofInvalid,
    Tile,
    append,
    leaf_hash,
    make_tile,
    root_at,
    root_of,
    subtree_from_tiles,
    tile_path,
    tiles_of,
)
from protocol.notes import sign_note
from tests.node.audit.logs import (
    LOG,
    NOTE_KEY,
    NOW,
    ORIGIN,
    PERSON,
    ROOT,
    VAULT,
    an_entry,
    change,
    sign,
    verified,
    write,
)


def test_entries_are_numbered_in_order_and_each_work_learns_its_places(node: Database) -> None:
    places = write(node, 3) + write(node, 2)
    assert [place.index for place in places] == [0, 1, 2, 3, 4]
    assert {place.origin for place in places} == {ORIGIN}
    with node.reading() as session:
        assert [leaf_hash(entry(session, place.index)[0]) for place in places] == [place.leaf for place in places]


def test_a_work_without_entries_leaves_the_log_as_it_is(node: Database) -> None:
    node.write(lambda transaction: None)
    with node.reading() as session:
        assert store.size_of(session, ORIGIN) == 0


def test_threads_that_write_at_once_leave_no_gap(node: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        places = [place for written in pool.map(lambda n: write(node, 3), range(20)) for place in written]
    assert sorted(place.index for place in places) == list(range(60))
    assert verified(node).ok


WRITER = """
import os, sys
sys.path.insert(0, "")
from node.storage.engine import open_engine
from tests.node.audit.logs import LOG, write
from node.storage.unit_of_work import Database
node = Database(open_engine(sys.argv[1]), LOG.close_group)
for _ in range(20):
    print(*[place.index for place in write(node, 2)])
"""


def test_processes_that_write_at_once_leave_no_gap(node: Database, database_url: str) -> None:
    command = [sys.executable, "-c", WRITER, database_url]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert sorted(int(number) for number in " ".join(said).split()) == list(range(120))
    assert sign(node) == 120
    assert verified(node).ok


def test_an_entry_is_the_specified_json_and_names_no_person(node: Database) -> None:
    write(node, 1, msg="record.query", request="Yk0", reply="q7T", status=200, item="PEN-LUMPSUM", person=PERSON)
    with node.reading() as session:
        data, opening = entry(session, 0)
    members = json.loads(data)
    salt, subject = members.pop("salt"), members.pop("subject")
    assert members == {
        "v": 1, "time": "2026-11-24T03:12:44.120Z", "kind": "message", "dir": "in", "peer": "450400", "jti": "jti-0",
        "msg": "record.query", "request": "Yk0", "reply": "q7T", "status": 200, "item": "PEN-LUMPSUM",
    }  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{32}", salt)
    assert opening is not None
    assert subject == subject_of(opening, *PERSON)
    assert data == json.dumps(json.loads(data), separators=(",", ":")).encode()


@pytest.mark.threat("T21")
def test_no_personal_data_stands_in_any_table_of_the_log(node: Database) -> None:
    write(node, 2, person=PERSON)
    sign(node)
    with node.engine.connect() as connection:
        tables = ("log_head", "log_entry", "log_opening", "log_checkpoint", "log_tile")
        rows = [row for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608
    stored = b" ".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for r in rows for v in r)
    assert PERSON[1].encode() not in stored
    assert PERSON[1][:17].encode() not in stored
    assert PERSON[1] not in repr(an_entry(person=PERSON))


def test_the_same_person_cannot_be_recognised_in_two_entries(node: Database) -> None:
    write(node, 2, person=PERSON)
    with node.reading() as session:
        first, second = (json.loads(entry(session, index)[0])["subject"] for index in (0, 1))
    assert first != second


def test_an_entry_of_more_than_4_kib_is_refused_and_nothing_is_stored(node: Database) -> None:
    with pytest.raises(ValueError, match="4096"):
        write(node, 1, msg="m" * 5000)
    with node.reading() as session:
        assert store.size_of(session, ORIGIN) == 0


def test_a_checkpoint_signs_the_root_over_what_is_stored(node: Database) -> None:
    places = write(node, 5)
    assert sign(node) == 5
    frontier = Frontier()
    for place in places:
        frontier = append(frontier, place.leaf)
    with node.reading() as session:
        signed = open_checkpoint(read_checkpoint(session, LOG).note, NOTE_KEY).checkpoint
    assert (signed.origin, signed.size, signed.root) == (ORIGIN, 5, root_of(frontier))


def test_a_checkpoint_is_signed_only_when_there_is_something_new(node: Database) -> None:
    assert sign(node) is None
    write(node, 1)
    assert (sign(node), sign(node)) == (1, None)


def test_before_the_first_checkpoint_there_is_none_to_read(node: Database) -> None:
    write(node, 1)
    with node.reading() as session:
        for read in (lambda: read_checkpoint(session, LOG), lambda: prove(session, LOG, 0)):
            with pytest.raises(NotFound):
                read()


def test_two_processes_that_sign_at_once_keep_one_checkpoint_and_whole_tiles(node: Database) -> None:
    write(node, 300)
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda n: sign(node), range(4)))
    assert sorted(size or 0 for size in sizes) == [0, 0, 0, 300]
    assert verified(node).ok


def test_a_second_signer_that_read_before_the_first_was_done_keeps_nothing(
    node: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(node, 300)
    real, first = sign_note, list[int | None]()

    def overtaken(*arguments: Any) -> str:
        monkeypatch.setattr(service, "sign_note", real)
        write(node, 20)
        first.append(sign(node))
        return real(*arguments)

    monkeypatch.setattr(service, "sign_note", overtaken)
    assert sign(node) is None
    assert first == [320]
    assert (verified(node).ok, verified(node).checkpoints) == (True, 1)


def test_a_second_signer_waits_for_the_first_and_no_tile_grows_twice(
    node: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(node, 300)
    assert sign(node) == 300
    write(node, 300)
    real, keeping, first = store.extend_tile, threading.Event(), [True]

    def slow(*arguments: Any) -> None:
        real(*arguments)
        if first:
            first.pop()
            keeping.set()
            time.sleep(0.5)

    monkeypatch.setattr(store, "extend_tile", slow)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(sign, node)
        assert keeping.wait(5)
        two = pool.submit(sign, node)
        assert (one.result(), two.result()) == (600, None)
    with node.reading() as session:
        assert len(store.tile(session, ORIGIN, 1, 0, 256)) == 2 * 32
    assert verified(node).ok


def test_entries_after_the_newest_checkpoint_are_told_apart(node: Database) -> None:
    write(node, 5)
    sign(node)
    write(node, 2)
    found = verified(node)
    assert (found.ok, found.entries, found.signed_size, found.checkpoints) == (True, 7, 5, 1)


def test_progress_is_told_in_thousands(small_node: Database) -> None:
    write(small_node, 2500)
    told: list[int] = []
    with small_node.reading() as session:
        verify(session, LOG, NOTE_KEY, progress=told.append)
    assert told == [1000, 2000]


def test_each_entry_is_proven_to_a_stranger(node: Database) -> None:
    places = write(node, 300)
    sign(node)
    with node.reading() as session:
        for index in (0, 1, 255, 256, 299):
            proof = parse_proof(prove(session, LOG, index))
            assert check_proof(proof, places[index].leaf, NOTE_KEY, []).checkpoint.size == 300
            with pytest.raises(ProofInvalid):
                check_proof(proof, places[index - 1].leaf, NOTE_KEY, [])


def test_an_entry_that_no_checkpoint_covers_has_no_proof_yet(node: Database) -> None:
    write(node, 2)
    sign(node)
    write(node, 1)
    with node.reading() as session:
        for index in (-1, 2, 3):
            with pytest.raises(NotFound):
                prove(session, LOG, index)


def test_a_proof_holds_after_the_openings_of_the_person_are_deleted(node: Database) -> None:
    places = write(node, 3, person=PERSON) + write(node, 1, person=("01", "450400199003070015"))
    sign(node)
    deleted = node.write(lambda tx: store.delete_openings(tx.session, VAULT.blind_index(*PERSON)))
    assert deleted == 3
    with node.reading() as session:
        assert [entry(session, index)[1] is None for index in range(4)] == [True, True, True, False]
        check_proof(parse_proof(prove(session, LOG, 1)), places[1].leaf, NOTE_KEY, [])
    assert verified(node).ok


@dataclass
class Big:
    """A log of more than 65,536 entries: two levels of tiles above the entries."""

    node: Database
    leaves: list[bytes]

    def subtree(self, level: int, index: int) -> bytes:
        frontier = Frontier()
        for leaf in self.leaves[index << level : (index + 1) << level]:
            frontier = append(frontier, leaf)
        return root_of(frontier)


SIZE = 70_000


@pytest.fixture
def big(small_node: Database) -> Big:
    nothing = (None,) * 5
    rows = [(index, b"%d" % index, leaf_hash(b"%d" % index), NOW, "message", *nothing) for index in range(SIZE)]

    def fill(transaction: Transaction) -> None:
        store.extend_head(transaction.session, ORIGIN, SIZE)
        store.insert_entries(transaction.session, rows, [])

    small_node.write(fill)
    for size in (1, 255, 256, 257, 40_000):
        change(small_node, "UPDATE log_head SET size = :size", size=size)
        assert sign(small_node) == size
    change(small_node, "UPDATE log_head SET size = :size", size=SIZE)
    assert sign(small_node) == SIZE
    return Big(small_node, [leaf_hash(b"%d" % index) for index in range(SIZE)])


def test_tiles_of_a_large_log_are_those_of_the_log_mathematics(big: Big) -> None:
    with big.node.reading() as session:
        tiles = [tile for tile in tiles_of(SIZE) if tile.level > 0 or tile.number in (0, 1, 273)]
        for tile in tiles:
            read = read_tile(session, LOG, tile_path(tile.level, tile.number, tile.width))
            assert read == make_tile(tile, big.subtree), tile
        assert {tile.level for tile in tiles} == {0, 1, 2}
        reader = subtree_from_tiles(lambda *at: read_tile(session, LOG, tile_path(*at)), SIZE)
        signed = open_checkpoint(read_checkpoint(session, LOG).note, NOTE_KEY).checkpoint
        assert root_at(SIZE, reader) == signed.root
        for index in (0, 65_535, 65_536, SIZE - 1):
            check_proof(parse_proof(prove(session, LOG, index)), big.leaves[index], NOTE_KEY, [])
        found = verify(session, LOG, NOTE_KEY)
        assert (found.ok, found.checkpoints, found.entries) == (True, 6, SIZE)
        for beyond in (Tile(0, 273, 256), Tile(1, 1, 18), Tile(2, 0, 2), Tile(3, 0, 1), Tile(8, 0, 1)):
            with pytest.raises(NotFound):
                read_tile(session, LOG, tile_path(beyond.level, beyond.number, beyond.width))


def test_entries_are_found_newest_first_by_what_is_asked(node: Database) -> None:
    write(node, 3, item="PEN-LUMPSUM", person=PERSON)
    write(node, 2, peer="520300", time=NOW + timedelta(hours=1), officer="o-7f3c")
    subject = VAULT.blind_index(*PERSON)

    def found(**wanted: Any) -> list[int]:
        with node.reading() as session:
            return [one["index"] for one in entries(session, **wanted)]

    assert found() == [4, 3, 2, 1, 0]
    assert found(limit=2) == [4, 3]
    assert found(limit=2, below=3) == [2, 1]
    assert found(peer="520300") == found(actor="o-7f3c") == found(since=NOW + timedelta(minutes=1)) == [4, 3]
    assert (
        found(item="PEN-LUMPSUM") == found(subject_index=subject) == found(until=NOW + timedelta(hours=1)) == [2, 1, 0]
    )
    assert found(kind="import") == []


def test_a_city_reads_only_entries_that_concern_it(node: Database) -> None:
    write(node, 1)
    with node.reading() as session:
        assert concerns(session, 0, "450400") == entry(session, 0)[0]
        for index, member in ((0, "520300"), (1, "450400")):
            with pytest.raises(NotFound):
                concerns(session, index, member)
