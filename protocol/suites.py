"""The one place that knows algorithms, and the only importer of PyJWT.

A statement is a JWS in compact form (RFC 7515 §3.1), verified over the exact bytes that arrived and
never re-encoded. PyJWT's *algorithm objects* sign and verify; its token parser is not used, because it
accepts duplicate JSON keys, string times, `NaN`, a byte-order mark and padding (assurance C12). The
algorithm follows from the key in the certificate, never from the token (RFC 8725 §3.1).

A statement's header, as it travels (base64url of)::

    {"alg":"ES256","typ":"tongban+jwt","x5t#S256":"Zf0…43 characters…"}

A new suite (Ed25519, ML-DSA-65, SM2-SM3) is a row in `SUITES` and a vector file.
"""

import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from protocol.errors import BadSignature, Malformed, TooLarge

STATEMENT_MAX_BYTES: Final = 6 * 1024
HEADER_NAMES: Final = frozenset({"alg", "typ", "x5t#S256"})
DIGEST_LENGTH: Final = 43
"""Characters of a SHA-256 digest in base64url without padding."""

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST: Final = {2: _ALPHABET[::16], 3: _ALPHABET[::4]}
"""Last characters of a text with so many characters over a multiple of four."""
_PADDING: Final = {0: b"", 2: b"==", 3: b"="}
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")

PublicKey = EllipticCurvePublicKey
PrivateKey = EllipticCurvePrivateKey

_ES256 = ECAlgorithm(ECAlgorithm.SHA256, SECP256R1)


@dataclass(frozen=True, slots=True)
class Suite:
    """A signature suite: its JOSE name, and how it signs and verifies bytes."""

    name: str
    sign: Callable[[bytes, Any], bytes]
    verify: Callable[[bytes, Any, bytes], bool]


def _verify_es256(signing_input: bytes, key: Any, signature: bytes) -> bool:
    try:
        return len(signature) == 64 and _ES256.verify(signing_input, key, signature)
    except (InvalidSignature, ValueError):
        return False


SUITES: Final = {"secp256r1": Suite("ES256", _ES256.sign, _verify_es256)}
"""By the curve of the key in the certificate."""


def suite_of(key: PublicKey | PrivateKey) -> Suite:
    """Return the suite that this key fixes.

    Raises:
        BadSignature: no suite of this protocol version uses such a key.
    """
    suite = SUITES.get(key.curve.name)
    if suite is None:
        raise BadSignature(f"no signature suite for curve {key.curve.name}")
    return suite


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed but unverified JWS: trust nothing in it before `verify`."""

    text: bytes
    typ: str
    algorithm: str
    certificate: str
    """`x5t#S256`: SHA-256 of the message certificate, base64url"""
    claims: dict[str, Any]
    signature: bytes


def encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def decode(text: bytes) -> bytes:
    """Return the bytes of canonical base64url: no padding, no stray bits, no other characters.

    Raises:
        Malformed: anything else, so that one value has exactly one text.
    """
    over = len(text) % 4
    # Of the last character, the bits that do not belong to a byte are zero.
    if over == 1 or text.translate(None, _ALPHABET) or (over and text[-1:] not in _LAST[over]):
        raise Malformed("not canonical base64url")
    return binascii.a2b_base64(text.translate(_FROM_URL) + _PADDING[over])


def parse_json(data: bytes) -> dict[str, Any]:
    """Return a JSON object, strictly: UTF-8 without BOM, no duplicate keys, no NaN, integers only.

    Raises:
        Malformed: with the rule that was broken, never with the input.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise Malformed("a byte-order mark is not JSON")
    try:
        value = _STRICT.decode(data.decode("utf-8", "strict"))
        if b"\\u" in data:  # only an escape makes half a surrogate pair, which has no UTF-8 form
            json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise Malformed("not strict JSON: UTF-8, unique keys, integers only") from None
    if not isinstance(value, dict):
        raise Malformed("a JSON object is expected")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _refuse_number(text: str) -> Any:
    raise ValueError("not an integer")


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=_refuse_number, parse_float=_refuse_number
)


def parse_statement(text: bytes) -> Statement:
    """Return what `text` says, unverified (protocol §5.1 step 1).

    Raises:
        TooLarge: longer than 6 KiB.
        Malformed: not a strict compact JWS with exactly the three header members.
    """
    if len(text) > STATEMENT_MAX_BYTES:
        raise TooLarge(f"a statement has at most {STATEMENT_MAX_BYTES} bytes", limit_bytes=STATEMENT_MAX_BYTES)
    parts = text.split(b".")
    if len(parts) != 3:
        raise Malformed("a statement has exactly three parts")
    typ, algorithm, certificate = _parse_header(parts[0])
    return Statement(
        text=text,
        typ=typ,
        algorithm=algorithm,
        certificate=certificate,
        claims=parse_json(decode(parts[1])),
        signature=decode(parts[2]),
    )


@lru_cache(maxsize=1024)
def _parse_header(text: bytes) -> tuple[str, str, str]:
    """Return typ, alg and x5t#S256; a header depends on the certificate only, so few texts come again and again."""
    header = parse_json(decode(text))
    if header.keys() != HEADER_NAMES or not all(type(value) is str for value in header.values()):
        raise Malformed("the header holds exactly alg, typ and x5t#S256")
    if len(decode(header["x5t#S256"].encode())) != 32:
        raise Malformed("x5t#S256 is a SHA-256 digest")
    return header["typ"], header["alg"], header["x5t#S256"]


def verify(statement: Statement, key: PublicKey) -> None:
    """Check the signature over the exact bytes, under the algorithm that the key fixes (step 5).

    Cost: one verification, about 75 µs for ES256.

    Raises:
        BadSignature: other `alg` than the key's, or a signature that does not verify.
    """
    suite = suite_of(key)
    if statement.algorithm != suite.name:
        raise BadSignature(f"this key signs with {suite.name}")
    signing_input = statement.text.rpartition(b".")[0]
    if not suite.verify(signing_input, key, statement.signature):
        raise BadSignature("the signature does not verify over the bytes received")


def sign(payload: bytes, *, typ: str, certificate: str, key: PrivateKey) -> bytes:
    """Return the compact JWS over exactly these payload bytes.

    Args:
        payload: the claims as JSON bytes; they are signed as they are.
        typ: `tongban+jwt` or `tongban-reply+jwt`.
        certificate: `x5t#S256` of the signer's certificate.
        key: the private key to that certificate. Cost: one signature, about 30 µs for ES256.
    """
    suite = suite_of(key)
    signing_input = f"{_format_header(suite.name, typ, certificate)}.{encode(payload)}".encode()
    return signing_input + b"." + encode(suite.sign(signing_input, key)).encode()


@lru_cache(maxsize=64)
def _format_header(algorithm: str, typ: str, certificate: str) -> str:
    header = {"alg": algorithm, "typ": typ, "x5t#S256": certificate}
    return encode(json.dumps(header, separators=(",", ":")).encode())
