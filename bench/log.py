"""How fast the log is appended to, signed and verified: `python -m bench.log`.

    log_verify_sqlite_per_second                  goal 200,000: every entry read, hashed and folded, tiles and
    log_verify_postgresql_per_second              goal 150,000  checkpoints compared (`audit verify`)
    log_append_{sqlite,postgresql}_per_second     entries appended in groups of 16, each group with its commit
    log_append_group_of_1_{…}_per_second          the same one by one
    log_checkpoint_{…}_per_second                 entries read, hashed and folded for one checkpoint, signed and kept

Both databases are filled to 200,000 entries (`--size` when that is less), with a checkpoint every 10,000, then
measured by turns; a verification that does not prove every entry ends the run. Entries are those of answered
questions about a person, of 480 bytes, with a longer legal basis in most of them: 600 bytes on average, so that
more is hashed than the exchange gives rise to. Everything is committed with fsync, as the node does it.
"""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.measuring import Figures, Options, Tell, main
from node.app import new_id
from node.audit import service
from node.audit.service import Entry, Log
from node.storage.encryption import open_vault
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database, Place, Transaction
from protocol.checkpoints import SignatureType, key_of
from protocol.suites import encode
from tests.databases import binaries_of_postgresql, migrate, running_postgresql

ORIGIN: Final = "tongban/bench/442000/1"
LARGEST: Final = 200_000
STEP: Final = 10_000
"""Entries between two checkpoints while a log is filled, and under the one that is measured."""
FILLED_AT_ONCE: Final = 1_000
GROUP: Final = 16
START: Final = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
BASES: Final = (
    "STATUTORY",
    "《中华人民共和国社会保险法》第五十一条、第七十四条",
    "《社会保险经办条例》第二十四条、第二十五条；《中华人民共和国个人信息保护法》第十三条第一款第三项、第三十四条",
    "《中华人民共和国社会保险法》第十九条；《城镇企业职工基本养老保险关系转移接续暂行办法》第八条；"
    "《社会保险经办条例》第二十四条；本人于受理窗口签署的授权书，编号 SQ-442000-20261124-000127，有效期至 2027-11-23",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A log that is measured: its database, and what writes and proves it."""

    name: str
    database: Database
    log: Log
    key: Ed25519PrivateKey
    dice: random.Random
    numbers: Iterator[int]

    def append(self, size: int) -> None:
        """Append a group of so many entries, each told its place, in one transaction."""
        entries = [an_entry(next(self.numbers), self.dice) for _ in range(size)]
        self.database.write(partial(_append, entries=entries))

    def fill(self, size: int) -> None:
        """Append many entries, unmeasured."""
        for first in range(0, size, FILLED_AT_ONCE):
            self.append(min(FILLED_AT_ONCE, size - first))

    def sign(self) -> None:
        """Sign a checkpoint over all that is there."""
        service.sign_checkpoint(self.database, self.log, self.key, now=START)

    def size(self) -> int:
        """Return how many entries are committed."""
        with self.database.reading() as session:
            return service.size(session, self.log)


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Fill the logs, then measure them by turns."""
    size = min(LARGEST, options.size)
    with _subjects(figures, options.seed) as subjects:
        for subject in subjects:
            tell(f"{subject.name}: filling to {size} entries")
            _fill_and_sign(subject, size)
        rates: dict[str, list[float]] = {}
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}")
            for measure, subject in product((_verify, _checkpoint, _append_groups, _append_single), subjects):
                name, rate = measure(subject, options.seconds)
                rates.setdefault(name, []).append(rate)
        for name, runs in rates.items():
            figures.add(name, runs)
        figures.tables["log"] = {"entries": size, "bytes_per_entry": {one.name: _length(one) for one in subjects}}


def _fill_and_sign(subject: Subject, size: int) -> None:
    for first in range(0, size, STEP):
        subject.fill(min(STEP, size - first))
        subject.sign()


