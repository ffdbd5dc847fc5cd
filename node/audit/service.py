"""The log of this node: entries in the transaction of their cause, checkpoints, proofs (protocol §7).

An entry is a UTF-8 JSON object of at most 4 KiB, hashed as the bytes that are stored::

    {"v":1,"time":"2026-11-24T03:12:44.120Z","kind":"message","dir":"in","peer":"450400","jti":"019a…",
     "msg":"record.query","request":"Yk0…","reply":"q7T…","status":200,"item":"PEN-LUMPSUM",
     "case":"KS…","basis":"STATUTORY","officer":"o-7f3c","subject":"6mB…","salt":"3f…"}

No personal data in the clear, ever: `subject` is HMAC-SHA-256(opening, `id_type:id_number`) with 32
random bytes as opening, kept outside the log. Absent members are left out.
"""

import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from node.audit import store
from node.audit.tables import LogCheckpoint
from node.failpoints import failpoint
from node.storage.encryption import Vault
from node.storage.unit_of_work import Database, Pending, Place, Transaction
from protocol.checkpoints import Checkpoint, LogProof, format_checkpoint, format_proof, open_checkpoint
from protocol.errors import NotFound
from protocol.log import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    append,
    completed_by,
    leaf_hash,
    parse_tile_path,
    prove_inclusion,
    root_of,
    subtree_from_tiles,
    tile_width,
)
from protocol.notes import NoteInvalid, NoteKey, sign_note
from protocol.suites import encode

ENTRY_MAX_BYTES: Final = 4096
SALT_BYTES: Final = 16
OPENING_BYTES: Final = 32


class LogDamaged(RuntimeError):
    """What is stored is not what was committed; no checkpoint is signed until this is resolved."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says; `person` becomes `subject`, and never stands in the log."""

    kind: str
    dir: str
    time: datetime
    peer: str | None = None
    jti: str | None = None
    msg: str | None = None
    request: str | None = None
    reply: str | None = None
    status: int | None = None
    slug: str | None = None
    item: str | None = None
    case: str | None = None
    basis: str | None = None
    officer: str | None = None
    """a pseudonym, as it travels"""
    actor: str | None = None
    """an account of this city: the log names it by its pseudonym only"""
    person: tuple[str, str] | None = field(default=None, repr=False)


_TEXT: Final = tuple(one.name for one in fields(Entry) if one.name not in ("time", "person"))


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
        written = [self._format(waiting.entry) for waiting in pending]
        first = store.extend_head(session, self.origin, len(written))
        rows, openings, places = [], [], []
        for index, (data, opening, columns) in enumerate(written, start=first):
            leaf = leaf_hash(data)
            rows.append((index, data, leaf, *columns))
            places.append(Place(self.origin, index, leaf))
            if opening is not None:
                openings.append((index, opening))
        store.insert_entries(session, rows, openings)
        for waiting, place in zip(pending, places, strict=True):
            if waiting.then is not None:
                waiting.then(session, place)

    def _format(self, entry: Entry) -> tuple[bytes, bytes | None, tuple[Any, ...]]:
        members: dict[str, Any] = {"v": 1, "time": _instant(entry.time)}
        members |= {name: value for name in _TEXT if (value := getattr(entry, name)) is not None}
        if entry.actor is not None:
            members["officer"] = self.vault.pseudonym(entry.actor)
        opening, index = None, None
        if entry.person is not None:
            opening, index = self.random(OPENING_BYTES), self.vault.blind_index(*entry.person)
            members["subject"] = subject_of(opening, *entry.person)
        members["salt"] = self.random(SALT_BYTES).hex()
        data = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
        if len(data) > ENTRY_MAX_BYTES:
            raise ValueError(f"an entry has at most {ENTRY_MAX_BYTES} bytes")
        # in the order of the columns of `LogEntry`
        columns = (entry.time, entry.kind, entry.peer, entry.jti, entry.item, members.get("officer"), index)
        return data, opening, columns


def subject_of(opening: bytes, id_type: str, id_number: str) -> str:
    """Return an entry's `subject`: HMAC-SHA-256 under the opening, base64url."""
    return encode(hmac.digest(opening, f"{id_type}:{id_number}".encode(), "sha256"))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sign_checkpoint(database: Database, log: Log, key: Ed25519PrivateKey, *, now: datetime) -> int | None:
    """Re-read what is new, recompute, sign, and return the size; None when nothing is new.

    Also None when another process has signed meanwhile: under the head's lock one of them keeps its
    checkpoint. Cost: one hash per new entry. The holder of the worker lease calls this.

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
    for index, data, leaf in store.entries_from(session, frontier.size, size):
        if index != frontier.size or leaf_hash(data) != leaf:
            raise LogDamaged(f"entry {frontier.size} does not read back as it was committed")
        for level, place, subtree in _tile_hashes(frontier, leaf):
            tile = (level, place // TILE_WIDTH)
            grown[tile] = grown.get(tile, b"") + subtree
        frontier = append(frontier, leaf)
    if frontier.size != size:
        raise LogDamaged(f"entry {frontier.size} is missing")
    return frontier, grown


def _tile_hashes(frontier: Frontier, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tile level, place in that level, hash) of the subtrees of 256**level entries that `leaf` completes."""
    if (frontier.size + 1) % TILE_WIDTH:
        return
    for height, subtree in enumerate(completed_by(frontier, leaf)):
        if height and height % TILE_HEIGHT == 0:
            yield height // TILE_HEIGHT, frontier.size >> height, subtree


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


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it must be: the first entry that is not proven, what was expected, what was found."""

    index: int
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` proved, and the first thing that it could not."""

    origin: str
    entries: int
    checkpoints: int
    root: str
    signed_size: int
    finding: Finding | None

    @property
    def ok(self) -> bool:
        """Say whether everything was as it must be."""
        return self.finding is None


