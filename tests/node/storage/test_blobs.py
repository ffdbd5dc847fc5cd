"""Encrypted files in pieces: what was cut, exchanged or changed does not open; what was whole goes on."""

import hashlib
import os
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from node.storage.blobs import (
    CHUNK_BYTES,
    BlobDamaged,
    BlobHeld,
    BlobMissing,
    Blobs,
    BlobTooLong,
    DigestDiffers,
)
from node.storage.encryption import open_vault

HEADER = 44
RECORD = 12 + CHUNK_BYTES + 16
SIZES = [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 70_001]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "attachments", open_vault(b"k" * 32, os.urandom))


def content(size: int) -> bytes:
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep(blobs: Blobs, data: bytes, *, owner: str = "local", piece: int = 100_000) -> Path:
    with blobs.open_part(name_of(data), owner, len(data)) as part:
        for at in range(part.stored, len(data), piece):
            part.append(data[at : at + piece])
        part.finish()
    return blobs.directory / name_of(data)


def whole(blobs: Blobs, name: str, *range_: int) -> bytes:
    return b"".join(blobs.read(name, *range_))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [65_536, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
def test_what_was_kept_is_read(blobs: Blobs, size: int, piece: int) -> None:
    data = content(size)
    keep(blobs, data, piece=piece)
    assert whole(blobs, name_of(data)) == data
    assert blobs.size(name_of(data)) == size
    assert list(blobs.names()) == [(name_of(data), "")]


def test_any_range_is_read_alone(blobs: Blobs) -> None:
    data = content(3 * CHUNK_BYTES + 10)
    keep(blobs, data)
    for start in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7, len(data) - 1, len(data)):
        for stop in (start, start + 1, start + CHUNK_BYTES + 1, len(data)):
            assert whole(blobs, name_of(data), start, stop) == data[start:stop]


def test_files_are_for_this_account_only_and_tell_nothing(blobs: Blobs) -> None:
    data = b"%PDF-1.7 " + b"canary-4412 " * 200_000
    path = keep(blobs, data)
    assert stat.S_IMODE(blobs.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in blobs.directory.iterdir()} == {0o600}
    assert b"canary" not in path.read_bytes()
    assert path.stat().st_size == HEADER + len(data) + 28 * 3


def test_two_files_of_one_content_share_no_byte_of_ciphertext(blobs: Blobs) -> None:
    data = content(1000)
    first = keep(blobs, data).read_bytes()
    second = keep(blobs, data).read_bytes()
    assert first[HEADER:] != second[HEADER:]
    assert first[4:36] != second[4:36]


def test_another_master_key_opens_nothing(blobs: Blobs) -> None:
    data = content(10)
    keep(blobs, data)
    with pytest.raises(BlobDamaged):
        whole(Blobs(blobs.directory, open_vault(b"o" * 32, os.urandom)), name_of(data))


def spoil_by_cutting(raw: bytes) -> bytes:
    return raw[:-RECORD]


def spoil_by_cutting_with_a_fitting_header(raw: bytes) -> bytes:
    return raw[:36] + (2 * CHUNK_BYTES).to_bytes(8, "big") + raw[HEADER : HEADER + 2 * RECORD]


def spoil_by_exchanging(raw: bytes) -> bytes:
    return raw[:HEADER] + raw[HEADER + RECORD : HEADER + 2 * RECORD] + raw[HEADER : HEADER + RECORD] + raw[-RECORD:]


def spoil_by_repeating(raw: bytes) -> bytes:
    return raw[:HEADER] + 3 * raw[HEADER : HEADER + RECORD]


def spoil_by_one_bit(raw: bytes) -> bytes:
    at = HEADER + RECORD + 500
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def spoil_by_adding(raw: bytes) -> bytes:
    return raw + b"\0"


def spoil_the_salt(raw: bytes) -> bytes:
    return raw[:4] + b"s" * 32 + raw[36:]


def spoil_all(_raw: bytes) -> bytes:
    return b""


SPOILERS: list[Any] = [value for name, value in sorted(globals().items()) if name.startswith("spoil_")]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda one: one.__name__)
def test_a_file_that_was_changed_does_not_open(blobs: Blobs, spoil: Any) -> None:
    data = content(3 * CHUNK_BYTES)
    path = keep(blobs, data)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BlobDamaged):
        whole(blobs, name_of(data))


def test_a_file_under_another_files_name_does_not_open(blobs: Blobs) -> None:
    mine, other = content(100), content(101)[:100]
    keep(blobs, mine).rename(blobs.directory / name_of(other))
    with pytest.raises(BlobDamaged):
        whole(blobs, name_of(other))


def test_an_absent_file_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing):
        blobs.size("0" * 64)


