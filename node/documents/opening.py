"""How the composition root opens this room."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from node.documents.press import Press, Signer
from node.documents.service import City, Documents
from node.storage.blobs import Blobs
from node.storage.encryption import Vault
from protocol.certificate_profile import vouches
from protocol.certificates import Certificate, Purpose
from protocol.envelope import Trust
from protocol.errors import PrintingOff

FOLDER: Final = "documents"
"""Below the data directory: the files of papers, encrypted."""

Key = tuple[Certificate, EllipticCurvePrivateKey]


def open_documents(
    data: Path,
    vault: Vault,
    city: City,
    verify_url: str,
    fonts: Sequence[Path],
    signer: Callable[[], Signer | None],
    has_room: Callable[[], bool],
    now: Callable[[], datetime],
    random: Callable[[int], bytes],
) -> Documents:
    """Return the room; no process is started before the first paper."""
    return Documents(Press(fonts), Blobs(data / FOLDER, vault), vault, city, verify_url, signer, has_room, now, random)


def signing(
    sign: bool, key: Callable[[], Key | None], trust: Callable[[], Trust], now: Callable[[], datetime]
) -> Callable[[], Signer | None]:
    """Return who signs the papers of this city; nobody where its own seal service does."""

    def signer() -> Signer | None:
        return signer_of(key(), trust(), now=now()) if sign else None

    return signer


def signer_of(key: Key | None, trust: Trust, *, now: datetime) -> Signer:
    """Return who signs papers, with a certificate that every reader will accept today.

    Raises:
        PrintingOff: there is no document certificate here.
        UnknownCertificate, CertificateExpired, CertificateRevoked, Busy: it would not be accepted.
    """
    if key is None:
        raise PrintingOff("this node has no document.pem with its key: tongban certs csr --use document")
    certificate, private = key
    trust.check(certificate, Purpose.DOCUMENT, now=now)
    listed = trust.manifest.members[certificate.member].authorities
    authority = next(one for one in listed if vouches(one, certificate))
    return Signer(certificate.der, authority.der, lambda data: private.sign(data, ECDSA(SHA256())))
