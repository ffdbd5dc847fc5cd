"""Who calls: step 0 for the `GET` and `PUT` routes of the peer port (protocol §4, §5.1).

Manifests, CRLs and certificates may be read by every member in the manifest, with a stale CRL and while
suspended; all else by active members only. The verdict is taken anew on every request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from node.transport.server import CERTIFICATE
from protocol.certificates import Certificate, Purpose
from protocol.envelope import Trust, admit
from protocol.errors import Busy, NotAMember, TooLarge, UnknownCertificate
from protocol.manifest import Member


@dataclass(frozen=True, slots=True)
class Callers:
    """Decides about the caller of a request; its methods are FastAPI dependencies."""

    trust: Callable[[], Trust]
    now: Callable[[], datetime]

    def active(self, request: Request) -> Member:
        """Return the active member that calls.

        Raises:
            NotAMember, MemberSuspended, CertificateExpired, CertificateRevoked, Busy: as step 0.
        """
        return admit(_certificate(request), self.trust(), now=self.now())

    def reading(self, request: Request) -> Member:
        """Return the member that calls, active or not; a stale or missing CRL does not stop it.

        Raises:
            NotAMember, CertificateExpired, CertificateRevoked: no member, or not with this certificate.
        """
        certificate, trust = _certificate(request), self.trust()
        member = trust.manifest.members.get(certificate.member)
        if member is None:
            raise NotAMember(f"not a member under manifest version {trust.manifest.version}")
        try:
            trust.check(certificate, Purpose.TLS, now=self.now())
        except Busy:
            pass
        except UnknownCertificate as unknown:
            raise NotAMember(f"TLS certificate: {unknown.detail}") from None
        return member


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Return the body of a request.

    Raises:
        TooLarge: more than `max_bytes`; reading stops there.
    """
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise TooLarge(f"at most {max_bytes} bytes", limit_bytes=max_bytes)
    return data


def _certificate(request: Request) -> Certificate:
    certificate: Certificate = request.scope["state"][CERTIFICATE]
    return certificate
