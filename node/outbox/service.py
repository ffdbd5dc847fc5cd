"""The outbox: what must arrive is written with its cause, and sent until its outcome is known (protocol §5.2).

    outbox.enqueue(transaction, Parcel(peer="442000", msg="case.open", line="KS…", body=…, why=…, who=…, person=…))

signs the message and stores it, with its entry in the log, in the caller's transaction. `delivery` claims, sends and
settles. Delivered and processed are different facts: a final refusal of the peer is an answer too (`refused`); what
nobody answered is unknown and goes on; what people must look at is `dead`, and its line stands still.

Where the signed text can no longer pass (`exp` over, its certificate ended) and an earlier attempt had no answer,
the same body goes out as a new message whose `again` names the first one; if every attempt was answered, it is dead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from node.audit.service import Entry
from node.exchange.service import book_reply, book_request, sign_message
from node.outbox import store
from node.outbox.tables import OutboxMessage
from node.storage.encryption import Vault, shard_key
from node.storage.prepared import Fetch
from node.storage.unit_of_work import Transaction
from protocol.claims import DELIVERY_LIFETIME, Claims, Earlier, Who, Why, parse_claims, sha256
from protocol.envelope import Message, MessageKey, Reply, Trust
from protocol.errors import NotFound, Problem, Retry
from protocol.suites import parse_statement

LEASE: Final = timedelta(seconds=60)
LINE_MAX: Final = 200
SLOWEST: Final = timedelta(minutes=5)
CURED_EVERY: Final = timedelta(hours=1)
PEER_PAUSE_MAX: Final = timedelta(seconds=30)
LAST_SECONDS: Final = timedelta(seconds=30)
"""A text that ends this soon is not sent any more: its outcome could come too late."""
STALE: Final = "stale"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What shall arrive where; `line` keeps the order; `person` is for our own log only."""

    peer: str
    msg: str
    line: str
    body: bytes = field(repr=False)
    why: Why
    who: Who
    person: tuple[str, str] | None = field(default=None, repr=False)
    begins: bool = False
    """whether it is the first of its line: nothing has to be looked at, and it is written with its group"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process may send until its lease ends."""

    key: tuple[int, str, int]
    jti: str
    first: Earlier
    peer: str
    msg: str
    message: Message = field(repr=False)
    """as it was signed"""
    fence: int
    attempts: int
    is_unknown: bool
    expires_at: datetime

    @property
    def line(self) -> str:
        """Return the line."""
        return self.key[1]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message: a verified reply, or why it ended without one."""

    claimed: Claimed
    state: str
    reply: Reply | None = None
    slug: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """What a room does with the outcomes of its messages, in the transaction that settles them."""

    lock: Callable[[Transaction, str, str], Any]
    """(transaction, line, first number of the message): locks the row of a line before the outbox's own, the same
    order as in the transaction of a cause; what it returns is handed to `settled`, so that nothing is read twice"""
    settled: Callable[[Transaction, Settled, Any], None]


@dataclass(frozen=True, slots=True)
class Outbox:
    """Everything that the outbox needs, as values."""

    vault: Vault
    trust: Callable[[], Trust]
    key: Callable[[], MessageKey]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    random: Callable[[], float]
    """uniform in 0..1, for jitter"""
    recipients: Mapping[str, Recipient]
    """by message type"""
    hint: Callable[[], None]
    """tells the delivery of this process that there may be something to do"""

    def enqueue(self, transaction: Transaction, parcel: Parcel) -> Message:
        """Sign a message and store it; it goes when all of its line before it is settled.

        Raises:
            TooLarge: the statement has more than 6 KiB.
        """
        message = self._signed(parcel, again=None)
        now, claims = self.now(), message.claims
        last = None if parcel.begins else store.last_of_line(transaction.session, parcel.line)
        step, is_next = (last[0] + 1, last[1] not in (store.WAITING, "dead")) if last else (0, True)
        body = self.vault.encrypt(parcel.body, _context(parcel.line, step))
        row = (
            shard_key(parcel.line), parcel.line, step, claims.jti, claims.jti, message.digest, parcel.peer, parcel.msg,
            message.statement, body, store.WAITING, is_next, now, None, 0, 0, False, "", "", now, _end(claims), None,
        )  # fmt: skip
        if parcel.begins:
            transaction.add(store.ADD_OUTBOX, row)
        else:
            store.ADD_OUTBOX.one(transaction.session, *row)
        book_request(transaction, message, now=now, person=parcel.person)
        self.hint()
        return message

    def keep(self, transaction: Transaction, parcel: Parcel) -> Message:
        """Sign a message to ourselves: it stands in the log, and goes nowhere.

        Raises:
            TooLarge: the statement has more than 6 KiB.
        """
        message = self._signed(parcel, again=None)
        book_request(transaction, message, now=self.now(), person=parcel.person)
        return message

    def _signed(self, parcel: Parcel, *, again: Earlier | None) -> Message:
        return sign_message(
            parcel.body, aud=parcel.peer, msg=parcel.msg, why=parcel.why, who=parcel.who, lifetime=DELIVERY_LIFETIME,
            trust=self.trust(), key=self.key(), now=self.now(), jti=self.new_id(), again=again,
        )  # fmt: skip

    def claim(
        self, transaction: Transaction, *, under_way: Mapping[str, int], per_peer: int, limit: int
    ) -> tuple[list[Claimed], frozenset[str]]:
        """Take messages whose turn has come; each is ours alone until its lease ends. Also return who is silent.

        Args:
            under_way: messages that this process is sending, by peer.
            per_peer: at most so many to one peer; a silent one gets one at a time.
            limit: at most so many in all.
        """
        now = self.now()
        peers = store.peers_of_outbox(transaction.session)
        silent = frozenset(one.peer for one in peers)
        free = {peer: (1 if peer in silent else per_peer) - count for peer, count in under_way.items()}
        without = {one.peer for one in peers if one.paused_until is not None and one.paused_until > now}
        without |= {peer for peer, places in free.items() if places <= 0}
        asked: list[Fetch] = []
        for peer in sorted(store.waiting_peers(transaction.session) - without, key=lambda _peer: self.random()):
            places = min(free.get(peer, 1 if peer in silent else per_peer), limit - len(asked))
            if places > 0:
                due = store.due_messages(transaction.session, peer, now=now, limit=places)
                asked += [store.claim_message(transaction.session, one, until=now + LEASE) for one in due]
        return [self._claimed(row) for fetch in asked for row in fetch()], silent

    def _claimed(self, row: tuple[Any, ...]) -> Claimed:
        shard, line, step, jti, first_jti, first_digest, peer, msg, statement, body, fence, attempts, unknown, ends = (
            row
        )
        plain = self.vault.decrypt(body, _context(line, step))
        claims = parse_claims(Claims, parse_statement(statement).claims)
        message = Message(claims=claims, statement=statement, digest=sha256(statement), body=plain)
        first = Earlier(jti=first_jti, sha256=first_digest)
        return Claimed((shard, line, step), jti, first, peer, msg, message, fence, attempts, bool(unknown), ends)

    def renewed(self, transaction: Transaction, claimed: Claimed) -> Claimed | None:
        """Sign the same body anew, naming the first message by `again`; None when it is not ours any more."""
        old = claimed.message
        if old.claims.why is None or old.claims.who is None:
            raise NotFound("only messages with a purpose are sent again")
        parcel = Parcel(claimed.peer, claimed.msg, claimed.line, old.body, old.claims.why, old.claims.who)
        message = self._signed(parcel, again=claimed.first)
        jti, ends = message.claims.jti, _end(message.claims)
        texts = {"jti": jti, "statement": message.statement, "expires_at": ends}
        if not store.renew_message(transaction.session, claimed.key, claimed.fence, **texts):  # type: ignore[arg-type]
            return None
        book_request(transaction, message, now=self.now())
        return replace(claimed, jti=jti, message=message, expires_at=ends)

    def settle(self, transaction: Transaction, settled: Settled) -> bool:
        """Store an outcome, let the next of the line go, and tell the room; False when another process had it."""
        claimed, now = settled.claimed, self.now()
        recipient = self.recipients.get(claimed.msg)
        held = recipient.lock(transaction, claimed.line, claimed.first.jti) if recipient is not None else None
        is_dead = settled.state == "dead"
        body = self.vault.encrypt(claimed.message.body, _context(claimed.line, claimed.key[2])) if is_dead else None
        if not store.end_message(
            transaction.session, claimed.key, claimed.fence, state=settled.state, slug=settled.slug,
            detail=settled.detail[:500], attempts=claimed.attempts + 1, body=body,
            statement=claimed.message.statement if is_dead else b"", at=None if is_dead else now,
        ):  # fmt: skip
            return False
        if settled.reply is not None:
            book_reply(transaction, claimed.message, settled.reply, now=now)
        if not is_dead:
            shard, line, step = claimed.key
            transaction.add(store.FREE_NEXT, (shard, line, step + 1, now))
        if recipient is not None:
            recipient.settled(transaction, settled, held)
        return True

    def postpone(
        self, transaction: Transaction, claimed: Claimed, problem: Problem | None, *, after: timedelta, detail: str
    ) -> None:
        """Try again later: `problem` is what a peer said, None when nothing that proves anything came back."""
        store.postpone_message(
            transaction.session,
            claimed.key,
            claimed.fence,
            until=self.now() + after,
            slug=problem.slug if problem else "no-answer",
            detail=detail[:500],
            attempts=claimed.attempts + 1,
            is_unknown=claimed.is_unknown or problem is None,
        )

    def pause_after(self, attempts: int, retry: Retry | None) -> timedelta:
        """Return how long a message waits after so many attempts, with a tenth of jitter: doubling from a second up to
        five minutes; from a minute up to an hour where somebody has to act first."""
        first, most = (60.0, CURED_EVERY) if retry is Retry.CURE else (1.0, SLOWEST)
        seconds = min(first * 2.0 ** min(attempts, 12), most.total_seconds())
        return timedelta(seconds=seconds * (0.9 + 0.2 * self.random()))

    def peer_silent(self, transaction: Transaction, peer: str, reason: str) -> None:
        """Note that a peer did not answer: its messages wait, those of others do not."""
        known = next((one for one in store.peers_of_outbox(transaction.session) if one.peer == peer), None)
        now, failures = self.now(), known.failures + 1 if known else 1
        if known is not None and known.paused_until is not None and known.paused_until > now:
            return  # another attempt of the same moment has said so already
        pause = min(timedelta(seconds=2.0 ** min(failures, 8) / 4), PEER_PAUSE_MAX) * (0.9 + 0.2 * self.random())
        since = (known.silent_since if known else None) or now
        store.set_peer(
            transaction.session,
            peer,
            silent_since=since,
            paused_until=now + pause,
            failures=failures,
            reason=reason[:64],
        )

    def peer_answered(self, transaction: Transaction, peer: str) -> None:
        """Note that a peer answers again."""
        store.set_peer(transaction.session, peer, silent_since=None, paused_until=None, failures=0, reason="")

    def retry(self, transaction: Transaction, jti: str, *, actor: str) -> None:
        """Let a waiting or dead message be tried at once.

        Raises:
            NotFound: no such message waits.
        """
        if not store.revive_message(transaction.session, jti, now=self.now()):
            raise NotFound("no such message waits in the outbox")
        transaction.append(Entry(kind="outbox.retry", dir="local", time=self.now(), jti=jti, actor=actor))
        self.hint()

    def give_up(self, transaction: Transaction, jti: str, *, reason: str, actor: str) -> None:
        """End a dead message for good; what follows it in its line goes.

        Raises:
            NotFound: no such message is dead.
        """
        row = store.message_by_jti(transaction.session, jti)
        if row is None or row.state != "dead":
            raise NotFound("no such message is dead; only those can be given up")
        now, recipient = self.now(), self.recipients.get(row.msg)
        if recipient is not None:
            recipient.lock(transaction, row.line, row.first_jti)
        row.state, row.detail, row.settled_at = "given-up", reason[:500], now
        transaction.session.add(row)
        transaction.session.flush()
        transaction.add(store.FREE_NEXT, (row.shard_key, row.line, row.step + 1, now))
        transaction.append(
            Entry(kind="outbox.give-up", dir="local", time=now, peer=row.peer, jti=jti, case=row.line, actor=actor)
        )
        self.hint()


def messages_of(session: Session, line: str) -> Sequence[OutboxMessage]:
    """Return what of a line is not settled, oldest first."""
    return store.outbox_messages(session, line=line, limit=LINE_MAX)


def next_attempts(session: Session, messages: Sequence[OutboxMessage]) -> dict[str, tuple[datetime, str]]:
    """Return when each message goes next, its peer's silence counted in, and what the last attempt said, by number."""
    silent = {one.peer: one for one in store.peers_of_outbox(session)}
    found = {}
    for message in messages:
        peer = silent.get(message.peer)
        waits = max(message.next_at, peer.paused_until) if peer and peer.paused_until else message.next_at
        found[message.jti] = (waits, message.slug or (peer.reason if peer else ""))
    return found


def _end(claims: Claims) -> datetime:
    return datetime.fromtimestamp(claims.exp, UTC)


def _context(line: str, step: int) -> bytes:
    return f"outbox:{line}:{step}".encode()


def list_messages(
    session: Session, *, peer: str | None, state: str | None, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of messages, unsettled ones unless a state is named, and the cursor of the next page."""
    line, _, step = (after or "").partition("~")
    cursor = (line, int(step)) if step.isdigit() else None
    rows = store.outbox_messages(session, peer=peer, state=state, after=cursor, limit=limit + 1)
    attempts = next_attempts(session, rows)
    more = f"{rows[limit - 1].line}~{rows[limit - 1].step}" if len(rows) > limit else None
    return [
        {
            "jti": one.jti,
            "peer": one.peer,
            "line": one.line,
            "msg": one.msg,
            "state": one.state,
            "attempts": one.attempts,
            "next_at": attempts[one.jti][0].isoformat(timespec="seconds") if one.state == store.WAITING else None,
            "slug": attempts[one.jti][1] or None,
            "detail": one.detail or None,
            "expires_at": one.expires_at.isoformat(timespec="seconds"),
        }
        for one in rows[:limit]
    ], more
