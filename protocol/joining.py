"""The join request of a city: who it is, where it listens, which keys it will use (protocol §3).

The city's governance key signs it as a C2SP note, so that people can read it and any note tool can check
it. The secretariat of no network is asked: any member proposes the newcomer, after the *fingerprint* has
been read out by phone. The body is one JSON object and a newline::

    {"network":"yizhangwang","member":{"id":"450400",…},"governance":["9f86…"]}

    — tongban/yizhangwang/450400/governance 5vQp1w…
"""

import base64
import hashlib
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import Refusal
from protocol.manifest import MemberContent
from protocol.notes import NoteInvalid, NoteKey, SignatureType, open_note, sign_note, split_note
from protocol.suites import parse_json

REQUEST_MAX_BYTES: Final = 32 * 1024


class JoinRefused(ValueError):
    """Not a join request that proves itself; the text names what is wrong."""


class JoinRequest(BaseModel):
    """What a city asks to be listed with."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    network: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
    member: MemberContent
    governance: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(min_length=1, max_length=2)]
    """public keys in hex: the main one, and a backup if there is one"""


def _key_name(request: JoinRequest) -> str:
    return f"tongban/{request.network}/{request.member.id}/governance"


def format_join_request(request: JoinRequest, key: Ed25519PrivateKey) -> str:
    """Return the request, signed by the governance key that it lists first."""
    return sign_note(request.model_dump_json() + "\n", _key_name(request), key)


def parse_join_request(text: str) -> JoinRequest:
    """Return a request that its own governance key has signed.

    Raises:
        JoinRefused: too large, unreadable, or not signed by the key that it lists first.
    """
    if len(text.encode()) > REQUEST_MAX_BYTES:
        raise JoinRefused(f"a join request has at most {REQUEST_MAX_BYTES} bytes")
    try:
        body, _ = split_note(text)
        parse_json(body.encode())
        request = JoinRequest.model_validate_json(body)
        key = NoteKey(_key_name(request), SignatureType.ED25519, bytes.fromhex(request.governance[0]))
        signed = key in open_note(text, [key]).signatures
    except (NoteInvalid, ValidationError, Refusal, ValueError):
        raise JoinRefused("not a join request of this protocol version") from None
    if not signed:
        raise JoinRefused("the request is not signed by the governance key that it lists")
    return request


def governance_keys(request: JoinRequest) -> list[Ed25519PublicKey]:
    """Return the governance keys of a request, the main one first."""
    return [Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in request.governance]


def fingerprint(text: str) -> str:
    """Return eight characters to read out by phone, such as `K7QM-2XPA`: 40 bits of SHA-256 in base32."""
    letters = base64.b32encode(hashlib.sha256(text.encode()).digest()[:5]).decode()
    return f"{letters[:4]}-{letters[4:]}"
