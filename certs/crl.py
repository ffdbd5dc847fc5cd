"""The CRL of a city CA: complete, numbered, and with every certificate that was ever revoked.

A managed CA issues one daily (`nextUpdate` 7 days), an offline CA at least every 30 days (35). Entries
never leave the list, although RFC 5280 allows it after the certificate's end: for evidence, a CRL that
does not name a certificate says that it was good (protocol §2).
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs.ca import CRL, Ca, Issued, read_issued, writing
from certs.faults import NotReadable
from certs.files import PUBLIC, read_file, replace_file
from protocol.certificates import Authority, Crl, CrlInvalid, parse_crl


def issue_crl(ca: Ca, *, now: datetime, lifetime: timedelta) -> Crl:
    """Sign the next CRL, put it in the place of the last one, and return it.

    Raises:
        NotReadable: the last CRL or the index is damaged; a number used twice would be ignored by peers.
    """
    with writing(ca.directory):
        return issue_crl_while_writing(ca, now=now, lifetime=lifetime)


def issue_crl_while_writing(ca: Ca, *, now: datetime, lifetime: timedelta) -> Crl:
    """As `issue_crl`, for a caller that holds `writing`."""
    last = read_crl(ca)
    der = _sign(ca, read_issued(ca.directory), number=last.number + 1 if last else 1, now=now, lifetime=lifetime)
    crl = parse_crl(der, [ca.authority])
    replace_file(ca.directory / CRL, der, mode=PUBLIC)
    return crl


def read_crl(ca: Ca) -> Crl | None:
    """Return the newest CRL of an opened CA; see `read_crl_of`."""
    return read_crl_of(ca.directory / CRL, ca.authority)


def read_crl_of(file: Path, authority: Authority) -> Crl | None:
    """Return the newest CRL, or None before the first.

    Raises:
        NotReadable: damaged, or of another CA.
    """
    if not file.exists():
        return None
    try:
        return parse_crl(read_file(file), [authority])
    except CrlInvalid as fault:
        raise NotReadable(f"{file.name} 已损坏", f"{file.name} is damaged: {fault}") from None


def _sign(ca: Ca, issued: tuple[Issued, ...], *, number: int, now: datetime, lifetime: timedelta) -> bytes:
    start = now.astimezone(UTC).replace(microsecond=0)
    identifier = ca.authority.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.authority.parsed.subject)
        .last_update(start)
        .next_update(start + lifetime)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    for one in issued:
        if one.revoked_at is not None:
            builder = builder.add_revoked_certificate(_entry(one, one.revoked_at))
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _entry(one: Issued, at: datetime) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(at)
    # RFC 5280 §5.3.1: the reason code should be absent instead of `unspecified`.
    if one.reason is not None and one.reason != x509.ReasonFlags.unspecified.value:
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags(one.reason)), critical=False)
    if one.revoked_since is not None:
        since = one.revoked_since.astimezone(UTC).replace(tzinfo=None, microsecond=0)
        builder = builder.add_extension(x509.InvalidityDate(since), critical=False)
    return builder.build()
