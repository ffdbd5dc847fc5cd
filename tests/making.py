"""Makers of keys, city CAs, certificates and CRLs for tests; nothing here is used by the product.

Each maker gives a valid thing by default, and every part of it can be changed by name, so that a test
shows the one thing that is wrong::

    ca = make_city_ca("442000", "yizhangwang", NOW)
    stale = make_certificate(ca, Purpose.TLS, NOW, not_before=NOW - timedelta(days=91))
    crl = parse_crl(make_crl(ca, NOW, revoked=[stale.certificate.serial]), [ca.authority])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.certificates import Authority, Certificate, Purpose, parse_authority, parse_certificate

BACKDATED = timedelta(minutes=5)
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
TLS_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
LOCAL_HOSTS = (x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1")))
ABSENT = object()
"""As the value of a change: leave this extension out."""


@dataclass(frozen=True)
class MadeCa:
    """A city CA with its private key."""

    member: str
    network: str
    key: Any
    x509: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.x509.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return _key_pem(self.key)

    @property
    def authority(self) -> Authority:
        return parse_authority(self.pem, self.member)


@dataclass(frozen=True)
class MadeCertificate:
    """A leaf with its private key; `certificate` raises where the product refuses to parse it."""

    key: Any
    x509: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.x509.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return _key_pem(self.key)

    @property
    def certificate(self) -> Certificate:
        return parse_certificate(self.der)


def make_city_ca(
    member: str = "442000", network: str = "yizhangwang", now: datetime | None = None, **changes: Any
) -> MadeCa:
    """Return a CA valid from just before `now` for ten years.

    Changes: key, key_identifier, not_before, lifetime, constraints, critical_constraints, usage, hash,
    extra (extensions as (value, critical)); a value ABSENT drops `constraints`, `usage`, `key_identifier`.
    """
    key = changes.get("key") or ec.generate_private_key(ec.SECP256R1())
    start = changes.get("not_before", _required(now) - BACKDATED)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, network),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{member} CA"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(changes.get("serial", x509.random_serial_number()))
        .not_valid_before(start)
        .not_valid_after(start + changes.get("lifetime", timedelta(days=3650)))
    )
    extensions = [
        (
            changes.get("constraints", x509.BasicConstraints(ca=True, path_length=0)),
            changes.get("critical_constraints", True),
        ),
        (changes.get("usage", make_key_usage("key_cert_sign", "crl_sign")), True),
        (changes.get("key_identifier", x509.SubjectKeyIdentifier.from_public_key(key.public_key())), False),
        *changes.get("extra", ()),
    ]
    signed = _with(builder, extensions).sign(changes.get("signing_key", key), changes.get("hash", hashes.SHA256()))
    return MadeCa(member=member, network=network, key=key, x509=signed)


def make_certificate(ca: MadeCa, purpose: Purpose, now: datetime, **changes: Any) -> MadeCertificate:
    """Return a certificate of `ca`'s member for `purpose`.

    Changes: member, network, urns, hosts, key, serial, not_before, lifetime, uses, usage, constraints,
    authority_key_identifier, signing_key, issuer, hash, extra.
    """
    key = changes.get("key") or ec.generate_private_key(ec.SECP256R1())
    member, network = changes.get("member", ca.member), changes.get("network", ca.network)
    start = changes.get("not_before", now - BACKDATED)
    tls = purpose is Purpose.TLS
    urns = changes.get("urns", [f"urn:tongban:{network}:{member}:{purpose.value}"])
    names = [x509.UniformResourceIdentifier(urn) for urn in urns] + list(
        changes.get("hosts", LOCAL_HOSTS if tls else ())
    )
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{member} {purpose.value}")]))
        .issuer_name(changes.get("issuer", ca.x509.subject))
        .public_key(key.public_key())
        .serial_number(changes.get("serial", x509.random_serial_number()))
        .not_valid_before(start)
        .not_valid_after(start + changes.get("lifetime", timedelta(days=90 if tls else 365)))
    )
    extensions = [
        (x509.SubjectAlternativeName(names) if names else ABSENT, False),
        (changes.get("constraints", x509.BasicConstraints(ca=False, path_length=None)), True),
        (changes.get("usage", make_key_usage("digital_signature")), changes.get("critical_usage", True)),
        (_extended(changes.get("uses", TLS_USES if tls else (DOCUMENT_SIGNING,))), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (changes.get("authority_key_identifier", identifier), False),
        *changes.get("extra", ()),
    ]
    signed = _with(builder, extensions).sign(changes.get("signing_key", ca.key), changes.get("hash", hashes.SHA256()))
    return MadeCertificate(key=key, x509=signed)


def make_crl(ca: MadeCa, now: datetime, revoked: Sequence[int] = (), **changes: Any) -> bytes:
    """Return the DER of a CRL that names the serial numbers `revoked`, good for 7 days.

    Changes: number, lifetime, this_update, entries (built RevokedCertificates), signing_key, hash, extra,
    authority_key_identifier; ABSENT drops number or authority_key_identifier.
    """
    start = changes.get("this_update", now)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.x509.subject)
        .last_update(start)
        .next_update(start + changes.get("lifetime", timedelta(days=7)))
    )
    entries = [make_entry(serial, now) for serial in revoked] + list(changes.get("entries", ()))
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    number = changes.get("number", 1)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    extensions = [
        (number if number is ABSENT else x509.CRLNumber(number), False),
        (changes.get("authority_key_identifier", identifier), False),
        *changes.get("extra", ()),
    ]
    signed = _with(builder, extensions).sign(changes.get("signing_key", ca.key), changes.get("hash", hashes.SHA256()))
    return bytes(signed.public_bytes(Encoding.DER))


def make_entry(serial: int, at: datetime, extensions: Sequence[tuple[Any, bool]] = ()) -> x509.RevokedCertificate:
    """Return one CRL entry."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    return _with(builder, extensions).build()


def make_key_usage(*names: str) -> x509.KeyUsage:
    """Return a key usage with exactly these bits."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in every})


def _required(now: datetime | None) -> datetime:
    if now is None:
        raise TypeError("makers take the time as an argument")
    return now


def _extended(uses: Any) -> Any:
    return uses if uses is ABSENT else x509.ExtendedKeyUsage(list(uses))


def _with(builder: Any, extensions: Sequence[tuple[Any, bool]]) -> Any:
    for value, critical in extensions:
        if value is not ABSENT:
            builder = builder.add_extension(value, critical=critical)
    return builder


def _key_pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
