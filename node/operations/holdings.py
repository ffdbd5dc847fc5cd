"""Every key and certificate, ours and our peers', with the days it has left (experience (c), `certs status`).

Sources: our own files; the manifest for the CAs; the table of message certificates; and the port of each
active peer for its TLS certificate. A message certificate that a newer one of the same city has replaced
is shown and not counted; a TLS certificate that nobody could look at is named as `unseen`, never as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from node.operations.checks import days_left, refusal_of
from node.operations.reaching import Seen
from node.operations.service import HeldKeys
from protocol.certificates import Authority, Certificate
from protocol.envelope import Trust
from protocol.manifest import Status

WITH_CERTIFICATE: Final = frozenset({"tls", "message"})


class Standing(StrEnum):
    """How a key or certificate stands."""

    OK = "ok"
    DUE = "due"
    EXPIRED = "expired"
    REFUSED = "refused"
    REPLACED = "replaced"
    UNSEEN = "unseen"
    ENDLESS = "endless"


BELOW: Final = frozenset({Standing.DUE, Standing.EXPIRED, Standing.REFUSED})
"""What makes `certs status` end with exit code 1."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One key or certificate; `days` and `ends` are None where it has no end, or was not seen."""

    member: str
    what: str
    standing: Standing
    fingerprint: str = ""
    ends: datetime | None = None
    days: int | None = None
    slug: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """By what a certificate is judged."""

    trust: Trust
    now: datetime
    warn_days: int

    def leaf(self, certificate: Certificate, *, newest: bool = True) -> Holding:
        """Judge a leaf; one that is not the newest of its kind is `replaced`, whatever its dates."""
        refusal = refusal_of(certificate, self.trust, self.now)
        standing = self._by_date(certificate.not_after)
        if not newest:
            standing = Standing.REPLACED
        elif refusal is not None and standing is not Standing.EXPIRED:
            standing = Standing.REFUSED
        slug = refusal.slug if refusal is not None and newest else ""
        what, days = certificate.purpose.value, days_left(certificate.not_after, self.now)
        return Holding(certificate.member, what, standing, certificate.fingerprint, certificate.not_after, days, slug)

    def authority(self, ca: Authority) -> Holding:
        """Judge a CA certificate of the manifest."""
        days, standing = days_left(ca.not_after, self.now), self._by_date(ca.not_after)
        return Holding(ca.member, "ca", standing, ca.fingerprint, ca.not_after, days)

    def _by_date(self, end: datetime) -> Standing:
        if self.now > end:
            return Standing.EXPIRED
        return Standing.DUE if days_left(end, self.now) < self.warn_days else Standing.OK


def own_holdings(judge: Judge, keys: HeldKeys, certs: Path) -> list[Holding]:
    """Return our certificates, our CA, and our keys that have no certificate."""
    trust, member = judge.trust, judge.trust.member
    own = trust.manifest.members.get(member)
    leaves = [judge.leaf(keys.tls.certificate), judge.leaf(keys.message.certificate)]
    older = [one for one in _messages(judge, member) if one.fingerprint != keys.message.certificate.fingerprint]
    plain = sorted(path.stem for path in certs.glob("*.key") if path.stem not in WITH_CERTIFICATE)
    return [
        *leaves,
        *older,
        *(judge.authority(one) for one in (own.authorities if own else ())),
        *(Holding(member, name, Standing.ENDLESS) for name in plain),
    ]


def peer_holdings(judge: Judge, seen: Sequence[Seen]) -> list[Holding]:
    """Return what each peer that has not left holds, as far as we can see it."""
    looked = {one.member.id: one.certificate for one in seen}
    found: list[Holding] = []
    for member in judge.trust.manifest.members.values():
        if member.id == judge.trust.member or member.status is Status.LEFT:
            continue
        tls = looked.get(member.id)
        found.append(Holding(member.id, "tls", Standing.UNSEEN) if tls is None else judge.leaf(tls))
        found += _messages(judge, member.id) or [Holding(member.id, "message", Standing.UNSEEN)]
        found += [judge.authority(one) for one in member.authorities]
    return found


def _messages(judge: Judge, member: str) -> list[Holding]:
    """Return a member's message certificates, newest first; all but the newest are replaced."""
    own = [one for one in judge.trust.certificates.values() if one.member == member]
    ordered = sorted(own, key=lambda one: (one.not_before, one.not_after), reverse=True)
    return [judge.leaf(one, newest=place == 0) for place, one in enumerate(ordered)]
