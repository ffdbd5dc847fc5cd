"""Seal and unseal messages and replies (protocol §5, §5.1).

A message is a small signed statement *about* a body, and the body itself, untouched::

    POST /v1/messages
    Content-Type: application/json
    Tongban-Message: eyJhbGciOiJFUzI1NiIsInR5cCI6InRvbmdiYW4rand0IiwieDV0I1MyNTYiOiJ…

    {"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","record":"balance","subject":{…}}

What the statement says stands in `claims.py`.
`unseal` and `unseal_reply` are the only makers of `Message` and `Reply`: whoever holds one holds
something proven. Everything is verified over the bytes received; nothing is re-encoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from protocol.certificates import Certificate, Crl, Purpose, Verdict, judge
from protocol.claims import (
    DELIVERY_LIFETIME,
    MESSAGE_TYP,
    QUERY_LIFETIME,
    REFUSAL,
    REPLY_TYP,
    VERSION,
    Answered,
    BodyDigest,
    Claims,
    ReplyClaims,
    format_claims,
    parse_claims,
    sha256,
)
from protocol.errors import (
    BadSignature,
    DigestMismatch,
    Malformed,
    ManifestBehind,
    MemberSuspended,
    NotAMember,
    Refusal,
    SignerMismatch,
    Stale,
    TooLarge,
    UnknownCertificate,
    UnsupportedVersion,
    WrongAudience,
    WrongNetwork,
)
from protocol.manifest import Manifest, Member, Status
from protocol.messages import QUERIES, WITHOUT_PURPOSE
from protocol.suites import STATEMENT_MAX_BYTES, PrivateKey, Statement, parse_statement, sign, verify


@dataclass(frozen=True, slots=True)
class RawMessage:
    """Bytes from the wire: nothing about them is proven."""

    statement: bytes
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message proven to come from an active member. Made by `unseal` only."""

    claims: Claims
    statement: bytes
    digest: str
    """base64url SHA-256 of the statement's text"""
    body: bytes


