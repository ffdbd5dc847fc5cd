"""Is this certificate that member's, for this use, at that time? (protocol §2)

The manifest lists each member's CA certificates, and **a CA may vouch only for its own member**: a
certificate for `urn:tongban:yizhangwang:442000:message` that chains to the CA of 450400 is refused. The
trust decision has five steps; their numbers stand in the code:

1. It parses: v3, serial > 0, key and signature algorithm on the allow-list, one URN  `parse_certificate`
2. A CA listed for the member in the URN signed it, within the certificate profile    `judge`
3. Its extended key usage and purpose are those of the use                            `judge`
4. It is valid, and so is the CA, at the time that matters                            `Verdict.at`
5. The newest CRL of that CA is fresh and does not name it                            `judge`, `Verdict.at`

Everything is pure. Steps 1-3 and the look-up of step 5 need no time, so a caller may keep the verdict
as long as manifest and CRLs are the same; `Verdict.at` is then a handful of comparisons per message.
The profile is in `certificate_profile.py`, CRLs are in `revocation.py`; this module offers both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from protocol.certificate_profile import (
    MAX_CERTIFICATE_BYTES,
    Authority,
    Certificate,
    Purpose,
    certificate_urn,
    check_extended_use,
    check_leaf,
    fingerprint,
    parse_authority,
    parse_certificate,
    refuse,
    vouches,
)
from protocol.errors import Busy, CertificateExpired, CertificateRevoked
from protocol.revocation import MAX_CRL_BYTES, Crl, CrlInvalid, Revocation, parse_crl

__all__ = [
    "MAX_CERTIFICATE_BYTES",
    "MAX_CRL_BYTES",
    "Authority",
    "Certificate",
    "Crl",
    "CrlInvalid",
    "Purpose",
    "Revocation",
    "Verdict",
    "certificate_urn",
    "fingerprint",
    "judge",
    "parse_authority",
    "parse_certificate",
    "parse_crl",
]

CRL_CLOCK_SKEW = timedelta(seconds=300)
"""How far a CA's clock may run ahead of ours: the skew of §5.1 step 6."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What steps 1, 2, 3 and 5 found out; only the time is still open."""

    certificate: Certificate
    authority: Authority
    crl: Crl | None
    revocation: Revocation | None
    valid_from: datetime
    valid_until: datetime
    fresh_until: datetime | None

    def at(self, now: datetime) -> None:
        """Refuse unless the certificate may be relied on at `now`: TLS and receipt of messages.

        Raises:
            CertificateExpired: it, or its CA, has ended or has not begun.
            CertificateRevoked: the CRL names it, however old that CRL is.
            Busy: no CRL, or only one that is past `nextUpdate` and grace, or from the future.
        """
        self._valid(now)
        if self.revocation is not None:
            raise CertificateRevoked(f"{_named(self.certificate)} was revoked on {_text(self.revocation.at)}")
        if self.crl is None or self.fresh_until is None:
            raise Busy(f"no CRL of {self.certificate.member} at hand")
        if now > self.fresh_until:
            raise Busy(f"the newest CRL of {self.certificate.member} was due on {_text(self.crl.next_update)}")
        if now < self.crl.this_update - CRL_CLOCK_SKEW:
            raise Busy(f"the newest CRL of {self.certificate.member} begins on {_text(self.crl.this_update)}")

    def at_log_time(self, moment: datetime) -> None:
        """Refuse unless the certificate was good at the log time `moment`, for evidence (protocol §2).

        The CRL must have been made at or after `moment`; its own freshness plays no part years later.

        Raises:
            CertificateExpired, CertificateRevoked: as above; a later revocation does no harm.
            Busy: no CRL reaches to `moment`.
        """
        self._valid(moment)
        if self.revocation is not None and self.revocation.since <= moment:
            raise CertificateRevoked(f"{_named(self.certificate)} was revoked since {_text(self.revocation.since)}")
        if self.crl is None or self.crl.this_update < moment:
            raise Busy(f"no CRL of {self.certificate.member} from {_text(moment)} or later at hand")

    def _valid(self, moment: datetime) -> None:
        if self.valid_from <= moment <= self.valid_until:
            return
        for what, holder in ((_named(self.certificate), self.certificate), ("the CA", self.authority)):
            if moment < holder.not_before:
                raise CertificateExpired(f"{what} of {holder.member} begins on {_text(holder.not_before)}")
            if moment > holder.not_after:
                raise CertificateExpired(f"{what} of {holder.member} ended on {_text(holder.not_after)}")


def judge(
    certificate: Certificate,
    authorities: Sequence[Authority],
    crls: Sequence[Crl],
    *,
    network: str,
    use: Purpose,
    grace: timedelta,
) -> Verdict:
    """Steps 2, 3 and 5, as far as they need no clock. Cost: one ECDSA verification, about 65 µs.

    `authorities` are those the manifest lists for `certificate.member`; `crls` may be anybody's and
    of any age: the one of the vouching CA with the highest number counts.

    Raises:
        UnknownCertificate: of another network, vouched for by no CA of its member, or for another use.
    """
    # 1. parse_certificate did it: verified form is what the type Certificate means.
    # 2. Chain: the CA is the member's own, names and key identifiers match, the signature verifies.
    if certificate.network != network:
        refuse("issued for another network")
    authority = _vouching(certificate, authorities)
    check_leaf(certificate.parsed)
    # 3. One purpose each: what the URN says, what the EKU says, and what it is used for now.
    if certificate.purpose is not use:
        refuse(f"made for {certificate.purpose.value}, used for {use.value}")
    check_extended_use(certificate.parsed, use)
    # 4. Verdict.at compares with the interval in which both the leaf and its CA are valid.
    # 5. The newest CRL of that CA. Of two with one number (a CA restored from a backup) the later counts.
    own = [crl for crl in crls if crl.authority == authority.fingerprint]
    newest = max(own, key=lambda crl: (crl.number, crl.this_update), default=None)
    return Verdict(
        certificate=certificate,
        authority=authority,
        crl=newest,
        revocation=newest.revoked.get(certificate.serial) if newest else None,
        valid_from=max(certificate.not_before, authority.not_before),
        valid_until=min(certificate.not_after, authority.not_after),
        fresh_until=newest.next_update + grace if newest else None,
    )


def _vouching(certificate: Certificate, authorities: Sequence[Authority]) -> Authority:
    for authority in authorities:
        if vouches(authority, certificate):
            return authority
    refuse(f"no CA listed for {certificate.member} vouches for this certificate")


def _named(certificate: Certificate) -> str:
    return f"the {certificate.purpose.value} certificate"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
