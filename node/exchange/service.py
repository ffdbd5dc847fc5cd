"""Asking a peer: sign, log, send, verify the answer, log again (protocol §5); and what handlers of messages are.

The message and its entry are committed before the first attempt; the reply and its entry when it has
been verified. An answer that fails verification is no answer. What changes state at the peer goes
through the outbox; queries are asked here, and asked anew by people. `Exchanging` sends for both.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from node.audit.service import Entry
from node.exchange import store
from node.failpoints import failpoint
from node.storage.unit_of_work import Ahead, Reading, Transaction
from node.transport.client import NoAnswer, PeerClients
from protocol.bodies import Body
from protocol.certificates import Purpose
from protocol.claims import JSON_TYPE, REFUSAL, VERSION, Claims, Earlier, Who, Why, describe_body, sha256
from protocol.envelope import (
    Message,
    MessageKey,
    RawReply,
    Reply,
    Trust,
    active_member,
    read_certificate_name,
    seal,
    unseal_reply,
)
from protocol.errors import Busy, ManifestBehind, Problem, Refusal, UnknownCertificate, format_problem, parse_problem
from protocol.manifest import Member
from protocol.messages import REPLIES, REPLY_OF, parse_body
from protocol.suites import parse_json

logger = structlog.get_logger("exchange")

LIFETIME: Final = timedelta(seconds=120)
ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back: the body of the reply, and whom it is about (for the log)."""

    body: bytes
    status: int = 200
    person: tuple[str, str] | None = field(default=None, repr=False)
    slug: str | None = None
    """of a refusal that is an outcome, stored like any other: `refused` makes such an answer"""


def refused(refusal: Refusal, *, person: tuple[str, str] | None = None) -> Answer:
    """Return the outcome of an effect that may not be had: it is remembered, so that a repeat is told the same."""
    body = json.dumps(format_problem(refusal, trace=""), ensure_ascii=False).encode()
    return Answer(body, refusal.status, person, refusal.slug)


@dataclass(frozen=True, slots=True)
class ReadingHandler:
    """Steps 10 and 11 of a message type that only asks; many of them share their look-ups (`unit_of_work`)."""

    ahead: Callable[[Message, Body], Ahead]
    """what the answer will look up"""
    answer: Callable[[Reading, Message, Body], Answer]
    """raises a `Refusal`, or returns the answer"""


Handler = Callable[[Transaction, Message, Body], Answer] | ReadingHandler
"""Steps 10 and 11 of one message type: raises a `Refusal`, or has its effect through the transaction."""


@dataclass(frozen=True, slots=True)
class Learning:
    """How a node fetches what a message names and it lacks; given by the membership room."""

    certificate: Callable[[str, str], Awaitable[bool]]
    """(member, fingerprint) -> whether it was learnt; raises Busy when the sender cannot be reached"""
    manifest: Callable[[str], Awaitable[None]]
    """(member) -> after trying to catch up"""
    crl: Callable[[str], Awaitable[None]]
    """(member) -> after trying to learn a newer CRL of it, from it or from any peer"""


