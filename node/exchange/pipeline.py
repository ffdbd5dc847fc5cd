"""The inbound pipeline: from the bytes of a request to a signed reply (protocol §5.1).

Steps 0-7 are arithmetic (`protocol.envelope`) and run on the event loop; steps 8-11 are one work of the
process's writer: replay row, effect, log entry and the reply's exact payload commit together, before
the reply leaves. Signing comes after the commit, from the stored payload, and may be repeated.

A message passes five hands: `transport` (bytes), `Pipeline.receive` (verify), `Writer` (commit),
the handler of its type in its room (effect), and `seal_reply` (signature).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from node.audit.service import Entry
from node.exchange import store
from node.exchange.limits import PeerLimits
from node.exchange.service import Answer, Handler, Learning, ReadingHandler
from node.failpoints import failpoint
from node.storage.encryption import Vault
from node.storage.unit_of_work import Place, Reading, Transaction
from node.storage.writer import Writer
from node.transport.callers import ENDING
from protocol.bodies import Body
from protocol.certificates import Certificate, Purpose
from protocol.claims import (
    JSON_TYPE,
    PROBLEM_TYPE,
    REFUSAL,
    VERSION,
    Answered,
    Claims,
    ReplyClaims,
    describe_body,
    format_claims,
    format_outcome,
    parse_claims,
    sha256,
)
from protocol.envelope import (
    Message,
    MessageKey,
    RawMessage,
    Trust,
    admit,
    read_certificate_name,
    read_number,
    seal_reply,
    unseal,
)
from protocol.errors import (
    Busy,
    Internal,
    ManifestBehind,
    Refusal,
    ReplayConflict,
    StorageFull,
    UnknownCertificate,
    format_problem,
    parse_problem,
)
from protocol.manifest import Status
from protocol.messages import QUERIES, REPLY_OF, REQUESTS, parse_body
from protocol.suites import encode, parse_json, parse_statement

REPLAY_BODY_GRACE: Final = timedelta(seconds=300)

logger = structlog.get_logger("exchange")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An HTTP answer: `statement` is empty only when nothing could be signed for."""

    status: int
    statement: bytes
    body: bytes
    content_type: str
    retry_after_seconds: int | None = None
    close: bool = False


