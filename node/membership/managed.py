"""Managed certificates: the one module of the node that imports the CA tool (assurance C41).

In managed mode the city's CA lives in the node directory (demo, small cities); in external mode, which is
recommended for production, this node never holds a CA key and only watches the files that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs.ca import Ca, create_ca, open_ca
from certs.commands import app as certs_commands
from certs.crl import issue_crl, read_crl
from certs.csr import make_csr
from certs.faults import CertsFault
from certs.files import PUBLIC, create_file, read_file
from certs.issue import issue
from certs.keys import generate_ec_key, generate_ed25519_key, read_key, write_key
from certs.profiles import BACKDATED, usual_lifetime
from protocol.certificates import Purpose
from protocol.joining import JoinRequest, format_join_request
from protocol.manifest import MemberContent
from protocol.notes import SignatureType, format_vkey, key_of

__all__ = ["CertsFault", "City", "certs_commands", "create_city", "governance_key", "join_request", "renew_crl_if_due"]

CA_DIRECTORY: Final = "ca"
CRL_LIFETIME: Final = timedelta(days=7)
CRL_RENEWAL: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class City:
    """Who a node directory is made for."""

    network: str
    member: str
    name_zh: str
    name_en: str
    endpoint: str
    hosts: Sequence[str]
    passphrase: bytes | None = field(repr=False)


def create_city(directory: Path, city: City, *, managed: bool, now: datetime) -> None:
    """Create all keys of a city; in managed mode its CA, certificates and first CRL too, else CSRs.

    Raises:
        CertsFault: something is there already, or cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("log", "witness", "governance"):
        write_key(directory / f"{name}.key", generate_ed25519_key(), passphrase=city.passphrase)
    ca = _create_ca(directory, city, now) if managed else None
    for purpose in (Purpose.TLS, Purpose.MESSAGE, Purpose.DOCUMENT):
        key = generate_ec_key()
        write_key(directory / f"{purpose.value}.key", key, passphrase=city.passphrase)
        request = _request(city, purpose, key)
        if ca is None:
            create_file(directory / f"{purpose.value}.csr", request.encode(), mode=PUBLIC)
        else:
            pem = issue(ca, request.encode(), purpose, now=now)
            create_file(directory / f"{purpose.value}.pem", pem.encode(), mode=PUBLIC)


def _create_ca(directory: Path, city: City, now: datetime) -> Ca:
    ca = create_ca(
        directory / CA_DIRECTORY, network=city.network, member=city.member, passphrase=city.passphrase, now=now
    )
    issue_crl(ca, now=now, lifetime=CRL_LIFETIME)
    return ca


def _request(city: City, purpose: Purpose, key: EllipticCurvePrivateKey) -> str:
    hosts = city.hosts if purpose is Purpose.TLS else ()
    return make_csr(key, network=city.network, member=city.member, purpose=purpose, hosts=hosts)


def join_request(directory: Path, city: City) -> str:
    """Return the city's join request, signed by its governance key.

    Raises:
        CertsFault: a key or the CA certificate cannot be read.
    """
    governance = _ed25519(directory / "governance.key", city.passphrase)
    origin = f"tongban/{city.network}/{city.member}/1"
    log = key_of(origin, SignatureType.ED25519, _ed25519(directory / "log.key", city.passphrase))
    witness = key_of(origin, SignatureType.COSIGNATURE, _ed25519(directory / "witness.key", city.passphrase))
    managed = directory / CA_DIRECTORY / "ca.pem"
    ca_pem = read_file(managed if managed.exists() else directory / "ca.pem").decode()
    member = MemberContent(
        id=city.member,
        names={"zh": city.name_zh, "en": city.name_en},
        endpoints=[city.endpoint],
        ca=[ca_pem],
        log_key=format_vkey(log),
        witness_key=format_vkey(witness),
    )
    request = JoinRequest(
        network=city.network, member=member, governance=[governance.public_key().public_bytes_raw().hex()]
    )
    return format_join_request(request, governance)


def _ed25519(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    key = read_key(path, passphrase=passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise CertsFault(f"{path.name} 不是 Ed25519 密钥", f"{path.name} is not an Ed25519 key")
    return key


def governance_key(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Return the offline key that signs manifests.

    Raises:
        CertsFault: missing, exposed, or wrong passphrase.
    """
    return _ed25519(path, passphrase)


def renew_crl_if_due(directory: Path, *, passphrase: bytes | None, now: datetime) -> bool:
    """Issue the CA's next CRL when the last is a day old; True when one was issued.

    Raises:
        CertsFault: the CA cannot be opened.
    """
    ca = open_ca(directory / CA_DIRECTORY, passphrase=passphrase)
    last = read_crl(ca)
    if last is not None and now - last.this_update < CRL_RENEWAL:
        return False
    issue_crl(ca, now=now, lifetime=CRL_LIFETIME)
    return True


def ended_certificate(
    directory: Path, city: City, purpose: Purpose, *, now: datetime
) -> tuple[str, EllipticCurvePrivateKey]:
    """Return a certificate of this city's CA that ended a minute ago, and its key: for demo and drills only."""
    ca = open_ca(directory / CA_DIRECTORY, passphrase=city.passphrase)
    key = generate_ec_key()
    # Issued as if its whole lifetime ago; it begins with the CA, which is older than a minute by its backdating.
    then = now - usual_lifetime(purpose) + BACKDATED - timedelta(minutes=1)
    return issue(ca, _request(city, purpose, key).encode(), purpose, now=then), key
