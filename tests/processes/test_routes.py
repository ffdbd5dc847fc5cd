"""Who may read what on the peer port (protocol §4, last column)."""

import json
from collections.abc import Iterator

import pytest

from protocol.certificates import Purpose
from protocol.checkpoints import parse_checkpoint
from protocol.claims import sha256
from protocol.manifest import Status
from protocol.messages import Ping
from tests.processes.cities import RunningNetwork, eventually, running_network
from tests.processes.conftest import CODES, Pair
from tests.processes.manifests import bring_into_force, next_version
from tests.processes.wire import HttpAnswer, request_bytes

pytestmark = pytest.mark.threat("T03")

READING = ["/v1/manifest", "/v1/manifest/1", "/v1/crl/{own}", "/v1/certificates/{certificate}", "/v1/health"]
"""What a member may read while suspended, too."""
ACTIVE = ["/v1/documents/{document}", "/v1/log/checkpoint", "/v1/log/tile/0/000.p/1"]
UNKNOWN = ["/v1/manifest/9", "/v1/crl/440900", "/v1/certificates/{nothing}", "/v1/documents/{zeros}"]


def path_of(network: RunningNetwork, code: str, template: str) -> str:
    manifest = network.trust(code).manifest
    return template.format(
        own=code,
        certificate=network.message_key(code).certificate.fingerprint,
        document=next(iter(manifest.documents.values())),
        nothing=sha256(b"nothing"),
        zeros="0" * 64,
    )


def read(network: RunningNetwork, reader: str, code: str, template: str) -> HttpAnswer:
    return network.get(reader, code, path_of(network, code, template))


def slug(answer: HttpAnswer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    assert "tongban-message" not in answer.headers
    return str(json.loads(answer.body)["slug"])


@pytest.mark.parametrize("template", READING + ACTIVE)
def test_an_active_member_reads(pair: Pair, template: str) -> None:
    eventually(
        lambda: read(pair.network, pair.sender, pair.receiver, template).status == 200,
        what=f"{template} is answered",  # the first checkpoint is a second younger than its log
    )


@pytest.mark.parametrize("template", UNKNOWN)
def test_what_is_not_there_is_not_found(pair: Pair, template: str) -> None:
    answer = read(pair.network, pair.sender, pair.receiver, template)
    assert (answer.status, slug(answer)) == (404, "not-found")


@pytest.mark.parametrize("template", READING + ACTIVE)
def test_a_name_that_another_city_vouched_for_reads_nothing(pair: Pair, template: str) -> None:
    identity, _ = pair.network.issue(pair.sender, Purpose.TLS, ca=pair.network.made_ca(pair.third), member=pair.sender)
    path = path_of(pair.network, pair.receiver, template)
    answer = pair.network.get(None, pair.receiver, path, identity=identity)
    assert (answer.status, slug(answer), answer.closes) == (403, "not-a-member", True)


def test_a_crl_that_the_reader_has_is_not_sent_again(pair: Pair) -> None:
    first = pair.network.get(pair.sender, pair.receiver, f"/v1/crl/{pair.receiver}")
    again = pair.network.get(
        pair.sender, pair.receiver, f"/v1/crl/{pair.receiver}", {"If-None-Match": first.headers["etag"]}
    )
    assert (first.status, again.status, again.body) == (200, 304, b"")


def _log_place(pair: Pair) -> int:
    raw = pair.seal()
    reply = pair.network.reply(pair.sender, pair.receiver, raw, pair.post(raw))
    assert reply.claims.log is not None
    return reply.claims.log.index


@pytest.mark.threat("T06")
def test_an_entry_is_read_by_the_city_that_it_concerns(pair: Pair) -> None:
    index = _log_place(pair)
    answer = pair.network.get(pair.sender, pair.receiver, f"/v1/log/entries/{index}")
    entry = json.loads(answer.body)
    assert (answer.status, entry["peer"], entry["kind"]) == (200, pair.sender, "message")
    eventually(
        lambda: pair.network.get(pair.sender, pair.receiver, f"/v1/log/proof/{index}").status == 200,
        what="the entry stands under a checkpoint",
    )
    note = pair.network.get(pair.sender, pair.receiver, "/v1/log/checkpoint").body.decode()
    assert parse_checkpoint(note.partition("\n\n")[0] + "\n").size > index


@pytest.mark.parametrize("what", ["entries", "proof"])
def test_an_entry_of_another_city_looks_like_one_that_is_not_there(pair: Pair, what: str) -> None:
    index = _log_place(pair)
    foreign = pair.network.get(pair.third, pair.receiver, f"/v1/log/{what}/{index}")
    local = pair.network.get(pair.third, pair.receiver, f"/v1/log/{what}/0")
    absent = pair.network.get(pair.third, pair.receiver, f"/v1/log/{what}/999999999")
    assert [one.status for one in (foreign, local, absent)] == [404, 404, 404]
    said = [{k: v for k, v in json.loads(one.body).items() if k != "trace"} for one in (foreign, local, absent)]
    assert said[0] == said[1] == said[2]


def _put_crl(pair: Pair, member: str, der: bytes, **headers: str) -> HttpAnswer:
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes("PUT", f"/v1/crl/{member}", headers, der))
        return wire.answer()


