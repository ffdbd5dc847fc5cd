"""An entry of the log: what it says, and the bytes that are hashed (protocol §7).

A UTF-8 JSON object of at most 4 KiB, compact, absent members left out, hashed as the bytes that are stored::

    {"v":1,"time":"2026-11-24T03:12:44.120Z","kind":"message","dir":"in","peer":"450400","jti":"019a…",
     "msg":"record.query","request":"Yk0…","reply":"q7T…","status":200,"item":"PEN-LUMPSUM",
     "case":"KS…","basis":"STATUTORY","officer":"o-7f3c","subject":"6mB…","salt":"3f…"}

No personal data in the clear, ever: `subject` is HMAC-SHA-256(opening, `id_type:id_number`) with 32 random
bytes as opening, kept outside the log; accounts of this city stand in it by their pseudonym.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Final

from node.storage.encryption import Vault
from protocol.log import leaf_hash
from protocol.suites import encode

ENTRY_MAX_BYTES: Final = 4096
SALT_BYTES: Final = 16
OPENING_BYTES: Final = 32


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
    """an account of this city: the log names it by its pseudonym only, as `officer`"""
    person: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Formatted:
    """An entry ready to be stored: the columns that follow the index, and the opening of its subject."""

    leaf: bytes
    columns: tuple[Any, ...]
    """data, leaf, time, kind, peer, jti, item, actor, subject index: as `store.insert_entries` takes them"""
    opening: bytes | None


_BEFORE_STATUS: Final = ("kind", "dir", "peer", "jti", "msg", "request", "reply")
_AFTER_STATUS: Final = ("slug", "item", "case", "basis")
_values_before = attrgetter(*_BEFORE_STATUS)
_values_after = attrgetter(*_AFTER_STATUS)
_NAMES_BEFORE: Final = tuple(f',"{name}":' for name in _BEFORE_STATUS)
_NAMES_AFTER: Final = tuple(f',"{name}":' for name in _AFTER_STATUS)


def format_entry(entry: Entry, vault: Vault, random: Callable[[int], bytes]) -> Formatted:
    """Return the bytes and columns of an entry. Cost: one hash, and two HMACs where it concerns a person.

    Raises:
        ValueError: it has more than 4096 bytes.
    """
    officer = entry.officer if entry.actor is None else vault.pseudonym(entry.actor)
    opening = subject = index = None
    if entry.person is not None:
        opening, index = random(OPENING_BYTES), vault.blind_index(*entry.person)
        subject = subject_of(opening, *entry.person)
    # Written member by member, each exchange pays for it: a third of what `json.dumps` of a dictionary takes.
    text = f'{{"v":1,"time":"{_instant(entry.time)}"'
    for name, value in zip(_NAMES_BEFORE, _values_before(entry), strict=True):
        if value is not None:
            text += name + encode_basestring(value)
    if entry.status is not None:
        text += f',"status":{entry.status:d}'
    for name, value in zip(_NAMES_AFTER, _values_after(entry), strict=True):
        if value is not None:
            text += name + encode_basestring(value)
    if officer is not None:
        text += f',"officer":{encode_basestring(officer)}'
    if subject is not None:
        text += f',"subject":"{subject}"'
    data = f'{text},"salt":"{random(SALT_BYTES).hex()}"}}'.encode()
    if len(data) > ENTRY_MAX_BYTES:
        raise ValueError(f"an entry has at most {ENTRY_MAX_BYTES} bytes")
    leaf = leaf_hash(data)
    columns = (data, leaf, entry.time, entry.kind, entry.peer, entry.jti, entry.item, officer, index)
    return Formatted(leaf, columns, opening)


def subject_of(opening: bytes, id_type: str, id_number: str) -> str:
    """Return an entry's `subject`: HMAC-SHA-256 under the opening, base64url."""
    return encode(hmac.digest(opening, f"{id_type}:{id_number}".encode(), "sha256"))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
