"""Encrypted files, each named by the SHA-256 of what it holds; written and read in pieces, whatever their size.

Form of a file::

    "TBB1" | 32 bytes salt | 8 bytes size of the content                      header
    12 bytes nonce | ciphertext of up to 1 MiB | 16 bytes tag                 chunk 0, 1, 2 ...

The file's key is derived from the vault's with the salt (`Vault.file_key`). Each chunk is AES-256-GCM, bound to name,
size, its index and whether it is the last: chunks left out, exchanged, or taken from another file do not open. Nonces
are random, not counted: after a crash other bytes may come to the same place.

A file that is not whole is called `NAME.OWNER.part`: one for each owner, and held (`flock`) by one process at a time.
What is whole gets its name by a rename, under one lock of the folder. A file is deleted under the same lock, and only
if a question asked under it says so; so it cannot be taken from somebody who has just brought it again.

    with blobs.open_part(name, "450400", size) as part:
        part.append(data[part.stored:])      # whole chunks of an earlier try are here already
        part.finish()
"""

import fcntl
import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.storage.encryption import Vault

CHUNK_BYTES: Final = 1024 * 1024
SYNC_BYTES: Final = 8 * CHUNK_BYTES
"""So much of an upload may be lost with the power; a process that is killed loses the chunk under way."""
_MAGIC: Final = b"TBB1"
_HEADER: Final = struct.Struct(">4s32sQ")
_NONCE: Final = 12
_TAG: Final = 16
_RECORD: Final = _NONCE + CHUNK_BYTES + _TAG
_NAME: Final = re.compile(r"([0-9a-f]{64})(?:\.([a-z0-9]{1,12})\.part)?")


class BlobMissing(LookupError):
    """No file of that name is whole here."""


class BlobDamaged(ValueError):
    """A file was cut, reordered or changed, or written under another key."""


class BlobHeld(RuntimeError):
    """Another upload of the same owner holds this part."""


class BlobTooLong(ValueError):
    """More bytes came than were announced."""


