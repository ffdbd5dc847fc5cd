"""Papers in a case: printed once, handed out again, replaced, revoked, looked up by their code."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from node.audit.service import entries
from node.documents import service, store
from node.documents.kinds import KINDS
from node.documents.press import Press
from node.documents.service import read_value
from protocol.errors import EditConflict, Internal, InvalidBody, NotFound, PrintingOff, StorageFull, TooLarge
from tests.node.documents.papers import CASE, ID_NO, PAPERS
from tests.node.documents.reading import attached
from tests.node.documents.rooms import Room, asked
from tests.node.documents.test_press import without_fonts


def test_a_reprint_gives_the_same_bytes_whenever_it_is_asked_for(room: Room) -> None:
    first = room.print(asked())
    room.now += timedelta(days=40)
    again = room.print(asked())
    assert first.is_new
    assert not again.is_new
    assert (again.pdf, again.number, again.issued_on) == (first.pdf, first.number, "2024-12-12")
    assert room.read(first.number).pdf == first.pdf
    assert len(room.list()) == 1


def test_a_changed_paper_is_a_new_number_that_replaces_the_old_one(room: Room) -> None:
    first = room.print(asked())
    room.now += timedelta(minutes=1)
    second = room.print(asked(value_date="2024-12-17"))
    assert first.number != second.number
    assert f'"replaces": "{first.number}"'.encode() in attached(second.pdf)["data.json"]
    old, new = room.list()
    assert (old["state"], old["replaced_by"]) == ("replaced", second.number)
    assert (new["state"], new["replaced_by"]) == ("valid", None)
    assert room.look_up(first.code).replaced_by == second.number
    # Printing the first facts once more is a change again, not a return of what was replaced.
    third = room.print(asked())
    assert third.is_new
    assert third.number != first.number


def test_sizes_parts_and_kinds_stand_beside_each_other(room: Room) -> None:
    papers = [asked(), asked(size="large"), replace(asked(), part="LX-2"), asked("decision")]
    numbers = {room.print(one).number for one in papers}
    assert len(numbers) == 4
    assert [one["state"] for one in room.list()] == ["valid"] * 4


def test_the_same_paper_that_two_print_at_once_is_kept_once(room: Room) -> None:
    mine = service.draw(room.room, asked(), None)
    theirs = room.print(asked())
    kept = room.database.write(lambda tx: service.keep(room.room, tx, mine))
    assert kept == theirs.number
    assert len(room.list()) == 1


def test_another_paper_that_was_printed_meanwhile_is_not_replaced_unseen(room: Room) -> None:
    mine = service.draw(room.room, asked(value_date="2024-12-18"), None)
    room.print(asked())
    with pytest.raises(EditConflict):
        room.database.write(lambda tx: service.keep(room.room, tx, mine))
    assert len(room.list()) == 1


def test_a_paper_without_a_case_stands_alone(room: Room) -> None:
    first, second = (room.print(asked("contribution-voucher", case=None)) for _ in range(2))
    assert first.number != second.number
    assert room.read(first.number).pdf == first.pdf


def test_a_code_tells_kind_city_day_state_and_no_more_than_a_masked_name(room: Room) -> None:
    printed = room.print(asked("decision"))
    typed = "-".join(printed.code[at : at + 4] for at in range(0, 16, 4)).lower()
    known = room.look_up(typed)
    assert (known.kind, known.city.name_zh, known.issued_on) == ("decision", "梧州", "2024-12-12")
    assert (known.state, known.digest, known.masked_name) == ("valid", printed.digest, "邓**")
    for wrong in ("", "0000-0000-0000-0000", "not a code"):
        with pytest.raises(NotFound):
            room.look_up(wrong)


def test_a_revoked_paper_says_so_and_is_revoked_once(room: Room) -> None:
    printed = room.print(asked("decision"))

    def revoke() -> None:
        room.database.write(
            lambda tx: service.revoke(room.room, tx, printed.number, reason="printed in error", actor="officer")
        )

    revoke()
    assert room.look_up(printed.code).state == "revoked"
    with pytest.raises(EditConflict):
        revoke()
    with pytest.raises(NotFound):
        room.database.write(lambda tx: service.revoke(room.room, tx, "WS0", reason="", actor="officer"))
    assert room.print(asked("decision")).is_new


def test_each_new_paper_is_an_entry_of_the_log_and_a_reprint_is_none(room: Room) -> None:
    room.print(asked("decision"))
    room.print(asked("decision"))
    with room.database.reading() as session:
        logged = list(entries(session))
    assert [(one["kind"], one["msg"], one["case"]) for one in logged] == [("print", "decision", CASE)]
    assert ID_NO not in str(logged)


@pytest.mark.threat("T21")
def test_nothing_of_a_paper_lies_in_the_clear_on_the_disk(small: Room) -> None:
    printed = small.print(asked("decision"))
    files = [file for file in small.folder.iterdir() if file.is_file() and file.stat().st_size]
    assert [file.name for file in files] == [printed.digest]
    stored = files[0].read_bytes() + b"".join(file.read_bytes() for file in small.folder.parent.glob("node.db*"))
    for plain in ("邓", ID_NO, "%PDF", "16,409.02"):
        assert plain.encode() not in stored


def test_a_damaged_file_is_named_and_not_handed_out(small: Room) -> None:
    printed = small.print(asked())
    file = small.folder / printed.digest
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(Internal, match="damaged"):
        small.read(printed.number)
    file.unlink()
    with pytest.raises(Internal, match="missing"):
        small.print(asked())


def test_a_full_disk_prints_nothing(small: Room) -> None:
    small.change(has_room=lambda: False)
    with pytest.raises(StorageFull):
        small.print(asked())
    assert small.list() == []


def test_without_a_font_printing_is_off_with_cause_and_command(small: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    press = without_fonts(monkeypatch)
    small.change(press=press)
    try:
        with pytest.raises(PrintingOff, match="apt-get install fonts-noto-cjk, or make fonts"):
            small.print(asked())
        families, faults = service.state_of_printing(small.room)
        assert (families, [type(one) for one in faults]) == ((), [PrintingOff])
    finally:
        press.close()


def test_a_missing_glyph_names_the_field_and_nothing_is_kept(small: Room) -> None:
    person = {"name": "邓\U00033000", "id_no": ID_NO}
    with pytest.raises(InvalidBody) as caught:
        small.print(asked(person=person))
    assert [(one["at"], one["rule"]) for one in caught.value.facts["fields"]] == [("person.name", "glyph")]
    assert "\U00033000" not in str(caught.value)
    assert small.list() == []
    assert not list(small.folder.glob("*[0-9a-f]"))


def test_the_state_of_printing_is_good_where_there_are_fonts_and_a_key(small: Room) -> None:
    families, faults = service.state_of_printing(small.room)
    assert families
    assert faults == []


@pytest.mark.parametrize(
    ("kind", "change", "at", "rule"),
    [
        ("fund-notice", {"total_fen": 1}, "data", "sum"),
        ("contribution-voucher", {"total_months": 55}, "data", "sum"),
        ("information-sheet", {"totals": PAPERS["information-sheet"]["totals"] | {"total_fen": 1}}, "totals", "sum"),
        ("decision", {"result": "REJECTED", "reason_text": None}, "data", "reason"),
        ("decision", {"decided_on": "2024-02-30"}, "decided_on", "date"),
        ("decision", {"surprise": 1}, "surprise", "extra_forbidden"),
        ("decision", {"decided_by": "a\u202eb"}, "decided_by", "character"),
        ("fund-notice", {"remittance_text": "长" * 141}, "remittance_text", "string_too_long"),
        ("fund-notice", {"account_fen": 1.5}, "account_fen", "int_type"),
        ("contact-letter", {"requests": []}, "requests", "too_short"),
    ],
)
def test_what_a_paper_may_not_say_is_refused_with_field_and_rule(
    kind: str, change: dict[str, Any], at: str, rule: str
) -> None:
    with pytest.raises(InvalidBody) as caught:
        read_value(kind, PAPERS[kind] | change)
    (found,) = caught.value.facts["fields"]
    assert (found["at"], found["rule"]) == (at, rule)
    assert found["zh"]
    assert found["en"]


def test_no_refusal_repeats_what_it_refuses() -> None:
    number = "450400195708151014\u200b"
    with pytest.raises(InvalidBody) as caught:
        read_value("decision", PAPERS["decision"] | {"decided_by": number, "result": number, "case_number": number})
    assert "450400195708151014" not in str(caught.value) + str(caught.value.facts)


def test_an_unknown_kind_and_too_much_data_are_refused() -> None:
    with pytest.raises(InvalidBody):
        read_value("banknote", {})
    with pytest.raises(TooLarge):
        read_value("decision", b"[" * (256 * 1024 + 1))
    with pytest.raises(InvalidBody):
        read_value("decision", b"{")
    many = [{"name": "长" * 300, "reason": "长" * 300, "legal_ref": "长" * 300, "where": "长" * 300}] * 60
    data = PAPERS["missing-items"] | {"missing": many, "remedy_text": "长" * 2000}
    assert read_value("missing-items", data)[0] is KINDS["missing-items"]


def test_the_largest_paper_of_each_list_is_printed_within_the_memory(small: Room, press: Press) -> None:
    line = PAPERS["information-sheet"]["yearly_lines"][0]
    earlier = PAPERS["information-sheet"]["earlier_transfers"][0]
    small.print(asked("information-sheet", "large", yearly_lines=[line] * 120, earlier_transfers=[earlier] * 60))
    text = "长" * 2000
    small.print(asked("notice", "large", rights=[text] * 30, consequences=[text] * 10))
    assert press.rss_bytes() < 300 * 1024 * 1024


def test_the_database_keeps_one_valid_paper_per_place(room: Room) -> None:
    """The index refuses what two processes would do between look and write."""
    drawn = [service.draw(room.room, asked(), None) for _ in range(2)]
    row = [service._row(room.room, one, room.now) for one in drawn]
    room.database.write(lambda tx: store.add(tx.session, row[0]))
    with pytest.raises(IntegrityError):
        room.database.write(lambda tx: store.add(tx.session, row[1]))