def verify(
    session: Session, log: Log, key: NoteKey, *, progress: Callable[[int], None] = lambda done: None
) -> Verification:
    """Re-hash every entry, and check tiles and each signed checkpoint against the tree that the entries make.

    Proves that the entries are those that the checkpoints were signed over, in that order, none missing
    and none changed; entries after the newest checkpoint are proven only to be numbered without a gap.
    Cost: one hash per entry, one signature per checkpoint. `progress` gets the number of entries done.
    """
    # 1 every entry: numbered without gap, leaf as stored  2 below the newest checkpoint: tiles
    # 3 at each checkpoint: signature, origin, root        4 the head counts what is there
    frontier, signed, checked, signed_size = Frontier(), store.checkpoints(session, log.origin), 0, 0
    newest, upcoming = store.newest_checkpoint(session, log.origin), next(signed, None)
    covered, size = newest.size if newest else 0, store.size_of(session, log.origin)
    finding: Finding | None = None
    for index, data, leaf in store.entries_from(session, 0, size):
        finding = _entry_fault(frontier.size, index, data, leaf)  # 1
        if finding is None and index < covered:
            finding = _tile_fault(session, log, frontier, leaf)  # 2
        if finding is not None:
            break
        frontier = append(frontier, leaf)
        if frontier.size % 1000 == 0:
            progress(frontier.size)
        if upcoming is not None and upcoming.size == frontier.size:  # 3
            finding = _checkpoint_fault(upcoming, frontier, key, log.origin, signed_size)
            if finding is not None:
                break
            checked, signed_size, upcoming = checked + 1, upcoming.size, next(signed, None)
    if finding is None:  # 4
        finding = _end_fault(session, frontier.size, size, upcoming)
    return Verification(log.origin, frontier.size, checked, encode(root_of(frontier)), signed_size, finding)


def _entry_fault(expected: int, index: int, data: bytes, leaf: bytes) -> Finding | None:
    if index != expected:
        return Finding(expected, f"entry {expected}", f"entry {index}")
    actual = leaf_hash(data)
    return None if actual == leaf else Finding(index, f"leaf {encode(leaf)}", f"leaf {encode(actual)}")


def _tile_fault(session: Session, log: Log, frontier: Frontier, leaf: bytes) -> Finding | None:
    for level, place, subtree in _tile_hashes(frontier, leaf):
        number, column = divmod(place, TILE_WIDTH)
        stored = store.tile(session, log.origin, level, number, column + 1)[column * HASH_BYTES :]
        if stored != subtree:
            first, where = place * TILE_WIDTH**level, f"hash {column} of tile {level}/{number}"
            found = f"{encode(subtree)} from entries {first} to {frontier.size}"
            return Finding(first, f"{where}: {encode(stored) or 'nothing'}", found)
    return None


def _checkpoint_fault(row: LogCheckpoint, frontier: Frontier, key: NoteKey, origin: str, proven: int) -> Finding | None:
    try:
        signed = open_checkpoint(row.note, key).checkpoint
    except NoteInvalid as fault:
        return Finding(proven, f"a checkpoint of size {row.size} signed by this log", str(fault))
    if (signed.origin, signed.size) != (origin, row.size):
        return Finding(proven, f"a checkpoint of {origin} at {row.size}", f"one of {signed.origin} at {signed.size}")
    if signed.root == root_of(frontier):
        return None
    found = f"root {encode(root_of(frontier))} with entries {proven} to {row.size - 1}"
    return Finding(proven, f"root {encode(signed.root)} at {signed.size}", found)


def _end_fault(session: Session, found: int, size: int, upcoming: LogCheckpoint | None) -> Finding | None:
    if found != size:
        return Finding(found, f"{size} entries", f"{found} entries")
    if upcoming is not None:
        return Finding(found, f"a signed log of {upcoming.size} entries", f"{found} entries")
    if store.entry_at(session, size) is not None:
        return Finding(size, f"{size} entries", f"an entry {size} beyond the head")
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