@dataclass(slots=True)
class _Executed:
    """A reply as it is stored; the payload is complete once the log has given the place."""

    body: bytes
    body_type: str
    status: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class _First:
    """What `again` names: its row, its digest, and its outcome if there is one."""

    key: tuple[int, str, str]
    digest: str
    outcome: Answer | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Everything that receiving needs, as values."""

    writer: Writer
    vault: Vault
    limits: PeerLimits
    handlers: Mapping[str, Handler]
    trust: Callable[[], Trust]
    key: Callable[[], MessageKey]
    learning: Learning
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    has_room: Callable[[], bool]
    """whether the disk reserve is untouched"""

    async def receive(self, raw: RawMessage, certificate: Certificate, fault: Refusal | None = None) -> Sealed:
        """Answer one message of a peer; every fault becomes a refusal, signed if the peer is a member.

        `fault` is what transport found wrong with the request (step 1: sizes, header, time).
        """
        if not self.limits.enter():
            refusal = Busy("this node has as many messages in work as it can answer in time", retry_after_seconds=1)
            return await self._refuse(refusal, raw, certificate)
        try:
            return await self._receive(raw, certificate, fault)
        finally:
            self.limits.leave()

    async def _receive(self, raw: RawMessage, certificate: Certificate, fault: Refusal | None) -> Sealed:
        try:
            failpoint("receive.before_verify")
            message = await self._verify(raw, certificate, fault)
            executed = await self._commit(message)
            failpoint("receive.before_sign")
            statement = self._sign(executed.payload)
            failpoint("receive.before_reply")
        except Refusal as refusal:
            return await self._refuse(refusal, raw, certificate)
        except Exception:
            trace = self._trace()
            logger.exception("message.failed", peer=certificate.member, trace=trace)
            return await self._refuse(Internal(), raw, certificate, trace=trace)
        return Sealed(executed.status, statement, executed.body, executed.body_type)

    def _sign(self, payload: bytes) -> bytes:
        """Return the signed payload; whatever keeps the key from signing is over when the peer repeats."""
        try:
            return seal_reply(payload, self.key())
        except Exception:
            logger.exception("reply.not_signed")
            raise Busy("this node cannot sign just now", retry_after_seconds=5) from None

    async def _verify(self, raw: RawMessage, certificate: Certificate, fault: Refusal | None) -> Message:
        # 0 TLS peer is an active member       1-7 unseal; what is lacking is fetched once, then tried again
        try:
            admit(certificate, self.trust(), now=self.now())  # 0
        except Busy:
            await self.learning.crl(certificate.member)
            admit(certificate, self.trust(), now=self.now())
        if fault is not None:
            raise fault
        if not self.has_room():
            raise StorageFull("the disk reserve is reached; nothing was stored")
        message = await self._unseal(raw, certificate.member)  # 1-7
        # The rate is counted before the database is touched, so that a flood never reaches it (10).
        self.limits.count_message(certificate.member)
        return message

    async def _unseal(self, raw: RawMessage, peer: str, *, caught_up: bool = False) -> Message:
        """Unseal; what is lacking, a manifest or after it a certificate, is fetched once."""
        trust = self.trust()
        try:
            return unseal(raw, trust, peer=peer, now=self.now())
        except ManifestBehind:
            if caught_up:
                raise
            await self.learning.manifest(peer)
        except UnknownCertificate:
            name = read_certificate_name(raw.statement)
            if name is None or name in trust.certificates or not await self.learning.certificate(peer, name):
                raise
            return unseal(raw, self.trust(), peer=peer, now=self.now())
        return await self._unseal(raw, peer, caught_up=True)

    async def _commit(self, message: Message) -> _Executed:
        """Run steps 8-11 as one work of the writer; those of questions share their look-ups with others."""
        claims = message.claims
        handler, body = self.handlers.get(claims.msg), _body_of(message)
        if not isinstance(handler, ReadingHandler):
            return await self.writer.submit(lambda transaction: self._execute(transaction, message, body))
        ahead = [(store.RECEIVED, store.received_key(claims.iss, claims.jti))]
        if isinstance(body, Body):
            ahead += handler.ahead(message, body)
        return await self.writer.read(lambda reading: self._execute(reading, message, body), ahead)

    def _execute(self, reading: Reading, message: Message, parsed: Body | Refusal) -> _Executed:
        # 8 seen before?  9 type and body  10 policy, in the handler  11 effect, replay row, entry, payload
        failpoint("receive.before_effect")
        claims = message.claims
        key = store.received_key(claims.iss, claims.jti)
        seen = reading.find(store.RECEIVED, key)  # 8
        if seen is not None:
            return self._seen(message, *seen)
        reading.claim(key)
        first = self._first(reading, message)
        if first is not None and first.outcome is not None:
            answer = first.outcome
        elif isinstance(parsed, Refusal):  # 9
            raise parsed
        else:
            answer = _handled(self.handlers[claims.msg], reading, message, parsed)  # 10
        executed = _Executed(answer.body, _type_of(answer), answer.status)  # 11

        now = self.now()

        def placed(_session: object, place: Place) -> None:
            executed.payload = self._payload(message, answer, place, now=now)
            reading.add(store.ADD_RECEIVED, self._row(key, message, message.digest, executed, now=now))
            if first is not None and first.outcome is None:
                # The old text can never act later: its number is taken by what acted in its place.
                reading.add(store.ADD_RECEIVED, self._row(first.key, message, first.digest, executed, now=now))

        reading.append(_entry_of(message, answer, now=now), placed)
        return executed

    def _first(self, reading: Reading, message: Message) -> "_First | None":
        """Return the message that this one replaces by `again`, and its outcome if it has been executed (step 8)."""
        again, iss = message.claims.again, message.claims.iss
        if again is None:
            return None
        key = store.received_key(iss, again.jti)
        reading.claim(key)
        seen = reading.find(store.RECEIVED, key)
        if seen is None:
            return _First(key, again.sha256)
        digest, _, body, body_type, status, statement = seen
        promised = parse_claims(Claims, parse_statement(statement).claims).body.sha256
        if digest != again.sha256 or promised != message.claims.body.sha256:
            raise ReplayConflict("again names another text, or the body is another one")
        stored = self.vault.decrypt(body, _context(iss, again.jti)) if body is not None else b""
        slug = parse_problem(parse_json(stored)).slug if body_type == PROBLEM_TYPE else None
        return _First(key, digest, Answer(stored, status, slug=slug))

    def _seen(
        self, message: Message, digest: str, payload: bytes, body: bytes | None, body_type: str, status: int, _: bytes
    ) -> _Executed:
        claims = message.claims
        if digest != message.digest:
            raise ReplayConflict("this number was used for another text")
        stored = self.vault.decrypt(body, _context(claims.iss, claims.jti)) if body is not None else b""
        return _Executed(stored, body_type, status, payload)

    def _payload(self, message: Message, answer: Answer, place: Place, *, now: datetime) -> bytes:
        claims = message.claims
        return format_outcome(
            claims,
            message.digest,
            iat=int(now.timestamp()),
            jti=self.new_id(),
            msg=REFUSAL if answer.slug else REPLY_OF[claims.msg],
            man=self.trust().manifest.label,
            status=answer.status,
            origin=place.origin,
            index=place.index,
            leaf=encode(place.leaf),
            body=answer.body,
            content_type=_type_of(answer),
        )

    def _row(
        self, key: tuple[int, str, str], message: Message, digest: str, executed: _Executed, *, now: datetime
    ) -> tuple[Any, ...]:
        # in the order of the columns of `Received`
        claims = message.claims
        body = self.vault.encrypt(executed.body, _context(key[1], key[2]))
        ends = datetime.fromtimestamp(claims.exp, UTC) + REPLAY_BODY_GRACE if claims.msg in QUERIES else None
        sealed = (digest, message.statement, executed.payload, body, executed.body_type, executed.status)
        return (*key, *sealed, now, ends)

    async def _refuse(self, refusal: Refusal, raw: RawMessage, certificate: Certificate, *, trace: str = "") -> Sealed:
        trace = trace or self._trace()
        peer, number = certificate.member, read_number(raw.statement)
        body = json.dumps(format_problem(refusal, trace=trace), ensure_ascii=False).encode()
        statement = self._signed_refusal(refusal, raw, body, certificate, number)
        if self.limits.may_log_refusal(peer):
            logger.info("message.refused", peer=peer, slug=refusal.slug, trace=trace)
            await self._log_refusal(refusal, raw, peer, number)
        closing = isinstance(refusal, ENDING)
        return Sealed(refusal.status, statement, body, PROBLEM_TYPE, refusal.retry_after_seconds, closing)

    def _signed_refusal(
        self, refusal: Refusal, raw: RawMessage, body: bytes, certificate: Certificate, number: str | None
    ) -> bytes:
        """Return a signed statement, or nothing: to no member, for a header that does not parse, without a key."""
        trust = self.trust()
        if not _is_members(certificate, trust, self.now()) or read_certificate_name(raw.statement) is None:
            return b""
        claims = ReplyClaims(
            net=trust.manifest.network,
            ver=VERSION,
            iss=trust.member,
            aud=certificate.member,
            iat=int(self.now().timestamp()),
            jti=self.new_id(),
            msg=REFUSAL,
            man=trust.manifest.label,
            re=Answered(jti=number, sha256=sha256(raw.statement)),
            status=refusal.status,
            body=describe_body(body, PROBLEM_TYPE),
        )
        try:
            return self._sign(format_claims(claims))
        except Busy:
            return b""

    async def _log_refusal(self, refusal: Refusal, raw: RawMessage, peer: str, number: str | None) -> None:
        entry = Entry(
            kind="refusal",
            dir="in",
            time=self.now(),
            peer=peer,
            jti=number,
            request=sha256(raw.statement),
            status=refusal.status,
            slug=refusal.slug,
        )
        try:
            await self.writer.read(lambda reading: reading.append(entry), ())
        except Exception:
            logger.warning("refusal.not_logged", peer=peer, slug=refusal.slug)

    def _trace(self) -> str:
        digits = self.new_id().replace("-", "")[-8:]
        return f"{digits[:4]}-{digits[4:]}"


def _is_members(certificate: Certificate, trust: Trust, now: datetime) -> bool:
    """Say whether a TLS certificate is that of a member: nothing is signed to who only claims a name."""
    member = trust.manifest.members.get(certificate.member)
    if member is None or member.status is Status.LEFT:
        return False
    try:
        trust.check(certificate, Purpose.TLS, now=now)
    except UnknownCertificate:
        return False
    except Refusal:
        return True  # ended, revoked, or its CRL is stale: that member's certificate all the same
    return True


def _body_of(message: Message) -> Body | Refusal:
    """Return the body by its type (step 9), or what is wrong with it: a number used before is told first."""
    try:
        return parse_body(REQUESTS, message.claims.msg, message.body)
    except Refusal as refusal:
        return refusal


def _handled(handler: Handler, reading: Reading, message: Message, body: Body) -> Answer:
    if isinstance(handler, ReadingHandler):
        return handler.answer(reading, message, body)
    if not isinstance(reading, Transaction):
        raise TypeError("only a reading handler runs without a session")
    return handler(reading, message, body)


def _type_of(answer: Answer) -> str:
    return PROBLEM_TYPE if answer.slug else JSON_TYPE


def _context(iss: str, jti: str) -> bytes:
    return f"received:{iss}:{jti}".encode()


def _entry_of(message: Message, answer: Answer, *, now: datetime) -> Entry:
    claims = message.claims
    return Entry(
        kind="message",
        dir="in",
        time=now,
        peer=claims.iss,
        jti=claims.jti,
        msg=claims.msg,
        request=message.digest,
        reply=sha256(answer.body),
        status=answer.status,
        slug=answer.slug,
        item=claims.why.item if claims.why else None,
        case=claims.why.case if claims.why else None,
        basis=claims.why.basis if claims.why else None,
        officer=claims.who.officer if claims.who else None,
        person=answer.person,
    )