class RefusedByPeer(Exception):
    """The peer's signed refusal; `signed` is False for one that proves nothing."""

    def __init__(self, member: str, problem: Problem, *, signed: bool) -> None:
        super().__init__(f"{member} refused: {problem.slug}")
        self.member = member
        self.problem = problem
        self.signed = signed


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask whom, why, and who asks; `person` is for our own log only."""

    member: str
    msg: str
    body: bytes = field(repr=False)
    why: Why | None = None
    who: Who | None = None
    person: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came back: a proven reply, a problem (proven when there is a reply too), or neither."""

    reply: Reply | None
    problem: Problem | None
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Exchanging:
    """Sending a signed message and verifying what comes back: the same for questions and for the outbox."""

    clients: PeerClients
    trust: Callable[[], Trust]
    learning: Learning
    now: Callable[[], datetime]

    async def send(self, peer: str, request: Message, *, seconds: float) -> Exchanged:
        """Send a message and return what proves to be the peer's answer.

        Raises:
            NotAMember, MemberSuspended: before anything is sent.
            NoAnswer: the outcome is unknown.
        """
        member = active_member(self.trust().manifest, peer)
        for attempt in range(ATTEMPTS):
            raw, server = await self._post(member, request, seconds=seconds)
            reply = await self._verified(raw, request, server)
            problem = _problem_of(raw, reply)
            if problem is None or problem.known is not ManifestBehind or attempt == ATTEMPTS - 1:
                break
        return Exchanged(reply, problem, raw.retry_after_seconds)

    def check_own(self, request: Message) -> None:
        """Say whether a message of ours can still pass by the certificate that it was signed with.

        Raises:
            UnknownCertificate, CertificateExpired, CertificateRevoked: it cannot.
        """
        trust, name = self.trust(), read_certificate_name(request.statement)
        certificate = trust.certificates.get(name or "")
        if certificate is None:
            raise UnknownCertificate("this node does not know the certificate that the message was signed with")
        with suppress(Busy):
            trust.check(certificate, Purpose.MESSAGE, now=self.now())

    async def _post(self, member: Member, request: Message, *, seconds: float) -> tuple[RawReply, str]:
        """Send once; where only the peer's CRL was lacking, fetch it and send again."""
        failpoint("send.before_post")
        sent = (member, request.statement, request.body, JSON_TYPE)
        try:
            answered = await self.clients.post_message(*sent, seconds=seconds)
        except NoAnswer as missing:
            if not isinstance(missing.refusal, Busy):
                raise
            await self.learning.crl(member.id)
            answered = await self.clients.post_message(*sent, seconds=seconds)
        failpoint("send.after_reply")
        return answered

    async def _verified(self, raw: RawReply, request: Message, server: str) -> Reply | None:
        """Return the proven reply, or None for one without a signature; one that does not verify is no answer."""
        if not raw.statement:
            return None
        try:
            return await self._unseal(raw, request, server)
        except Refusal as refusal:
            logger.warning("reply.unverified", peer=server, slug=refusal.slug)
            raise NoAnswer("unverified", f"the answer of {server} does not verify: {refusal.detail}", refusal) from None

    async def _unseal(self, raw: RawReply, request: Message, server: str) -> Reply:
        """Unseal; a message certificate that is lacking is fetched once."""
        try:
            return unseal_reply(raw, request, self.trust(), server=server, now=self.now())
        except UnknownCertificate:
            name = read_certificate_name(raw.statement)
            if name is None or not await self.learning.certificate(server, name):
                raise
        return unseal_reply(raw, request, self.trust(), server=server, now=self.now())


@dataclass(frozen=True, slots=True)
class Booked:
    """A question that was signed, and committed with its entry: it may be sent."""

    question: Question
    member: Member
    request: Message


@dataclass(frozen=True, slots=True)
class Answered:
    """A verified answer, its parsed body, and how long it took."""

    reply: Reply
    body: Body
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Asking:
    """Everything that asking needs, as values."""

    read: Callable[[Callable[[Reading], Any], Ahead], Any]
    """awaitable commit of what a reading appends and adds: `Writer.read`"""
    clients: PeerClients
    trust: Callable[[], Trust]
    key: Callable[[], MessageKey]
    learning: Learning
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    monotonic: Callable[[], float]

    @property
    def exchanging(self) -> Exchanging:
        """Return what sends for us."""
        return Exchanging(self.clients, self.trust, self.learning, self.now)

    async def ask(self, question: Question, *, seconds: float) -> Answered:
        """Return the peer's verified answer.

        Raises:
            NotAMember, MemberSuspended: before anything is signed.
            RefusedByPeer: a problem of the peer.
            NoAnswer: the outcome is unknown; a query may be asked anew.
        """
        (booked,) = await self.book([question])
        if isinstance(booked, Refusal):
            raise booked
        return await self.send(booked, seconds=seconds)

    async def book(self, questions: Sequence[Question]) -> list[Booked | Refusal]:
        """Sign questions and commit them with their entries, all in one transaction; in the order given.

        In the place of a question to a city that is no active member stands the refusal: nothing was signed.

        Raises:
            Busy, StorageFull: nothing was committed, and nothing may be sent.
        """
        # 1 sign   2 commit messages and entries
        answers = [self._signed(question) for question in questions]  # 1
        signed = [one for one in answers if isinstance(one, Booked)]
        if signed:
            await self.read(lambda reading: self._book_requests(reading, signed), ())  # 2
        return answers

    async def send(self, booked: Booked, *, seconds: float) -> Answered:
        """Send what was booked and return the peer's verified answer; raises as `ask`."""
        # 3 send   4 verify   5 commit reply and entry
        question, request = booked.question, booked.request
        started = self.monotonic()
        exchanged = await self.exchanging.send(booked.member.id, request, seconds=seconds)  # 3 4
        reply, problem = exchanged.reply, exchanged.problem
        if reply is not None:
            await self.read(lambda reading: self._book_reply(reading, request, reply, question), ())  # 5
        if problem is not None:
            raise RefusedByPeer(question.member, problem, signed=reply is not None)
        if reply is None:
            raise NoAnswer("unsigned", f"{question.member} answered without a signature")
        milliseconds = round((self.monotonic() - started) * 1000)
        return Answered(reply, _parsed_body(question.msg, reply), milliseconds)

    def _signed(self, question: Question) -> Booked | Refusal:
        try:
            member = active_member(self.trust().manifest, question.member)
        except Refusal as refusal:
            return refusal
        return Booked(question, member, self._sign(question))

    def _sign(self, question: Question) -> Message:
        return sign_message(
            question.body, aud=question.member, msg=question.msg, why=question.why, who=question.who,
            lifetime=LIFETIME, trust=self.trust(), key=self.key(), now=self.now(), jti=self.new_id(),
        )  # fmt: skip

    def _book_requests(self, reading: Reading, signed: Sequence[Booked]) -> None:
        now = self.now()
        for booked in signed:
            book_request(reading, booked.request, now=now, person=booked.question.person)

    def _book_reply(self, reading: Reading, request: Message, reply: Reply, question: Question) -> None:
        book_reply(reading, request, reply, now=self.now(), person=question.person)


