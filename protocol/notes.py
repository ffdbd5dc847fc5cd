"""Signed notes: text that one or more keys sign (C2SP signed-note), and the keys that do.

A note is its *body* (last newline included), an empty line, and signature lines: an em dash, the
key's name, and base64(key id || signature)::

    This is an example message.

    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=

made by the key that is written as the *vkey*
`example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k`. Two signature types are made
and read here: 0x01 signs the body, 0x04 is a witness's cosignature (C2SP tlog-cosignature), 8 bytes of
POSIX seconds, big-endian, and 64 bytes that sign the time with the body::

    cosignature/v1
    time 1679315147
    tongban/demo/320100/1
    …

Parsing is strict: at most 64 KiB and 100 signature lines, UTF-8, no control character below U+0020
but newline, canonical base64. Signatures of keys that the caller does not know are ignored; a wrong
signature of a known key refuses the whole note (signed-note, "Signatures").
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 100
PUBLIC_KEY_BYTES = 32
KEY_ID_BYTES = 4

_SIGNATURE_LINE = re.compile(r"— ([^ ]+) ([A-Za-z0-9+/=]+)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LATEST_SECONDS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


class NoteInvalid(ValueError):
    """Text that is not what its format demands, or not signed by whom it must be; says which."""


# ---------------------------------------------------------------- keys


class SignatureType(IntEnum):
    """The signature types of signed-note that we make and read; all others are unknown keys."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key (32 bytes, RFC 8032) under the name and for the type it signs notes with."""

    name: str
    type: SignatureType
    public: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.name):
            raise NoteInvalid("a key name is not empty and has no space, plus or control character")
        if len(self.public) != PUBLIC_KEY_BYTES:
            raise NoteInvalid(f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(self.public)}")

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each signature of this key."""
        return sha256(encode_text(self.name) + b"\n" + bytes([self.type]) + self.public).digest()[:KEY_ID_BYTES]


def key_of(name: str, type: SignatureType, private_key: Ed25519PrivateKey) -> NoteKey:
    """Return the public half of a key under the name and type it signs with."""
    return NoteKey(name, type, private_key.public_key().public_bytes_raw())


def format_vkey(key: NoteKey) -> str:
    """Return `name+hex(id)+base64(type || public key)` (signed-note, "Verifier keys")."""
    return f"{key.name}+{key.id.hex()}+{format_base64(bytes([key.type]) + key.public)}"


def parse_vkey(text: str) -> NoteKey:
    """Return the key that a vkey names.

    Raises:
        NoteInvalid: malformed, of a type other than 0x01 and 0x04, or its id is not that of its key.
    """
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    material = parse_base64(encoded, "verifier key")
    if material[:1] not in {b"\x01", b"\x04"}:
        raise NoteInvalid("the verifier key is of a type unknown here")
    key = NoteKey(name, SignatureType(material[0]), material[1:])
    if format_vkey(key) != text:
        raise NoteInvalid("the id in the verifier key is not that of its key")
    return key


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(each.isspace() or each < " " for each in name)


# ---------------------------------------------------------------- notes


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note whose signatures were verified.

    `signatures` has one value per known key that signed: the time of a cosignature (aware, UTC, whole
    seconds), None for a plain signature. Of several by one key the first line counts.
    """

    body: str
    signatures: Mapping[NoteKey, datetime | None]


