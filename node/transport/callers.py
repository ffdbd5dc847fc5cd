"""Who calls: step 0 for the `GET` and `PUT` routes of the peer port (protocol §4, §5.1).

Manifests, CRLs and certificates may be read by every member in the manifest, with a stale CRL and while
suspended; all else by active members only. The verdict is taken anew on every request.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import Request

from node.transport.server import CERTIFICATE, check_head
from protocol.certificates import Certificate, Purpose
from protocol.envelope import Trust, admit
from protocol.errors import (
    Busy,
    CertificateExpired,
    CertificateRevoked,
    Malformed,
    NotAMember,
    TooLarge,
    UnknownCertificate,
)
from protocol.manifest import Member

ENDING: Final = (CertificateRevoked, CertificateExpired, NotAMember)
"""Refusals that hold for all that could follow: the connection is closed with the answer (assurance C46)."""
BODY_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Callers:
    """Decides about the caller of a request; its methods are FastAPI dependencies."""

    trust: Callable[[], Trust]
    now: Callable[[], datetime]

    def active(self, request: Request) -> Member:
        """Return the active member that calls.

        Raises:
            NotAMember, MemberSuspended, CertificateExpired, CertificateRevoked, Busy: as step 0.
            TooLarge: the request head.
        """
        return admit(_certificate_of(request), self.trust(), now=self.now())

    def reading(self, request: Request) -> Member:
        """Return the member that calls, active or not; a stale or missing CRL does not stop it.

        Raises:
            NotAMember, CertificateExpired, CertificateRevoked: no member, or not with this certificate.
            TooLarge: the request head.
        """
        certificate, trust = _certificate_of(request), self.trust()
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
        Malformed: an encoded body.
        TooLarge: more than `max_bytes`; reading stops there.
        Busy: it has not arrived within 30 s.
    """
    if "content-encoding" in request.headers:
        raise Malformed("Content-Encoding is refused")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(request, max_bytes)
    except TimeoutError:
        raise Busy(f"the body did not arrive within {BODY_SECONDS} s") from None


async def _read(request: Request, max_bytes: int) -> bytes:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise TooLarge(f"at most {max_bytes} bytes", limit_bytes=max_bytes)
    return data


def _certificate_of(request: Request) -> Certificate:
    check_head(request.scope)
    certificate: Certificate = request.scope["state"][CERTIFICATE]
    return certificate
