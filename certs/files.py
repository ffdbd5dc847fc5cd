"""Files that must exist whole or not at all: written beside, flushed to disk, then given their name.

A secret is 0600 from its first byte: the mode is part of `O_CREAT | O_EXCL`, never a later `chmod`.
"""

import os
from pathlib import Path

from certs.faults import AlreadyThere, KeyExposed, NotReadable

PRIVATE, PUBLIC = 0o600, 0o644


def create_file(path: Path, content: bytes, *, mode: int) -> None:
    """Create `path` with `content`; it is on disk when this returns.

    Raises:
        AlreadyThere: something of that name exists; it is left as it was.
    """
    beside = _write_beside(path, content, mode)
    try:
        # A hard link, unlike a rename, fails where the name is taken.
        os.link(beside, path)
    except FileExistsError:
        raise AlreadyThere(f"{path.name} 已存在，不会覆盖", f"{path.name} exists and is not overwritten") from None
    finally:
        beside.unlink()
    _flush_directory(path.parent)


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Replace `path` as a whole: a reader, and a crash, see the old content or the new."""
    _write_beside(path, content, mode).replace(path)
    _flush_directory(path.parent)


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        NotReadable: missing, a directory, or not permitted.
    """
    try:
        return path.read_bytes()
    except OSError as fault:
        reason = fault.strerror or "unreadable"
        raise NotReadable(f"无法读取 {path.name}: {reason}", f"cannot read {path.name}: {reason}") from None


def read_secret(path: Path) -> bytes:
    """Return the content of a secret file.

    Raises:
        KeyExposed: group or others have any right to it.
        NotReadable: as `read_file`.
    """
    content = read_file(path)
    if path.stat().st_mode & 0o077:
        raise KeyExposed(
            f"{path.name} 可被他人读取，请先 chmod 600", f"{path.name} is open to others; chmod 600 it first"
        )
    return content


def _write_beside(path: Path, content: bytes, mode: int) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return beside


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
