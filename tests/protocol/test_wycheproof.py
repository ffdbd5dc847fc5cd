"""Wycheproof's ECDSA P-256 signatures in raw form, through the code that verifies statements (figure 15)."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.errors import BadSignature
from protocol.suites import Statement, verify

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "wycheproof_es256.json").read_text("utf-8")
)
TESTS = [(point, *test) for point, tests in VECTORS["keys"].items() for test in tests]


def is_valid(point: str, message: str, signature: str) -> bool:
    """Return what `verify` says of a statement whose signing input is `message`."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(point))
    text = bytes.fromhex(message) + b".signature"
    try:
        verify(Statement(text, "tongban+jwt", "ES256", "", {}, bytes.fromhex(signature)), key)
    except BadSignature:
        return False
    return True


def disagreements() -> list[int]:
    """Return the numbers of the vectors that we judge otherwise."""
    return [
        number for point, number, message, signature, valid in TESTS if is_valid(point, message, signature) != valid
    ]


@pytest.mark.threat("T01")
def test_every_signature_is_judged_as_wycheproof_does() -> None:
    assert len(TESTS) == 262
    assert disagreements() == []
