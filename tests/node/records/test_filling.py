"""Filling the registry: all or nothing at first, replacement per person, and the same outcome when run again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from node.records import filling as module
from node.records.connectors.builtin import builtin_registry, context_of
from node.records.filling import check_file, digest_of, fill, fill_from_file
from node.records.importing import ParsedRow
from node.storage.encryption import CannotDecrypt
from node.storage.unit_of_work import Database, Transaction
from protocol.messages import RecordKind, Subject
from tests.node.records.files import GOOD, a_csv
from tests.node.records.registry import BALANCE, LOG, NAME, NOW, PERSON, VAULT, a_filling, a_row

OTHER = "11010519491231002X"


@pytest.fixture
def database(open_database: Callable[..., Database], database_url: str) -> Database:
    return open_database(database_url, LOG.close_group)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)


def lines_of(database: Database, number: str = PERSON[1], *, kind: str = "balance", name: str = NAME) -> Any:
    """Return the months (`until`) of a person's balance lines, or None where the registry has no record."""
    subject = Subject(id_type="01", id_number=number, name=name)
    with database.reading() as session:
        found = builtin_registry(VAULT)(Transaction(session), subject, RecordKind(kind))
    return found and [line.get("until") for line in found.lines]


def until(month: str, number: str = PERSON[1], name: str = NAME) -> ParsedRow:
    return a_row({**BALANCE, "until": month}, number=number, name=name)


def stored(database: Database, table: str) -> list[Any]:
    with database.reading() as session:
        return list(session.execute(text(f"SELECT * FROM {table}")).mappings())  # noqa: S608


def test_a_file_that_was_found_clean_is_written_and_booked(database: Database, tmp_path: Path) -> None:
    path = a_csv(tmp_path / "balance.csv", GOOD)
    assert check_file(path, RecordKind.BALANCE, now=NOW).error_count == 0
    assert fill_from_file(a_filling(database), path, RecordKind.BALANCE) == 1
    assert lines_of(database) == ["202412"]
    row = stored(database, "registry_import")[0]
    assert (row["id"], row["digest"], row["rows"], row["actor"]) == ("import-1", digest_of(path), 1, "o-1")
    assert row["ended_at"] is not None
    entry = json.loads(bytes(stored(database, "log_entry")[0]["data"]))
    assert (entry["kind"], entry["request"], entry["officer"]) == ("import", digest_of(path), VAULT.pseudonym("o-1"))


def test_the_check_of_a_file_with_one_bad_cell_names_it_and_nothing_is_written(
    database: Database, tmp_path: Path
) -> None:
    bad = [*GOOD]
    bad[1] = "442000199003070019"
    path = a_csv(tmp_path / "balance.csv", GOOD, bad, GOOD)
    checked = check_file(path, RecordKind.BALANCE, now=NOW)
    assert (checked.rows, checked.error_count) == (2, 1)
    assert [(one.row, one.column) for one in checked.errors] == [(3, "id_number")]
    assert stored(database, "registry_record") == stored(database, "registry_import") == []


def test_a_file_that_changed_after_its_check_stops_and_is_not_booked(database: Database, tmp_path: Path) -> None:
    bad = [*GOOD]
    bad[5] = "much"
    path = a_csv(tmp_path / "balance.csv", GOOD, bad)
    with pytest.raises(ValueError, match="changed since it was checked"):
        fill_from_file(a_filling(database), path, RecordKind.BALANCE)
    assert stored(database, "registry_record") == stored(database, "log_entry") == []


def test_of_many_errors_the_first_200_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    bad = [*GOOD]
    bad[5] = "much"
    path, told = a_csv(tmp_path / "balance.csv", *[bad] * 700), list[int]()
    checked = check_file(path, RecordKind.BALANCE, now=NOW, progress=told.append)
    assert (checked.error_count, len(checked.errors), told) == (700, 200, [500])


def test_the_lines_of_a_person_go_on_across_batches(database: Database, small_batches: None) -> None:
    rows = [until(f"20240{month}") for month in range(1, 6)]
    told: list[int] = []
    assert fill(a_filling(database), rows, "digest", progress=told.append) == 5
    assert lines_of(database) == ["202401", "202402", "202403", "202404", "202405"]
    assert told == [2, 4, 5]
    assert stored(database, "registry_import")[0]["rows"] == 5


