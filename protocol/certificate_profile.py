"""The certificate profile: RFC 5280 narrowed until nothing is left to interpret (protocol §2).

Every certificate names its owner in exactly one URI SAN, `urn:tongban:<network>:<member>:<purpose>`,
for example `urn:tongban:yizhangwang:442000:message`. We check what `cryptography`'s own path verifier
leaves open (it accepts absent or any EKU, P-192, DSA and short RSA keys):

=============  ============================================  =========================================
               CA                                            leaf
=============  ============================================  =========================================
form           v3, serial of 1 to 20 bytes, no unknown       the same; SANs are the one URN and, for
               critical extension                            tls, DNS names and IP addresses
key            P-256, P-384, P-521, signed with SHA-2        the same
constraints    critical, CA, path length 0                   absent, or not CA
key usage      critical, keyCertSign + cRLSign               critical, digitalSignature
extended use   none                                          tls: serverAuth + clientAuth, else
                                                             documentSigning (RFC 9336)
identifiers    SKI                                           AKI, equal to the CA's SKI
lifetime       its own                                       tls at most 90 days, else 366
=============  ============================================  =========================================
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import NoReturn, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from protocol.errors import UnknownCertificate

MAX_CERTIFICATE_BYTES = 16 * 1024
"""Protocol §5.1 step 4."""


class Purpose(StrEnum):
    """What a certificate is for; the last part of its URN."""

    TLS = "tls"
    MESSAGE = "message"
    RECOGNITION = "recognition"
    DOCUMENT = "document"


CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
SIGNATURES = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
EXTENDED_USES: Mapping[Purpose, frozenset[x509.ObjectIdentifier]] = MappingProxyType(
    {
        Purpose.TLS: frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
        Purpose.MESSAGE: frozenset({DOCUMENT_SIGNING}),
        Purpose.RECOGNITION: frozenset({DOCUMENT_SIGNING}),
        Purpose.DOCUMENT: frozenset({DOCUMENT_SIGNING}),
    }
)
LONGEST: Mapping[Purpose, timedelta] = MappingProxyType(
    {purpose: timedelta(days=90 if purpose is Purpose.TLS else 366) for purpose in Purpose}
)
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_URN = re.compile(r"urn:tongban:([a-z][a-z0-9-]{0,62}):([0-9]{6}):(tls|message|recognition|document)", re.ASCII)
_EXTENSIONS = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
)
# What the library raises over hostile DER; several of its classes are plain `Exception`s. A serial number
# below 1 is only a warning to it, which is an exception wherever warnings are errors.
UNREADABLE = (
    UserWarning,
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.ExtensionNotFound,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A leaf that passed step 1. `fingerprint` is its `x5t#S256`: SHA-256 of the DER, base64url unpadded."""

    der: bytes = field(repr=False)
    fingerprint: str
    network: str
    member: str
    purpose: Purpose
    not_before: datetime
    not_after: datetime
    serial: int
    public_key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)
    parsed: x509.Certificate = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """A city CA, as the manifest lists it for `member`."""

    der: bytes = field(repr=False)
    member: str
    fingerprint: str
    key_identifier: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    public_key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)
    parsed: x509.Certificate = field(repr=False, compare=False)


def certificate_urn(network: str, member: str, purpose: Purpose) -> str:
    """Return the one URI SAN of a certificate.

    Raises:
        ValueError: network or member is not in the form of an URN part.
    """
    urn = f"urn:tongban:{network}:{member}:{purpose.value}"
    if _URN.fullmatch(urn) is None:
        raise ValueError("network is [a-z][a-z0-9-]*, member is six digits")
    return urn


def parse_certificate(der: bytes) -> Certificate:
    """Step 1: return the certificate that `der` is. Cost: about 25 µs.

    Raises:
        UnknownCertificate: not DER, not v3, serial, algorithms, lifetime or URN outside the profile.
    """
    try:
        parsed = _load(der)
        network, member, purpose = _read_urn(parsed)
        if parsed.not_valid_after_utc - parsed.not_valid_before_utc > LONGEST[purpose]:
            refuse(f"valid for more than {LONGEST[purpose].days} days")
        return Certificate(
            der=der,
            fingerprint=fingerprint(der),
            network=network,
            member=member,
            purpose=purpose,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            serial=parsed.serial_number,
            public_key=_public_key(parsed),
            parsed=parsed,
        )
    except UNREADABLE:
        raise UnknownCertificate("not a readable X.509 certificate") from None


