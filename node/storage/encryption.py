"""Personal data at rest: AES-256-GCM columns and a keyed blind index.

One 32-byte master key (`storage.key_file`) gives, by HKDF-SHA256, a column key, an index key, and the key from
which each encrypted file has its own (`blobs.py`). A
column's ciphertext is bound to its place (`context`), so it cannot be moved to another row. The blind
index of a person is HMAC-SHA256 over `id_type:id_number`: equal persons have equal indexes, and without
the key the 18-digit numbers cannot be guessed from it.

Stored form: 1 byte version (0x01) ‖ 12 bytes nonce ‖ ciphertext ‖ 16 bytes tag.
"""

import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"


class CannotDecrypt(ValueError):
    """The stored bytes were changed, moved, or written under another key."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Encrypts columns and computes blind indexes; made by `open_vault`."""

    random: Callable[[int], bytes]
    _columns: AESGCM = field(repr=False)
    _index_key: bytes = field(repr=False)
    _files_key: bytes = field(repr=False)

    def encrypt(self, data: bytes, context: bytes) -> bytes:
        """Return the stored form of `data`, bound to `context`."""
        nonce = self.random(12)
        return _VERSION + nonce + self._columns.encrypt(nonce, data, context)

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        """Return the data.

        Raises:
            CannotDecrypt: changed, moved to another context, or another key.
        """
        try:
            if stored[:1] != _VERSION:
                raise CannotDecrypt("unknown form of an encrypted column")
            return self._columns.decrypt(stored[1:13], stored[13:], context)
        except (InvalidTag, ValueError):
            raise CannotDecrypt("an encrypted column cannot be read with this key") from None

    def blind_index(self, id_type: str, id_number: str) -> bytes:
        """Return the 32-byte index of a person."""
        return hmac.digest(self._index_key, f"{id_type}:{id_number}".encode(), "sha256")

    def content_index(self, content: bytes) -> bytes:
        """Return the 32-byte index of any content: equal contents have equal indexes, none can be guessed from one."""
        return hmac.digest(self._index_key, b"content:" + content, "sha256")

    def file_key(self, salt: bytes) -> bytes:
        """Return the 32-byte key of one file; `salt` is random, 32 bytes, and stands in the file."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=b"tongban/storage/1/file").derive(
            self._files_key
        )

    def pseudonym(self, account: str) -> str:
        """Return how an account of this city is named to others and in the log: only this city can resolve it."""
        return "o-" + hmac.digest(self._index_key, f"account:{account}".encode(), "sha256")[:8].hex()


def open_vault(master_key: bytes, random: Callable[[int], bytes]) -> Vault:
    """Return the vault of a 32-byte master key.

    Raises:
        ValueError: another length.
    """
    if len(master_key) != KEY_BYTES:
        raise ValueError(f"the storage key has {KEY_BYTES} bytes")

    def derived(purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"tongban/storage/1/" + purpose).derive(
            master_key
        )

    return Vault(
        random=random,
        _columns=AESGCM(derived(b"columns")),
        _index_key=derived(b"index"),
        _files_key=derived(b"files"),
    )


def shard_key(identifier: bytes | str) -> int:
    """Return 0-4095, from the case, message id or index that a hot row belongs to (architecture, decisions)."""
    data = identifier.encode() if isinstance(identifier, str) else identifier
    return zlib.crc32(data) & 0x0FFF
