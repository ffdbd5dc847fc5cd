"""Signatures, base64url and JSON in their one strict form (RFC 7515, 7518, 8725; trap C12)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from protocol.errors import BadSignature, Malformed, TooLarge
from protocol.suites import decode, encode, parse_json, parse_statement, sign, suite_of, verify

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = encode(b"\x07" * 32)
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def statement(payload: bytes = b'{"a":1}', key: Any = KEY) -> bytes:
    return sign(payload, typ="tongban+jwt", certificate=NAME, key=key)


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    assert decode(encode(data).encode()) == data


@given(st.text("AB_-+/=\n zQé", max_size=12).map(str.encode))
def test_one_value_has_exactly_one_text(text: bytes) -> None:
    try:
        data = decode(text)
    except Malformed:
        return
    assert encode(data).encode() == text


@pytest.mark.parametrize(
    "text", [b"A", b"AA=", b"AA==", b"AB", b"AAB", b"A+", b"A/", b"AAAA\n", b" AAAA", b"AA.A", b"\xff"]
)
def test_text_that_is_not_canonical_base64url_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode(text)


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"{",
        b"{}{}",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"b":1,"b":2}]}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":0x1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b'{"a":"\\ud800"}',
        b'{"\\uDFFF":1}',
        b'{"a":["\\udc00\\ud800"]}',
        b'{"a":1}\x00',
        b"// c\n{}",
        DEEP,
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_json_that_could_be_read_in_two_ways_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(text)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


members = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), members, max_size=5))
def test_every_other_object_is_read(value: dict[str, Any]) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_statement_or_a_refusal(text: bytes) -> None:
    for attempt in (text, encode(b'{"alg":"ES256"}').encode() + b"." + text, text + b"." + text + b"." + text):
        with pytest.raises((Malformed, TooLarge)):
            parse_statement(attempt)


@given(st.binary(max_size=300))
def test_what_is_signed_is_what_is_verified(payload: bytes) -> None:
    text = sign(json.dumps({"p": encode(payload)}).encode(), typ="tongban+jwt", certificate=NAME, key=KEY)
    parsed = parse_statement(text)
    verify(parsed, KEY.public_key())
    assert decode(parsed.claims["p"].encode()) == payload
    assert (parsed.text, parsed.typ, parsed.certificate) == (text, "tongban+jwt", NAME)


def test_a_name_that_has_no_utf8_form_is_refused_like_any_other() -> None:
    for name in ("\ud800" + "A" * 42, "é" * 43, "A" * 42, "A" * 44):
        header = json.dumps({"alg": "ES256", "typ": "tongban+jwt", "x5t#S256": name}).encode()
        with pytest.raises(Malformed):
            parse_statement(f"{encode(header)}.e30.AAAA".encode())


@pytest.mark.threat("T01")
@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1(), ec.BrainpoolP256R1()])
def test_a_key_without_a_suite_neither_signs_nor_verifies(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    with pytest.raises(BadSignature):
        suite_of(key)
    with pytest.raises(BadSignature):
        verify(parse_statement(statement()), key.public_key())


@pytest.mark.threat("T01")
def test_the_key_fixes_the_algorithm() -> None:
    head, payload, signature = statement().split(b".")
    renamed = decode(head).replace(b"ES256", b"ES384")
    with pytest.raises(BadSignature, match="ES256"):
        verify(parse_statement(b".".join((encode(renamed).encode(), payload, signature))), KEY.public_key())


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (CURVE_ORDER, CURVE_ORDER), (1, CURVE_ORDER), (2**256 - 1, 1)]
)
def test_degenerate_signatures_do_not_verify(r: int, s: int) -> None:
    """CVE-2022-21449: zeros once verified under every key."""
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    text = statement().rpartition(b".")[0] + b"." + encode(signature).encode()
    with pytest.raises(BadSignature):
        verify(parse_statement(text), KEY.public_key())


@pytest.mark.threat("T02")
def test_the_mirrored_signature_is_another_text_with_another_digest() -> None:
    """ECDSA has two signatures (r, s) and (r, n-s) over one text; JOSE allows both (RFC 7518 §3.4). Digests of
    statements are over the whole text, so a mirrored copy is a `replay-conflict`, never a second message."""
    text = statement()
    signing_input, _, signature = text.rpartition(b".")
    raw = decode(signature)
    mirrored = raw[:32] + (CURVE_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    twin = signing_input + b"." + encode(mirrored).encode()
    verify(parse_statement(twin), KEY.public_key())
    assert twin != text


def test_another_implementation_verifies_what_we_sign() -> None:
    key = ECKey.import_key(KEY.public_key())
    found = jws.deserialize_compact(statement(b'{"a":1}'), key, algorithms=["ES256"])
    assert found.payload == b'{"a":1}'
    assert found.headers() == {"alg": "ES256", "typ": "tongban+jwt", "x5t#S256": NAME}


def test_we_verify_what_another_implementation_signs() -> None:
    header = {"alg": "ES256", "typ": "tongban+jwt", "x5t#S256": NAME}
    text = jws.serialize_compact(header, b'{"a":1}', ECKey.import_key(KEY), algorithms=["ES256"])
    parsed = parse_statement(text.encode())
    verify(parsed, KEY.public_key())
    assert parsed.claims == {"a": 1}


def test_a_der_signature_is_no_jose_signature() -> None:
    signing_input, _, signature = statement().rpartition(b".")
    raw = decode(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert decode_dss_signature(der)
    with pytest.raises(BadSignature):
        verify(parse_statement(signing_input + b"." + encode(der).encode()), KEY.public_key())
