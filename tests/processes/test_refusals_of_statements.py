"""What a statement may not be: every refusal of protocol §5.1 steps 1 to 7, over real TLS.

Each test changes exactly one thing of a good message. A header that does not parse cannot be answered with
a signature, for nobody knows what would be signed; every other refusal is signed and names the request.
"""

import dataclasses
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from protocol.certificates import Purpose
from protocol.claims import describe_body, sha256
from protocol.envelope import MessageKey, RawMessage
from protocol.suites import STATEMENT_MAX_BYTES
from tests.processes.cities import now
from tests.processes.conftest import Pair
from tests.processes.forged import claims_text, forged
from tests.processes.wire import request_bytes
from tests.protocol.forging import GONE, b64

pytestmark = pytest.mark.threat("T01")

UNREADABLE = {
    "claims that say one thing twice": lambda pair: forged(
        pair, claims=claims_text(pair).replace(b'{"net"', b'{"net": "other", "net"', 1)
    ),
    "an algorithm said twice": lambda pair: forged(pair, header=b'{"alg":"none","alg":"ES256","typ":"tongban+jwt"}'),
    "padding": lambda pair: _with_statement(pair.seal(), lambda text: text + b"=="),
    "two parts": lambda pair: _with_statement(pair.seal(), lambda text: text.rpartition(b".")[0]),
    "a stray character": lambda pair: _with_statement(pair.seal(), lambda text: text[:-1] + b"+"),
    "a kid": lambda pair: forged(pair, header={"kid": "../../dev/null"}),
    "a jwk": lambda pair: forged(pair, header={"jwk": {"kty": "EC"}}),
    "a jku": lambda pair: forged(pair, header={"jku": "https://127.0.0.1:1/keys"}),
    "an x5u": lambda pair: forged(pair, header={"x5u": "https://127.0.0.1:1/cert"}),
    "an x5c": lambda pair: forged(pair, header={"x5c": ["MIIB"]}),
    "a crit": lambda pair: forged(pair, header={"crit": ["b64"], "b64": False}),
    "no certificate named": lambda pair: forged(pair, header={"x5t#S256": GONE}),
    "a time that is no whole number": lambda pair: forged(pair, claims={"exp": 1.5}),
}


def _with_statement(raw: RawMessage, change) -> RawMessage:
    return dataclasses.replace(raw, statement=change(raw.statement))


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_header_that_is_no_strict_statement_is_malformed_and_gets_no_signature(pair: Pair, fault: str) -> None:
    raw = UNREADABLE[fault](pair)
    pair.assert_refused(pair.post(raw), "malformed", 400, raw, signed=False)


CLAIMS: dict[str, dict[str, Any]] = {
    "exp as text": {"exp": "1795000000"},
    "iat as text": {"iat": "1795000000"},
    "no exp": {"exp": GONE},
    "no audience": {"aud": GONE},
    "a list of audiences": {"aud": ["442000", "450400", "520300"]},
    "a claim nobody knows": {"admin": True},
    "a number that is no UUIDv7": {"jti": "1"},
    "why in a ping": {"why": {"item": "INS-CERT", "basis": "STATUTORY"}},
}


@pytest.mark.parametrize("fault", CLAIMS)
def test_claims_of_another_form_are_malformed(pair: Pair, fault: str) -> None:
    raw = forged(pair, claims=CLAIMS[fault])
    reply = pair.assert_refused(pair.post(raw), "malformed", 400, raw)
    assert reply is not None
    assert reply.claims.re.sha256 == sha256(raw.statement)


def test_a_life_longer_than_a_query_may_have_is_malformed(pair: Pair) -> None:
    issued = int(now().timestamp())
    raw = pair.seal(iat=issued, exp=issued + 301)
    pair.assert_refused(pair.post(raw), "malformed", 400, raw)


@pytest.mark.parametrize("typ", ["JWT", "tongban-reply+jwt", "TONGBAN+JWT", ""])
def test_another_typ_is_malformed(pair: Pair, typ: str) -> None:
    raw = forged(pair, header={"typ": typ})
    pair.assert_refused(pair.post(raw), "malformed", 400, raw)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "RS256", "ES384", "Ed25519", ""])
