"""Taking attachments: whole, in parts, wrong, too many, too large; and what is known of them afterwards."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.attachments import service
from node.attachments.receiving import AT_A_TIME
from node.attachments.scanning import Verdict
from node.attachments.service import COMPLETE, HELD, LOCAL, PARTIAL, REFUSED, Described, Upload
from node.storage.blobs import CHUNK_BYTES
from protocol.errors import (
    AttachmentMissing,
    Busy,
    DigestMismatch,
    InvalidBody,
    Malformed,
    NotFound,
    StorageFull,
    TooLarge,
)
from tests.node.attachments.rooms import CASE, MIB, OTHER, PDF, PEER, Room, digest_of, in_pieces, pdf

DATA = pdf(3 * CHUNK_BYTES + 77)
DIGEST = digest_of(DATA)


def bytes_of(room: Room, digest: str) -> bytes:
    with room.database.reading() as session:
        found = service.whole(session, digest, PEER, lambda *_: True)
    return b"".join(service.open_stream(room.room, found))


def test_an_attachment_is_brought_used_and_read(room: Room) -> None:
    progress = room.bring_now(DATA)
    assert (progress.state, progress.stored) == (COMPLETE, len(DATA))
    assert room.use(DIGEST) == [DIGEST]
    assert bytes_of(room, DIGEST) == DATA
    with room.database.reading() as session:
        assert service.cases_naming(session, DIGEST) == [CASE]
        assert service.named_by(session, CASE) == [Described(DIGEST, len(DATA), PDF)]


def test_an_upload_goes_on_where_it_ended(room: Room) -> None:
    stored = room.bring_now(DATA, upto=2 * CHUNK_BYTES + 9).stored
    assert stored == 2 * CHUNK_BYTES
    with room.database.reading() as session:
        assert service.progress(room.room, session, DIGEST, PEER).stored == stored
    assert room.bring_now(DATA, start=stored).state == COMPLETE
    assert bytes_of(room, DIGEST) == DATA


def test_bytes_that_are_here_already_may_come_again(room: Room) -> None:
    room.bring_now(DATA, upto=2 * CHUNK_BYTES)
    assert room.bring_now(DATA, start=CHUNK_BYTES - 3).state == COMPLETE
    assert bytes_of(room, DIGEST) == DATA


def test_an_upload_cannot_begin_behind_what_is_here(room: Room) -> None:
    with pytest.raises(Malformed) as refused:
        room.bring_now(DATA, start=CHUNK_BYTES)
    assert refused.value.facts == {"offset": 0}


def test_what_is_complete_is_not_read_again(room: Room) -> None:
    room.bring_now(DATA)

    async def unread() -> AsyncIterator[bytes]:
        for _ in range(1):
            raise AssertionError("nobody asked for it")
        yield b""

    async def again() -> str:
        receiving = room.receiving()
        progress = await receiving.receive(Upload(DIGEST, len(DATA), PDF, PEER), 0, unread())
        receiving.close()
        return progress.state

    assert asyncio.run(again()) == COMPLETE


def test_other_bytes_are_refused_and_forgotten(room: Room) -> None:
    with pytest.raises(DigestMismatch):
        room.bring_now(DATA, digest="0" * 64)
    assert room.state("0" * 64) == ""
    assert room.files() == []
    assert room.bring_now(DATA).state == COMPLETE


@pytest.mark.threat("T14")
def test_bytes_of_another_type_are_refused_and_forgotten(room: Room) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    with pytest.raises(InvalidBody, match=r"declared as application/pdf, but the bytes are image/png"):
        room.bring_now(png)
    assert (room.state(digest_of(png)), room.files()) == ("", [])
    assert room.bring_now(png, type="image/png").state == COMPLETE


@pytest.mark.threat("T14")
@pytest.mark.parametrize("type", ["text/html", "image/svg+xml", "", "application/PDF", "application/pdf; x=1"])
def test_a_type_that_is_not_accepted_is_refused_before_a_byte(room: Room, type: str) -> None:
    with pytest.raises(InvalidBody):
        room.bring_now(DATA, type=type)
    assert (room.state(DIGEST), room.files()) == ("", [])


@pytest.mark.parametrize("size", [0, 8 * MIB + 1])
def test_a_size_beyond_the_limit_is_refused_before_a_byte(room: Room, size: int) -> None:
    with pytest.raises(TooLarge) as refused:
        room.bring_now(pdf(size))
    assert refused.value.facts == {"limit_bytes": 8 * MIB}
    assert room.files() == []


@pytest.mark.parametrize("disk", [(0, MIB + len(DATA) - 1), (95 * 10**9, 5 * 10**9)])
def test_a_full_disk_is_said_before_a_byte(room: Room, disk: tuple[int, int]) -> None:
    room.disk = disk
    with pytest.raises(StorageFull):
        room.bring_now(DATA)
    assert (room.state(DIGEST), room.files()) == ("", [])


def test_a_disk_that_fills_meanwhile_leaves_an_upload_that_goes_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("node.storage.blobs.os.pwritev", lambda *_: 7)
        with pytest.raises(StorageFull):
            room.bring_now(DATA)
    assert room.state(DIGEST) == PARTIAL
    assert room.bring_now(DATA).state == COMPLETE


def test_what_no_case_names_is_limited_for_each_member(room: Room) -> None:
    room.limits = replace(room.limits, unused_bytes=3 * MIB)
    first, second = pdf(2 * MIB), pdf(2 * MIB - 1)
    room.bring_now(first)
    with pytest.raises(TooLarge):
        room.bring_now(second)
    room.bring_now(second, by=OTHER)
    room.bring_now(second, by=LOCAL)
    room.use(digest_of(first))
    assert room.bring_now(second).state == COMPLETE


def test_uploads_that_only_begin_count_too_and_tiny_ones_count_more(room: Room) -> None:
    room.limits = replace(room.limits, unused_bytes=3 * service.LEAST_BYTES)
    for seed in "abc":
        room.bring_now(pdf(100, seed), upto=10)
    with pytest.raises(TooLarge):
        room.bring_now(pdf(100, "d"))
    assert room.bring_now(pdf(100, "a")).state == COMPLETE


def test_an_upload_of_another_member_does_not_exist(room: Room) -> None:
    room.bring_now(DATA)
    with room.database.reading() as session, pytest.raises(NotFound):
        service.progress(room.room, session, DIGEST, OTHER)
    assert room.bring_now(DATA, by=OTHER, upto=10).stored == 0


def test_who_knows_only_the_digest_gets_nothing_by_naming_it(room: Room) -> None:
    room.bring_now(DATA)
    with pytest.raises(AttachmentMissing) as refused:
        room.use(DIGEST, by=OTHER)
    assert refused.value.facts == {"digests": [DIGEST], "held": []}
    room.bring_now(DATA, by=OTHER)
    assert room.use(DIGEST, by=OTHER) == [DIGEST]


def test_what_the_case_names_already_may_be_named_by_both_sides(room: Room) -> None:
    room.bring_now(DATA)
    room.use(DIGEST)
    assert room.use(DIGEST, by=LOCAL) == [DIGEST]
    with pytest.raises(AttachmentMissing):
        room.use(DIGEST, by=LOCAL, case="KS450400202611240000020")


def test_all_that_is_missing_is_listed_and_nothing_is_named(room: Room) -> None:
    room.bring_now(DATA)
    room.bring_now(pdf(500), upto=10)
    wanted = [DIGEST, digest_of(pdf(500)), "f" * 64]
    with pytest.raises(AttachmentMissing) as refused:
        room.use(*wanted)
    assert refused.value.facts["digests"] == sorted(wanted[1:])
    with room.database.reading() as session:
        assert service.missing(session, wanted, by=PEER) == wanted[1:]
        assert service.named_by(session, CASE) == []
        with pytest.raises(AttachmentMissing):
            service.describe(session, wanted, by=PEER)
        assert service.describe(session, [DIGEST, DIGEST], by=PEER) == 2 * [Described(DIGEST, len(DATA), PDF)]
        assert service.describe(session, [], by=PEER) == []


def test_naming_twice_is_naming_once(room: Room) -> None:
    room.bring_now(DATA)
    assert room.use(DIGEST, DIGEST) == room.use(DIGEST, DIGEST) == [DIGEST, DIGEST]


def test_only_a_party_of_a_case_may_read(room: Room) -> None:
    room.bring_now(DATA)
    room.use(DIGEST)
    with room.database.reading() as session:
        assert service.whole(session, DIGEST, PEER, lambda _s, _d, member: member == PEER).size == len(DATA)
        with pytest.raises(NotFound):
            service.whole(session, DIGEST, OTHER, lambda _s, _d, member: member == PEER)
        with pytest.raises(NotFound):
            service.whole(session, "0" * 64, PEER, lambda *_: True)


def test_an_examination_that_says_clean_completes(room: Room) -> None:
    room.verdicts = [Verdict.CLEAN]
    assert room.bring_now(DATA).state == COMPLETE
    assert room.examined == [DATA]


@pytest.mark.threat("T14")
def test_an_examination_that_refuses_deletes_and_is_remembered(room: Room) -> None:
    room.verdicts = [Verdict.REFUSED]
    for _ in range(2):
        with pytest.raises(InvalidBody, match="refused the content"):
            room.bring_now(DATA)
    assert (room.state(DIGEST), room.files()) == (REFUSED, [])
    with pytest.raises(AttachmentMissing):
        room.use(DIGEST)


def test_an_examination_that_cannot_say_holds(room: Room) -> None:
    room.verdicts = [Verdict.UNKNOWN]
    assert room.bring_now(DATA).state == room.bring_now(DATA).state == HELD
    with pytest.raises(AttachmentMissing) as refused:
        room.use(DIGEST)
    assert refused.value.facts == {"digests": [DIGEST], "held": [DIGEST]}
    with room.database.reading() as session, pytest.raises(NotFound):
        service.whole(session, DIGEST, PEER, lambda *_: True)


def test_a_member_has_a_few_uploads_at_a_time_and_one_of_each(room: Room) -> None:
    async def check() -> None:
        receiving, gate = room.receiving(), asyncio.Event()

        async def slow(data: bytes) -> AsyncIterator[bytes]:
            await gate.wait()
            yield data

        def begin(number: int, by: str) -> "asyncio.Task[object]":
            data = pdf(100 + number)
            upload = Upload(digest_of(data), len(data), PDF, by)
            return asyncio.get_running_loop().create_task(receiving.receive(upload, 0, slow(data)))

        running = [begin(number, PEER) for number in range(AT_A_TIME)]
        await asyncio.sleep(0.2)
        with pytest.raises(Busy, match="are coming already"):
            await begin(50, PEER)
        running.append(begin(60, OTHER))
        await asyncio.sleep(0.1)
        with pytest.raises(Busy, match="this attachment is coming already"):
            await begin(60, OTHER)
        gate.set()
        assert {getattr(one, "state", "") for one in await asyncio.gather(*running)} == {COMPLETE}
        receiving.close()

    asyncio.run(check())


def test_an_upload_that_falls_silent_ends_and_may_go_on(room: Room) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield DATA[: CHUNK_BYTES + 5]
        await asyncio.sleep(60)

    async def check() -> None:
        receiving = room.receiving()
        receiving.silent_seconds = 0.2
        with pytest.raises(Busy, match="nothing more came"):
            await receiving.receive(Upload(DIGEST, len(DATA), PDF, PEER), 0, silent())
        receiving.close()

    asyncio.run(check())
    assert room.bring_now(DATA, start=CHUNK_BYTES).state == COMPLETE


def test_more_bytes_than_announced_are_refused(room: Room) -> None:
    async def check() -> None:
        receiving = room.receiving()
        with pytest.raises(Malformed, match="more bytes"):
            await receiving.receive(Upload(DIGEST, 10, PDF, PEER), 0, in_pieces(DATA))
        receiving.close()

    asyncio.run(check())


def test_a_file_of_this_city_is_kept(room: Room, tmp_path: Path) -> None:
    file = tmp_path / "form.pdf"
    file.write_bytes(DATA)

    async def check() -> Described:
        receiving = room.receiving()
        try:
            return await receiving.keep_file(file, PDF)
        finally:
            receiving.close()

    assert asyncio.run(check()) == Described(DIGEST, len(DATA), PDF)
    assert room.use(DIGEST, by=LOCAL) == [DIGEST]


def test_no_name_or_row_holds_what_the_attachment_says(room: Room) -> None:
    room.bring_now(pdf(2000, "张三 450402199001010015"))
    assert all(b"450402199001010015" not in file.read_bytes() for file in room.directory.iterdir())
