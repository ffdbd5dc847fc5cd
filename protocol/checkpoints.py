"""Checkpoints, cosignatures and log proofs as text (protocol §7).

Formats are those of C2SP: tlog-checkpoint, tlog-cosignature (Ed25519), tlog-proof, all of them signed
notes (`protocol.notes`, whose names a reader of logs needs are given on from here). A checkpoint of
our log with a witness's cosignature::

    tongban/demo/320100/1
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — tongban/demo/320100/1 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5…
    — tongban/demo/310100/witness jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWX…

The first line is the origin, which is the name of the log's key; then size and root. A log proof puts
index and inclusion proof before it, leaf's side first::

    c2sp.org/tlog-proof@v1
    index 1
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

    tongban/demo/320100/1
    …
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.log import HASH_BYTES, MAX_PROOF_HASHES, MAX_SIZE, check_inclusion
from protocol.notes import (
    MAX_NOTE_BYTES,
    NoteInvalid,
    NoteKey,
    OpenedNote,
    SignatureType,
    add_signatures,
    decode_note,
    encode_text,
    format_base64,
    format_vkey,
    has_control,
    key_of,
    open_note,
    parse_base64,
    parse_vkey,
    sign_note,
    sign_with_time,
    split_note,
)

__all__ = [
    "Checkpoint",
    "LogProof",
    "NoteInvalid",
    "NoteKey",
    "OpenedCheckpoint",
    "OpenedNote",
    "SignatureType",
    "add_signatures",
    "check_proof",
    "contradiction",
    "cosign",
    "decode_note",
    "format_checkpoint",
    "format_proof",
    "format_vkey",
    "key_of",
    "open_checkpoint",
    "open_note",
    "parse_checkpoint",
    "parse_proof",
    "parse_vkey",
    "sign_note",
    "witnessed_at",
]

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: `size` entries, 0 to 2**63 - 1, and their root (32 bytes).

    `extensions` are the further lines that C2SP allows; we write none and keep those of others.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(line and "\n" not in line and not has_control(line) for line in (self.origin, *self.extensions)):
            raise NoteInvalid("a line of a checkpoint is not empty and has no control characters")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise NoteInvalid(f"a checkpoint has a size below 2**63 and a root of {HASH_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint that its log signed, and the time at which each known witness cosigned it."""

    checkpoint: Checkpoint
    cosigned_at: Mapping[NoteKey, datetime]


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the note body of a checkpoint (C2SP tlog-checkpoint)."""
    lines = (checkpoint.origin, str(checkpoint.size), format_base64(checkpoint.root), *checkpoint.extensions)
    return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(body: str) -> Checkpoint:
    """Return the checkpoint that a note body states; each checkpoint has exactly one body.

    Raises:
        NoteInvalid: not exactly the grammar.
    """
    lines = body.split("\n")
    if len(encode_text(body)) > MAX_NOTE_BYTES or len(lines) < 4 or lines[-1] != "":
        raise NoteInvalid("a checkpoint has at least three lines, each ending in a newline")
    origin, size, root, *extensions = lines[:-1]
    return Checkpoint(origin, _parse_decimal(size, "size"), parse_base64(root, "root"), tuple(extensions))


def open_checkpoint(note: str, log_key: NoteKey, witness_keys: Iterable[NoteKey] = ()) -> OpenedCheckpoint:
    """Return the checkpoint in `note`, proven to be signed by its log, with its cosignatures.

    The origin must be the name of the log's key. Cost: as `open_note`.

    Raises:
        NoteInvalid: as `open_note` and `parse_checkpoint`; the log has not signed; another origin.
    """
    if log_key.type is not SignatureType.ED25519:
        raise NoteInvalid("a log signs with a key of type 0x01")
    opened = open_note(note, (log_key, *witness_keys))
    if log_key not in opened.signatures:
        raise NoteInvalid(f"the log {log_key.name} has not signed this checkpoint")
    checkpoint = parse_checkpoint(opened.body)
    if checkpoint.origin != log_key.name:
        raise NoteInvalid(f"the checkpoint is not one of the log {log_key.name}")
    return OpenedCheckpoint(checkpoint, {key: at for key, at in opened.signatures.items() if at is not None})


def cosign(body: str, name: str, private_key: Ed25519PrivateKey, *, at: datetime) -> str:
    """Return a witness's signature line over a checkpoint's body (cosignature/v1, type 0x04).

    Whoever calls this has checked that the log is consistent with all it showed before; the line
    says so, as of `at` (aware; whole seconds count). Put it into the note with `add_signatures`.

    Raises:
        NoteInvalid: the body is not a checkpoint's, or name or time cannot be used.
    """
    parse_checkpoint(body)
    return sign_with_time(body, name, private_key, at=at)


def witnessed_at(opened: OpenedCheckpoint, quorum: int) -> datetime | None:
    """Return when `quorum` >= 1 witnesses had cosigned, None while fewer have.

    One public key counts once, under however many names it signed.
    """
    if quorum < 1:
        raise ValueError(f"a quorum is at least one witness, not {quorum}")
    earliest: dict[bytes, datetime] = {}
    for key, at in opened.cosigned_at.items():
        earliest[key.public] = min(at, earliest.get(key.public, at))
    return sorted(earliest.values())[quorum - 1] if len(earliest) >= quorum else None


def contradiction(a: Checkpoint, b: Checkpoint) -> bool:
    """Return whether two checkpoints that one log signed are proof of a split view.

    They are when origin and size agree and the roots do not: no honest log signs both. Checkpoints
    of different sizes contradict each other only where no consistency proof can be had, which two
    texts alone do not show (`protocol.log.check_consistency`). Open both before asking.
    """
    return a.origin == b.origin and a.size == b.size and a.root != b.root


# ---------------------------------------------------------------- log proofs


@dataclass(frozen=True, slots=True)
class LogProof:
    """All that shows an entry to stand in a log: `checkpoint` is the signed note, verbatim.

    `extra` is not authenticated by anything (C2SP tlog-proof); empty when there is none.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""


