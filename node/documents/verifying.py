"""Is this PDF a paper of a member city, as it was issued? (experience (g), `tongban document verify`)

Each check is a line of its own; what could not be checked is named and never counts as passed::

    signature      one signature, over the whole file, intact
    certificate    a document certificate that a CA of that member vouches for
    at signing     it was valid when the paper was signed, and not revoked then
    data           the attached data are those of the paper: number, code, city
    printed        drawing the attached data again gives the very bytes that were signed
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from node.documents.press import Examined
from node.documents.service import SCHEMA
from protocol.certificates import (
    CRL_CLOCK_SKEW,
    Authority,
    Certificate,
    Crl,
    Purpose,
    Verdict,
    judge,
    parse_certificate,
)
from protocol.errors import Busy, Refusal

PDF_MAX_BYTES: Final = 16 * 1024 * 1024


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name in both languages, how it ended, and what was found."""

    name: str
    zh: str
    en: str
    outcome: Outcome
    found: str = ""


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom to trust: the CAs of each member, and the newest CRLs at hand; no network: none are known."""

    network: str
    authorities: dict[str, Sequence[Authority]]
    crls: Sequence[Crl]
    grace: timedelta = timedelta()
    """how long a CRL counts after it was due, by the network's policy"""


def verify(found: Examined, trusted: Trusted | None, *, now: datetime) -> list[Check]:
    """Return every check, in the order of the module docstring."""
    certificate = _certificate(found)
    return [
        _signature(found),
        *_certificate_checks(found, certificate, trusted, now),
        _data(found, certificate),
        _printed(found),
    ]


def _certificate(found: Examined) -> Certificate | Refusal | None:
    if found.certificate is None:
        return None
    try:
        return parse_certificate(found.certificate)
    except Refusal as refusal:
        return refusal


def _signature(found: Examined) -> Check:
    name = ("signature", "签名覆盖整个文件且未被改动", "one signature, over the whole file, intact")
    if found.signatures != 1:
        return Check(*name, Outcome.FAILED, f"{found.signatures} signatures")
    if not found.is_intact:
        return Check(*name, Outcome.FAILED, "the content was changed, or the signature is false")
    if not found.covers_all:
        return Check(*name, Outcome.FAILED, "something was added after it was signed")
    return Check(*name, Outcome.PASSED)


def _certificate_checks(
    found: Examined, certificate: Certificate | Refusal | None, trusted: Trusted | None, now: datetime
) -> list[Check]:
    whose = ("certificate", "证书属于成员城市", "a document certificate of a member city")
    then = ("at_signing", "签署时证书有效", "the certificate was good when it was signed")
    if not isinstance(certificate, Certificate):
        said = "there is none" if certificate is None else certificate.detail
        return [Check(*whose, Outcome.FAILED, said), Check(*then, Outcome.FAILED, said)]
    if trusted is None:
        said = "no manifest at hand: whose certificate it is was not checked"
        return [Check(*whose, Outcome.UNCHECKED, said), Check(*then, Outcome.UNCHECKED, said)]
    try:
        verdict = judge(
            certificate, trusted.authorities.get(certificate.member, ()), trusted.crls,
            network=trusted.network, use=Purpose.DOCUMENT, grace=trusted.grace,
        )  # fmt: skip
    except Refusal as refusal:
        return [Check(*whose, Outcome.FAILED, refusal.detail), Check(*then, Outcome.FAILED, refusal.detail)]
    return [Check(*whose, Outcome.PASSED, certificate.member), _at_signing(then, verdict, found.signed_at, now)]


def _at_signing(name: tuple[str, str, str], verdict: Verdict, signed_at: datetime | None, now: datetime) -> Check:
    """Judge at the time of signing, which is the signer's own word.

    A CRL from after it proves; until there is one, a paper that could be signed just now counts as good.
    """
    if signed_at is None or signed_at.tzinfo is None:
        return Check(*name, Outcome.FAILED, "the signature does not say when it was made")
    if signed_at > now + CRL_CLOCK_SKEW:
        return Check(*name, Outcome.FAILED, "it says that it was signed in the future")
    try:
        _judge_then_or_now(verdict, signed_at, now)
    except Busy as unknown:
        return Check(*name, Outcome.UNCHECKED, unknown.detail)
    except Refusal as refusal:
        return Check(*name, Outcome.FAILED, refusal.detail)
    return Check(*name, Outcome.PASSED, signed_at.isoformat())


def _judge_then_or_now(verdict: Verdict, signed_at: datetime, now: datetime) -> None:
    try:
        verdict.at_log_time(signed_at)
    except Busy as unknown:
        try:
            verdict.at(now)
        except Refusal:
            raise unknown from None


def _data(found: Examined, certificate: Certificate | Refusal | None) -> Check:
    name = ("data", "随附数据完整", "the attached data are those of a paper")
    paper = paper_of(found)
    if paper is None:
        return Check(*name, Outcome.FAILED, "no attached data of the form tongban/document/1")
    city = paper["city"].get("code") if isinstance(paper.get("city"), dict) else None
    if isinstance(certificate, Certificate) and city != certificate.member:
        return Check(*name, Outcome.FAILED, "the city of the data is not the city that signed")
    return Check(*name, Outcome.PASSED, str(paper.get("number", ""))[:40])


def _printed(found: Examined) -> Check:
    name = ("printed", "打印内容与随附数据一致", "what is printed is what is attached")
    if found.redrawn == "equal":
        return Check(*name, Outcome.PASSED)
    if found.redrawn == "differs":
        return Check(*name, Outcome.FAILED, "drawing the attached data again gives another paper")
    return Check(*name, Outcome.UNCHECKED, "it was drawn with other templates or fonts than are here")


def paper_of(found: Examined) -> dict[str, Any] | None:
    """Return what the paper says it is; None when its data are not of our form."""
    paper = json.loads(found.paper) if found.paper is not None else None
    return paper if isinstance(paper, dict) and paper.get("schema") == SCHEMA else None