def test_a_crl_proves_itself_whoever_brings_it(pair: Pair) -> None:
    der = pair.network.get(pair.sender, pair.receiver, f"/v1/crl/{pair.third}").body
    assert _put_crl(pair, pair.third, der).status == 204
    for answer in (_put_crl(pair, pair.sender, der), _put_crl(pair, pair.third, b"no CRL")):
        assert (answer.status, slug(answer)) == (400, "malformed")


@pytest.mark.threat("T13")
def test_an_encoded_crl_is_refused(pair: Pair) -> None:
    answer = _put_crl(pair, pair.third, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert (answer.status, slug(answer)) == (400, "malformed")


@pytest.mark.threat("T12")
def test_a_crl_of_more_than_its_limit_is_too_large(pair: Pair) -> None:
    answer = _put_crl(pair, pair.third, bytes(1024 * 1024 + 1))
    assert (answer.status, slug(answer)) == (413, "too-large")


@pytest.fixture(scope="module")
def after_a_suspension(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """442000 and 450400 run; 442000 holds version 2 of the manifest, under which 520300 is suspended."""
    root = tmp_path_factory.mktemp("suspended")
    with running_network(root, CODES, start=False, with_people=False) as network:
        network.start("442000")
        network.start("450400")
        bring_into_force(network, "442000", next_version(network, {"520300": Status.SUSPENDED}))
        eventually(lambda: _manifest_of(network, "442000", "450400") == 2, what="442000 takes version 2")
        yield network


def _manifest_of(network: RunningNetwork, code: str, reader: str) -> int:
    return int(json.loads(network.get(reader, code, "/v1/health").body)["manifest"])


@pytest.mark.threat("T23")
@pytest.mark.parametrize("template", [*READING, "/v1/manifest/2"])
def test_a_suspended_member_may_read_why(after_a_suspension: RunningNetwork, template: str) -> None:
    assert read(after_a_suspension, "520300", "442000", template).status == 200


@pytest.mark.parametrize("template", ACTIVE)
def test_a_suspended_member_reads_nothing_else(after_a_suspension: RunningNetwork, template: str) -> None:
    answer = read(after_a_suspension, "520300", "442000", template)
    assert (answer.status, slug(answer)) == (403, "member-suspended")


def test_a_suspended_member_sends_nothing(after_a_suspension: RunningNetwork) -> None:
    network = after_a_suspension
    pair = Pair(network, "520300", "442000", len(network.log_entries("442000")))
    raw = pair.seal()
    pair.assert_refused(pair.post(raw), "member-suspended", 403, raw)


@pytest.mark.threat("T23")
def test_a_newer_manifest_is_fetched_from_who_names_it_and_an_older_one_is_no_fault(
    after_a_suspension: RunningNetwork,
) -> None:
    network = after_a_suspension
    older = network.seal("450400", "442000", Ping(), msg="ping", man=network.trust("520300").manifest.label)
    assert network.post("450400", "442000", older.statement, older.body).status == 200
    raw = network.seal("442000", "450400", Ping(), msg="ping", man=network.trust("442000").manifest.label)
    assert network.post("442000", "450400", raw.statement, raw.body).status == 200
    assert network.trust("450400").manifest.version == 2
