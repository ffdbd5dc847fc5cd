"""Steps 1 to 3 of the trust decision (protocol §2), one test for each rule that can be broken; hostile bytes."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.certificates import (
    MAX_CERTIFICATE_BYTES,
    MAX_CRL_BYTES,
    Crl,
    CrlInvalid,
    Purpose,
    Verdict,
    certificate_urn,
    judge,
    parse_authority,
    parse_certificate,
    parse_crl,
)
from protocol.errors import UnknownCertificate
from tests.making import (
    ABSENT,
    DOCUMENT_SIGNING,
    MadeCa,
    MadeCertificate,
    make_certificate,
    make_city_ca,
    make_crl,
    make_key_usage,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = timedelta(days=7)
NETWORK = "yizhangwang"
ZHONGSHAN = make_city_ca("442000", NETWORK, NOW)
WUZHOU = make_city_ca("450400", NETWORK, NOW)
GOOD = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW)
GOOD_CRL = make_crl(ZHONGSHAN, NOW)
UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)


def crl_of(ca: MadeCa, revoked: Sequence[int] = (), **changes: Any) -> Crl:
    return parse_crl(make_crl(ca, NOW, revoked, **changes), [ca.authority])


def verdict_on(made: MadeCertificate, *crls: Crl, ca: MadeCa = ZHONGSHAN, use: Purpose = Purpose.MESSAGE) -> Verdict:
    return judge(made.certificate, [ca.authority], crls, network=NETWORK, use=use, grace=GRACE)


def test_a_good_certificate_passes_for_each_purpose() -> None:
    for purpose in Purpose:
        made = make_certificate(ZHONGSHAN, purpose, NOW)
        verdict_on(made, crl_of(ZHONGSHAN), use=purpose).at(NOW)
        assert (made.certificate.member, made.certificate.purpose) == ("442000", purpose)


def test_the_fingerprint_is_the_x5t_s256_of_the_der() -> None:
    digest = GOOD.x509.fingerprint(hashes.SHA256())
    assert GOOD.certificate.fingerprint == b64encode(digest, altchars=b"-_").decode().rstrip("=")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_p256_and_stronger_curves_pass(curve: ec.EllipticCurve) -> None:
    verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, key=ec.generate_private_key(curve)))


# --- Step 1: form ---


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: dsa.generate_private_key(1024),
        lambda: ed25519.Ed25519PrivateKey.generate(),
        lambda: ec.generate_private_key(ec.SECP224R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    ],
    ids=["RSA-1024", "RSA-2048", "DSA-1024", "Ed25519", "P-224", "secp256k1", "brainpool"],
)
def test_a_key_that_is_not_on_the_allow_list_is_refused(make_key: Callable[[], Any]) -> None:
    made = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, key=make_key())
    with pytest.raises(UnknownCertificate, match="key is not on the allow-list"):
        parse_certificate(made.der)


P256_IN_DER, P192_IN_DER = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030101")
SHA256_IN_DER, SHA224_IN_DER = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040301")


def test_p192_is_refused() -> None:
    with pytest.raises(UnknownCertificate, match="key is not on the allow-list"):
        parse_certificate(GOOD.der.replace(P256_IN_DER, P192_IN_DER))


def test_a_sha224_signature_is_refused() -> None:
    with pytest.raises(UnknownCertificate, match="signature algorithm"):
        parse_certificate(GOOD.der.replace(SHA256_IN_DER, SHA224_IN_DER))


def resized(der: bytes, old: bytes, new: bytes) -> bytes:
    """Replace `old` by something shorter and mend the lengths around it; it stands once or twice."""
    outer, tbs = der[:4], der[4:8]
    assert outer[:2] == tbs[:2] == b"\x30\x82"
    times, shorter = der.count(old), len(old) - len(new)
    # The last one, the outer signature algorithm, stands after the signed part.
    inside = 1 if times == 2 else times
    body = der[8:].replace(old, new)

    def length(head: bytes, by: int) -> bytes:
        return head[:2] + (int.from_bytes(head[2:], "big") - by).to_bytes(2, "big")

    return length(outer, times * shorter) + length(tbs, inside * shorter) + body


def test_a_sha1_signature_is_refused() -> None:
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    ecdsa_with_sha1 = bytes.fromhex("300906072a8648ce3d0401")
    with pytest.raises(UnknownCertificate, match="signature algorithm"):
        parse_certificate(resized(GOOD.der, ecdsa_with_sha256, ecdsa_with_sha1))


def test_x509_v1_is_refused() -> None:
    v3 = bytes.fromhex("a003020102")
    assert GOOD.der.count(v3) == 1
    with pytest.raises(UnknownCertificate, match="v3 certificate"):
        parse_certificate(resized(GOOD.der, v3, b""))


def test_a_serial_number_of_zero_or_below_is_refused() -> None:
    made = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, serial=0x55)
    serial = bytes.fromhex("0201") + b"\x55"
    for wrong in (b"\x00", b"\xff"):
        with pytest.raises(UnknownCertificate):
            parse_certificate(made.der.replace(serial, serial[:2] + wrong, 1))


@pytest.mark.parametrize(
    "urns",
    [
        [],
        ["urn:tongban:yizhangwang:442000:message", "urn:tongban:yizhangwang:450400:message"],
        ["urn:tongban:yizhangwang:442000:message"] * 2,
        ["urn:tongban:yizhangwang:442000"],
        ["urn:tongban:yizhangwang:442000:message:x"],
        ["urn:tongban:yizhangwang:44200:message"],
        ["urn:tongban:yizhangwang:442000:tls2"],
        ["urn:tongban:YIZHANGWANG:442000:message"],
        ["urn:tongban:yizhangwang:442000:message\n"],
        ["https://442000.example/message"],
    ],
)
def test_anything_but_one_well_formed_urn_is_refused(urns: list[str]) -> None:
    with pytest.raises(UnknownCertificate):
        parse_certificate(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, urns=urns).der)


def test_host_names_belong_in_tls_certificates_only() -> None:
    made = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, hosts=[x509.DNSName("gateway.example")])
    with pytest.raises(UnknownCertificate, match="other names"):
        parse_certificate(made.der)


def test_other_kinds_of_names_are_refused_in_tls_certificates() -> None:
    made = make_certificate(ZHONGSHAN, Purpose.TLS, NOW, hosts=[x509.RFC822Name("x@example.cn")])
    with pytest.raises(UnknownCertificate, match="other names"):
        parse_certificate(made.der)


@pytest.mark.parametrize(("purpose", "days"), [(Purpose.TLS, 91), (Purpose.MESSAGE, 367), (Purpose.RECOGNITION, 367)])
def test_a_certificate_that_lives_too_long_is_refused(purpose: Purpose, days: int) -> None:
    parse_certificate(make_certificate(ZHONGSHAN, purpose, NOW, lifetime=timedelta(days=days - 1)).der)
    with pytest.raises(UnknownCertificate, match="valid for more than"):
        parse_certificate(make_certificate(ZHONGSHAN, purpose, NOW, lifetime=timedelta(days=days)).der)


def test_an_unknown_critical_extension_is_refused() -> None:
    with pytest.raises(UnknownCertificate, match="critical"):
        parse_certificate(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, extra=[UNKNOWN_CRITICAL]).der)


# --- Step 2: chain ---


def test_a_ca_may_vouch_only_for_its_own_member() -> None:
    foreign = make_certificate(WUZHOU, Purpose.MESSAGE, NOW, member="442000")
    for authorities in ([ZHONGSHAN.authority], [WUZHOU.authority], [WUZHOU.authority, ZHONGSHAN.authority]):
        with pytest.raises(UnknownCertificate, match="no CA listed for 442000"):
            judge(foreign.certificate, authorities, [], network=NETWORK, use=Purpose.MESSAGE, grace=GRACE)


def test_a_certificate_of_another_network_is_refused() -> None:
    made = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, network="othernet")
    with pytest.raises(UnknownCertificate, match="another network"):
        verdict_on(made)


def test_a_signature_by_another_key_is_refused() -> None:
    with pytest.raises(UnknownCertificate, match="no CA listed"):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, signing_key=WUZHOU.key))


@pytest.mark.parametrize("offset", [-1, -40])
def test_a_changed_byte_in_the_signature_is_refused(offset: int) -> None:
    der = bytearray(GOOD.der)
    der[offset] ^= 1
    certificate = parse_certificate(bytes(der))
    with pytest.raises(UnknownCertificate, match="no CA listed"):
        judge(certificate, [ZHONGSHAN.authority], [], network=NETWORK, use=Purpose.MESSAGE, grace=GRACE)


def test_an_issuer_name_other_than_the_cas_is_refused() -> None:
    with pytest.raises(UnknownCertificate, match="no CA listed"):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, issuer=WUZHOU.x509.subject))


def test_the_authority_key_identifier_must_be_the_cas() -> None:
    other = x509.AuthorityKeyIdentifier(b"x" * 20, None, None)
    with pytest.raises(UnknownCertificate, match="no CA listed"):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, authority_key_identifier=other))
    with pytest.raises(UnknownCertificate, match="AuthorityKeyIdentifier"):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, authority_key_identifier=ABSENT))


def test_a_leaf_that_may_vouch_is_refused() -> None:
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    with pytest.raises(UnknownCertificate, match="CA certificate"):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, constraints=constraints))


def test_a_certificate_below_another_leaf_is_refused() -> None:
    middle = MadeCa("442000", NETWORK, GOOD.key, GOOD.x509)
    with pytest.raises(UnknownCertificate, match="no CA listed"):
        verdict_on(make_certificate(middle, Purpose.MESSAGE, NOW))
    with pytest.raises(UnknownCertificate, match="not a CA"):
        parse_authority(GOOD.pem, "442000")


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": make_key_usage("digital_signature", "key_cert_sign")},
        {"usage": make_key_usage("key_agreement")},
        {"usage": ABSENT},
        {"critical_usage": False},
    ],
)
def test_a_leaf_with_another_key_usage_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnknownCertificate):
        verdict_on(make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"constraints": x509.BasicConstraints(ca=True, path_length=1)},
        {"constraints": x509.BasicConstraints(ca=True, path_length=None)},
        {"constraints": x509.BasicConstraints(ca=False, path_length=None)},
        {"constraints": ABSENT},
        {"critical_constraints": False},
        {"usage": make_key_usage("key_cert_sign")},
        {"usage": make_key_usage("crl_sign")},
        {"usage": make_key_usage("key_cert_sign", "crl_sign", "digital_signature")},
        {"usage": ABSENT},
        {"key_identifier": ABSENT},
        {"extra": [(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), False)]},
        {"extra": [UNKNOWN_CRITICAL]},
        {"key": rsa.generate_private_key(65537, 2048)},
        {"signing_key": WUZHOU.key},
    ],
)
def test_a_ca_outside_the_profile_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnknownCertificate) as refusal:
        parse_authority(make_city_ca("442000", NETWORK, NOW, **changes).pem, "442000")
    assert "readable" not in refusal.value.detail


def test_only_one_certificate_is_taken_for_a_ca() -> None:
    with pytest.raises(UnknownCertificate, match="more than one"):
        parse_authority(ZHONGSHAN.pem + WUZHOU.pem, "442000")


# --- Step 3: use ---


@pytest.mark.parametrize("made_for", list(Purpose))
@pytest.mark.parametrize("used_for", list(Purpose))
def test_a_certificate_serves_one_purpose_only(made_for: Purpose, used_for: Purpose) -> None:
    if made_for is used_for:
        return
    with pytest.raises(UnknownCertificate, match=f"made for {made_for}, used for {used_for}"):
        verdict_on(make_certificate(ZHONGSHAN, made_for, NOW), use=used_for)


@pytest.mark.parametrize(
    ("purpose", "uses"),
    [
        (Purpose.MESSAGE, ABSENT),
        (Purpose.MESSAGE, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        (Purpose.MESSAGE, [DOCUMENT_SIGNING, ExtendedKeyUsageOID.CLIENT_AUTH]),
        (Purpose.MESSAGE, [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        (Purpose.TLS, [ExtendedKeyUsageOID.SERVER_AUTH]),
        (Purpose.TLS, [DOCUMENT_SIGNING]),
    ],
)
def test_an_extended_key_usage_that_is_not_exactly_the_one_is_refused(purpose: Purpose, uses: Any) -> None:
    with pytest.raises(UnknownCertificate, match="xtended"):
        verdict_on(make_certificate(ZHONGSHAN, purpose, NOW, uses=uses), use=purpose)


# --- Hostile bytes ---


def test_what_is_too_large_is_not_parsed() -> None:
    with pytest.raises(UnknownCertificate, match="larger"):
        parse_certificate(GOOD.der + bytes(MAX_CERTIFICATE_BYTES))
    with pytest.raises(CrlInvalid, match="larger"):
        parse_crl(bytes(MAX_CRL_BYTES + 1), [ZHONGSHAN.authority])
    with pytest.raises(UnknownCertificate, match="larger"):
        parse_authority(ZHONGSHAN.pem * 100, "442000")


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """Change, drop or insert up to three bytes, or cut the end off."""
    der = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(1, len(der) - 2)) if len(der) > 2 else 1
        der += bytes(max(0, 3 - len(der)))
        match draw(st.sampled_from(["set", "set", "drop", "insert", "cut"])):
            case "set":
                der[place] = draw(st.integers(0, 255))
            case "drop":
                del der[place]
            case "insert":
                der.insert(place, draw(st.integers(0, 255)))
            case _:
                del der[place:]
    return bytes(der)


@settings(max_examples=400)
@given(mutated(make_certificate(ZHONGSHAN, Purpose.TLS, NOW).der))
def test_a_mutated_certificate_is_refused_and_nothing_else_happens(der: bytes) -> None:
    try:
        certificate = parse_certificate(der)
        judge(certificate, [ZHONGSHAN.authority], [], network=NETWORK, use=Purpose.TLS, grace=GRACE)
    except UnknownCertificate:
        return
    assert certificate.parsed.tbs_certificate_bytes == x509.load_der_x509_certificate(der).tbs_certificate_bytes


@settings(max_examples=400)
@given(mutated(make_crl(ZHONGSHAN, NOW, [5, 6])))
def test_a_mutated_crl_is_invalid_and_nothing_else_happens(der: bytes) -> None:
    try:
        crl = parse_crl(der, [ZHONGSHAN.authority])
    except CrlInvalid:
        return
    assert set(crl.revoked) == {5, 6}


@settings(max_examples=150)
@given(mutated(ZHONGSHAN.der) | st.binary(max_size=60))
def test_a_mutated_ca_is_refused_and_nothing_else_happens(der: bytes) -> None:
    pem = "-----BEGIN CERTIFICATE-----\n" + b64encode(der).decode() + "\n-----END CERTIFICATE-----\n"
    try:
        parse_authority(pem, "442000")
    except UnknownCertificate:
        return


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----", "\x00\ud800"])
def test_text_that_is_no_pem_is_refused(text: str) -> None:
    with pytest.raises(UnknownCertificate):
        parse_authority(text, "442000")


def test_a_urn_is_made_only_of_well_formed_parts() -> None:
    assert certificate_urn(NETWORK, "442000", Purpose.TLS) == "urn:tongban:yizhangwang:442000:tls"
    for network, member in (("", "442000"), (NETWORK, "4420"), ("a:b", "442000"), (NETWORK, "442000:tls")):
        with pytest.raises(ValueError, match="six digits"):
            certificate_urn(network, member, Purpose.TLS)
