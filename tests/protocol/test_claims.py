"""Claims: exact names, exact types, exact forms; a fault is named and never repeated (protocol §5)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.claims import Claims, ReplyClaims, describe_body, format_claims, parse_claims, sha256
from protocol.envelope import unseal
from protocol.errors import Malformed
from tests.networks import make_network
from tests.protocol.forging import plain

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
NETWORK = make_network(["442000", "450400"], NOW)
JTI = "01a20bc0-ea80-75c6-a16a-6988a1929929"
CLAIMS = NETWORK.claims("450400", "442000", b"{}", msg="record.query", jti=JTI)
REQUEST = unseal(
    NETWORK.seal("450400", "442000", b"{}", msg="ping"), NETWORK.trust_of("442000"), peer="450400", now=NOW
)
REPLY = NETWORK.reply_claims(REQUEST, b"{}", msg="pong")
DIGEST = "A" * 43


def test_sha256_is_written_in_unpadded_base64url() -> None:
    assert sha256(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert describe_body(b"{}").model_dump() == {"sha256": sha256(b"{}"), "size": 2, "type": "application/json"}


@pytest.mark.parametrize("claims", [CLAIMS, REPLY])
def test_claims_are_read_as_they_were_written(claims: Claims | ReplyClaims) -> None:
    payload = format_claims(claims)
    assert b" " not in payload.replace("窗口 2".encode(), b"")
    assert b"null" not in payload
    assert parse_claims(type(claims), json.loads(payload)) == claims


GOOD: list[tuple[str, Any]] = [
    ("iat", 0),
    ("exp", 2**40 - 1),
    ("man", "999999999:" + DIGEST),
    ("why", {"item": "PEN-LUMPSUM", "basis": "CONSENT", "consent": DIGEST, "ref": "咨询 2026-17"}),
    ("who", {"office": "系统", "role": "system"}),
    ("again", {"jti": JTI, "sha256": DIGEST}),
    ("body", {"sha256": DIGEST, "size": 0, "type": "application/problem+json"}),
]
BAD: list[tuple[str, Any]] = [
    ("net", ""),
    ("net", "n" * 65),
    ("ver", "2"),
    ("iss", "042000"),
    ("iss", "44200"),
    ("iss", "4420000"),
    ("iss", "44200x"),
    ("iss", "44200٣"),
    ("iss", " 442000"),
    ("aud", "442000\n"),
    ("iat", -1),
    ("iat", 2**40),
    ("iat", 1.0),
    ("iat", "1"),
    ("iat", True),
    ("exp", None),
    ("jti", JTI.upper()),
    ("jti", JTI.replace("-", "")),
    ("jti", JTI[:14] + "4" + JTI[15:]),
    ("jti", JTI[:19] + "c" + JTI[20:]),
    ("msg", "Record.query"),
    ("msg", "record.query.again"),
    ("msg", "record."),
    ("msg", ""),
    ("msg", "r" * 41),
    ("man", "0:" + DIGEST),
    ("man", "01:" + DIGEST),
    ("man", "1٣:" + DIGEST),
    ("man", "1000000000:" + DIGEST),
    ("man", "1:" + DIGEST[1:]),
    ("man", DIGEST),
    ("why", {"item": "PEN-LUMPSUM"}),
    ("why", {"item": "pen", "basis": "STATUTORY"}),
    ("why", {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "case": "KS1"}),
    ("why", {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "ref": ""}),
    ("why", {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "ref": "r" * 101}),
    ("why", {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "consent": "yes"}),
    ("why", {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "evil": 1}),
    ("who", {"office": "窗口 2"}),
    ("who", {"office": "", "role": "clerk"}),
    ("who", {"office": "窗口 2", "role": "Clerk"}),
    ("who", {"office": "窗口 2", "role": "clerk", "officer": "邓某"}),
    ("who", {"office": "窗口 2", "role": "clerk", "officer": "o" * 65}),
    ("again", {"jti": JTI}),
    ("again", {"sha256": DIGEST}),
    ("body", {"sha256": DIGEST, "size": 1}),
    ("body", {"sha256": DIGEST, "size": -1, "type": "application/json"}),
    ("body", {"sha256": DIGEST, "size": "1", "type": "application/json"}),
    ("body", {"sha256": DIGEST, "size": 1, "type": "application/json; charset=utf-8"}),
    ("body", {"sha256": DIGEST + "=", "size": 1, "type": "application/json"}),
    ("body", {"sha256": "+" * 43, "size": 1, "type": "application/json"}),
]


@pytest.mark.parametrize(("claim", "value"), GOOD)
def test_a_claim_within_its_form_is_read(claim: str, value: Any) -> None:
    parse_claims(Claims, {**plain(CLAIMS), claim: value})


@pytest.mark.threat("T01")
@pytest.mark.parametrize(("claim", "value"), BAD)
def test_a_claim_outside_its_form_is_named(claim: str, value: Any) -> None:
    with pytest.raises(Malformed) as caught:
        parse_claims(Claims, {**plain(CLAIMS), claim: value})
    assert claim in caught.value.detail or "unknown claim" in caught.value.detail


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("status", 199),
        ("status", 600),
        ("status", "200"),
        ("re", {"jti": JTI}),
        ("re", {"sha256": DIGEST, "jti": ""}),
        ("log", {"origin": "tongban/yizhangwang/442000/0", "index": 1, "leaf": DIGEST}),
        ("log", {"origin": "tongban/yizhangwang/442000", "index": 1, "leaf": DIGEST}),
        ("log", {"origin": "tongban/yizhangwang/442000/1", "index": -1, "leaf": DIGEST}),
        ("log", {"origin": "tongban/yizhangwang/442000/1", "index": 1}),
        ("exp", 1),
    ],
)
def test_a_claim_of_a_reply_outside_its_form_is_refused(claim: str, value: Any) -> None:
    with pytest.raises(Malformed):
        parse_claims(ReplyClaims, {**plain(REPLY), claim: value})


SECRET = "442000199003070018"


@pytest.mark.threat("T01")
@given(st.sampled_from(sorted(plain(CLAIMS))), st.sampled_from([[SECRET], {SECRET: 1}, SECRET * 9, f"x {SECRET}" * 4]))
def test_a_refusal_never_repeats_what_it_refuses(claim: str, value: Any) -> None:
    with pytest.raises(Malformed) as caught:
        parse_claims(Claims, {**plain(CLAIMS), claim: value})
    assert SECRET not in caught.value.detail


def test_claims_do_not_change_after_they_were_read() -> None:
    with pytest.raises(ValidationError):
        CLAIMS.iss = "442000"  # type: ignore[misc]