def test_only_the_key_chooses_the_algorithm(pair: Pair, alg: str) -> None:
    raw = forged(pair, header={"alg": alg})
    pair.assert_refused(pair.post(raw), "bad-signature", 403, raw)


def test_a_token_without_signature_is_refused(pair: Pair) -> None:
    raw = _with_statement(forged(pair, header={"alg": "none"}), lambda text: text.rpartition(b".")[0] + b".")
    pair.assert_refused(pair.post(raw), "bad-signature", 403, raw)


def test_a_request_without_statement_is_malformed(pair: Pair) -> None:
    raw = pair.seal()
    with pair.network.connected(pair.sender, pair.receiver) as wire:
        wire.send(request_bytes("POST", "/v1/messages", {"Content-Type": "application/json"}, raw.body))
        pair.assert_refused(wire.answer(), "malformed", 400, raw, signed=False)


def test_two_statements_in_one_request_are_malformed(pair: Pair) -> None:
    raw, other = pair.seal(), pair.seal()
    answer = pair.post(raw, headers={"Tongban-Message": other.statement})
    pair.assert_refused(answer, "malformed", 400, raw, signed=False)


def _sized(pair: Pair, size: int) -> RawMessage:
    # An unknown claim carries the filling; base64url has no text of 4n+1 characters, so the header takes part.
    for extra in range(8):
        raw = forged(pair, claims={"filling": "x"}, header={"typ": "t" * extra})
        missing = (size - len(raw.statement)) * 3 // 4
        for length in range(missing - 4, missing + 4):
            raw = forged(pair, claims={"filling": "x" * length}, header={"typ": "t" * extra})
            if len(raw.statement) == size:
                return raw
    raise AssertionError("no statement of that size")


@pytest.mark.threat("T12")
def test_a_statement_of_6_kib_is_read_and_one_byte_more_is_too_large(pair: Pair) -> None:
    largest, larger = _sized(pair, STATEMENT_MAX_BYTES), _sized(pair, STATEMENT_MAX_BYTES + 1)
    assert json.loads(pair.post(largest).body)["slug"] == "malformed"
    seen = pair.from_now()
    seen.assert_refused(seen.post(larger), "too-large", 413, larger, signed=False)


def test_another_protocol_version_is_refused_with_those_spoken_here(pair: Pair) -> None:
    raw = forged(pair, claims={"ver": "2"})
    answer = pair.post(raw)
    pair.assert_refused(answer, "unsupported-version", 400, raw)
    assert json.loads(answer.body)["supported"] == ["1"]


def test_a_message_of_another_network_is_refused(pair: Pair) -> None:
    raw = pair.seal(net="another-network")
    pair.assert_refused(pair.post(raw), "wrong-network", 421, raw)


def test_the_same_manifest_version_with_another_digest_is_another_network(pair: Pair) -> None:
    raw = pair.seal(man="1:" + sha256(b"another genesis"))
    pair.assert_refused(pair.post(raw), "wrong-network", 421, raw)


def test_a_message_for_a_third_city_is_refused(pair: Pair) -> None:
    raw = pair.seal(aud=pair.third)
    answer = pair.post(raw)
    problem = json.loads(answer.body)
    assert (problem["slug"], answer.status) == ("wrong-audience", 421)
    pair.assert_no_effect()
    assert [one["slug"] for one in pair.new_entries("refusal")] == ["wrong-audience"]


@pytest.mark.threat("T02")
def test_a_message_sent_back_to_its_sender_is_refused(pair: Pair) -> None:
    """Reflection: what 450400 sent to 442000 means nothing when 442000 shows it to 450400."""
    raw = pair.seal()
    before = len(pair.network.log_entries(pair.sender))
    answer = pair.network.post(pair.receiver, pair.sender, raw.statement, raw.body)
    assert (json.loads(answer.body)["slug"], answer.status) == ("wrong-audience", 421)
    kinds = [one["kind"] for one in pair.network.log_entries(pair.sender, after=before - 1)]
    assert "message" not in kinds
    assert kinds.count("refusal") == 1


