"""The log of this node: entries in the transaction of their cause, checkpoints, proofs (protocol §7).

What an entry says, and its bytes, are `entries`; how a stored log is verified is `verification`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from node.audit import store
from node.audit.entries import Entry, format_entry, subject_of
from node.audit.tables import LogCheckpoint
from node.audit.verification import Finding, Verification, Walk, entry_fault, read_back
from node.failpoints import failpoint
from node.storage.encryption import Vault
from node.storage.unit_of_work import Database, Pending, Place, Transaction
from protocol.checkpoints import Checkpoint, LogProof, format_checkpoint, format_proof
from protocol.errors import NotFound
from protocol.growth import grow
from protocol.log import (
    HASH_BYTES,
    Frontier,
    parse_tile_path,
    prove_inclusion,
    root_of,
    subtree_from_tiles,
    tile_width,
)
from protocol.notes import NoteKey, sign_note
from protocol.suites import encode

__all__ = [
    "Entry",
    "Finding",
    "Log",
    "LogDamaged",
    "Verification",
    "book_search",
    "concerns",
    "entries",
    "entry",
    "parse_frontier",
    "prove",
    "read_checkpoint",
    "read_tile",
    "sign_checkpoint",
    "size",
    "subject_of",
    "verify",
]

PROGRESS_EVERY = 1_000


class LogDamaged(RuntimeError):
    """What is stored is not what was committed; no checkpoint is signed until this is resolved."""


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one origin: what extends it, and what reads it."""

    origin: str
    vault: Vault = field(repr=False)
    random: Callable[[int], bytes]

    def close_group(self, session: Session, pending: Sequence[Pending]) -> None:
        """Append the entries of a group, its lock taken last, and tell each work its place."""
        if not pending:
            return
        # The head's lock orders all writers: what can be done before it is done before it.
        written = [format_entry(waiting.entry, self.vault, self.random) for waiting in pending]
        first = store.extend_head(session, self.origin, len(written))
        numbered = list(enumerate(written, first))
        store.insert_entries(
            session,
            [(index, *one.columns) for index, one in numbered],
            [(index, one.opening) for index, one in numbered if one.opening is not None],
        )
        for waiting, (index, one) in zip(pending, numbered, strict=True):
            if waiting.then is not None:
                waiting.then(session, Place(self.origin, index, one.leaf))


def sign_checkpoint(database: Database, log: Log, key: Ed25519PrivateKey, *, now: datetime) -> int | None:
    """Re-read what is new, recompute, sign, and return the size; None when nothing is new.

    Also None when another process has signed meanwhile: under the head's lock one of them keeps its
    checkpoint. Cost: two hashes per new entry. The holder of the worker lease calls this.

    Raises:
        LogDamaged: a stored entry does not hash to its leaf, or an entry is missing.
    """
    # 1 the last checkpoint and the committed size  2 re-read and recompute  3 sign  4 keep note and tiles
    with database.reading() as session:  # 1
        last = store.newest_checkpoint(session, log.origin)
        frontier = parse_frontier(last.size, last.frontier) if last else Frontier()
        size = store.size_of(session, log.origin)
        if size == frontier.size:
            return None
        frontier, grown = _recompute(session, frontier, size)  # 2
    body = format_checkpoint(Checkpoint(log.origin, size, root_of(frontier)))  # 3
    note = sign_note(body, log.origin, key)
    signed = LogCheckpoint(origin=log.origin, size=size, note=note, frontier=b"".join(frontier.hashes), signed_at=now)

    def keep(transaction: Transaction) -> bool:
        failpoint("checkpoint.before_commit")
        store.lock_head(transaction.session, log.origin)
        newest = store.newest_checkpoint(transaction.session, log.origin)
        if (newest.size if newest else 0) != (last.size if last else 0):
            return False
        for (level, number), hashes in grown.items():
            store.extend_tile(transaction.session, log.origin, level, number, hashes)
        transaction.session.add(signed)
        return True

    kept = database.write(keep)  # 4
    failpoint("checkpoint.after_commit")
    return size if kept else None


def _recompute(session: Session, frontier: Frontier, size: int) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    grown: dict[tuple[int, int], bytes] = {}
    for rows in store.entries_from(session, frontier.size, size):
        if not read_back(frontier.size, rows):
            faulty = next(index for index, row in enumerate(rows, frontier.size) if entry_fault(index, *row))
            raise LogDamaged(f"entry {faulty} does not read back as it was committed")
        growth = grow(frontier, [leaf for _, _, leaf in rows])
        for level, number, _, hashes in growth.tile_hashes():
            grown[level, number] = grown.get((level, number), b"") + b"".join(hashes)
        frontier = growth.after
    if frontier.size != size:
        raise LogDamaged(f"entry {frontier.size} is missing")
    return frontier, grown


def parse_frontier(size: int, stored: bytes) -> Frontier:
    """Return the frontier that was stored with a checkpoint."""
    return Frontier(size, tuple(stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)))