def format_proof(proof: LogProof) -> str:
    """Return the text of a proof (C2SP tlog-proof); NoteInvalid where `parse_proof` would refuse it."""
    lines = [_PROOF_HEADER]
    if proof.extra:
        lines.append(f"extra {format_base64(proof.extra)}")
    lines += [f"index {proof.index}", *map(format_base64, proof.hashes)]
    text = "".join(f"{line}\n" for line in lines) + f"\n{proof.checkpoint}"
    if parse_proof(text) != proof:
        raise NoteInvalid("the proof has parts that its text cannot hold")
    return text


def parse_proof(text: str) -> LogProof:
    """Return the proof that `text` states; nothing is verified yet, see `check_proof`.

    Raises:
        NoteInvalid: not exactly the grammar, above 64 KiB, or more than 63 hashes.
    """
    if len(encode_text(text)) > MAX_NOTE_BYTES:
        raise NoteInvalid(f"a log proof has at most {MAX_NOTE_BYTES} bytes")
    head, _, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _PROOF_HEADER:
        raise NoteInvalid(f"a log proof begins with {_PROOF_HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), "extra line")
        if not extra:
            raise NoteInvalid("an empty extra line is left out")
    if not lines or not lines[0].startswith("index "):
        raise NoteInvalid("a log proof has an index line")
    index = _parse_decimal(lines.pop(0).removeprefix("index "), "index")
    if len(lines) > MAX_PROOF_HASHES:
        raise NoteInvalid(f"a log proof has at most {MAX_PROOF_HASHES} hashes")
    hashes = tuple(parse_base64(line, "proof hash") for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise NoteInvalid(f"a proof hash has {HASH_BYTES} bytes")
    parse_checkpoint(split_note(checkpoint)[0])
    return LogProof(index, hashes, checkpoint, extra)


def check_proof(proof: LogProof, leaf: bytes, log_key: NoteKey, witness_keys: Iterable[NoteKey]) -> OpenedCheckpoint:
    """Return the opened checkpoint if `proof` shows the leaf hash `leaf` in the log of `log_key`.

    Whether its witnesses are enough is the caller's rule: `witnessed_at(opened, quorum)`.

    Raises:
        NoteInvalid: as `open_checkpoint`.
        ProofInvalid: the leaf does not stand there.
    """
    opened = open_checkpoint(proof.checkpoint, log_key, witness_keys)
    check_inclusion(leaf, proof.index, opened.checkpoint.size, proof.hashes, opened.checkpoint.root)
    return opened


def _parse_decimal(text: str, what: str) -> int:
    """Return a decimal without leading zeroes, 0 to 2**63 - 1, else NoteInvalid naming `what`."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise NoteInvalid(f"the {what} is not a decimal below 2**63 without leading zeroes")
    return int(text)