@pytest.mark.threat("T03")
def test_a_member_cannot_speak_with_another_members_name(pair: Pair) -> None:
    """A genuine message of a third city over our own connection: who holds a TLS key has no message rights."""
    raw = pair.network.seal(pair.third, pair.receiver, b"{}", msg="ping")
    pair.assert_refused(pair.post(raw), "signer-mismatch", 403, raw)


def test_a_sender_that_is_no_member_is_refused(pair: Pair) -> None:
    raw = pair.seal(iss="440900")
    pair.assert_refused(pair.post(raw), "not-a-member", 403, raw)


def test_a_newer_manifest_that_cannot_be_fetched_leaves_the_receiver_behind(pair: Pair) -> None:
    raw = pair.seal(man="2:" + sha256(b"the next version"))
    pair.assert_refused(pair.post(raw), "manifest-behind", 409, raw)


def test_a_certificate_that_its_owner_does_not_serve_is_unknown(pair: Pair) -> None:
    _, key = pair.network.issue(pair.sender, Purpose.MESSAGE)
    raw = pair.seal(key=key)
    pair.assert_refused(pair.post(raw), "unknown-certificate", 403, raw)


@pytest.mark.threat("T03")
def test_a_tls_certificate_signs_no_message(pair: Pair) -> None:
    _, key = pair.network.issue(pair.sender, Purpose.TLS)
    raw = pair.seal(key=key)
    pair.assert_refused(pair.post(raw), "unknown-certificate", 403, raw)


def test_another_citys_message_certificate_is_not_the_senders(pair: Pair) -> None:
    """The third city's certificate is known to the receiver, and its key signs: but not for this sender."""
    third = pair.network.seal(pair.third, pair.receiver, b"{}", msg="ping")
    assert pair.network.post(pair.third, pair.receiver, third.statement, third.body).status == 200
    raw = pair.seal(key=pair.network.message_key(pair.third))
    pair.assert_refused(pair.post(raw), "unknown-certificate", 403, raw)


def test_a_signature_of_another_key_is_refused(pair: Pair) -> None:
    genuine = pair.network.message_key(pair.sender).certificate
    raw = pair.seal(key=MessageKey(genuine, generate_private_key(SECP256R1())))
    pair.assert_refused(pair.post(raw), "bad-signature", 403, raw)


def test_a_claim_changed_on_the_way_breaks_the_signature(pair: Pair) -> None:
    good = pair.seal()
    header, payload, signature = good.statement.split(b".")
    claims = forged(pair).statement.split(b".")[1]
    assert claims != payload
    raw = dataclasses.replace(good, statement=b".".join([header, claims, signature]))
    pair.assert_refused(pair.post(raw), "bad-signature", 403, raw)


def test_a_blank_signature_is_refused(pair: Pair) -> None:
    raw = _with_statement(pair.seal(), lambda text: text.rpartition(b".")[0] + b"." + b64(bytes(64)))
    pair.assert_refused(pair.post(raw), "bad-signature", 403, raw)


@pytest.mark.threat("T18")
def test_a_message_whose_time_is_over_is_stale(pair: Pair) -> None:
    issued = int(now().timestamp()) - 200
    raw = pair.seal(iat=issued, exp=issued + 120)
    pair.assert_refused(pair.post(raw), "stale", 400, raw)


@pytest.mark.threat("T18")
def test_a_message_from_the_future_is_stale_beyond_the_skew(pair: Pair) -> None:
    raw = pair.seal(iat=int(now().timestamp()) + 330)
    pair.assert_refused(pair.post(raw), "stale", 400, raw)
    within = pair.seal(iat=int(now().timestamp()) + 270)
    assert pair.post(within).status == 200


def test_a_body_changed_on_the_way_does_not_match_its_digest(pair: Pair) -> None:
    raw = dataclasses.replace(pair.seal(), body=b"{ }")
    pair.assert_refused(pair.post(raw), "digest-mismatch", 400, raw)


def test_a_body_of_another_content_type_is_not_what_was_signed_for(pair: Pair) -> None:
    raw = forged(pair, claims={"body": describe_body(b"{}", "text/plain").model_dump()})
    pair.assert_refused(pair.post(raw), "digest-mismatch", 400, raw)