def parse_authority(pem: str, member: str) -> Authority:
    """Return the CA that the manifest lists for `member`; `pem` holds one certificate.

    Raises:
        UnknownCertificate: not PEM, or outside the CA column of the profile.
    """
    try:
        if len(pem) > 2 * MAX_CERTIFICATE_BYTES:
            refuse("larger than allowed")
        listed = x509.load_pem_x509_certificates(pem.encode())
        if len(listed) != 1:
            refuse("more than one certificate where one CA was expected")
        der = listed[0].public_bytes(Encoding.DER)
        parsed = _load(der)
        _check_authority(parsed)
        return Authority(
            der=der,
            member=member,
            fingerprint=fingerprint(der),
            key_identifier=_extension(parsed, x509.SubjectKeyIdentifier).digest,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            public_key=_public_key(parsed),
            parsed=parsed,
        )
    except UNREADABLE:
        raise UnknownCertificate("not a readable PEM certificate") from None


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of `der` in unpadded base64url, as `x5t#S256` (RFC 7515 §4.1.8) has it."""
    return urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()


def refuse(found: str) -> NoReturn:
    """Say no; `found` is one of our own phrases, never a part of the certificate."""
    raise UnknownCertificate(found)


def vouches(authority: Authority, certificate: Certificate) -> bool:
    """Return whether this CA issued the certificate: names, key identifiers, signature (RFC 5280 §6.1.3)."""
    if authority.member != certificate.member:
        return False
    if _extension(certificate.parsed, x509.AuthorityKeyIdentifier).key_identifier != authority.key_identifier:
        return False
    try:
        certificate.parsed.verify_directly_issued_by(authority.parsed)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def check_leaf(parsed: x509.Certificate) -> None:
    """Step 2, the leaf column: it may sign, and may not vouch.

    Raises:
        UnknownCertificate: basic constraints or key usage differ.
    """
    constraints = _optional(parsed, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        refuse("a CA certificate where that of a member's service was expected")
    _check_key_usage(parsed, {"digital_signature"})


def check_extended_use(parsed: x509.Certificate, use: Purpose) -> None:
    """Step 3: the extended key usage is exactly that of `use`.

    Raises:
        UnknownCertificate: absent, more, or less.
    """
    if frozenset(_extension(parsed, x509.ExtendedKeyUsage)) != EXTENDED_USES[use]:
        refuse(f"extended key usage is not exactly that of {use.value}")


def _load(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_BYTES:
        refuse("larger than allowed")
    parsed = x509.load_der_x509_certificate(der)
    if parsed.version is not x509.Version.v3:
        refuse("not an X.509 v3 certificate")
    if not 0 < parsed.serial_number < 2**159:
        refuse("serial number is not positive, or longer than 20 bytes")
    if parsed.signature_algorithm_oid not in SIGNATURES:
        refuse("signature algorithm is not on the allow-list")
    _public_key(parsed)
    if parsed.not_valid_after_utc < parsed.not_valid_before_utc:
        refuse("ends before it begins")
    known = tuple(kind.oid for kind in _EXTENSIONS)
    if any(one.critical and one.oid not in known for one in parsed.extensions):
        refuse("has an unknown critical extension")
    return parsed


def _public_key(parsed: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = parsed.public_key()
    except UNREADABLE:
        refuse("key is not on the allow-list")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        refuse("key is not on the allow-list")
    return key


def _read_urn(parsed: x509.Certificate) -> tuple[str, str, Purpose]:
    names = _extension(parsed, x509.SubjectAlternativeName)
    urns = names.get_values_for_type(x509.UniformResourceIdentifier)
    match = _URN.fullmatch(urns[0]) if len(urns) == 1 else None
    if match is None:
        refuse("not exactly one URI name, in the form urn:tongban:<network>:<member>:<purpose>")
    network, member, purpose = match.group(1), match.group(2), Purpose(match.group(3))
    hosts = (x509.DNSName, x509.IPAddress) if purpose is Purpose.TLS else ()
    if not all(isinstance(name, (x509.UniformResourceIdentifier, *hosts)) for name in names):
        refuse(f"has other names than {purpose.value} certificates may have")
    return network, member, purpose


def _check_authority(parsed: x509.Certificate) -> None:
    constraints = _extension(parsed, x509.BasicConstraints)
    critical = parsed.extensions.get_extension_for_class(x509.BasicConstraints).critical
    if not (critical and constraints.ca and constraints.path_length == 0):
        refuse("not a CA with path length 0")
    _check_key_usage(parsed, {"key_cert_sign", "crl_sign"})
    if _optional(parsed, x509.ExtendedKeyUsage) is not None:
        refuse("a CA certificate has no extended key usage")
    if parsed.issuer == parsed.subject:
        try:
            parsed.verify_directly_issued_by(parsed)
        except InvalidSignature:
            refuse("the CA's signature over itself is not valid")


def _check_key_usage(parsed: x509.Certificate, expected: set[str]) -> None:
    usage = _extension(parsed, x509.KeyUsage)
    critical = parsed.extensions.get_extension_for_class(x509.KeyUsage).critical
    if not critical or {name for name in KEY_USAGES if getattr(usage, name)} != expected:
        refuse(f"key usage is not critical and exactly {' and '.join(sorted(expected))}")


def _extension(parsed: x509.Certificate, kind: type[_Kind]) -> _Kind:
    value = _optional(parsed, kind)
    if value is None:
        refuse(f"has no extension {kind.__name__}")
    return value


def _optional(parsed: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
