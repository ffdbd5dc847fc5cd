"""The press: one warm worker process that prints, started when it is first needed (assurance C42).

Drawing a paper takes a typesetter, fonts and a PDF library: 150 MiB that a node does not carry, and with which a huge
or hostile paper cannot take it down. The worker is ended and replaced after `papers_max` papers, when it has grown
beyond `grown_bytes`, when it does not answer within `seconds`, and when it dies; a paper that was under way then is
tried once more. The document key stays in this process: the worker asks for each signature.
"""

import json
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from node.documents.pipe import Pipe, pack, unpack

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = "import sys; sys.path.insert(0, sys.argv[2]); from node.documents.printer import main; main()"
MIB: Final = 1024 * 1024
FATAL: Final = frozenset({"no-font", "resources", "unforeseen"})
"""Faults after which the worker is not used again."""


class PressFault(Exception):
    """A paper was not printed: `rule` says why, `at` names fields. Never holds a value.

    `no-font`, `glyph`, `template`, `resources`, `unreadable` and `unforeseen` are said by the worker; `ended` means
    that it died, or did not answer in time, twice.
    """

    def __init__(self, rule: str, at: Sequence[str] = ()) -> None:
        super().__init__(rule)
        self.rule, self.at = rule, tuple(at)


@dataclass(frozen=True, slots=True)
class PressLimits:
    """What a worker may take: memory of its own, resident memory after a paper, papers, and seconds for one."""

    memory_bytes: int = 224 * MIB
    grown_bytes: int = 240 * MIB
    papers_max: int = 500
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: certificate and its CA in DER, and the holder of the key."""

    certificate: bytes
    authority: bytes | None
    sign: Callable[[bytes], bytes] = field(repr=False)
    """Returns the ECDSA signature with SHA-256, in DER."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a PDF is (`examining.examine`): nothing in it says yet that the signer may be trusted."""

    signatures: int
    is_intact: bool
    covers_all: bool
    certificate: bytes | None
    signed_at: datetime | None
    paper: str | None = field(repr=False)
    redrawn: str


@dataclass(slots=True)
class _Worker:
    """One life of the worker process."""

    process: subprocess.Popen[bytes]
    pipe: Pipe
    form: str = ""
    families: tuple[str, ...] = ()
    papers: int = 0
    rss_bytes: int = 0


class _Ended(Exception):
    """The worker has gone."""


class Press:
    """One worker and those who wait for it; methods block, and may be called from any thread."""

    def __init__(self, fonts: Sequence[Path] = (), limits: PressLimits | None = None) -> None:
        """`fonts`: the operator's own folders, looked into first."""
        self._fonts, self._limits = fonts, limits or PressLimits()
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def form(self) -> str:
        """Return the digest of templates, fonts and typesetter (`drawing.Drawing.form`).

        Raises:
            PressFault: `no-font`, `ended`.
        """
        with self._lock:
            return str(self._twice(_form))

    def families(self) -> tuple[str, ...]:
        """Return the fonts in use, none when none was found; raises `ended`."""
        with self._lock:
            return tuple(self._twice(lambda worker: worker.families))

    def rss_bytes(self) -> int:
        """Return the resident memory of the worker after its last paper; raises `ended`."""
        with self._lock:
            return int(self._twice(lambda worker: worker.rss_bytes))

    def print(self, paper: bytes, signer: Signer | None, now: datetime) -> bytes:
        """Return the PDF of a paper, signed unless there is no signer. Cost: 50 to 200 ms, when the worker is warm.

        Raises:
            PressFault: as its docstring says.
        """
        asked = {
            "task": "print",
            "paper": paper.decode(),
            "certificate": pack(signer.certificate) if signer else None,
            "authority": pack(signer.authority) if signer and signer.authority else None,
            "now": now.isoformat(),
        }
        with self._lock:
            return unpack(self._twice(lambda worker: self._answer(worker, asked, signer))["pdf"])

    def examine(self, pdf: bytes) -> Examined:
        """Return what a PDF is.

        Raises:
            PressFault: as its docstring says.
        """
        asked = {"task": "examine", "pdf": pack(pdf)}
        with self._lock:
            found = self._twice(lambda worker: self._answer(worker, asked, None))
        certificate, at = found["certificate"], found["signed_at"]
        return Examined(
            signatures=found["signatures"],
            is_intact=found["is_intact"],
            covers_all=found["covers_all"],
            certificate=unpack(certificate) if certificate is not None else None,
            signed_at=datetime.fromisoformat(at) if at is not None else None,
            paper=found["paper"],
            redrawn=found["redrawn"],
        )

    def close(self) -> None:
        """End the worker; the next paper starts another."""
        with self._lock:
            self._end()

    def _twice(self, work: Callable[[_Worker], Any]) -> Any:
        for _ in range(2):
            try:
                return work(self._ready())
            except (_Ended, OSError, KeyError, ValueError):
                # Gone, or says what cannot be: another one is started.
                self._end()
            except PressFault as fault:
                if fault.rule in FATAL:
                    self._end()
                raise
            except BaseException:
                # The holder of the key failed, and the worker still waits for a signature.
                self._end()
                raise
        raise PressFault("ended")

    def _ready(self) -> _Worker:
        worker, limits = self._worker, self._limits
        if worker is not None and (worker.papers >= limits.papers_max or worker.rss_bytes > limits.grown_bytes):
            self._end()
        if self._worker is None:
            self._worker = self._started()
        return self._worker

    def _started(self) -> _Worker:
        given = {"fonts": [str(one.resolve()) for one in self._fonts], "memory_bytes": self._limits.memory_bytes}
        # No shell; the program is this interpreter and our own module, the arguments are ours.
        process = subprocess.Popen(  # noqa: S603  # nosec B603
            [sys.executable, "-I", "-B", "-c", PROGRAM, json.dumps(given), str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        assert process.stdin is not None  # noqa: S101 (narrows the type: both are pipes)
        assert process.stdout is not None  # noqa: S101
        worker = _Worker(process, Pipe(process.stdout, process.stdin))
        self._worker = worker
        with self._watched(worker):
            said = _heard(worker)
        worker.form, worker.families = said["form"], tuple(said["families"])
        return worker

    def _answer(self, worker: _Worker, asked: dict[str, Any], signer: Signer | None) -> dict[str, Any]:
        worker.papers += 1
        with self._watched(worker):
            worker.pipe.say(**asked)
            said = _heard(worker)
            while signer is not None and "sign" in said:
                worker.pipe.say(signature=pack(signer.sign(unpack(said["sign"]))))
                said = _heard(worker)
        return said

    @contextmanager
    def _watched(self, worker: _Worker) -> Iterator[None]:
        """End the worker when its time is over: whoever listens to it then hears that it has gone."""
        timer = threading.Timer(self._limits.seconds, worker.process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.process.kill()
        worker.process.wait()
        for end in (worker.pipe.heard, worker.pipe.said):
            try:
                end.close()
            except OSError:
                # What was still to be written has nobody to read it.
                continue


def _form(worker: _Worker) -> str:
    if not worker.families:
        raise PressFault("no-font")
    return worker.form


def _heard(worker: _Worker) -> dict[str, Any]:
    said = worker.pipe.hear()
    if said is None:
        raise _Ended
    worker.rss_bytes = said.get("rss_bytes", worker.rss_bytes)
    if "fault" in said:
        raise PressFault(said["fault"], said["at"])
    return said
