"""Revoke a certificate: index and CRL change together, and it cannot be undone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from certs.ca import Ca, Issued, find_issued, write_issued, writing
from certs.crl import issue_crl_while_writing
from certs.faults import WrongUsage
from protocol.certificates import Crl


class Reason(StrEnum):
    """Why (RFC 5280 §5.3.1); without certificateHold: a hold could be lifted, and evidence could not tell."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"


def revoke(
    ca: Ca, serial: int, *, reason: Reason, now: datetime, lifetime: timedelta, since: datetime | None = None
) -> tuple[Issued, Crl]:
    """Revoke, and return the index line and the new CRL, which must reach every peer.

    `since`: from when the key may have been in wrong hands (invalidityDate). Revoking again changes only
    `since`, and only to an earlier time; the first revocation date stays. A crash between index and CRL
    leaves the certificate revoked in the index, so the next CRL names it.

    Raises:
        UnknownSerial: not issued here.
        WrongUsage: `since` lies in the future.
    """
    if since is not None and since > now:
        raise WrongUsage("--since 不能晚于现在", "--since lies in the future")
    with writing(ca.directory):
        issued = find_issued(ca.directory, serial)
        times = [one for one in (issued.revoked_since, since) if one is not None]
        changed = replace(
            issued,
            revoked_at=issued.revoked_at or now.astimezone(UTC).replace(microsecond=0),
            revoked_since=min(times) if times else None,
            reason=issued.reason or reason.value,
        )
        write_issued(ca.directory, changed)
        return changed, issue_crl_while_writing(ca, now=now, lifetime=lifetime)
