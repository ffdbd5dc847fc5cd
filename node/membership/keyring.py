"""The keys that this node holds, and their reload while it runs (protocol §2, §4).

Files in the certificate directory: `tls.pem`/`tls.key`, `message.pem`/`message.key` (certificate chains and
PKCS#8 keys, encrypted when a passphrase file is set), `document.pem`/`document.key` of the same form (a node without
them prints no signed papers), `log.key` and `witness.key` (Ed25519), and our CA's
newest CRL: `ca/crl.der` in managed mode, `crl.der` in external mode. `KeyRing.refresh` looks at their times
and reads again what has changed; a half-written or broken pair leaves the old one in use and is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.transport.tls import TlsIdentity
from protocol.certificates import Certificate, Purpose, parse_certificate
from protocol.envelope import MessageKey
from protocol.errors import Refusal

logger = structlog.get_logger("membership")

WATCHED = ("tls.pem", "tls.key", "message.pem", "message.key", "document.pem", "document.key", "crl.der", "ca/crl.der")


class KeysUnusable(Exception):
    """A key or certificate file is missing, unreadable, exposed, or does not belong to its pair."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One generation of keys."""

    tls: TlsIdentity
    message: MessageKey
    message_chain: bytes
    log: Ed25519PrivateKey = field(repr=False)
    crl: bytes
    document_pair: tuple[Certificate, EllipticCurvePrivateKey] | None = field(default=None, repr=False)
    """signs papers; absent at a node that was made before papers were signed, until its CA has answered"""


@dataclass(slots=True)
class KeyRing:
    """The current keys of a process."""

    directory: Path
    passphrase: bytes | None = field(repr=False)
    member: str
    current: Keys
    _times: Mapping[str, int]

    def refresh(self) -> bool:
        """Read again when a file has changed; True when new keys are in use."""
        times = _times(self.directory)
        if times == self._times:
            return False
        self._times = times
        try:
            self.current = read_keys(self.directory, self.passphrase, self.member)
        except KeysUnusable as fault:
            logger.error("keys.not_reloaded", reason=str(fault))
            return False
        return True


def open_keyring(directory: Path, passphrase: bytes | None, member: str) -> KeyRing:
    """Return the key ring of a node directory.

    Raises:
        KeysUnusable: with the file and what is wrong with it.
    """
    times = _times(directory)
    return KeyRing(directory, passphrase, member, read_keys(directory, passphrase, member), times)


def _times(directory: Path) -> dict[str, int]:
    return {name: (directory / name).stat().st_mtime_ns for name in WATCHED if (directory / name).exists()}


def read_keys(directory: Path, passphrase: bytes | None, member: str) -> Keys:
    """Read all keys.

    Raises:
        KeysUnusable: with the file and what is wrong with it.
    """
    tls_chain, tls_certificate, tls_key = _pair(directory, "tls", Purpose.TLS, passphrase, member)
    message_chain, certificate, message_key = _pair(directory, "message", Purpose.MESSAGE, passphrase, member)
    plain = tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Keys(
        tls=TlsIdentity(tls_certificate, tls_chain, plain),
        message=MessageKey(certificate, message_key),
        message_chain=message_chain,
        log=read_log_key(directory, passphrase),
        crl=_bytes(managed if (managed := directory / "ca" / "crl.der").exists() else directory / "crl.der"),
        document_pair=_document_pair(directory, passphrase, member),
    )


def _document_pair(
    directory: Path, passphrase: bytes | None, member: str
) -> tuple[Certificate, EllipticCurvePrivateKey] | None:
    if not (directory / "document.pem").exists():
        return None
    _, certificate, key = _pair(directory, "document", Purpose.DOCUMENT, passphrase, member)
    return certificate, key


def read_log_key(directory: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Return the private key of our log.

    Raises:
        KeysUnusable: missing, exposed, wrong passphrase or another kind of key.
    """
    key = _key(directory / "log.key", passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeysUnusable("log.key is not an Ed25519 key")
    return key


def _pair(
    directory: Path, name: str, purpose: Purpose, passphrase: bytes | None, member: str
) -> tuple[bytes, Certificate, EllipticCurvePrivateKey]:
    chain = _bytes(directory / f"{name}.pem")
    try:
        certificate = parse_certificate(x509.load_pem_x509_certificate(chain).public_bytes(Encoding.DER))
    except (ValueError, Refusal) as fault:
        raise KeysUnusable(f"{name}.pem is not a certificate of this protocol: {fault}") from None
    key = _key(directory / f"{name}.key", passphrase)
    if certificate.member != member or certificate.purpose is not purpose:
        raise KeysUnusable(
            f"{name}.pem is for {certificate.member} {certificate.purpose.value}, not {member} {purpose.value}"
        )
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != certificate.public_key:
        raise KeysUnusable(f"{name}.key does not belong to {name}.pem")
    return chain, certificate, key


def _key(path: Path, passphrase: bytes | None) -> object:
    data = _bytes(path)
    if path.stat().st_mode & 0o077:
        raise KeysUnusable(f"{path.name} can be read by others: chmod 600")
    encrypted = b"ENCRYPTED" in data[:80]
    try:
        return load_pem_private_key(data, passphrase if encrypted else None)
    except (TypeError, ValueError):
        raise KeysUnusable(f"{path.name} cannot be opened with the passphrase file that is set") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise KeysUnusable(f"{path.name} cannot be read: {fault.strerror}") from None
