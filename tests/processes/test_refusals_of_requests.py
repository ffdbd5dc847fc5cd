"""Requests that are too large, too strange or no HTTP at all (threats T12, T13, T17; assurance C11)."""

import gzip
import json
import time

import pytest

from protocol.suites import parse_json
from tests.processes.conftest import Pair
from tests.processes.wire import Cut, message_bytes, request_bytes

pytestmark = pytest.mark.threat("T12")

KIB = 1024
MIB = 1024 * KIB
MESSAGE_MAX = 4 * MIB
SOON = 5.0
"""Seconds within which nonsense must be answered or cut; all time limits of the node are longer."""


def test_a_head_of_more_than_16_kib_is_too_large(pair: Pair) -> None:
    raw = pair.seal()
    answer = pair.post(raw, headers={"X-Filling": "x" * 16 * KIB})
    pair.assert_refused(answer, "too-large", 413, raw)
    assert answer.closes


def test_a_head_of_16_kib_is_read(pair: Pair) -> None:
    raw = pair.seal()
    room = 16 * KIB - len(message_bytes(raw.statement, raw.body)) - KIB
    assert pair.post(raw, headers={"X-Filling": "x" * room}).status == 200


def test_a_head_of_more_than_16_kib_reads_nothing_either(pair: Pair) -> None:
    answer = pair.network.get(pair.sender, pair.receiver, "/v1/manifest", {"X-Filling": "x" * 16 * KIB})
    assert (answer.status, json.loads(answer.body)["slug"]) == (413, "too-large")


def test_a_head_without_an_end_is_cut(pair: Pair) -> None:
    def send_and_hope() -> None:
        with pair.network.connected(pair.sender, pair.receiver) as wire:
            wire.send(b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            for number in range(64):
                wire.send(f"X-Filling-{number}: {'x' * KIB}\r\n".encode())
            wire.answer()

    began = time.monotonic()
    with pytest.raises((Cut, OSError)) as ended:
        send_and_hope()
    assert getattr(ended.value, "received", b"") == b""
    assert time.monotonic() - began < SOON


def test_a_declared_gigabyte_is_refused_before_it_is_read(pair: Pair) -> None:
    raw = pair.seal()
    headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Content-Length": str(10**9)}
    with pair.network.connected(pair.sender, pair.receiver, seconds=SOON) as wire:
        wire.send(request_bytes("POST", "/v1/messages", headers, length=False))
        answer = wire.answer()
        pair.assert_refused(answer, "too-large", 413, raw)
        assert answer.closes
        assert json.loads(answer.body)["limit_bytes"] == MESSAGE_MAX


def test_a_chunked_body_without_an_end_is_refused_at_the_limit(pair: Pair) -> None:
    raw = pair.seal()
    headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Transfer-Encoding": "chunked"}
    chunk = b"10000\r\n" + b" " * 64 * KIB + b"\r\n"
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes("POST", "/v1/messages", headers, length=False))
        for _ in range(MESSAGE_MAX // (64 * KIB) + 1):
            wire.send(chunk)
        answer = wire.answer()
    pair.assert_refused(answer, "too-large", 413, raw)
    assert answer.closes


def test_a_chunked_body_with_an_end_is_a_body_like_any_other(pair: Pair) -> None:
    raw = pair.seal()
    headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Transfer-Encoding": "chunked"}
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes("POST", "/v1/messages", headers, length=False) + b"2\r\n{}\r\n0\r\n\r\n")
        assert wire.answer().status == 200


def test_a_content_length_that_cuts_the_body_leaves_no_message(pair: Pair) -> None:
    """What follows the declared body is no request: unsigned, for it may have come from anybody on the way."""
    raw = pair.seal()
    headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement, "Content-Length": "1"}
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes("POST", "/v1/messages", headers, raw.body, length=False))
        answer = wire.answer()
        assert (answer.status, parse_json(answer.body)["slug"]) == (400, "malformed")
        assert wire.is_ended()
    pair.assert_no_effect()


@pytest.mark.threat("T13")
def test_an_encoded_body_is_refused_and_never_inflated(pair: Pair) -> None:
    bomb = gzip.compress(bytes(50 * MIB), compresslevel=9)
    raw = pair.network.seal(pair.sender, pair.receiver, bomb, msg="ping")
    answer = pair.post(raw, headers={"Content-Encoding": "gzip"})
    pair.assert_refused(answer, "malformed", 400, raw)


SMUGGLED = {
    "length and chunked": [("Content-Length", "2"), ("Transfer-Encoding", "chunked")],
    "two lengths": [("Content-Length", "2"), ("Content-Length", "40")],
    "a length that is no number": [("Content-Length", "0x2")],
    "a negative length": [("Content-Length", "-2")],
    "an unknown transfer encoding": [("Transfer-Encoding", "chunked, identity")],
    "a folded header": [("X-One", "1\r\n Content-Length: 2")],
}


@pytest.mark.threat("T17")
@pytest.mark.parametrize("fault", SMUGGLED)
def test_a_request_with_two_readings_has_none(pair: Pair, fault: str) -> None:
    """Nothing was read that could be signed for: an unsigned problem, the end of the connection, no effect."""
    raw = pair.seal()
    headers = [("Content-Type", "application/json"), ("Tongban-Message", raw.statement), *SMUGGLED[fault]]
    request = request_bytes("POST", "/v1/messages", headers, b"{}\r\n0\r\n\r\n", length=False)
    with pair.network.connected(pair.sender, pair.receiver, seconds=SOON) as wire:
        wire.send(request)
        answer = wire.answer()
        assert (answer.status, parse_json(answer.body)["slug"]) == (400, "malformed")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "tongban-message" not in answer.headers
        assert wire.is_ended()
    pair.assert_no_effect()


@pytest.mark.parametrize(
    "noise", [b"\x00\x01\x02\x03", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_what_is_no_http_is_malformed(pair: Pair, noise: bytes) -> None:
    with pair.network.connected(pair.sender, pair.receiver, seconds=SOON) as wire:
        wire.send(noise)
        answer = wire.answer()
    assert (answer.status, parse_json(answer.body)["slug"]) == (400, "malformed")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_messages_are_posted_and_nothing_else(pair: Pair, method: str) -> None:
    raw = pair.seal()
    headers = {"Content-Type": "application/json", "Tongban-Message": raw.statement}
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes(method, "/v1/messages", headers, raw.body))
        assert wire.answer().status == 405
    pair.assert_no_effect()


def test_a_path_that_nobody_knows_says_nothing_about_itself(pair: Pair) -> None:
    answer = pair.network.get(pair.sender, pair.receiver, "/v1/admin/442000199003070018")
    assert (answer.status, json.loads(answer.body)["slug"]) == (404, "not-found")
    assert b"442000199003070018" not in answer.body
