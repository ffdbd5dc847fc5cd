"""Certificate revocation lists (RFC 5280 §5, narrowed; protocol §2).

Only complete CRLs, signed by the CA that issued the certificates, with a CRL number, an authority key
identifier and a `nextUpdate`. Whatever narrows or widens what a CRL means (delta, issuing distribution
point, certificate issuer) is a critical extension, and every critical extension is refused. An entry may
carry a reason and an `invalidityDate`: since when the key was in wrong hands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from cryptography import x509

from protocol.certificate_profile import SIGNATURES, UNREADABLE, Authority

MAX_CRL_BYTES = 1024 * 1024
"""About 25,000 revocations."""


class CrlInvalid(ValueError):
    """These bytes are not a usable CRL of the given CAs; the text says why and never repeats them."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One CRL entry: revoked `at`; not to be trusted since `invalidity_date`, where the CA knows it."""

    at: datetime
    invalidity_date: datetime | None
    reason: str

    @property
    def since(self) -> datetime:
        """From when on nothing signed by this key counts as evidence."""
        return min(self.at, self.invalidity_date or self.at)


@dataclass(frozen=True, slots=True)
class Crl:
    """A CRL whose signature by the CA with fingerprint `authority` has been checked; by serial."""

    der: bytes = field(repr=False)
    authority: str
    number: int
    this_update: datetime
    next_update: datetime
    revoked: Mapping[int, Revocation] = field(repr=False)


def parse_crl(der: bytes, authorities: Sequence[Authority]) -> Crl:
    """Return the CRL that `der` is, proven to come from one of `authorities`. Cost: 3 µs per entry.

    Raises:
        CrlInvalid: unreadable, by none of these CAs, without number or `nextUpdate`, or not complete
            (a delta, a part of the certificates: known by their critical extensions).
    """
    if len(der) > MAX_CRL_BYTES:
        raise CrlInvalid("larger than allowed")
    try:
        parsed = x509.load_der_x509_crl(der)
        if parsed.signature_algorithm_oid not in SIGNATURES:
            raise CrlInvalid("signature algorithm is not on the allow-list")
        authority = _signer(parsed, authorities)
        if any(one.critical for one in parsed.extensions):
            raise CrlInvalid("has a critical extension; only complete CRLs are understood")
        this_update, next_update = parsed.last_update_utc, parsed.next_update_utc
        if next_update is None or next_update < this_update:
            raise CrlInvalid("has no nextUpdate after its thisUpdate")
        return Crl(
            der=der,
            authority=authority.fingerprint,
            number=parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
            this_update=this_update,
            next_update=next_update,
            revoked=MappingProxyType(_entries(parsed)),
        )
    except CrlInvalid:
        raise
    except x509.ExtensionNotFound:
        raise CrlInvalid("has no CRL number or no authority key identifier") from None
    except UNREADABLE:
        raise CrlInvalid("not a readable X.509 CRL") from None


def _signer(parsed: x509.CertificateRevocationList, authorities: Sequence[Authority]) -> Authority:
    identifier = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    for authority in authorities:
        if authority.key_identifier != identifier or authority.parsed.subject != parsed.issuer:
            continue
        if parsed.is_signature_valid(authority.public_key):
            return authority
    raise CrlInvalid("not signed by a CA of this member")


def _entries(parsed: x509.CertificateRevocationList) -> dict[int, Revocation]:
    revoked: dict[int, Revocation] = {}
    for entry in parsed:
        if entry.serial_number in revoked:
            raise CrlInvalid("names a serial number twice")
        revoked[entry.serial_number] = _revocation(entry)
    return revoked


def _revocation(entry: x509.RevokedCertificate) -> Revocation:
    since: datetime | None = None
    reason = x509.ReasonFlags.unspecified
    for extension in entry.extensions:
        if extension.critical:
            raise CrlInvalid("an entry has a critical extension")
        if isinstance(extension.value, x509.InvalidityDate):
            since = extension.value.invalidity_date_utc
        if isinstance(extension.value, x509.CRLReason):
            reason = extension.value.reason
    if reason is x509.ReasonFlags.remove_from_crl:
        raise CrlInvalid("an entry says removeFromCRL, which only a delta CRL may")
    return Revocation(at=entry.revocation_date_utc, invalidity_date=since, reason=reason.value)
