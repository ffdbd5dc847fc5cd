"""Canaries through every door: not one of them in any log, answer, entry, output or file (T21, C07, figure 23).

The log is written at level debug. What a canary may stand in: the request that carried it, the answer to a
permitted query, and encrypted columns.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from protocol.envelope import RawMessage
from protocol.messages import Ping, format_body
from protocol.suites import encode
from tests.faults.canaries import Canaries, files_below, make_canaries
from tests.faults.processes import run, serve
from tests.node.records.files import a_csv, a_workbook
from tests.processes.cities import RunningNetwork, eventually, query, running_network
from tests.processes.wire import Cut, HttpAnswer, message_bytes, request_bytes

pytestmark = pytest.mark.threat("T21")
RECEIVER, SENDER = "442000", "450400"
ENROLMENT = ["id_type", "id_number", "name", "insurance", "status", "account_kind", "started", "ended", "employer"]

PLACES = (
    *("", "v1/", "v1/manifest/", "v1/crl/", "v1/certificates/", "v1/documents/", "v1/log/entries/", "v1/log/proof/"),
    *("v1/log/tile/0/", "v1/log/checkpoint?id=", "v1/health?name=", "v1/messages?phone="),
)
"""What an address may begin with on the peer port."""


@dataclass
class Hunt:
    """A running network, the canaries, and everything that was said in the open."""

    network: RunningNetwork
    canaries: Canaries
    folder: Path
    said: dict[str, bytes] = field(default_factory=dict)

    def post(self, what: str, raw: RawMessage, **headers: bytes) -> int:
        """Send a message; what comes back is scanned unless it is a permitted answer."""
        extra = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return self.exchange(what, message_bytes(raw.statement, raw.body, extra))

    def exchange(self, what: str, request: bytes) -> int:
        """Send bytes and return the status; 0 when the connection was cut."""
        with self.network.connected(SENDER, RECEIVER) as wire:
            try:
                wire.send(request)
                answer = wire.answer()
            except Cut:
                return 0
        if answer.status >= 400:
            self.said[f"answer to {what}"] = head_of(answer) + answer.body
        return answer.status

    def command(self, code: str, what: str, *arguments: str, stdin: str = "", **environment: str) -> int:
        """Run a command; all that it says is scanned."""
        done = run(self.network, code, *arguments, stdin=stdin, **environment)
        self.said[f"output of {what}"] = (done.stdout + done.stderr).encode()
        return done.returncode

    def leaks(self) -> list[str]:
        """Return every occurrence of a canary, in what was said and in both node directories."""
        assert self.said, "nothing was said: nothing would be scanned"
        files = {name: data for code in (RECEIVER, SENDER) for name, data in files_below(self.home(code)).items()}
        return self.canaries.found_in({**self.said, **files, **self.entries()})

    def entries(self) -> dict[str, bytes]:
        """Return the log entries of both cities, as they are hashed and served."""
        return {
            f"entry {entry['index']} of {code}": json.dumps(entry, ensure_ascii=False).encode()
            for code in (RECEIVER, SENDER)
            for entry in self.network.log_entries(code)
        }

    def home(self, code: str) -> Path:
        return self.network.city(code).home


def head_of(answer: HttpAnswer) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in answer.headers.items()).encode()


@pytest.fixture(scope="module")
def hunt(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Hunt]:
    root = tmp_path_factory.mktemp("canaries")
    seed = int(request.config.getoption("hypothesis_seed"))
    loud = {"TONGBAN_LOGGING__LEVEL": "debug", "TONGBAN_LIMITS__PEER_RPS": "1000"}
    with running_network(root / "net", (RECEIVER, SENDER), environment=loud, start=False) as network:
        network.start(SENDER)
        serve(network, RECEIVER, TONGBAN_FAILPOINTS=f"receive.before_effect=raise@{root / 'raise'}")
        ping = network.seal(SENDER, RECEIVER, Ping(), msg="ping")
        eventually(lambda: network.post(SENDER, RECEIVER, ping.statement, ping.body).status == 200, what="they talk")
        yield Hunt(network, make_canaries(seed), root)


def bodies(canaries: Canaries) -> dict[str, bytes]:
    """Return bodies of a query with canaries in keys, values, wrong types, and what is no JSON at all."""
    good = json.loads(format_body(query(canaries.subject)))
    subject = good["subject"]
    changed = {
        "an unknown key": {**good, canaries.name: canaries.token},
        "an unknown key inside": {**good, "subject": {**subject, canaries.token: canaries.phone}},
        "a number as integer": {**good, "subject": {**subject, "id_number": int(canaries.account)}},
        "a number that is not valid": {**good, "subject": {**subject, "id_number": canaries.phone}},
        "a type that is none": {**good, "subject": {**subject, "id_type": canaries.token}},
        "a record that is none": {**good, "record": canaries.sentence},
        "fields that are none": {**good, "fields": [canaries.name, canaries.sentence]},
        "a field that no line has": {**good, "fields": [canaries.token[:20]]},
        "a period of nonsense": {**good, "period": {"started": canaries.phone, "ended": canaries.account}},
        "a list": list(canaries.texts),
    }
    broken = {
        "cut JSON": json.dumps({**good, "x": canaries.sentence}, ensure_ascii=False).encode()[:-2],
        "duplicate keys": f'{{"{canaries.token}":1,"{canaries.token}":"{canaries.name}"}}'.encode(),
        "no JSON": canaries.sentence.encode(),
        "bad UTF-8": b"\xff\xfe" + canaries.sentence.encode("utf-16-le") + canaries.id_number.encode(),
    }
    return {what: json.dumps(body, ensure_ascii=False).encode() for what, body in changed.items()} | broken


def test_queries_with_canaries_in_every_place_leave_none(hunt: Hunt) -> None:
    for what, body in bodies(hunt.canaries).items():
        status = hunt.post(what, hunt.network.seal(SENDER, RECEIVER, body, msg="record.query"))
        assert 400 <= status < 500, (what, status)
    stranger = hunt.network.seal(SENDER, RECEIVER, query(hunt.canaries.subject), msg="record.query")
    assert hunt.post("a query about a stranger", stranger) == 200
    other = RawMessage(stranger.statement, stranger.body + b" ", stranger.content_type)
    assert hunt.post("a body that was changed", other) == 400
    assert hunt.leaks() == []


def test_statements_with_canaries_leave_none(hunt: Hunt) -> None:
    canaries = hunt.canaries
    good = hunt.network.seal(SENDER, RECEIVER, Ping(), msg="ping")
    header, payload, signature = good.statement.decode().split(".")
    texts = {
        "plain text": canaries.token.encode(),
        "three plain parts": ".".join((canaries.token, canaries.id_number, canaries.account)).encode(),
        "an unknown algorithm": statement({"alg": canaries.name, "typ": canaries.token}, payload, signature),
        "an unknown header": statement({"alg": "ES256", canaries.token: canaries.name}, payload, signature),
        "control characters": canaries.sentence.replace("\r\n", "\t").encode(),
    }
    for what, text in texts.items():
        assert hunt.post(what, RawMessage(text, good.body, good.content_type)) in (400, 403), what
    for what, claims in hostile_claims(canaries).items():
        forged = f"{header}.{encode(json.dumps(claims, ensure_ascii=False).encode())}.{signature}".encode()
        assert hunt.post(what, RawMessage(forged, good.body, good.content_type)) in (400, 403, 421), what
    assert hunt.leaks() == []


def statement(header: dict[str, str], payload: str, signature: str) -> bytes:
    return f"{encode(json.dumps(header, ensure_ascii=False).encode())}.{payload}.{signature}".encode()


def hostile_claims(canaries: Canaries) -> dict[str, dict[str, object]]:
    return {
        "claims of canaries": dict.fromkeys(canaries.texts, canaries.sentence),
        "a version that is none": {"ver": canaries.token},
        "a purpose of canaries": {"ver": "1", "why": {canaries.name: canaries.id_number}, "jti": canaries.token},
        "a number of canaries": {"ver": "1", "jti": canaries.sentence, "iss": canaries.id_number[:6]},
    }


def test_addresses_and_headers_with_canaries_leave_none(hunt: Hunt) -> None:
    for place in PLACES:
        for text in hunt.canaries.texts:
            hunt.exchange(f"GET {place}", request_bytes("GET", f"/{place}{quote(text)}", length=False))
        hunt.exchange(f"PUT {place}", request_bytes("PUT", f"/{place}{RECEIVER}", body=hunt.canaries.sentence.encode()))
    ping = hunt.network.seal(SENDER, RECEIVER, Ping(), msg="ping")
    sentence, flat = hunt.canaries.sentence.encode(), " ".join(hunt.canaries.texts).encode()
    ansi = b"\x1b]0;" + flat + b"\x07\x1b[31m"
    for number, value in enumerate((flat, sentence, ansi, flat + b"\rSet-Cookie: " + flat, flat + b"\x00")):
        for name in ("X_Note", "User_Agent", "X_Forwarded_For", "Content_Encoding", "Content_Type", "Cookie"):
            hunt.post(f"header {name} {number}", ping, **{name: value})
    hunt.exchange("a method", flat.replace(b" ", b"") + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    hunt.exchange("no HTTP", sentence + b"\r\n\r\n")
    assert hunt.leaks() == []


def test_imports_with_canaries_leave_none_but_encrypted_ones(hunt: Hunt) -> None:
    canaries = hunt.canaries
    good = ["01", canaries.id_number, canaries.name, "110", "ACTIVE", "GENERAL", "202001", "", canaries.account]
    twisted = [canaries.token, canaries.phone, "", canaries.name, canaries.account, canaries.token, "2020", "x", ""]
    files = {
        "good": a_csv(hunt.folder / "good.csv", good, header=ENROLMENT),
        "cells": a_csv(hunt.folder / "cells.csv", good, twisted, header=ENROLMENT),
        "header": a_csv(hunt.folder / "header.csv", good, header=[*ENROLMENT[:-1], canaries.token]),
        "sheet": a_workbook(hunt.folder / "sheet.xlsx", {canaries.token[:30]: [list(canaries.texts)]}),
        "workbook": a_workbook(hunt.folder / "book.xlsx", {"enrolment": [ENROLMENT, twisted, [canaries.sentence] * 9]}),
        "bytes": hunt.folder / "bytes.csv",
        "no workbook": hunt.folder / "bytes.xlsx",
    }
    for name in ("bytes", "no workbook"):
        files[name].write_bytes(b"\xff\xfe\x00" + canaries.sentence.encode() + b'"' * 3)
    for what, path in files.items():
        for more in ((), ("--json",)):
            ended = hunt.command(RECEIVER, f"import of {what} {more}", *more, "records", "import", str(path))
            assert (ended == 0) == (what == "good"), what
    assert hunt.leaks() == []


def test_commands_with_canaries_leave_none(hunt: Hunt) -> None:
    canaries = hunt.canaries
    rules = hunt.folder / "rules.json"
    for what, content in {
        "keys": {"rules": [{canaries.token: canaries.name}]},
        "no rules": list(canaries.texts),
    }.items():
        rules.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        assert hunt.command(RECEIVER, f"policy {what}", "records", "policy", "set", str(rules)) == 1
    rules.write_text(canaries.sentence, encoding="utf-8")
    assert hunt.command(RECEIVER, "policy that is no JSON", "records", "policy", "set", str(rules)) == 1
    ask = ("query", "--city", RECEIVER, "--consultation", f"{canaries.name} {canaries.phone}")
    inputs = {
        "an invalid number": (2, f"{canaries.phone}\n{canaries.name}\n"),
        "no name": (2, f"{canaries.id_number}\n"),
        "a long line": (2, canaries.account * 400 + "\n" + canaries.name),
        "a refused question": (1, f"{canaries.id_number}\n{canaries.name}\n"),
    }
    for what, (code, stdin) in inputs.items():
        refused = ("--record", "balance", "--item", "CARD-SERVICE")
        assert hunt.command(SENDER, what, *ask, *refused, stdin=stdin) == code, hunt.said[f"output of {what}"]
    listed = ("--json", "audit", "list", "--id-file", "-")
    assert hunt.command(RECEIVER, "a search for a person", *listed, stdin=canaries.id_number) == 0
    assert hunt.leaks() == []


def test_crashes_with_canaries_leave_none(hunt: Hunt) -> None:
    canaries = hunt.canaries
    raw = hunt.network.seal(SENDER, RECEIVER, query(canaries.subject), msg="record.query")
    (hunt.folder / "raise").touch()
    try:
        assert hunt.post("a message whose handling breaks", raw) == 500
    finally:
        (hunt.folder / "raise").unlink()
    assert "FailpointReached at" in hunt.network.output(RECEIVER)
    ask = ("query", "--city", RECEIVER, "--consultation", canaries.phone, "--item", "INS-CERT")
    person = f"{canaries.id_number}\n{canaries.name}\n"
    broken = {"TONGBAN_FAILPOINTS": "send.before_post=raise"}
    assert hunt.command(SENDER, "a command that breaks", *ask, stdin=person, **broken) != 0
    assert hunt.leaks() == []


def test_every_line_of_the_operating_log_is_one_inert_record(hunt: Hunt) -> None:
    for code in (RECEIVER, SENDER):
        text = hunt.network.output(code)
        assert not {character for character in text if character < " " and character != "\n"}
        records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert records or code == SENDER
        assert all({"event", "level", "timestamp"} <= record.keys() for record in records)
        told = [line for line in text.splitlines() if line and not line.startswith("{")]
        assert set(told) <= {
            "database and log are usable",
            "self-test: a connection without a certificate is refused",
            f"ready {code}",
        }


def test_the_hunt_would_find_a_leak(hunt: Hunt) -> None:
    canaries = hunt.canaries
    shown = {
        "log": canaries.phone.encode(),
        "json": json.dumps(canaries.name).encode(),
        "url": quote(canaries.name).encode(),
    }
    assert len(canaries.found_in(shown)) == 3
    assert any(name.endswith("tongban.db") for name in files_below(hunt.home(RECEIVER)))
    assert any(name.endswith("node.log") for name in files_below(hunt.home(RECEIVER)))


def test_what_is_on_disk_after_the_end_holds_none(hunt: Hunt) -> None:
    """The write-ahead log is folded into the database when a city ends."""
    hunt.post("a query about a stranger", hunt.network.seal(SENDER, RECEIVER, b"{}", msg="record.query"))
    for code in (SENDER, RECEIVER):
        assert hunt.network.stop(code) == 0
    assert hunt.leaks() == []