def _problem_of(raw: RawReply, reply: Reply | None) -> Problem | None:
    if reply is not None and reply.claims.msg != REFUSAL:
        return None
    try:
        return parse_problem(parse_json(raw.body))
    except Refusal:
        return None


def _parsed_body(msg: str, reply: Reply) -> Body:
    try:
        if reply.claims.msg != REPLY_OF[msg]:
            raise NoAnswer("unverified", "the answer is of another type than the question asks for")
        return parse_body(REPLIES, reply.claims.msg, reply.body)
    except Refusal as refusal:
        raise NoAnswer("unreadable", f"the answer's body: {refusal.slug}", refusal) from None


def sign_message(
    body: bytes, *, aud: str, msg: str, why: Why | None, who: Who | None, lifetime: timedelta,
    trust: Trust, key: MessageKey, now: datetime, jti: str, again: Earlier | None = None,
) -> Message:  # fmt: skip
    """Return a signed message to a member; it ends with its lifetime, or with our certificate if that comes first."""
    issued = int(now.timestamp())
    claims = Claims(
        net=trust.manifest.network,
        ver=VERSION,
        iss=trust.member,
        aud=aud,
        iat=issued,
        exp=min(issued + int(lifetime.total_seconds()), int(key.certificate.not_after.timestamp())),
        jti=jti,
        msg=msg,
        man=trust.manifest.label,
        why=why,
        who=who,
        again=again,
        body=describe_body(body),
    )
    statement = seal(claims, key)
    return Message(claims=claims, statement=statement, digest=sha256(statement), body=body)


def book_request(reading: Reading, request: Message, *, now: datetime, person: tuple[str, str] | None = None) -> None:
    """Keep a message that was signed, and its entry; one to ourselves is an entry only."""
    claims = request.claims
    if claims.aud == claims.iss:
        reading.append(_entry(request, kind="message", dir="local", time=now, person=person))
        return
    row = store.sent_row(claims.jti, aud=claims.aud, msg=claims.msg, statement=request.statement, now=now)
    reading.add(store.ADD_SENT, row)
    reading.append(_entry(request, kind="message", dir="out", time=now, person=person))


def book_reply(
    reading: Reading, request: Message, reply: Reply, *, now: datetime, person: tuple[str, str] | None = None
) -> None:
    """Keep the proven reply to a message of ours, and its entry."""
    row = store.reply_row(request.claims.jti, reply=reply.statement, status=reply.claims.status, now=now)
    reading.add(store.SET_REPLY, row)
    answered = {"reply": reply.digest, "status": reply.claims.status}
    reading.append(_entry(request, kind="reply", dir="in", time=now, person=person, **answered))


def _entry(request: Message, **what: Any) -> Entry:
    claims = request.claims
    return Entry(
        peer=claims.aud,
        jti=claims.jti,
        msg=claims.msg,
        request=request.digest,
        item=claims.why.item if claims.why else None,
        case=claims.why.case if claims.why else None,
        basis=claims.why.basis if claims.why else None,
        officer=claims.who.officer if claims.who else None,
        **what,
    )
