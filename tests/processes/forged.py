"""Messages as an attacker on a real connection makes them: any header, any claims, any signature."""

import json
from typing import Any

from protocol.envelope import RawMessage
from protocol.suites import parse_statement
from tests.processes.conftest import Pair
from tests.protocol.forging import b64, raw_signature, with_changes


def forged(
    pair: Pair, *, claims: dict[str, Any] | bytes | None = None, header: dict[str, Any] | bytes | None = None
) -> RawMessage:
    """Return a good ping with claims or header members changed, or replaced by bytes, and signed as it then is."""
    good = pair.seal()
    parsed = parse_statement(good.statement)
    key = pair.network.message_key(pair.sender)
    head = {"alg": parsed.algorithm, "typ": parsed.typ, "x5t#S256": parsed.certificate}
    parts = [_bytes(head, header), _bytes(parsed.claims, claims)]
    signing_input = b".".join(map(b64, parts))
    statement = signing_input + b"." + b64(raw_signature(key.key, signing_input))
    return RawMessage(statement, good.body, good.content_type)


def claims_text(pair: Pair) -> bytes:
    """Return the claims of a good ping, as they travel."""
    return json.dumps(parse_statement(pair.seal().statement).claims).encode()


def _bytes(good: dict[str, Any], changes: dict[str, Any] | bytes | None) -> bytes:
    if isinstance(changes, bytes):
        return changes
    return json.dumps(with_changes(good, changes or {})).encode()
