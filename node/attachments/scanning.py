"""The examination of attachments by a command of the city's choice (setting `attachments.scan_command`).

The command gets the content by standard input and nothing else: no file name, no other environment than a path, no
output is read. It has 60 seconds. Exit code 0: clean; 1: refused; everything else, a command that cannot be started
included: unknown, so that the attachment is held and the command is tried again later.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import IO, Final

SECONDS: Final = 60.0
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class Verdict(StrEnum):
    """What the command said."""

    CLEAN = "clean"
    REFUSED = "refused"
    UNKNOWN = "unknown"


Scan = Callable[[Iterable[bytes]], Verdict]
"""Examines a content, given in pieces; blocks."""


def command_scan(command: Sequence[str], *, seconds: float = SECONDS) -> Scan | None:
    """Return the examination by a command; None for an empty one."""
    words = list(command)
    return (lambda pieces: _run(words, pieces, seconds)) if words else None


def _run(command: list[str], pieces: Iterable[bytes], seconds: float) -> Verdict:
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell, no word from outside
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
            bufsize=0,
        )
    except OSError:
        return Verdict.UNKNOWN
    overdue = threading.Timer(seconds, _end, [process])
    overdue.start()
    try:
        if process.stdin is not None:
            _feed(process.stdin, pieces)
        code = process.wait()
    except BaseException:
        _end(process)
        process.wait()
        raise
    finally:
        overdue.cancel()
    return {0: Verdict.CLEAN, 1: Verdict.REFUSED}.get(code, Verdict.UNKNOWN)


def _feed(entry: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Write everything; a command may have made up its mind before the end."""
    with suppress(BrokenPipeError), entry:
        for piece in pieces:
            _write(entry.fileno(), piece)


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