@pytest.mark.parametrize("name", ["", "..", "../x", "0" * 63, "G" * 64, "0" * 64 + "\n"])
def test_nothing_but_a_digest_is_a_name(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        blobs.size(name)


def cut_points() -> list[int]:
    ends = [0, 1, HEADER - 1, HEADER]
    for chunk in range(1, 4):
        end = HEADER + chunk * RECORD
        ends += [end - RECORD + 12, end - 1, end, end + 1]
    return ends


@pytest.mark.parametrize("cut", cut_points())
def test_an_upload_goes_on_from_a_kill_at_any_byte(blobs: Blobs, cut: int) -> None:
    data = content(3 * CHUNK_BYTES + 5)
    name = name_of(data)
    with blobs.open_part(name, "450400", len(data)) as part:
        part.append(data)
    file = blobs.directory / f"{name}.450400.part"
    file.write_bytes(file.read_bytes()[:cut])
    chunks = max(0, cut - HEADER) // RECORD
    assert blobs.offset(name, "450400", len(data)) == chunks * CHUNK_BYTES
    with blobs.open_part(name, "450400", len(data)) as part:
        assert part.stored == chunks * CHUNK_BYTES
        part.append(data[part.stored :])
        part.finish()
    assert whole(blobs, name) == data
    assert not file.exists()


def test_chunks_that_do_not_open_after_a_crash_come_anew(blobs: Blobs) -> None:
    data = content(3 * CHUNK_BYTES + 5)
    name = name_of(data)
    with blobs.open_part(name, "local", len(data)) as part:
        part.append(data[: 3 * CHUNK_BYTES])
    file = blobs.directory / f"{name}.local.part"
    raw = bytearray(file.read_bytes())
    raw[HEADER + RECORD : HEADER + 2 * RECORD] = bytes(RECORD)
    file.write_bytes(raw)
    with blobs.open_part(name, "local", len(data)) as part:
        assert part.stored == CHUNK_BYTES
        part.append(data[CHUNK_BYTES:])
        part.finish()
    assert whole(blobs, name) == data


def test_the_last_chunk_always_comes_anew(blobs: Blobs) -> None:
    data = content(2 * CHUNK_BYTES)
    with blobs.open_part(name_of(data), "local", len(data)) as part:
        part.append(data)
        assert part.is_whole
    assert blobs.offset(name_of(data), "local", len(data)) == CHUNK_BYTES
    with blobs.open_part(name_of(data), "local", len(data)) as part:
        assert (part.stored, part.is_whole) == (CHUNK_BYTES, False)
    keep(blobs, data)
    assert whole(blobs, name_of(data)) == data


def test_other_bytes_do_not_get_the_name(blobs: Blobs) -> None:
    data = content(2 * CHUNK_BYTES)
    with blobs.open_part("0" * 64, "local", len(data)) as part:
        part.append(data)
        with pytest.raises(DigestDiffers):
            part.finish()
        part.discard()
    assert list(blobs.names()) == []


def test_more_bytes_than_announced_are_refused(blobs: Blobs) -> None:
    with blobs.open_part("0" * 64, "local", 10) as part:
        part.append(b"a" * 10)
        with pytest.raises(BlobTooLong):
            part.append(b"a")


def test_another_size_begins_anew(blobs: Blobs) -> None:
    data = content(2 * CHUNK_BYTES)
    with blobs.open_part(name_of(data), "local", 3 * CHUNK_BYTES) as part:
        part.append(data)
    assert blobs.offset(name_of(data), "local", 3 * CHUNK_BYTES) == 2 * CHUNK_BYTES
    with blobs.open_part(name_of(data), "local", len(data)) as part:
        assert part.stored == 0


def test_an_upload_is_held_by_one_and_owners_do_not_meet(blobs: Blobs) -> None:
    with blobs.open_part("0" * 64, "442000", 10):
        with pytest.raises(BlobHeld):
            blobs.open_part("0" * 64, "442000", 10)
        blobs.open_part("0" * 64, "450400", 10).close()
        assert not blobs.delete_part("0" * 64, "442000", lambda: True)
    assert blobs.delete_part("0" * 64, "442000", lambda: True)
    assert list(blobs.names()) == [("0" * 64, "450400")]


def test_a_part_that_was_cleaned_away_gets_no_name(blobs: Blobs) -> None:
    data = content(10)
    with blobs.open_part(name_of(data), "local", 10) as part:
        part.append(data)
        (blobs.directory / f"{name_of(data)}.local.part").unlink()
        with pytest.raises(BlobMissing):
            part.finish()


def test_a_file_is_deleted_only_if_the_answer_is_yes(blobs: Blobs) -> None:
    data = content(10)
    keep(blobs, data)
    assert not blobs.delete(name_of(data), lambda: False)
    assert whole(blobs, name_of(data)) == data
    assert blobs.delete(name_of(data), lambda: True)
    assert not blobs.delete(name_of(data), lambda: True)


def test_a_reader_goes_on_when_the_file_is_replaced_and_deleted(blobs: Blobs) -> None:
    data = content(3 * CHUNK_BYTES)
    keep(blobs, data)
    reading = blobs.read(name_of(data))
    first = next(reading)
    keep(blobs, data)
    blobs.delete(name_of(data), lambda: True)
    assert first + b"".join(reading) == data


def test_a_full_disk_leaves_whole_chunks(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(3 * CHUNK_BYTES)
    real = os.pwritev

    def short(descriptor: int, pieces: Any, at: int) -> int:
        if at >= HEADER + RECORD:
            return real(descriptor, [bytes(pieces[0])[:5]], at)
        return real(descriptor, pieces, at)

    with blobs.open_part(name_of(data), "local", len(data)) as part:
        monkeypatch.setattr("node.storage.blobs.os.pwritev", short)
        with pytest.raises(OSError, match="no room"):
            part.append(data)
        monkeypatch.undo()
    keep(blobs, data)
    assert whole(blobs, name_of(data)) == data


def test_memory_does_not_grow_with_the_size(blobs: Blobs, tmp_path: Path) -> None:
    """64 MiB written, resumed and read while never more than a few MiB are held."""
    size, piece = 64 * CHUNK_BYTES, bytes(CHUNK_BYTES)
    digest = hashlib.sha256()
    for _ in range(64):
        digest.update(piece)
    name = digest.hexdigest()
    tracemalloc.start()
    try:
        with blobs.open_part(name, "local", size) as part:
            for _ in range(40):
                part.append(piece)
        with blobs.open_part(name, "local", size) as part:
            for _ in range(24):
                part.append(piece)
            part.finish()
        assert sum(len(one) for one in blobs.read(name)) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * CHUNK_BYTES
