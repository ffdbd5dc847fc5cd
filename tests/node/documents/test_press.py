"""The press: a warm process that may die, hang, grow or meet a hostile file, and papers go on."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.documents import fonts, press
from node.documents.fonts import FETCHED, NoFont, find_typefaces
from node.documents.glyphs import coverage
from node.documents.press import MIB, Examined, Press, PressFault, PressLimits, Signer
from tests.node.documents.papers import PAPERS, paper_of
from tests.node.documents.rooms import CA, LEAF, NOW, signer

SLIP = paper_of("acceptance-slip")


@pytest.fixture
def own(press: Press) -> Iterator[Press]:
    """A press of its own, for tests that harm it; the shared one says whether there are fonts."""
    one = Press()
    yield one
    one.close()


def child_of(one: Press) -> psutil.Process:
    worker = one._worker
    assert worker is not None
    return psutil.Process(worker.process.pid)


def test_a_worker_that_was_killed_between_two_papers_is_replaced(own: Press) -> None:
    first = own.print(SLIP, None, NOW)
    child_of(own).kill()
    assert own.print(SLIP, None, NOW) == first


def test_a_worker_that_is_killed_in_the_middle_of_a_paper_is_replaced_and_the_paper_printed(own: Press) -> None:
    own.print(SLIP, None, NOW)
    killed: list[psutil.Process] = []

    def sign(data: bytes) -> bytes:
        if not killed:
            killed.append(child_of(own))
            killed[0].kill()
        return signer().sign(data)

    pdf = own.print(SLIP, Signer(LEAF.der, CA.der, sign), NOW)
    assert own.examine(pdf).is_intact
    assert not killed[0].is_running()


def test_a_worker_that_always_dies_is_given_up_after_the_second_time(own: Press) -> None:
    def sign(_data: bytes) -> bytes:
        child_of(own).kill()
        return b""

    with pytest.raises(PressFault, match="ended"):
        own.print(SLIP, Signer(LEAF.der, CA.der, sign), NOW)
    assert own.print(SLIP, None, NOW)


def test_a_key_that_fails_ends_the_paper_and_no_later_one(own: Press) -> None:
    def sign(_data: bytes) -> bytes:
        raise RuntimeError("the key store is away")

    with pytest.raises(RuntimeError, match="key store"):
        own.print(SLIP, Signer(LEAF.der, CA.der, sign), NOW)
    assert own.examine(own.print(SLIP, signer(), NOW)).is_intact


def test_a_worker_that_hangs_is_killed_when_its_time_is_over(press: Press) -> None:
    one = Press(limits=PressLimits(seconds=3))
    try:
        one.print(SLIP, None, NOW)
        child = child_of(one)
        child.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert one.print(SLIP, None, NOW)
        assert 2 < time.monotonic() - begun < 20
        assert not child.is_running()
    finally:
        one.close()


@pytest.mark.parametrize("limits", [PressLimits(papers_max=2), PressLimits(grown_bytes=1)])
def test_a_worker_is_replaced_after_its_papers_and_when_it_has_grown(press: Press, limits: PressLimits) -> None:
    one = Press(limits=limits)
    try:
        seen = set()
        for _ in range(4):
            one.print(SLIP, None, NOW)
            seen.add(child_of(one).pid)
        assert len(seen) >= 2
    finally:
        one.close()


def test_the_memory_of_a_worker_is_bounded(press: Press) -> None:
    largest = 0
    for size in ("normal", "large"):
        for kind in PAPERS:
            press.print(paper_of(kind, size), signer(), NOW)
            largest = max(largest, press.rss_bytes())
    assert largest < 300 * MIB


def test_a_worker_that_wants_more_memory_than_it_may_is_ended(press: Press) -> None:
    one = Press(limits=PressLimits(memory_bytes=24 * MIB))
    with pytest.raises(PressFault, match="ended"):
        one.print(SLIP, None, NOW)


def test_the_worker_has_no_key_no_environment_and_ends_with_us(own: Press) -> None:
    own.print(SLIP, signer(), NOW)
    child = child_of(own)
    assert child.environ() == {}
    assert child.cwd() == "/"
    own.close()
    with pytest.raises(psutil.NoSuchProcess):
        child.status()


def test_threads_share_one_worker(own: Press) -> None:
    papers: list[bytes] = []
    threads = [threading.Thread(target=lambda: papers.append(own.print(SLIP, None, NOW))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(papers) == 4
    assert len(set(papers)) == 1


def test_a_character_that_no_font_draws_is_refused_with_its_field_and_never_printed_as_a_box(press: Press) -> None:
    rare = "\U00033000"
    person = {"name": f"邓{rare}", "id_no": "450400195708151014"}
    with pytest.raises(PressFault) as caught:
        press.print(paper_of("decision", person=person, legal_ref=f"《{rare}法》"), None, NOW)
    assert caught.value.rule == "glyph"
    assert set(caught.value.at) == {"data.person.name", "data.legal_ref"}
    assert rare not in str(caught.value)


def test_a_fault_of_a_template_says_nothing_of_the_paper(press: Press) -> None:
    broken = json.loads(SLIP)
    del broken["data"]["clerk"]
    with pytest.raises(PressFault, match=r"^template$") as caught:
        press.print(json.dumps(broken).encode(), None, NOW)
    assert caught.value.at == ()


def test_without_a_font_nothing_is_printed_and_papers_of_others_are_still_examined(
    press: Press, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = press.print(SLIP, signer(), NOW)
    one = without_fonts(monkeypatch)
    try:
        assert one.families() == ()
        with pytest.raises(PressFault, match="no-font"):
            one.form()
        with pytest.raises(PressFault, match="no-font"):
            one.print(SLIP, None, NOW)
        found = one.examine(signed)
        assert found.is_intact
        assert found.redrawn == "other-form"
    finally:
        one.close()


def without_fonts(monkeypatch: pytest.MonkeyPatch) -> Press:
    """Return a press on a machine without fonts: its worker looks for them where there are none."""
    nowhere = "import node.documents.fonts as f; from pathlib import Path; old = f.find_typefaces; "
    nowhere += "f.find_typefaces = lambda own: old(own, [], Path('/nonexistent')); "
    start, end = press.PROGRAM.split("from node", 1)
    monkeypatch.setattr(press, "PROGRAM", f"{start}{nowhere}from node{end}")
    return Press()


def test_fonts_of_the_operator_come_first_then_the_system_then_those_that_were_fetched(tmp_path: Path) -> None:
    with pytest.raises(NoFont):
        find_typefaces([], [tmp_path], tmp_path)
    (tmp_path / "broken.ttf").write_bytes(os.urandom(1000))
    with pytest.raises(NoFont):
        find_typefaces([tmp_path], [], tmp_path)
    assert FETCHED.name == "tongban"


def test_the_system_fonts_draw_rare_names_and_no_private_characters(press: Press) -> None:
    typefaces = find_typefaces([])
    assert not typefaces.lacks("邓𠮷·买买提\n壹贰叁")
    assert typefaces.lacks("\ue000")
    assert typefaces.families[0] in fonts.NOTO


@given(st.binary(max_size=300))
def test_a_file_that_is_no_font_covers_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "no-font.ttf"
    for head in (b"", b"ttcf\0\1\0\0\0\0\0\1\0\0\0\x10", b"\0\1\0\0\0\1\0\0\0\0\0\0cmap\0\0\0\0\0\0\0\x1c\0\0\1\0"):
        file.write_bytes(head + data)
        coverage(file)


@pytest.fixture(scope="module")
def signed(press: Press) -> bytes:
    return press.print(SLIP, signer(), NOW)


def examined(press: Press, pdf: bytes) -> Examined | None:
    """Return what was found, or nothing where it cannot be read; no other fault may come of a file."""
    try:
        return press.examine(pdf)
    except PressFault as fault:
        if fault.rule not in {"unreadable", "resources"}:
            raise
        return None


@pytest.mark.threat("T14")
@settings(max_examples=100)
@given(data=st.data())
def test_a_changed_pdf_is_unreadable_or_not_intact_and_the_worker_lives(
    press: Press, signed: bytes, data: st.DataObject
) -> None:
    pdf = bytearray(signed)
    place = data.draw(st.integers(0, len(pdf) - 1))
    pdf[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.one_of(st.just(len(pdf)), st.integers(0, len(pdf))))
    found = examined(press, bytes(pdf[:cut]))
    if found is None:
        return
    # The signature does not cover itself: room after it, the certificates beside it, small or large hex digits.
    _, start, end, _ = map(int, re.findall(rb"/ByteRange\s*\[([\d\s]+)\]", signed)[0].split())
    assert not (found.is_intact and found.covers_all) or start <= place < end


@pytest.mark.threat("T14")
@settings(max_examples=100)
@given(st.binary(max_size=2000))
def test_what_is_no_pdf_is_unreadable(press: Press, data: bytes) -> None:
    for head in (b"", b"%PDF-1.7\n"):
        with pytest.raises(PressFault, match="unreadable"):
            press.examine(head + data)


def test_what_is_added_after_the_signature_is_seen(press: Press) -> None:
    pdf = press.print(SLIP, signer(), NOW)
    assert press.examine(pdf).covers_all
    found = examined(press, pdf + b"\n% added\n")
    assert found is None or not found.covers_all


def test_a_signature_says_when_it_was_made(press: Press) -> None:
    later = NOW + timedelta(hours=5)
    assert press.examine(press.print(SLIP, signer(), later)).signed_at == later


def test_an_unsigned_paper_has_no_signature(press: Press) -> None:
    found = press.examine(press.print(SLIP, None, NOW))
    assert (found.signatures, found.is_intact, found.certificate) == (0, False, None)