@dataclass(frozen=True, slots=True)
class RawReply:
    """An HTTP answer: nothing about it is proven."""

    status: int
    statement: bytes
    body: bytes
    content_type: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer proven to come from the member asked, to this request. Made by `unseal_reply` only."""

    claims: ReplyClaims
    statement: bytes
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """What a decision about certificates rests on. Replaced whole when manifest or CRLs change.

    `verdicts` is a memo of chain and revocation checks; it is true for exactly this manifest and these
    CRLs, so it lives and dies with them. Times are checked on every use.
    """

    member: str
    manifest: Manifest
    crls: tuple[Crl, ...]
    certificates: Mapping[str, Certificate]
    """known message certificates by `x5t#S256`"""
    verdicts: dict[tuple[str, Purpose], Verdict] = field(default_factory=dict, compare=False, repr=False)

    def check(self, certificate: Certificate, use: Purpose, *, now: datetime) -> None:
        """Decide about a certificate at `now` (protocol §2, five steps).

        Raises:
            UnknownCertificate, CertificateExpired, CertificateRevoked, Busy: as `certificates.judge`.
        """
        verdict = self.verdicts.get((certificate.fingerprint, use))
        if verdict is None:
            member = self.manifest.members.get(certificate.member)
            if member is None:
                raise UnknownCertificate("the certificate names a city that is no member")
            verdict = judge(
                certificate,
                member.authorities,
                self.crls,
                network=self.manifest.network,
                use=use,
                grace=timedelta(days=self.manifest.policy.crl_grace_days),
            )
            if len(self.verdicts) >= 10_000:
                self.verdicts.clear()
            self.verdicts[certificate.fingerprint, use] = verdict
        verdict.at(now)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """A private message key, and the certificate that names it."""

    certificate: Certificate
    key: PrivateKey = field(repr=False)


def active_member(manifest: Manifest, member_id: str) -> Member:
    """Return the member if it may exchange.

    Raises:
        NotAMember: not in the manifest, or left.
        MemberSuspended: suspended.
    """
    member = manifest.members.get(member_id)
    if member is None or member.status is Status.LEFT:
        raise NotAMember(f"not a member under manifest version {manifest.version}")
    if member.status is Status.SUSPENDED:
        raise MemberSuspended(f"suspended under manifest version {manifest.version}")
    return member


def admit(certificate: Certificate, trust: Trust, *, now: datetime) -> Member:
    """Return the active member that stands behind a TLS certificate (step 0, on every request).

    Raises:
        NotAMember, MemberSuspended: not, or not now, a member.
        CertificateExpired, CertificateRevoked: this certificate.
        Busy: the member's CRL is stale just now.
    """
    member = active_member(trust.manifest, certificate.member)
    try:
        trust.check(certificate, Purpose.TLS, now=now)
    except UnknownCertificate as unknown:
        raise NotAMember(f"TLS certificate: {unknown.detail}") from None
    return member


def unseal(raw: RawMessage, trust: Trust, *, peer: str, now: datetime) -> Message:
    """Return the message that `raw` carries, proven to come from an active member.

    `peer` is the member of the TLS certificate, admitted by step 0. Steps 8-11 need a database and stand
    in `node/exchange`. Cost: one certificate verdict (memoised), one ES256 verification, one SHA-256
    over the body.

    Raises:
        Malformed, TooLarge, UnsupportedVersion, WrongNetwork, WrongAudience, NotAMember,
        MemberSuspended, SignerMismatch, ManifestBehind, UnknownCertificate, CertificateExpired,
        CertificateRevoked, Busy, BadSignature, Stale, DigestMismatch: each a `Refusal`, none of which
        may change anything but the log.
    """
    # 1 size, strict form          2 typ, ver, net, aud       3 sender is an active member and the TLS peer
    # 4 message certificate        5 signature                6 times                  7 body
    statement = parse_statement(raw.statement)  # 1
    claims = _addressed(statement, trust)  # 2
    active_member(trust.manifest, claims.iss)  # 3
    if claims.iss != peer:
        raise SignerMismatch(f"the connection is {peer}'s")
    _compare_manifests(claims.man, trust.manifest)
    certificate = _message_certificate(statement, claims.iss, trust, now=now)  # 4
    verify(statement, certificate.public_key)  # 5
    _check_times(claims, certificate, trust.manifest, now=now)  # 6
    _check_body(claims.body, raw.body, raw.content_type)  # 7
    return Message(claims=claims, statement=raw.statement, digest=sha256(raw.statement), body=raw.body)


def unseal_kept(raw: RawMessage, trust: Trust, *, parties: tuple[str, str], now: datetime) -> Message:
    """Return a message that one party of a case sent the other some time ago, as one of them has kept it.

    As `unseal`, but for what only counts on the wire: `exp` may be over, sender and receiver are the parties in either
    order, and the manifest may be an older one.

    Raises:
        Malformed, TooLarge, UnsupportedVersion, WrongNetwork, WrongAudience, SignerMismatch, UnknownCertificate,
        CertificateExpired, CertificateRevoked, Busy, BadSignature, DigestMismatch.
    """
    statement = parse_statement(raw.statement)
    claims = _formed(statement, trust)
    if {claims.iss, claims.aud} != set(parties):
        raise SignerMismatch("the message was not exchanged between these two cities")
    certificate = _message_certificate(statement, claims.iss, trust, now=now)
    verify(statement, certificate.public_key)
    _check_body(claims.body, raw.body, raw.content_type)
    return Message(claims=claims, statement=raw.statement, digest=sha256(raw.statement), body=raw.body)


def _addressed(statement: Statement, trust: Trust) -> Claims:
    claims = _formed(statement, trust)
    if claims.aud != trust.member:
        raise WrongAudience(f"this node is {trust.member}")
    return claims


def _formed(statement: Statement, trust: Trust) -> Claims:
    if statement.typ != MESSAGE_TYP:
        raise Malformed(f"typ is not {MESSAGE_TYP}")
    if statement.claims.get("ver") != VERSION:
        raise UnsupportedVersion(f"version {VERSION} is spoken here", supported=[VERSION])
    claims = parse_claims(Claims, statement.claims)
    without = claims.msg in WITHOUT_PURPOSE
    if (claims.why is None) != without or (claims.who is None) != without:
        raise Malformed("why and who stand in every message but ping and library.publish")
    lifetime = QUERY_LIFETIME if claims.msg in QUERIES else DELIVERY_LIFETIME
    if not 0 < claims.exp - claims.iat <= lifetime.total_seconds():
        raise Malformed(f"exp is at most {int(lifetime.total_seconds())} s after iat")
    if claims.again is not None and claims.msg in QUERIES:
        raise Malformed("a query is asked anew, without again")
    if claims.net != trust.manifest.network:
        raise WrongNetwork("this node belongs to another network")
    return claims


def _compare_manifests(man: str, ours: Manifest) -> None:
    version, _, digest = man.partition(":")
    if int(version) > ours.version:
        raise ManifestBehind(f"manifest version {ours.version} is in force here", version=ours.version)
    if int(version) == ours.version and digest != ours.digest:
        raise WrongNetwork("same manifest version, other digest: two networks")


def _message_certificate(statement: Statement, member: str, trust: Trust, *, now: datetime) -> Certificate:
    certificate = trust.certificates.get(statement.certificate)
    if certificate is None:
        raise UnknownCertificate("this message certificate is not known here")
    if certificate.member != member:
        raise UnknownCertificate("the message certificate belongs to another city")
    trust.check(certificate, Purpose.MESSAGE, now=now)
    return certificate


def _check_times(claims: Claims, certificate: Certificate, manifest: Manifest, *, now: datetime) -> None:
    skew = manifest.policy.clock_skew_seconds
    seconds = now.timestamp()
    if claims.iat > seconds + skew:
        raise Stale(f"iat is {int(claims.iat - seconds)} s ahead of this node's clock; {skew} s are allowed")
    if claims.exp <= seconds:
        raise Stale(f"exp passed {int(seconds - claims.exp)} s ago on this node's clock")
    if datetime.fromtimestamp(claims.exp, UTC) > certificate.not_after:
        raise Malformed("exp lies after the end of the message certificate")


def _check_body(promised: BodyDigest, body: bytes, content_type: str) -> None:
    if promised.size != len(body) or promised.sha256 != sha256(body):
        raise DigestMismatch(f"{promised.size} bytes were signed for, {len(body)} arrived or their digest differs")
    if promised.type != content_type:
        raise DigestMismatch("Content-Type is not the type that was signed for")


def seal(claims: Claims, key: MessageKey) -> bytes:
    """Return the statement's text: claims as compact JSON, signed with the message key."""
    return _signed(format_claims(claims), MESSAGE_TYP, key)