def _verify(subject: Subject, _seconds: float) -> tuple[str, float]:
    """Verify the whole log, all of it signed; one such run is one slice, however long it takes."""
    subject.sign()
    public, size = key_of(ORIGIN, SignatureType.ED25519, subject.key), subject.size()
    begun = time.perf_counter()
    with subject.database.reading() as session:
        proven = service.verify(session, subject.log, public)
    taken = time.perf_counter() - begun
    if not proven.ok or (proven.entries, proven.signed_size) != (size, size):
        raise RuntimeError(f"{subject.name}: of {size} entries {proven.signed_size} are proven: {proven.finding}")
    return f"log_verify_{subject.name}_per_second", size / taken


def _checkpoint(subject: Subject, _seconds: float) -> tuple[str, float]:
    """Sign over as many new entries as were filled in between two checkpoints."""
    subject.fill(STEP)
    begun = time.perf_counter()
    subject.sign()
    return f"log_checkpoint_{subject.name}_per_second", STEP / (time.perf_counter() - begun)


def _append_groups(subject: Subject, seconds: float) -> tuple[str, float]:
    return f"log_append_{subject.name}_per_second", _appended(subject, seconds, GROUP)


def _append_single(subject: Subject, seconds: float) -> tuple[str, float]:
    return f"log_append_group_of_1_{subject.name}_per_second", _appended(subject, seconds, 1)


def _appended(subject: Subject, seconds: float, group: int) -> float:
    """Return the entries per second of a slice. What they say is made beforehand, their bytes are not."""
    ready = [[an_entry(next(subject.numbers), subject.dice) for _ in range(group)] for _ in range(64)]
    begun, appended, taken = time.perf_counter(), 0, 0.0
    while taken < seconds:
        subject.database.write(partial(_append, entries=ready[appended // group % len(ready)]))
        appended, taken = appended + group, time.perf_counter() - begun
    return appended / taken


def _append(transaction: Transaction, entries: Sequence[Entry]) -> None:
    for entry in entries:
        transaction.append(entry, _told)


def _told(_session: object, place: Place) -> None:
    """Take the place, as a reply does."""


def an_entry(number: int, dice: random.Random) -> Entry:
    """Return the entry of an answered question."""
    return Entry(
        kind="message", dir="in", time=START + timedelta(milliseconds=number), peer="450400",
        jti=new_id(), msg="record.query",
        request=encode(dice.randbytes(32)), reply=encode(dice.randbytes(32)), status=200, item="PEN-LUMPSUM",
        case=f"KS450400202611{number:09}", basis=BASES[number % len(BASES)], officer=f"o-{dice.getrandbits(64):016x}",
        person=("01", f"{440000000000000000 + number % 340_000}"),
    )  # fmt: skip


def _length(subject: Subject) -> int:
    with subject.database.reading() as session:
        return round(statistics.mean(len(service.entry(session, index)[0]) for index in range(min(STEP, 400))))


LOG: Final = Log(ORIGIN, open_vault(bytes(range(32)), os.urandom), os.urandom)


@contextmanager
def _subjects(figures: Figures, seed: int) -> Iterator[list[Subject]]:
    """Make an empty log on both databases; remove both afterwards."""
    key = Ed25519PrivateKey.from_private_bytes(random.Random(seed).randbytes(32))
    with ExitStack() as stack:

        def opened(name: str, url: str) -> Subject:
            database = Database(open_engine(url), LOG.close_group)
            stack.callback(database.engine.dispose)
            return Subject(name, database, LOG, key, random.Random(seed), count())

        root = Path(tempfile.mkdtemp(prefix="tongban-log-"))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        subjects, binaries = [opened("sqlite", migrate(f"sqlite:///{root / 'node.db'}"))], binaries_of_postgresql()
        if binaries is None:
            for what in ("verify", "checkpoint", "append", "append_group_of_1"):
                figures.refuse(f"log_{what}_postgresql_per_second", "PostgreSQL is not installed")
        else:
            server = stack.enter_context(running_postgresql(binaries))
            subjects.append(opened("postgresql", server.pattern(["log"]).format(code="log")))
        yield subjects


if __name__ == "__main__":
    main("log", run)
