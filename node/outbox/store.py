"""Queries of the outbox's tables; nothing here commits."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from node.outbox.tables import OutboxMessage, OutboxPeer
from node.storage.encryption import shard_key
from node.storage.prepared import Fetch, Prepared

ADD_OUTBOX = Prepared(insert(OutboxMessage))
"""A message on its way: `outbox_row`."""
_LAST_OF_LINE = (
    select(col(OutboxMessage.step), col(OutboxMessage.state))
    .where(col(OutboxMessage.shard_key) == bindparam("of_shard"), col(OutboxMessage.line) == bindparam("of_line"))
    .order_by(col(OutboxMessage.step).desc())
    .limit(1)
)
_LAST = Prepared(_LAST_OF_LINE, "of_shard", "of_line")
_LAST_LOCKED = Prepared(_LAST_OF_LINE.with_for_update(), "of_shard", "of_line")
_CLAIMED = (
    OutboxMessage.shard_key, OutboxMessage.line, OutboxMessage.step, OutboxMessage.jti, OutboxMessage.first_jti,
    OutboxMessage.first_digest, OutboxMessage.peer, OutboxMessage.msg, OutboxMessage.statement, OutboxMessage.body,
    OutboxMessage.fence, OutboxMessage.attempts, OutboxMessage.is_unknown, OutboxMessage.expires_at,
)  # fmt: skip
_CLAIM = Prepared(
    update(OutboxMessage)
    .where(
        col(OutboxMessage.shard_key) == bindparam("of_shard"),
        col(OutboxMessage.line) == bindparam("of_line"),
        col(OutboxMessage.step) == bindparam("of_step"),
        col(OutboxMessage.fence) == bindparam("of_fence"),
        col(OutboxMessage.state) == bindparam("of_state"),
    )
    .values(fence=col(OutboxMessage.fence) + 1, lease_until=bindparam("leased"))
    .returning(*(col(one) for one in _CLAIMED)),
    "of_shard", "of_line", "of_step", "of_fence", "of_state", "leased",
)  # fmt: skip
WAITING: Final = "waiting"


def last_of_line(session: Session, line: str) -> tuple[int, str] | None:
    """Return step and state of the newest message of a line, locked until this transaction ends; None for none."""
    # Whoever settles that message at this moment waits for us, or we for it: is_next is never lost between both.
    is_locking = session.get_bind().dialect.name == "postgresql"
    rows = (_LAST_LOCKED if is_locking else _LAST).rows(session, shard_key(line), line)
    return (int(rows[0][0]), str(rows[0][1])) if rows else None


_DUE = Prepared(
    select(
        col(OutboxMessage.shard_key), col(OutboxMessage.line), col(OutboxMessage.step), col(OutboxMessage.fence)
    )
    .where(
        col(OutboxMessage.state) == bindparam("of_state"),
        col(OutboxMessage.is_next).is_(True),
        col(OutboxMessage.peer) == bindparam("of_peer"),
        col(OutboxMessage.next_at) <= bindparam("moment"),
        col(OutboxMessage.lease_until).is_(None) | (col(OutboxMessage.lease_until) < bindparam("moment")),
    )
    .order_by(col(OutboxMessage.next_at))
    .limit(bindparam("most")),
    "of_state", "of_peer", "moment", "most",
)  # fmt: skip


def _next_peer(after: Any = None) -> Any:
    named = select(func.min(col(OutboxMessage.peer))).where(
        col(OutboxMessage.state) == bindparam("of_state"), col(OutboxMessage.is_next).is_(True)
    )
    return named if after is None else named.where(col(OutboxMessage.peer) > after)


_FIRST_PEER = _next_peer().scalar_subquery()
_PEERS = select(_FIRST_PEER.label("peer")).cte("peers", recursive=True)
_PEERS = _PEERS.union_all(select(_next_peer(_PEERS.c.peer).scalar_subquery()).where(_PEERS.c.peer.is_not(None)))
_WAITING_PEERS = Prepared(select(_PEERS.c.peer), "of_state")
"""From peer to peer by the index: the cost is that of the peers, not of what waits for them."""
_SILENT = Prepared(
    select(
        col(OutboxPeer.peer),
        col(OutboxPeer.silent_since),
        col(OutboxPeer.paused_until),
        col(OutboxPeer.failures),
        col(OutboxPeer.reason),
    ).where(col(OutboxPeer.silent_since).is_not(None))
)


def waiting_peers(session: Session) -> set[str]:
    """Return the peers for which something waits whose turn in its line has come."""
    return {peer for (peer,) in _WAITING_PEERS.rows(session, WAITING) if peer is not None}


def due_messages(session: Session, peer: str, *, now: datetime, limit: int) -> Sequence[tuple[int, str, int, int]]:
    """Return (shard key, line, step, fence) of messages to a peer whose turn has come, longest waiting first."""
    return _DUE.rows(session, WAITING, peer, now, limit)


def claim_message(session: Session, due: tuple[int, str, int, int], *, until: datetime) -> Fetch:
    """Take a message if nobody has since it was found due; what is returned brings its row, or none.

    The row has what `_CLAIMED` names, its new fence included.
    """
    return _CLAIM.asked(session, *due, WAITING, until)


_OURS = (
    col(OutboxMessage.shard_key) == bindparam("of_shard"),
    col(OutboxMessage.line) == bindparam("of_line"),
    col(OutboxMessage.step) == bindparam("of_step"),
    col(OutboxMessage.fence) == bindparam("of_fence"),
    col(OutboxMessage.state) == WAITING,
)
"""a message that is still ours by its fence"""
_KEY = ("of_shard", "of_line", "of_step", "of_fence")
_END = Prepared(
    update(OutboxMessage)
    .where(*_OURS)
    .values(
        state=bindparam("ended"), slug=bindparam("said"), detail=bindparam("why"), attempts=bindparam("tries"),
        body=bindparam("rest"), statement=bindparam("signed"), settled_at=bindparam("at"), lease_until=None,
    ),
    *_KEY, "ended", "said", "why", "tries", "rest", "signed", "at",
)  # fmt: skip
_POSTPONE = Prepared(
    update(OutboxMessage)
    .where(*_OURS)
    .values(
        next_at=bindparam("at"), slug=bindparam("said"), detail=bindparam("why"), attempts=bindparam("tries"),
        is_unknown=bindparam("silent"), lease_until=None,
    ),
    *_KEY, "at", "said", "why", "tries", "silent",
)  # fmt: skip
_RENEW = Prepared(
    update(OutboxMessage)
    .where(*_OURS)
    .values(jti=bindparam("number"), statement=bindparam("signed"), expires_at=bindparam("ends")),
    *_KEY, "number", "signed", "ends",
)  # fmt: skip
FREE_NEXT = Prepared(
    update(OutboxMessage)
    .where(
        col(OutboxMessage.shard_key) == bindparam("of_shard"),
        col(OutboxMessage.line) == bindparam("of_line"),
        col(OutboxMessage.step) == bindparam("of_step"),
    )
    .values(is_next=True, next_at=bindparam("at")),
    "of_shard", "of_line", "of_step", "at",
)  # fmt: skip
"""Lets the message of a line go whose predecessor is settled: `(shard key, line, step, now)`."""
Key = tuple[int, str, int]


def end_message(
    session: Session, key: Key, fence: int, *, state: str, slug: str, detail: str, attempts: int,
    statement: bytes, body: bytes | None, at: datetime | None,
) -> bool:  # fmt: skip
    """End a message that is still ours; False when it is not."""
    return _END.one(session, *key, fence, state, slug, detail, attempts, body, statement, at) == 1


def postpone_message(
    session: Session, key: Key, fence: int, *, until: datetime, slug: str, detail: str, attempts: int, is_unknown: bool
) -> bool:
    """Let a message that is still ours wait; False when it is not."""
    return _POSTPONE.one(session, *key, fence, until, slug, detail, attempts, is_unknown) == 1


def renew_message(session: Session, key: Key, fence: int, *, jti: str, statement: bytes, expires_at: datetime) -> bool:
    """Give a message that is still ours another text, and keep its lease; False when it is not."""
    return _RENEW.one(session, *key, fence, jti, statement, expires_at) == 1


def outbox_messages(
    session: Session,
    *,
    peer: str | None = None,
    state: str | None = None,
    line: str | None = None,
    after: tuple[str, int] | None = None,
    limit: int = 50,
) -> Sequence[OutboxMessage]:
    """Return messages by (line, step), unsettled ones unless a state is named; keyset paging by `after`."""
    query = select(OutboxMessage).order_by(col(OutboxMessage.line), col(OutboxMessage.step)).limit(limit)
    if peer is not None:
        query = query.where(col(OutboxMessage.peer) == peer)
    if line is not None:
        query = query.where(col(OutboxMessage.shard_key) == shard_key(line), col(OutboxMessage.line) == line)
    if after is not None:
        query = query.where(tuple_(col(OutboxMessage.line), col(OutboxMessage.step)) > after)
    wanted = [state] if state else [WAITING, "dead"]
    return list(session.execute(query.where(col(OutboxMessage.state).in_(wanted))).scalars())


def message_by_jti(session: Session, jti: str) -> OutboxMessage | None:
    """Return a message of the outbox by its present number."""
    return session.execute(select(OutboxMessage).where(col(OutboxMessage.jti) == jti)).scalar_one_or_none()


def revive_message(session: Session, jti: str, *, now: datetime) -> bool:
    """Let a dead or waiting message be tried at once; False when it is settled."""
    result = session.execute(
        update(OutboxMessage)
        .where(col(OutboxMessage.jti) == jti, col(OutboxMessage.state).in_([WAITING, "dead"]))
        .values(state=WAITING, next_at=now, lease_until=None, fence=col(OutboxMessage.fence) + 1)
        .execution_options(synchronize_session=False)
    )
    return int(getattr(result, "rowcount", 0)) == 1


def peers_of_outbox(session: Session) -> Sequence[OutboxPeer]:
    """Return the peers that do not answer."""
    names = ("peer", "silent_since", "paused_until", "failures", "reason")
    return [OutboxPeer(**dict(zip(names, row, strict=True))) for row in _SILENT.rows(session)]


def set_peer(session: Session, peer: str, **values: Any) -> None:
    """Note how a peer stands; the row is made when it is first needed."""
    result = session.execute(
        update(OutboxPeer)
        .where(col(OutboxPeer.peer) == peer)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if not getattr(result, "rowcount", 0):
        given = {"silent_since": None, "paused_until": None, "failures": 0, "reason": "", **values}
        with suppress(IntegrityError), session.begin_nested():
            session.execute(insert(OutboxPeer).values(peer=peer, **given))
