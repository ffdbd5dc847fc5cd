"""Messages and replies that another implementation made (joserfc, hashlib): accepted or refused as it says."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc import jws
from joserfc.jwk import ECKey

from protocol.certificates import parse_certificate, parse_crl
from protocol.claims import MESSAGE_TYP, Claims, parse_claims
from protocol.envelope import Message, MessageKey, RawMessage, RawReply, Trust, seal, unseal, unseal_reply
from protocol.errors import Refusal
from protocol.manifest import accept_genesis
from protocol.suites import parse_statement

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "messages.json").read_text("utf-8"))
NOW = datetime.fromtimestamp(VECTORS["now"], UTC)
MANIFEST = accept_genesis(VECTORS["manifest"].encode(), digest=VECTORS["digest"])
CERTIFICATES = {one.fingerprint: one for one in map(parse_certificate, map(b64decode, VECTORS["certificates"]))}
CRLS = tuple(
    parse_crl(b64decode(text), MANIFEST.members[member].authorities) for member, text in VECTORS["crls"].items()
)


def trust_of(member: str) -> Trust:
    return Trust(member, MANIFEST, CRLS, CERTIFICATES)


def opened(case: dict[str, Any]) -> Message:
    raw = RawMessage(case["statement"].encode(), case["body"].encode(), case["content_type"])
    return unseal(raw, trust_of(VECTORS["receiver"]), peer=case["peer"], now=NOW)


def found(attempt: Any) -> str:
    try:
        attempt()
    except Refusal as refusal:
        return refusal.slug
    return "accepted"


@pytest.mark.threat("T01")
@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["name"])
def test_a_message_of_another_implementation(case: dict[str, Any]) -> None:
    assert found(lambda: opened(case)) == case["expected"]


@pytest.mark.threat("T02")
@pytest.mark.parametrize("case", VECTORS["replies"], ids=lambda case: case["name"])
def test_a_reply_of_another_implementation(case: dict[str, Any]) -> None:
    request = opened(next(one for one in VECTORS["messages"] if one["name"] == VECTORS["request"]))
    raw = RawReply(case["status"], case["statement"].encode(), case["body"].encode(), case["content_type"])
    trust = trust_of(VECTORS["asking"])
    assert found(lambda: unseal_reply(raw, request, trust, server=case["server"], now=NOW)) == case["expected"]


def test_another_implementation_verifies_what_we_seal() -> None:
    private = generate_private_key(SECP256R1())
    parsed = parse_statement(VECTORS["messages"][0]["statement"].encode())
    claims = parse_claims(Claims, parsed.claims)
    text = seal(claims, MessageKey(CERTIFICATES[parsed.certificate], private))
    read = jws.deserialize_compact(text, ECKey.import_key(private.public_key()), algorithms=["ES256"])
    assert json.loads(read.payload or b"") == parsed.claims
    assert read.headers() == {"alg": "ES256", "typ": MESSAGE_TYP, "x5t#S256": parsed.certificate}
