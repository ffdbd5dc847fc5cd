"""What the batches room works with, as values; made by the composition root."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from node.cases.service import Done, Opening, Person
from node.storage.encryption import Vault
from node.storage.unit_of_work import Transaction
from node.storage.writer import Writer
from protocol.catalogue import Item


@dataclass(frozen=True, slots=True)
class Batches:
    """What the verbs of this room need; cases are opened through the cases room."""

    vault: Vault
    writer: Writer
    item: Callable[[Session, str], Item]
    """an item of the catalogue in force; raises UnknownItem"""
    check: Callable[[Session, Opening], object]
    """checks what would be opened as one case; raises what `open` raises"""
    open: Callable[[Transaction, Opening, Person], Done]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A file with applications for one item."""

    item: str
    content: bytes = field(repr=False)
    dry_run: bool = False

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def number(self) -> str:
        """Return the name of the batch: the same bytes for the same item have the same."""
        named = f"{self.item}:{'check' if self.dry_run else 'open'}:{self.digest}"
        return hashlib.sha256(named.encode()).hexdigest()[:32]