def test_a_later_import_replaces_the_persons_in_it_and_leaves_the_others(
    database: Database, small_batches: None
) -> None:
    fill(a_filling(database), [until("202301"), until("202302"), until("202303"), until("202301", OTHER)], "digest")
    fill(a_filling(database, "import-2"), [until("202401"), until("202402"), until("202403")], "digest")
    assert lines_of(database) == ["202401", "202402", "202403"]
    assert lines_of(database, OTHER) == ["202301"]


def test_another_kind_of_the_same_person_is_left_alone(database: Database) -> None:
    line = {"insurance": "110", "status": "ACTIVE", "account_kind": "GENERAL", "started": "201001"}
    fill(a_filling(database), [until("202301"), a_row(line, kind="enrolment")], "digest")
    fill(a_filling(database, "import-2"), [until("202401")], "digest")
    assert lines_of(database, kind="enrolment") == [None]
    assert lines_of(database) == ["202401"]


def test_persons_may_come_mixed(database: Database, small_batches: None) -> None:
    rows = [until("202401"), until("202401", OTHER), until("202402", OTHER), until("202402"), until("202403")]
    fill(a_filling(database), rows, "digest")
    assert lines_of(database) == ["202401", "202402", "202403"]
    assert lines_of(database, OTHER) == ["202401", "202402"]


def test_an_import_that_was_cut_off_is_run_again_with_the_outcome_of_one_run(
    database: Database, small_batches: None
) -> None:
    rows = [until(f"20240{month}", number) for month in range(1, 4) for number in (PERSON[1], OTHER)]

    def cut_off() -> Any:
        yield from rows[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(a_filling(database), cut_off(), "digest")
    assert [row["ended_at"] for row in stored(database, "registry_import")] == [None]
    assert stored(database, "registry_import")[0]["rows"] == 4
    fill(a_filling(database, "import-2"), rows, "digest")
    assert lines_of(database) == lines_of(database, OTHER) == ["202401", "202402", "202403"]


def test_the_same_file_again_changes_nothing_but_its_age(database: Database) -> None:
    rows = [until("202401"), until("202402")]
    for number in range(3):
        fill(a_filling(database, f"import-{number}"), rows, "digest")
    assert lines_of(database) == ["202401", "202402"]
    assert len(stored(database, "registry_record")) == 1
    assert len(stored(database, "log_entry")) == 3


def test_an_import_number_is_used_once(database: Database) -> None:
    fill(a_filling(database), [until("202401")], "digest")
    with pytest.raises(IntegrityError):
        fill(a_filling(database), [until("202402")], "digest")
    assert lines_of(database) == ["202401"]


def test_nothing_in_the_database_shows_the_person(database: Database) -> None:
    fill(a_filling(database), [until("202401")], "digest")
    tables = ("registry_record", "registry_import", "log_entry", "log_opening")
    shown = " ".join(str(dict(row)) for table in tables for row in stored(database, table))
    for row in stored(database, "registry_record"):
        shown += bytes(row["content"]).decode("latin-1") + bytes(row["subject"]).decode("latin-1")
    assert PERSON[1] not in shown
    assert NAME not in shown
    assert NAME.encode().decode("latin-1") not in shown


def test_a_record_moved_to_another_person_is_not_read(database: Database) -> None:
    fill(a_filling(database), [until("202401"), until("202402", OTHER)], "digest")
    content = {bytes(row["subject"]): bytes(row["content"]) for row in stored(database, "registry_record")}
    mine, other = VAULT.blind_index("01", PERSON[1]), VAULT.blind_index("01", OTHER)
    assert json.loads(VAULT.decrypt(content[mine], context_of(mine, RecordKind.BALANCE)))["name"] == NAME
    with database.engine.begin() as connection:
        moved = text("UPDATE registry_record SET content = :content WHERE subject = :subject")
        connection.execute(moved, {"content": content[other], "subject": mine})
    with pytest.raises(CannotDecrypt):
        lines_of(database)
