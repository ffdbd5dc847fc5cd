"""Attachments between two cities over real TLS: brought, resumed, refused, fetched."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.attachments import service
from node.attachments.scanning import Verdict
from node.attachments.service import COMPLETE, HELD, LOCAL, PARTIAL, Described
from node.storage.blobs import CHUNK_BYTES
from node.transport.client import TRANSFERRING, NoAnswer, PeerAnswer
from node.transport.outbound import Streamed
from node.transport.transfers import PeerRefused, Standing
from protocol.suites import parse_json
from tests.networks import TestNetwork
from tests.node.attachments.doors import OpenDoor, open_door
from tests.node.attachments.rooms import ME, MIB, OTHER, PDF, Room, digest_of, in_pieces, pdf
from tests.node.transport.servers import founded

DATA = pdf(3 * CHUNK_BYTES + 77)
DIGEST = digest_of(DATA)
ONE = Described(DIGEST, len(DATA), PDF)


@pytest.fixture(scope="session")
def network() -> TestNetwork:
    return founded()


def through(network: TestNetwork, room: Room, check: Callable[[OpenDoor], Awaitable[None]], **changes: Any) -> None:
    async def run() -> None:
        async with open_door(network, room, **changes) as door:
            await check(door)

    asyncio.run(run())


def source(data: bytes, piece: int = 300_000) -> Callable[[int], Iterator[bytes]]:
    return lambda start: (data[at : at + piece] for at in range(start, len(data), piece))


async def put(door: OpenDoor, data: bytes = DATA, *, code: str = ME, digest: str = "", type: str = PDF) -> Standing:
    async with door.caller(code) as us:
        name = digest or digest_of(data)
        return await us.transfers.put_attachment(door.member, name, len(data), type, source(data))


async def ask(door: OpenDoor, method: str, code: str = ME, digest: str = DIGEST, **options: Any) -> PeerAnswer:
    async with door.caller(code) as us:
        path = f"/v1/attachments/{digest}"
        return await us.transfers.clients.request(door.member, method, path, max_bytes=10 * MIB, **options)


def slug(answer: PeerAnswer) -> Any:
    return parse_json(answer.body)["slug"]


def test_an_attachment_goes_from_store_to_store_and_back(network: TestNetwork, room: Room, tmp_path: Path) -> None:
    ours = Room(room.database, tmp_path / "ours")

    async def check(door: OpenDoor) -> None:
        await ours.bring(DATA, by=LOCAL)
        async with door.caller(own=ours) as us:
            assert await us.deliver(door.member, [ONE])
            assert room.state(DIGEST, ME) == COMPLETE
            room.use(DIGEST, by=ME)
            door.parties.add(ME)
            fetched = await us.transfers.get_attachment(door.member, DIGEST, len(DATA)).__anext__()
            assert fetched == DATA[: 2 * MIB]

    through(network, room, check)


def test_what_a_peer_has_is_fetched_and_checked(network: TestNetwork, room: Room, tmp_path: Path) -> None:
    async def check(door: OpenDoor) -> None:
        await room.bring(DATA, by=LOCAL)
        door.parties.add(ME)
        ours = Room(room.database, tmp_path / "ours")
        async with door.caller(own=ours) as us:
            assert (await us.fetch(door.member, ONE)).state == COMPLETE
        assert ours.blobs.size(DIGEST) == len(DATA)

    through(network, room, check)


def test_an_upload_goes_on_after_a_cut_and_sends_only_the_rest(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        await small.bring(DATA, by=ME, upto=2 * CHUNK_BYTES + 5)
        asked: list[int] = []

        def open_at(start: int) -> Iterator[bytes]:
            asked.append(start)
            return iter([DATA[start:]])

        async with door.caller() as us:
            assert (await us.transfers.standing(door.member, DIGEST)) == Standing(PARTIAL, 2 * CHUNK_BYTES)
            standing = await us.transfers.put_attachment(door.member, DIGEST, len(DATA), PDF, open_at)
            assert (standing, asked) == (Standing(COMPLETE, len(DATA)), [2 * CHUNK_BYTES])
            again = await us.transfers.put_attachment(door.member, DIGEST, len(DATA), PDF, open_at)
            assert (again, len(asked)) == (standing, 1)

    through(network, small, check)


def test_a_source_that_breaks_is_followed_up_as_long_as_it_brings_something(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        asked: list[int] = []

        def breaking(start: int) -> Iterator[bytes]:
            asked.append(start)
            yield DATA[start : start + CHUNK_BYTES]
            if start + CHUNK_BYTES < len(DATA):
                raise OSError("the connection was cut")

        async with door.caller() as us:
            standing = await us.transfers.put_attachment(door.member, DIGEST, len(DATA), PDF, breaking)
        assert standing.state == COMPLETE
        assert asked == [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]

    through(network, small, check)


def test_a_source_that_brings_nothing_is_given_up(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        def broken(_start: int) -> Iterator[bytes]:
            yield b"%PDF-"
            raise OSError("cut")

        async with door.caller() as us:
            with pytest.raises(NoAnswer):
                await us.transfers.put_attachment(door.member, DIGEST, len(DATA), PDF, broken)
        assert small.state(DIGEST, ME) == PARTIAL

    through(network, small, check)


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (DATA, {"digest": "0" * 64}, "digest-mismatch"),
        (DATA, {"type": "image/png"}, "invalid-body"),
        (DATA, {"type": "text/html"}, "invalid-body"),
        (pdf(9 * MIB), {}, "too-large"),
    ],
)
def test_a_refusal_of_an_upload_arrives_with_its_reason(
    network: TestNetwork, small: Room, data: bytes, options: dict[str, str], expected: str
) -> None:
    async def check(door: OpenDoor) -> None:
        with pytest.raises(PeerRefused) as refused:
            await put(door, data, **options)
        assert refused.value.problem.slug == expected
        assert small.files() == []
        assert (await put(door)).state == COMPLETE

    through(network, small, check)


def test_what_is_refused_before_a_byte_is_never_sent(network: TestNetwork, small: Room) -> None:
    """The peer is asked first (`Expect: 100-continue`)."""
    small.disk = (0, 0)
    taken: list[int] = []

    def watched(start: int) -> Iterator[bytes]:
        taken.append(start)
        yield DATA[start:]

    async def check(door: OpenDoor) -> None:
        async with door.caller() as us:
            with pytest.raises(PeerRefused) as refused:
                await us.transfers.put_attachment(door.member, DIGEST, len(DATA), PDF, watched)
        assert (refused.value.problem.slug, taken) == ("storage-full", [])

    through(network, small, check)


def test_an_attachment_that_is_held_is_not_delivered(network: TestNetwork, small: Room, tmp_path: Path) -> None:
    small.verdicts = [Verdict.UNKNOWN]
    ours = Room(small.database, tmp_path / "ours")

    async def check(door: OpenDoor) -> None:
        await ours.bring(DATA, by=LOCAL)
        async with door.caller(own=ours) as us:
            assert not await us.deliver(door.member, [ONE])
            assert not await us.deliver(door.member, [ONE])
            assert (await us.transfers.standing(door.member, DIGEST)).state == HELD
        assert small.examined == [DATA]

    through(network, small, check)


def test_a_file_of_ours_that_is_gone_is_not_delivered(network: TestNetwork, small: Room, tmp_path: Path) -> None:
    async def check(door: OpenDoor) -> None:
        async with door.caller(own=Room(small.database, tmp_path / "ours")) as us:
            assert not await us.deliver(door.member, [ONE])

    through(network, small, check)


def test_a_peer_that_is_away_is_tried_again_later(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        await small.bring(DATA, by=LOCAL)
        away = network.manifest.members[OTHER]
        async with door.caller() as us:
            assert not await us.deliver(away, [ONE])

    through(network, small, check)


def test_an_upload_of_another_member_is_invisible(network: TestNetwork, room: Room) -> None:
    async def check(door: OpenDoor) -> None:
        assert (await put(door)).state == COMPLETE
        assert (await ask(door, "HEAD", OTHER)).status == 404
        async with door.caller(OTHER) as other:
            assert await other.transfers.standing(door.member, DIGEST) == Standing(PARTIAL, 0)
        standing = await ask(door, "HEAD")
        assert standing.headers["content-range"] == f"bytes 0-{len(DATA) - 1}/{len(DATA)}"
        assert standing.headers["tongban-state"] == COMPLETE

    through(network, room, check)


def test_only_the_parties_of_a_case_may_read(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        await put(door)
        assert (await ask(door, "GET")).status == 404  # its own upload, which no case names
        door.parties.add(OTHER)
        assert (await ask(door, "GET")).status == 404
        answer = await ask(door, "GET", OTHER)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, DATA, PDF)
        assert (await ask(door, "GET", OTHER, digest="0" * 64)).status == 404

    through(network, small, check)


@pytest.mark.parametrize(
    ("wanted", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=1048570-1048580", 206, 1_048_570, 1_048_581),
        (f"bytes={len(DATA) - 1}-", 206, len(DATA) - 1, len(DATA)),
        (f"bytes=5-{len(DATA) * 9}", 206, 5, len(DATA)),
        ("bytes=0-", 200, 0, len(DATA)),
        ("bytes=-5", 200, 0, len(DATA)),
        ("lines=1-2", 200, 0, len(DATA)),
    ],
)
def test_a_range_is_read(network: TestNetwork, small: Room, wanted: str, status: int, start: int, stop: int) -> None:
    async def check(door: OpenDoor) -> None:
        await small.bring(DATA, by=LOCAL)
        door.parties.add(ME)
        answer = await ask(door, "GET", headers={"range": wanted})
        assert (answer.status, answer.body == DATA[start:stop]) == (status, True)
        here = f"bytes {start}-{stop - 1}/{len(DATA)}"
        assert answer.headers.get("content-range") == (here if status == 206 else None)

    through(network, small, check)


def test_a_range_behind_the_end_is_refused(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        await small.bring(DATA, by=LOCAL)
        door.parties.add(ME)
        for wanted in (f"bytes={len(DATA)}-", "bytes=9-8"):
            assert slug(await ask(door, "GET", headers={"range": wanted})) == "malformed"

    through(network, small, check)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-range": "bytes 0-4/5", "content-encoding": "gzip"},
        {"content-range": "bytes 0-9/10"},
        {"content-range": "bytes 0-4/4"},
        {"content-range": "bytes 4-0/5"},
        {"content-range": "bytes */5"},
        {"content-range": "bytes 0-4/*"},
        {"content-range": "bytes 0-4/" + "9" * 40},
        {"content-range": "bytes 5-9/20"},
    ],
    ids=str,
)
def test_headers_that_do_not_fit_are_refused(network: TestNetwork, small: Room, headers: dict[str, str]) -> None:
    async def check(door: OpenDoor) -> None:
        answer = await ask(door, "PUT", content=b"%PDF-", headers={"content-type": PDF, **headers})
        assert (answer.status, slug(answer)) == (400, "malformed")
        assert answer.headers.get("connection") == "close" or headers.get("content-range") == "bytes 5-9/20"

    through(network, small, check)


@pytest.mark.parametrize("digest", ["0" * 63, "A" * 64, "..%2f..%2fetc", "0" * 65])
def test_nothing_but_a_digest_is_an_address(network: TestNetwork, small: Room, digest: str) -> None:
    async def check(door: OpenDoor) -> None:
        for method in ("PUT", "HEAD", "GET"):
            assert (await ask(door, method, digest=digest)).status in (404, 422)
        assert small.files() == []

    through(network, small, check)


def test_a_whole_body_needs_no_range_and_a_part_may_come_alone(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        little = pdf(500_000)
        plain = await ask(door, "PUT", digest=digest_of(little), content=little, headers={"content-type": PDF})
        assert (plain.status, parse_json(plain.body)) == (201, {"state": COMPLETE})
        other = pdf(2 * CHUNK_BYTES)
        headers = {
            "content-type": PDF,
            "content-range": f"bytes 0-{CHUNK_BYTES}/{len(other)}",
            "content-length": str(CHUNK_BYTES + 1),
        }
        body = Streamed(in_pieces(other[: CHUNK_BYTES + 1]))
        part = await ask(door, "PUT", digest=digest_of(other), content=body, headers=headers)
        assert (part.status, part.headers["content-range"]) == (202, f"bytes 0-{CHUNK_BYTES - 1}/{len(other)}")

    through(network, small, check)


def test_uploads_have_few_connections_of_their_own(network: TestNetwork, small: Room) -> None:
    """Two slow uploads fill their lane; a question beside them is answered at once."""
    gate = threading.Event()

    def slow(data: bytes) -> Callable[[int], Iterator[bytes]]:
        def pieces(start: int) -> Iterator[bytes]:
            yield data[start : start + 10]
            assert gate.wait(20)
            yield data[start + 10 :]

        return pieces

    async def check(door: OpenDoor) -> None:
        async with door.caller() as us:
            many = [pdf(1000 + number) for number in range(3)]
            tasks = [
                asyncio.create_task(us.transfers.put_attachment(door.member, digest_of(one), len(one), PDF, slow(one)))
                for one in many
            ]
            await asyncio.sleep(0.5)
            begun = time.monotonic()
            answer = await us.transfers.clients.request(door.member, "GET", "/v1/nothing", seconds=3)
            assert (answer.status, time.monotonic() - begun < 2) == (404, True)
            with pytest.raises(NoAnswer, match="no turn"):
                await us.transfers.clients.request(door.member, "GET", "/v1/nothing", seconds=0.3, use=TRANSFERRING)
            gate.set()
            assert {(await one).state for one in tasks} == {COMPLETE}

    through(network, small, check)


def test_a_peer_that_takes_nothing_is_left(network: TestNetwork, small: Room) -> None:
    async def check(door: OpenDoor) -> None:
        async with door.caller() as us:
            quick = type(us.transfers)(us.transfers.clients, silent_seconds=0.3)

            def stuck(start: int) -> Iterator[bytes]:
                yield DATA[start : start + 10]
                time.sleep(1)
                yield DATA[start + 10 :]

            with pytest.raises(NoAnswer, match="took nothing"):
                await quick.put_attachment(door.member, DIGEST, len(DATA), PDF, stuck)

    through(network, small, check)


def test_memory_stays_bounded_while_a_large_attachment_goes_from_store_to_store(
    network: TestNetwork, small: Room, tmp_path: Path
) -> None:
    """64 MiB, both ends in this process: it grows by less than what the issue allows one of them."""
    small.limits = service.Limits(128 * MIB, 512 * MIB, MIB)
    ours = Room(small.database, tmp_path / "ours", limits=small.limits)
    large, little = pdf(64 * MIB), pdf(5 * MIB)
    one = Described(digest_of(large), len(large), PDF)
    process = psutil.Process()

    async def check(door: OpenDoor) -> None:
        nonlocal large
        await ours.bring(large, by=LOCAL)
        await ours.bring(little, by=LOCAL)
        large = b""
        async with door.caller(own=ours) as us:
            assert await us.deliver(door.member, [Described(digest_of(little), len(little), PDF)])
            before, most = process.memory_info().rss, 0
            delivering = asyncio.create_task(us.deliver(door.member, [one]))
            while not delivering.done():
                most = max(most, process.memory_info().rss - before)
                await asyncio.sleep(0.005)
            assert await delivering
        assert most < 20 * MIB

    through(network, small, check)