class DigestDiffers(ValueError):
    """What came is not what its name says."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What the chunks of one file have in common."""

    name: bytes
    size: int
    key: AESGCM = field(repr=False)

    @property
    def chunks(self) -> int:
        return -(-self.size // CHUNK_BYTES)

    def length(self, index: int) -> int:
        """Return how many bytes of content a chunk holds; 0 after the last."""
        return max(0, min(CHUNK_BYTES, self.size - index * CHUNK_BYTES))

    def bound(self, index: int) -> bytes:
        return self.name + struct.pack(">QQ?", self.size, index, index == self.chunks - 1)

    def open(self, descriptor: int, index: int) -> bytes:
        """Return the content of a chunk."""
        length = _NONCE + self.length(index) + _TAG
        record = memoryview(os.pread(descriptor, length, _HEADER.size + index * _RECORD))
        if len(record) != length:
            raise BlobDamaged("an encrypted file ends too early")
        try:
            return self.key.decrypt(record[:_NONCE], record[_NONCE:], self.bound(index))
        except InvalidTag:
            raise BlobDamaged("an encrypted file was changed") from None

    def read(self, descriptor: int, start: int, stop: int) -> Iterator[bytes]:
        """Yield content from `start` up to `stop`, a chunk at a time."""
        while start < stop:
            index, skipped = divmod(start, CHUNK_BYTES)
            content = self.open(descriptor, index)[skipped : skipped + stop - start]
            start += len(content)
            yield content


class Part:
    """One upload: as far as it came earlier, and what comes now. Methods block; call them in one thread at a time."""

    def __init__(self, blobs: "Blobs", path: Path, name: str, descriptor: int, size: int) -> None:
        self._blobs, self._path, self._name, self._descriptor = blobs, path, name, descriptor
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self._index = self._unsynced = 0
        self._form = self._resumed(size)

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_fault: object) -> None:
        self.close()

    @property
    def stored(self) -> int:
        """Return how many bytes are in whole chunks: where an upload goes on."""
        return min(self._index * CHUNK_BYTES, self._form.size)

    @property
    def is_whole(self) -> bool:
        """Say whether every announced byte has come."""
        return self._index == self._form.chunks

    def append(self, data: bytes) -> None:
        """Take the next bytes; each chunk that becomes whole is hashed, encrypted and written.

        Raises:
            BlobTooLong: more than were announced.
            OSError: `ENOSPC` when the disk is full.
        """
        rest = memoryview(data)
        while rest:
            wanted = self._form.length(self._index) - len(self._waiting)
            if wanted <= 0:
                raise BlobTooLong("more bytes than were announced")
            taken, rest = rest[:wanted], rest[wanted:]
            if not self._waiting and len(taken) == wanted:
                self._write(taken)
                continue
            self._waiting += taken
            if len(taken) == wanted:
                self._write(self._waiting)
                self._waiting = bytearray()

    def read(self, start: int, stop: int) -> bytes:
        """Return a range of what is in whole chunks."""
        return b"".join(self._form.read(self._descriptor, start, min(stop, self.stored)))

    def check(self) -> None:
        """Check that what came is what the name says.

        Raises:
            DigestDiffers: it is not.
        """
        if self._hash.hexdigest() != self._name:
            raise DigestDiffers("the bytes have another digest")

    def finish(self) -> None:
        """Give the whole file its name, durably.

        Raises:
            DigestDiffers: as `check`.
            BlobMissing: the part was deleted meanwhile.
        """
        self.check()
        os.fsync(self._descriptor)
        with self._blobs.locked():
            if not _is_at(self._path, self._descriptor):
                raise BlobMissing("the upload was cleaned away")
            self._path.rename(self._blobs.directory / self._name)
            self._blobs.sync()

    def discard(self) -> None:
        """Delete what came; a later try begins anew."""
        if _is_at(self._path, self._descriptor):
            self._path.unlink()

    def close(self) -> None:
        """Let go; whole chunks stay for the next try."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.fdatasync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _resumed(self, size: int) -> _Form:
        """Read again what is here, for the digest; cut it where it does not open. The last chunk always comes anew."""
        header = os.pread(self._descriptor, _HEADER.size, 0)
        form = self._blobs.form(self._name, header)
        if form is None or form.size != size:
            form = self._begun(size)
        with suppress(BlobDamaged):
            while self._index < form.chunks - 1:
                self._hash.update(form.open(self._descriptor, self._index))
                self._index += 1
        os.ftruncate(self._descriptor, _HEADER.size + self._index * _RECORD)
        return form

    def _begun(self, size: int) -> _Form:
        salt = self._blobs.vault.random(32)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, _HEADER.pack(_MAGIC, salt, size), 0)
        return self._blobs.form_of(self._name, salt, size)

    def _write(self, chunk: memoryview | bytearray) -> None:
        self._hash.update(chunk)
        nonce = self._blobs.vault.random(_NONCE)
        sealed = self._form.key.encrypt(nonce, chunk, self._form.bound(self._index))
        written = os.pwritev(self._descriptor, [nonce, sealed], _HEADER.size + self._index * _RECORD)
        if written != _NONCE + len(sealed):
            raise OSError(ENOSPC, "no room for a whole chunk")
        self._index += 1
        self._unsynced += written
        if self._unsynced >= SYNC_BYTES:
            os.fdatasync(self._descriptor)
            self._unsynced = 0


@dataclass(frozen=True, slots=True)
class Blobs:
    """The files of one folder, which is made with mode 0700 when it is first written to."""

    directory: Path
    vault: Vault

    def open_part(self, name: str, owner: str, size: int) -> Part:
        """Open an upload, new or begun; it is held until it is closed. Reads again what came earlier.

        Raises:
            BlobHeld: it is held already, here or in another process.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(name, owner)
        descriptor = _held(path)
        try:
            return Part(self, path, name, descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise

    def offset(self, name: str, owner: str, size: int) -> int:
        """Return where an upload goes on, by the length of its part; the last chunk always comes anew."""
        try:
            held = self._path(name, owner).stat().st_size - _HEADER.size
        except FileNotFoundError:
            return 0
        return max(0, min(held // _RECORD, (size - 1) // CHUNK_BYTES)) * CHUNK_BYTES

    def size(self, name: str) -> int:
        """Return the size of a whole file's content.

        Raises:
            BlobMissing, BlobDamaged.
        """
        descriptor, form = self._open(name)
        os.close(descriptor)
        return form.size

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the content, or a range of it, in pieces of at most 1 MiB.

        Raises:
            BlobMissing, BlobDamaged: at the first piece; or later, where the file was changed.
        """
        descriptor, form = self._open(name)
        try:
            yield from form.read(descriptor, start, form.size if stop is None else min(stop, form.size))
        finally:
            os.close(descriptor)

    def delete(self, name: str, if_so: Callable[[], bool]) -> bool:
        """Delete a whole file if `if_so`, asked while none can get its name, says so; return whether it did."""
        with self.locked():
            if not self._path(name).exists() or not if_so():
                return False
            self._path(name).unlink()
            self.sync()
        return True

    def delete_part(self, name: str, owner: str, if_so: Callable[[], bool]) -> bool:
        """Delete a part that nobody holds, if `if_so`, asked while it is held for that, says so."""
        path = self._path(name, owner)
        if not path.exists():
            return False
        try:
            descriptor = _held(path)
        except BlobHeld:
            return False
        try:
            if not if_so():
                return False
            path.unlink()
        finally:
            os.close(descriptor)
        return True

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield name and owner of every file; owner is empty where it is whole."""
        if not self.directory.exists():
            return
        with os.scandir(self.directory) as entries:
            for entry in entries:
                found = _NAME.fullmatch(entry.name)
                if found is not None:
                    yield found[1], found[2] or ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep names of whole files as they are; for a moment only."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Make names durable."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def form(self, name: str, header: bytes) -> _Form | None:
        """Return what a header says; None when it is none."""
        if len(header) != _HEADER.size or header[:4] != _MAGIC:
            return None
        _, salt, size = _HEADER.unpack(header)
        return self.form_of(name, salt, size)

    def form_of(self, name: str, salt: bytes, size: int) -> _Form:
        """Return what the chunks of a file have in common."""
        return _Form(bytes.fromhex(name), size, AESGCM(self.vault.file_key(salt)))

    def _open(self, name: str) -> tuple[int, _Form]:
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobMissing("no such file") from None
        form = self.form(name, os.pread(descriptor, _HEADER.size, 0))
        if form is None or os.fstat(descriptor).st_size != _stored_size(form):
            os.close(descriptor)
            raise BlobDamaged("an encrypted file has another length than it says")
        return descriptor, form

    def _path(self, name: str, owner: str = "") -> Path:
        file = f"{name}.{owner}.part" if owner else name
        if _NAME.fullmatch(file) is None:
            raise ValueError("not the name of an encrypted file")
        return self.directory / file


def _stored_size(form: _Form) -> int:
    return _HEADER.size + form.size + form.chunks * (_NONCE + _TAG)


def _held(path: Path) -> int:
    """Return a descriptor that alone holds the file; made if there is none."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BlobHeld("another upload holds this file") from None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # deleted, or renamed, between opening and holding


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
