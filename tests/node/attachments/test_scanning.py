"""The examination by a command: what its exit code means, what it gets to see, and how long it may take."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.attachments.scanning import Verdict, command_scan

PIECES = [b"a" * 1_000_000, b"b" * 1_000_000]


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-c", program]


def judged(command: list[str], seconds: float = 20) -> Verdict:
    scan = command_scan(command, seconds=seconds)
    assert scan is not None
    return scan(PIECES)


@pytest.mark.threat("T14")
@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, Verdict.CLEAN), (1, Verdict.REFUSED), (2, Verdict.UNKNOWN), (255, Verdict.UNKNOWN)],
)
def test_the_exit_code_is_the_verdict(code: int, verdict: Verdict) -> None:
    assert judged(python(f"import sys; sys.stdin.buffer.read(); sys.exit({code})")) is verdict


def test_the_command_gets_the_whole_content_and_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TONGBAN_SECRET", "canary")
    seen = tmp_path / "seen"
    read = "import os, sys; size = len(sys.stdin.buffer.read());"
    program = f"{read} open({str(seen)!r}, 'w').write(f'{{size}} {{sorted(os.environ)}}')"
    assert judged(python(program)) is Verdict.CLEAN
    assert seen.read_text() == "2000000 ['LC_ALL', 'PATH']"


@pytest.mark.parametrize(("command", "verdict"), [("true", Verdict.CLEAN), ("false", Verdict.REFUSED)])
def test_a_command_may_decide_before_the_end(command: str, verdict: Verdict) -> None:
    assert judged([command]) is verdict


def test_a_command_that_cannot_be_started_decides_nothing() -> None:
    assert judged(["/nowhere/scanner"]) is Verdict.UNKNOWN


@pytest.mark.parametrize("reads", [True, False])
def test_a_command_that_takes_too_long_is_ended_with_its_children(reads: bool) -> None:
    begun = time.monotonic()
    program = ("cat > /dev/null; " if reads else "") + "sleep 30 & sleep 30; exit 0"
    assert judged(["sh", "-c", program], seconds=0.5) is Verdict.UNKNOWN
    assert time.monotonic() - begun < 10


def test_a_content_that_cannot_be_read_ends_the_command() -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("damaged")

    scan = command_scan(["cat"])
    assert scan is not None
    with pytest.raises(ValueError, match="damaged"):
        scan(broken())


def test_no_command_is_no_examination() -> None:
    assert command_scan([]) is None
