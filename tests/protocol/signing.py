"""One log, its keys, its witnesses and one signed checkpoint, for the tests of notes and checkpoints."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.checkpoints import (
    Checkpoint,
    LogProof,
    SignatureType,
    add_signatures,
    cosign,
    format_checkpoint,
    key_of,
    sign_note,
)
from tests.vectors import make_log_vectors as rfc6962

ORIGIN = "tongban/demo/320100/1"
LOG = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
LOG_KEY = key_of(ORIGIN, SignatureType.ED25519, LOG)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
WITNESSES = [Ed25519PrivateKey.from_private_bytes(bytes([10 + at]) * 32) for at in range(4)]
WITNESS_NAMES = [f"tongban/demo/3{at}0100/witness" for at in range(4)]
WITNESS_KEYS = [
    key_of(name, SignatureType.COSIGNATURE, key) for name, key in zip(WITNESS_NAMES, WITNESSES, strict=True)
]
NOON = datetime(2026, 3, 1, 4, 0, 7, tzinfo=UTC)

ENTRIES = [rfc6962.sample_entry(index) for index in range(20)]
CHECKPOINT = Checkpoint(ORIGIN, 20, rfc6962.mth(ENTRIES))
BODY = format_checkpoint(CHECKPOINT)
NOTE = sign_note(BODY, ORIGIN, LOG)


def cosigned(note: str, *witnesses: int, at: datetime = NOON) -> str:
    body = note.rpartition("\n\n")[0] + "\n"
    lines = "".join(
        cosign(body, WITNESS_NAMES[each], WITNESSES[each], at=at + timedelta(seconds=each)) for each in witnesses
    )
    return add_signatures(note, lines)


def proof_of(index: int) -> LogProof:
    return LogProof(index, tuple(rfc6962.path(index, ENTRIES)), cosigned(NOTE, 0, 1))


def line_of(size: int, name: str = "example.com/x") -> str:
    """A signature line of an unknown key, whose signature has `size` bytes after the key id."""
    return f"— {name} {b64encode(b'idid' + bytes(size)).decode()}\n"
