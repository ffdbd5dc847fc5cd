"""Seeded mutations of valid messages: bytes, parts, headers, claims, bodies (figure 13, threat T01).

`mutate` changes what an attacker on the way could change. `insider` signs changed claims with the sender's
own key: what comes out may be lawful, but reading it must end in a message or in a refusal.
"""

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from protocol.envelope import RawMessage, Trust, unseal
from protocol.errors import Refusal
from tests.networks import TestNetwork, make_network
from tests.protocol.forging import b64, forge, unb64

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
US, PEER, THIRD = "442000", "450400", "440900"
ACCEPTED = "accepted"
BODY = b'{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","record":"balance","subject":{"id_type":"01"}}'
STRANGE: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2**31, 2**40, 2**63, 10**400, 1.5, "", "0", "1", "442000", "4420000", "４４２０００",
    "\ud800", "\x00", "a" * 3000, "../..", [], [[]], ["442000"], {}, {"jti": 1}, {"sha256": "A" * 43}, [{}] * 50,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Target:
    """A network, valid messages to US, and what US trusts."""

    network: TestNetwork
    messages: tuple[RawMessage, ...]
    trust: Trust


def make_target() -> Target:
    """Return messages of every shape: with and without purpose, short and long lived."""
    network = make_network([US, PEER, THIRD], NOW)
    kinds = ("ping", "record.query", "case.open")
    messages = tuple(network.seal(PEER, US, body, msg=msg) for msg in kinds for body in (b"{}", BODY))
    return Target(network, messages, network.trust_of(US))


def outcome(raw: RawMessage, trust: Trust) -> str:
    """Return "accepted" or the slug of the refusal; any other exception is a fault of ours."""
    try:
        unseal(raw, trust, peer=PEER, now=NOW)
    except Refusal as refusal:
        return refusal.slug
    return ACCEPTED


# Bytes.


def _flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _replace(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.randint(1, 8)) + data[at:]


def _delete(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 40) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(data)), chance.randint(1, 200)
    return data[: at + length] + data[at:]


def _exchange(data: bytes, chance: random.Random) -> bytes:
    one, other = sorted(chance.sample(range(len(data)), 2)) if len(data) > 1 else (0, 0)
    return data[:one] + data[other : other + 1] + data[one + 1 : other] + data[one : one + 1] + data[other + 1 :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _replace, _insert, _delete, _repeat, _exchange)


# Messages.


def _change_statement(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    return dataclasses.replace(raw, statement=chance.choice(BYTES)(raw.statement, chance))


def _change_body(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    return dataclasses.replace(raw, body=chance.choice(BYTES)(raw.body, chance))


def _change_part(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    """Change the decoded bytes of header, claims or signature, encoded properly again."""
    parts = raw.statement.split(b".")
    at = chance.randrange(3)
    parts[at] = b64(chance.choice(BYTES)(unb64(parts[at]), chance))
    return dataclasses.replace(raw, statement=b".".join(parts))


def _mix(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    """Take one part, or the body, from another message."""
    other = chance.choice(target.messages)
    parts, foreign = raw.statement.split(b"."), other.statement.split(b".")
    at = chance.randrange(4)
    if at == 3:
        return dataclasses.replace(raw, body=other.body)
    parts[at] = foreign[at]
    return dataclasses.replace(raw, statement=b".".join(parts))


def _change_value(text: bytes, chance: random.Random) -> bytes:
    """Give one member, at any depth, a strange value, another name, or none."""
    value = json.loads(text)
    place = value
    while (inner := [one for one in place.values() if isinstance(one, dict) and one]) and chance.random() < 0.4:
        place = chance.choice(inner)
    name = chance.choice(list(place))
    kind = chance.randrange(3)
    if kind == 0:
        place[name] = chance.choice(STRANGE)
    elif kind == 1:
        place[chance.choice(("x", "again", "log", "crit", name.upper()))] = chance.choice(STRANGE)
    else:
        del place[name]
    return json.dumps(value).encode()


def _change_claims(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    """Change a value of header or claims and keep the old signature."""
    parts = raw.statement.split(b".")
    at = chance.randrange(2)
    parts[at] = b64(_change_value(unb64(parts[at]), chance))
    return dataclasses.replace(raw, statement=b".".join(parts))


def _sign_wrongly(raw: RawMessage, target: Target, chance: random.Random) -> RawMessage:
    """Sign anew, under the sender's name, with every key but the right one."""
    header, claims, _ = raw.statement.split(b".")
    sender, third = target.network[PEER], target.network[THIRD]
    key = chance.choice((sender.tls.key, sender.ca.key, third.message.key))
    return dataclasses.replace(raw, statement=forge(sender, unb64(claims), header=unb64(header), key=key))


KINDS = (_change_statement, _change_statement, _change_body, _change_part, _mix, _change_claims, _sign_wrongly)


def mutate(target: Target, chance: random.Random) -> tuple[RawMessage, RawMessage]:
    """Return a valid message and a mutation of it that differs."""
    raw = chance.choice(target.messages)
    while True:
        mutant = chance.choice(KINDS)(raw, target, chance)
        if mutant != raw and mutant not in target.messages:
            return raw, mutant


def insider(target: Target, chance: random.Random) -> RawMessage:
    """Return a message whose strange claims its lawful sender signed."""
    raw = chance.choice(target.messages)
    header, claims, _ = raw.statement.split(b".")
    changed = _change_value(unb64(claims), chance)
    return dataclasses.replace(raw, statement=forge(target.network[PEER], changed, header=unb64(header)))


def run(times: int, seed: int) -> tuple[Counter[str], list[RawMessage]]:
    """Return how often each outcome came, and every mutation that was accepted."""
    chance, target = random.Random(seed), make_target()
    counted: Counter[str] = Counter()
    accepted: list[RawMessage] = []
    for _ in range(times):
        _, mutant = mutate(target, chance)
        found = outcome(mutant, target.trust)
        counted[found] += 1
        if found == ACCEPTED:
            accepted.append(mutant)
    return counted, accepted