def read_checkpoint(session: Session, log: Log) -> LogCheckpoint:
    """Return the newest checkpoint.

    Raises:
        NotFound: nothing has been signed yet.
    """
    newest = store.newest_checkpoint(session, log.origin)
    if newest is None:
        raise NotFound("no checkpoint has been signed yet")
    return newest


def read_tile(session: Session, log: Log, path: str) -> bytes:
    """Return the tile with that path (`tile/0/x001/234.p/5`) in the log under the newest checkpoint.

    Raises:
        NotFound: the signed log has no such tile.
    """
    size = read_checkpoint(session, log).size
    try:
        named = parse_tile_path(path)
    except ValueError:
        raise NotFound("no tile has that path") from None
    if named.level > 7 or named.width > tile_width(named.level, named.number, size):
        raise NotFound("the signed log has no such tile")
    return store.tile(session, log.origin, named.level, named.number, named.width)


def prove(session: Session, log: Log, index: int) -> str:
    """Return the C2SP tlog-proof of an entry against the newest checkpoint.

    Raises:
        NotFound: no checkpoint covers this entry yet.
    """
    newest = read_checkpoint(session, log)
    if not 0 <= index < newest.size:
        raise NotFound("no signed checkpoint covers this entry yet")
    reader = subtree_from_tiles(lambda *at: store.tile(session, log.origin, *at), newest.size)
    return format_proof(LogProof(index, prove_inclusion(index, newest.size, reader), newest.note))


def verify(
    session: Session, log: Log, key: NoteKey, *, progress: Callable[[int], None] = lambda done: None
) -> Verification:
    """Re-hash every entry, and check tiles and each signed checkpoint against the tree that the entries make.

    Proves that the entries are those that the checkpoints were signed over, in that order, none missing
    and none changed; entries after the newest checkpoint are proven only to be numbered without a gap.
    What others append and sign meanwhile is left for the next time.
    Cost: two hashes per entry, one signature per checkpoint. `progress` gets the number of entries done.
    """
    # 1 every entry: numbered without gap, leaf as stored  2 below the newest checkpoint: tiles
    # 3 at each checkpoint: signature, origin, root        4 the head counts what is there
    newest = store.newest_checkpoint(session, log.origin)
    covered, size = newest.size if newest else 0, store.size_of(session, log.origin)
    signed = store.checkpoints(session, log.origin, up_to=covered)
    walk = Walk(log.origin, key, covered, lambda *tile: store.tile(session, log.origin, *tile))
    finding, upcoming = None, next(signed, None)
    for rows in store.entries_from(session, 0, size):
        due, done = list[LogCheckpoint](), walk.frontier.size
        while upcoming is not None and done < upcoming.size <= done + len(rows):
            due.append(upcoming)
            upcoming = next(signed, None)
        finding = walk.take(rows, due)  # 1 2 3
        for thousand in range(done // PROGRESS_EVERY + 1, walk.frontier.size // PROGRESS_EVERY + 1):
            progress(thousand * PROGRESS_EVERY)
        if finding is not None:
            break
    if finding is None:
        finding = _end_fault(session, log, walk.frontier.size, size, upcoming)  # 4
    root = encode(root_of(walk.frontier))
    return Verification(log.origin, walk.frontier.size, walk.checked, root, walk.signed_size, finding)


def _end_fault(session: Session, log: Log, found: int, size: int, upcoming: LogCheckpoint | None) -> Finding | None:
    if found != size:
        return Finding(found, f"{size} entries", f"{found} entries")
    if upcoming is not None:
        return Finding(found, f"a signed log of {upcoming.size} entries", f"{found} entries")
    beyond = store.beyond_head(session, log.origin)
    if beyond is not None:
        return Finding(beyond, f"{size} entries", f"an entry {beyond} beyond the head")
    return None


def entries(session: Session, **wanted: Any) -> Iterator[dict[str, Any]]:
    """Yield matching entries as they were hashed, newest first, each with its index (see `store.search`)."""
    for row in store.search(session, **wanted):
        yield {"index": row.index, **json.loads(row.data)}


def entry(session: Session, index: int) -> tuple[bytes, bytes | None]:
    """Return an entry's bytes and its opening, where that still exists.

    Raises:
        NotFound: the log has no such entry.
    """
    row = store.entry_at(session, index)
    if row is None:
        raise NotFound("the log has no such entry")
    return row.data, store.opening_of(session, index)


def concerns(session: Session, index: int, member: str) -> bytes:
    """Return an entry's bytes to the member that it concerns.

    Raises:
        NotFound: no such entry, or it concerns somebody else.
    """
    row = store.entry_at(session, index)
    if row is None or row.peer != member:
        raise NotFound("no entry that concerns you stands here")
    return row.data


def size(session: Session, log: Log) -> int:
    """Return how many entries are committed."""
    return store.size_of(session, log.origin)


def book_search(transaction: Transaction, *, actor: str, now: datetime) -> None:
    """Log that somebody searched the log: an auditor's own look-ups are entries too."""
    transaction.append(Entry(kind="search", dir="local", time=now, actor=actor))