def decode_note(raw: bytes) -> str:
    """Return the text of received bytes: at most 64 KiB of strict UTF-8, else NoteInvalid."""
    if len(raw) > MAX_NOTE_BYTES:
        raise NoteInvalid(f"a note has at most {MAX_NOTE_BYTES} bytes, this one {len(raw)}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteInvalid("the note is not UTF-8") from error


def sign_note(body: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """Return the note of `body` with one Ed25519 signature (type 0x01).

    Raises:
        NoteInvalid: the body does not end in a newline, or body or name hold what no note may.
    """
    key = key_of(name, SignatureType.ED25519, private_key)
    note = f"{body}\n{_signature_line(key, private_key.sign(encode_text(body)))}"
    if split_note(note)[0] != body:
        raise NoteInvalid("the body of a note ends in one newline")
    return note


def sign_with_time(body: str, name: str, private_key: Ed25519PrivateKey, *, at: datetime) -> str:
    """Return a cosignature line (type 0x04) over a body, `at` being aware; whole seconds count.

    `protocol.checkpoints.cosign` is the door to this: only checkpoints are cosigned.

    Raises:
        NoteInvalid: name or time cannot be used.
    """
    key = key_of(name, SignatureType.COSIGNATURE, private_key)
    if at.tzinfo is None or not 0 <= at.timestamp() <= _LATEST_SECONDS:
        raise NoteInvalid("the time of a cosignature is aware and not before 1970")
    seconds = int(at.timestamp())
    signature = private_key.sign(_cosigned_message(body, seconds))
    return _signature_line(key, seconds.to_bytes(8, "big") + signature)


def add_signatures(note: str, lines: str) -> str:
    """Return the note with further signature lines at its end, those it already has left out.

    Verifies nothing: a witness's answer is opened after it was added, before it is kept.

    Raises:
        NoteInvalid: note or lines are malformed, or become too large together.
    """
    body, present = split_note(note)
    same_body, added = split_note(f"{body}\n{lines}")
    if same_body != body:
        raise NoteInvalid("signature lines have no empty line between them")
    together = dict.fromkeys((*present, *added))
    note = f"{body}\n" + "".join(f"{line}\n" for line in together)
    split_note(note)
    return note


def open_note(note: str, keys: Iterable[NoteKey]) -> OpenedNote:
    """Return the body of `note`, proven to be signed by at least one of `keys`.

    Which of them must have signed is the caller's rule: look into `signatures`. Cost: one Ed25519
    verification per line of a known key, 100 at most.

    Raises:
        NoteInvalid: malformed; a known key's signature is wrong; no known key signed; or two of
            `keys` share name and id.
    """
    known: dict[tuple[str, bytes], NoteKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.id), key) != key:
            raise NoteInvalid("two known keys share one name and one id")
    body, lines = split_note(note)
    message = encode_text(body)
    signatures: dict[NoteKey, datetime | None] = {}
    for name, signature in map(_parse_signature_line, lines):
        if signer := known.get((name, signature[:KEY_ID_BYTES])):
            signatures.setdefault(signer, _verify(signer, message, signature[KEY_ID_BYTES:]))
    if not signatures:
        raise NoteInvalid("no known key has signed the note")
    return OpenedNote(body, signatures)


def split_note(note: str) -> tuple[str, list[str]]:
    """Return body and signature lines of a note that is well formed in every part, unverified."""
    if len(encode_text(note)) > MAX_NOTE_BYTES:
        raise NoteInvalid(f"a note has at most {MAX_NOTE_BYTES} bytes")
    if has_control(note):
        raise NoteInvalid("a note has no control characters but newline")
    body, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise NoteInvalid("a note ends in an empty line and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid(f"a note has at most {MAX_SIGNATURES} signature lines")
    for line in lines:
        _parse_signature_line(line)
    return f"{body}\n", lines


def _parse_signature_line(line: str) -> tuple[str, bytes]:
    """Return the key name, and key id with signature, of one line."""
    found = _SIGNATURE_LINE.fullmatch(line)
    if found is None or not _is_name(found[1]):
        raise NoteInvalid("a signature line is '— <key name> <base64>'")
    signature = parse_base64(found[2], "signature")
    if len(signature) <= KEY_ID_BYTES:
        raise NoteInvalid("a signature has a key id of four bytes and at least one byte more")
    return found[1], signature


def _signature_line(key: NoteKey, signature: bytes) -> str:
    return f"— {key.name} {format_base64(key.id + signature)}\n"


def _verify(key: NoteKey, message: bytes, signature: bytes) -> datetime | None:
    """Return the time that a cosignature states, None for a plain signature; NoteInvalid if wrong."""
    stated: datetime | None = None
    if key.type is SignatureType.COSIGNATURE:
        seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        if seconds > _LATEST_SECONDS:
            raise NoteInvalid(f"the cosignature of {key.name} states a time after the year 9999")
        stated = datetime.fromtimestamp(seconds, UTC)
        message = _cosigned_message(message.decode(), seconds)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise NoteInvalid(f"the signature of {key.name} is wrong") from error
    return stated


def _cosigned_message(body: str, seconds: int) -> bytes:
    return encode_text(f"cosignature/v1\ntime {seconds}\n{body}")


def has_control(text: str) -> bool:
    """Return whether a text holds an ASCII control character other than newline."""
    return _CONTROL.search(text) is not None


def encode_text(text: str) -> bytes:
    """Return the UTF-8 bytes of a text, else (lone surrogates) NoteInvalid."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NoteInvalid("the text has no UTF-8 form") from error


def format_base64(data: bytes) -> str:
    """Return the base64 text of bytes (RFC 4648 §4)."""
    return b64encode(data).decode("ascii")


def parse_base64(text: str, what: str) -> bytes:
    """Return the bytes of canonical base64 (RFC 4648 §4), else NoteInvalid naming `what`."""
    try:
        data = b64decode(text, validate=True)
    except (NotBase64, ValueError) as error:
        raise NoteInvalid(f"a {what} is not base64") from error
    # Python reads stray bits after the last byte; one value must have one text.
    if format_base64(data) != text:
        raise NoteInvalid(f"a {what} is not canonical base64")
    return data
