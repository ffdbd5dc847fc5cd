"""What a CA directory and a certificate file say, as plain values for people and programs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from certs.ca import CRL, Issued, read_ca, read_issued
from certs.crl import read_crl_of
from protocol.certificates import Authority, Crl


@dataclass(frozen=True, slots=True)
class CaReport:
    """A CA as it stands; `crl_age` is None before the first CRL."""

    network: str
    authority: Authority
    crl: Crl | None
    crl_age: timedelta | None
    issued: tuple[Issued, ...]


def report_ca(directory: Path, *, now: datetime) -> CaReport:
    """Return what the directory holds; needs no passphrase.

    Raises:
        NotReadable: no CA there, or a damaged file.
    """
    network, authority = read_ca(directory)
    crl = read_crl_of(directory / CRL, authority)
    age = now - crl.this_update if crl else None
    return CaReport(network=network, authority=authority, crl=crl, crl_age=age, issued=read_issued(directory))


def status_of(issued: Issued, *, now: datetime) -> str:
    """Return `revoked`, `expired`, `pending` or `valid`."""
    if issued.revoked_at is not None:
        return "revoked"
    if now > issued.not_after:
        return "expired"
    return "pending" if now < issued.not_before else "valid"


def days_left(end: datetime, *, now: datetime) -> int:
    """Return whole days until `end`, negative after it."""
    return (end - now) // timedelta(days=1)
