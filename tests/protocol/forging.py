"""Statements as an attacker makes them: any header, any claims, any signature, without our sealing code.

forge(network["450400"], claims)                          valid, signed with the city's message key
forge(network["450400"], claims, header={"kid": "1"})     one header member more
forge(network["450400"], b'{"iat":1,"iat":2}')            exactly these payload bytes, signed
"""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from protocol.claims import Claims, ReplyClaims
from tests.networks import City

GONE = object()
"""As the value of a change: leave this member out."""


def b64(data: bytes) -> bytes:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    """Return the bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def with_changes(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return members with changes; GONE leaves one out."""
    return {name: value for name, value in {**members, **changes}.items() if value is not GONE}


def raw_signature(key: Any, signing_input: bytes) -> bytes:
    """Return an ES256 signature as JOSE writes it (RFC 7518 §3.4)."""
    r, s = decode_dss_signature(key.sign(signing_input, ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def header_of(city: City, typ: str = "tongban+jwt", **changes: Any) -> dict[str, Any]:
    """Return the header of a city's statement, with changes by name."""
    header = {"alg": "ES256", "typ": typ, "x5t#S256": city.message.certificate.fingerprint}
    return with_changes(header, changes)


def plain(claims: Claims | ReplyClaims, **changes: Any) -> dict[str, Any]:
    """Return claims as JSON would have them, with changes by name."""
    return with_changes(claims.model_dump(mode="json", exclude_none=True), changes)


def forge(
    city: City, payload: dict[str, Any] | bytes, *, header: dict[str, Any] | bytes | None = None, key: Any = None
) -> bytes:
    """Return a compact JWS over this header and payload; a header given as dict is the whole header."""
    head = header_of(city) if header is None else header
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, payload)]
    signing_input = b".".join(map(b64, parts))
    return signing_input + b"." + b64(raw_signature(key or city.message.key, signing_input))