def seal_reply(payload: bytes, key: MessageKey) -> bytes:
    """Return a reply's text from its stored payload, byte for byte (protocol §5.1 step 11)."""
    return _signed(payload, REPLY_TYP, key)


def _signed(payload: bytes, typ: str, key: MessageKey) -> bytes:
    text = sign(payload, typ=typ, certificate=key.certificate.fingerprint, key=key.key)
    if len(text) > STATEMENT_MAX_BYTES:
        raise TooLarge("a statement has at most 6 KiB: shorten reference or office")
    return text


def read_certificate_name(statement: bytes) -> str | None:
    """Return `x5t#S256` of an unverified statement, to know which certificate to fetch; None if malformed."""
    try:
        return parse_statement(statement).certificate
    except Refusal:
        return None


def read_number(statement: bytes) -> str | None:
    """Return the `jti` an unverified statement claims, to name it in a refusal; None if there is none."""
    try:
        return Answered(jti=parse_statement(statement).claims.get("jti"), sha256=sha256(b"")).jti
    except (Refusal, ValidationError):
        return None


def unseal_reply(raw: RawReply, request: Message, trust: Trust, *, server: str, now: datetime) -> Reply:
    """Return the answer to `request`, proven to come from the member asked.

    `server` is the member of the TLS server's certificate.

    Raises:
        Malformed, TooLarge, UnsupportedVersion, WrongNetwork, SignerMismatch, WrongAudience,
        UnknownCertificate, CertificateExpired, CertificateRevoked, Busy, BadSignature, DigestMismatch:
            then it is no answer, and the outcome stays unknown.
    """
    # 1 form, typ, version, network   2 certificate and signature   3 iss = asked = TLS server, aud = us
    # 4 re = our request              5 status = HTTP status        6 body                7 log place
    statement = parse_statement(raw.statement)  # 1
    if statement.typ != REPLY_TYP:
        raise Malformed(f"typ is not {REPLY_TYP}")
    if statement.claims.get("ver") != VERSION:
        raise UnsupportedVersion(f"version {VERSION} is spoken here", supported=[VERSION])
    claims = parse_claims(ReplyClaims, statement.claims)
    if claims.net != trust.manifest.network:
        raise WrongNetwork("the reply belongs to another network")
    certificate = _message_certificate(statement, claims.iss, trust, now=now)  # 2
    verify(statement, certificate.public_key)
    if not claims.iss == request.claims.aud == server:  # 3
        raise SignerMismatch(f"{request.claims.aud} was asked, {server} is connected, {claims.iss} signed")
    if claims.aud != trust.member:
        raise WrongAudience("the reply is addressed to another city")
    if claims.re.sha256 != request.digest or claims.re.jti not in (request.claims.jti, None):  # 4
        raise DigestMismatch("the reply answers another request")
    if claims.status != raw.status:  # 5
        raise DigestMismatch("the HTTP status is not the status that was signed for")
    _check_body(claims.body, raw.body, raw.content_type)  # 6
    _check_promise(claims)  # 7
    return Reply(claims=claims, statement=raw.statement, digest=sha256(raw.statement), body=raw.body)


def _check_promise(claims: ReplyClaims) -> None:
    if claims.log is None:
        if claims.msg != REFUSAL:
            raise Malformed("an outcome names its place in the log")
        return
    if not claims.log.origin.startswith(f"tongban/{claims.net}/{claims.iss}/"):
        raise BadSignature("the log place lies in the log of another city")
