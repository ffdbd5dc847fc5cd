"""The CA directory of one city.

=================  ============================================================================
`ca.pem`           the CA certificate, which the manifest lists
`ca.key`           its private key, PKCS#8 encrypted, 0600
`issued/N.json`    one file for each certificate, N its serial in hexadecimal: serial, purpose,
                   urn, not_before, not_after, fingerprint, revoked {at, since, reason} or null
`issued/N.pem`     the certificate
`crl.der`          the newest CRL; the next number is its number plus one, so there is no counter
                   that a crash could leave behind it
`ca.lock`          held while anything is written
=================  ============================================================================

Each file is replaced as a whole. A certificate's index file is written before the certificate is handed
out, so that nothing is in use that cannot be revoked.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs.faults import AlreadyThere, NotReadable, UnknownSerial, WrongUsage
from certs.files import PUBLIC, create_file, read_file, replace_file
from certs.keys import generate_ec_key, read_ec_key, write_key
from certs.profiles import BACKDATED, CA_LIFETIME, key_usage
from protocol.certificates import Authority, Purpose, certificate_urn, parse_authority
from protocol.errors import UnknownCertificate

CERTIFICATE, KEY, ISSUED, CRL = "ca.pem", "ca.key", "issued", "crl.der"


@dataclass(frozen=True, slots=True)
class Ca:
    """An opened CA: it can sign."""

    directory: Path
    network: str
    member: str
    authority: Authority
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the index. `revoked_since` is the invalidityDate: compromised from then on."""

    serial: int
    purpose: str
    urn: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    revoked_at: datetime | None = None
    revoked_since: datetime | None = None
    reason: str | None = None


def make_ca_certificate(
    key: ec.EllipticCurvePrivateKey, *, network: str, member: str, now: datetime
) -> x509.Certificate:
    """Return the self-signed certificate of a city CA, valid for ten years (RFC 5280 §4.2.1).

    Raises:
        WrongUsage: network or member is not well formed.
    """
    try:
        certificate_urn(network, member, Purpose.TLS)
    except ValueError:
        raise WrongUsage("网络编号或成员代码格式不正确", "network id or member code is not well formed") from None
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, network),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, member),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Tongban CA {member}"),
        ]
    )
    start = now - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def create_ca(directory: Path, *, network: str, member: str, passphrase: bytes | None, now: datetime) -> Ca:
    """Create the CA directory (0700) with key and certificate, and return the opened CA.

    Raises:
        AlreadyThere: a CA is there; a new one would orphan all that the old one vouches for.
        WrongUsage: network or member is not well formed.
    """
    if any((directory / name).exists() for name in (KEY, CERTIFICATE)):
        raise AlreadyThere("该目录已有 CA，不会覆盖", "this directory holds a CA already; it is not overwritten")
    key = generate_ec_key()
    certificate = make_ca_certificate(key, network=network, member=member, now=now)
    (directory / ISSUED).mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    write_key(directory / KEY, key, passphrase=passphrase)
    create_file(directory / CERTIFICATE, certificate.public_bytes(Encoding.PEM), mode=PUBLIC)
    return open_ca(directory, passphrase=passphrase)


def open_ca(directory: Path, *, passphrase: bytes | None) -> Ca:
    """Return the CA in `directory`, able to sign.

    Raises:
        NotReadable: no CA there, or key and certificate do not belong together.
        KeyExposed, WrongPassphrase: about `ca.key`.
    """
    network, authority = read_ca(directory)
    key = read_ec_key(directory / KEY, passphrase=passphrase)
    if key.public_key() != authority.public_key:
        raise NotReadable(f"{KEY} 与 {CERTIFICATE} 不匹配", f"{KEY} is not the key of {CERTIFICATE}")
    return Ca(directory=directory, network=network, member=authority.member, authority=authority, key=key)


def read_ca(directory: Path) -> tuple[str, Authority]:
    """Return network and CA certificate, without its key.

    Raises:
        NotReadable: no CA there, or not one that this tool made.
    """
    pem = read_file(directory / CERTIFICATE)
    strange = NotReadable(f"{CERTIFICATE} 不是城市 CA 证书", f"{CERTIFICATE} is not a city CA certificate")
    try:
        subject = parse_authority(pem.decode(), "").parsed.subject
        network = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
        member = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value
        certificate_urn(str(network), str(member), Purpose.TLS)
    except (UnknownCertificate, ValueError, IndexError):
        raise strange from None
    return str(network), parse_authority(pem.decode(), str(member))


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Keep other processes from writing to this CA; the kernel releases it when the process dies."""
    with (directory / "ca.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_issued(directory: Path, issued: Issued) -> None:
    """Write or replace the index file of one certificate."""
    revoked = None
    if issued.revoked_at is not None:
        since = issued.revoked_since.isoformat() if issued.revoked_since else None
        revoked = {"at": issued.revoked_at.isoformat(), "since": since, "reason": issued.reason}
    line = {
        "serial": f"{issued.serial:x}",
        "purpose": issued.purpose,
        "urn": issued.urn,
        "not_before": issued.not_before.isoformat(),
        "not_after": issued.not_after.isoformat(),
        "fingerprint": issued.fingerprint,
        "revoked": revoked,
    }
    replace_file(directory / ISSUED / f"{issued.serial:x}.json", json.dumps(line, indent=1).encode(), mode=PUBLIC)


def read_issued(directory: Path) -> tuple[Issued, ...]:
    """Return all that this CA has issued, oldest first.

    Raises:
        NotReadable: an index file is damaged; nothing may be signed over half an index.
    """
    files = sorted((directory / ISSUED).glob("*.json"))
    return tuple(sorted((_parse_issued(file) for file in files), key=lambda one: (one.not_before, one.serial)))


def find_issued(directory: Path, serial: int) -> Issued:
    """Return one line of the index.

    Raises:
        UnknownSerial: not issued here.
    """
    file = directory / ISSUED / f"{serial:x}.json"
    if not file.exists():
        raise UnknownSerial("本 CA 没有签发过该序列号", "this CA has issued no certificate with that serial number")
    return _parse_issued(file)


def _parse_issued(file: Path) -> Issued:
    try:
        line: dict[str, Any] = json.loads(read_file(file))
        revoked = line["revoked"] or {}
        return Issued(
            serial=int(line["serial"], 16),
            purpose=line["purpose"],
            urn=line["urn"],
            not_before=_time(line["not_before"]),
            not_after=_time(line["not_after"]),
            fingerprint=line["fingerprint"],
            revoked_at=_time(revoked["at"]) if revoked else None,
            revoked_since=_time(revoked["since"]) if revoked.get("since") else None,
            reason=revoked.get("reason"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotReadable(f"索引文件 {file.name} 已损坏", f"index file {file.name} is damaged") from None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
