"""What each step of an exchange takes by itself, in microseconds: `tables.steps` of the raw data.

Each step runs alone and over and over, so that everything it needs lies in the processor's caches; in the whole
path the same step takes longer. The steps are in the order of the path.
"""

import dataclasses
import os
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from bench.stage import Stage
from node.__main__ import Opening
from node.audit.entries import Entry, format_entry, subject_of
from node.exchange.limits import PeerLimits
from node.membership import service as membership
from node.records.service import instant, new_salt
from node.terminal import Terminal
from protocol.certificates import Purpose
from protocol.claims import Claims, format_outcome, parse_claims, sha256
from protocol.envelope import RawMessage, seal_reply, unseal
from protocol.identifiers import parse_person_id
from protocol.messages import REQUESTS, RecordAnswer, format_body, parse_body
from protocol.suites import encode, parse_statement, verify

REPEATS: Final = 2_000


def measure(made: Stage) -> list[tuple[str, float]]:
    """Return (step, µs), the fastest of three runs of two thousand."""
    return [(name, _fastest(step)) for name, step in _steps(made)]


def _fastest(step: Callable[[], Any]) -> float:
    return round(min(timeit.repeat(step, number=REPEATS, repeat=3)) / REPEATS * 1e6, 2)


def _steps(made: Stage) -> list[tuple[str, Callable[[], Any]]]:
    head, _, body = made.questions(1)[0].partition(b"\r\n\r\n")
    text = head.rpartition(b"tongban-message: ")[2]
    node = Opening(dataclasses.replace(Terminal(lang="en"), home=made.asked.home)).node()
    with node.database.reading() as session:
        trust = membership.read_trust(session, node.member)
    now, peer = datetime.now(UTC), made.trust.member
    statement, raw = parse_statement(text), RawMessage(text, body, "application/json")
    claims, limits = parse_claims(Claims, statement.claims), PeerLimits(100_000)
    certificate = trust.certificates[statement.certificate]
    line = {"insurance": "110", "until": "202401", "balance_fen": 1_234_567}
    answer = RecordAnswer(salt=new_salt(os.urandom), found=True, record=[line], withheld=[], as_of=instant(now))
    answered = format_body(answer)
    person = ("01", made.persons[0][0])
    entry = Entry(
        kind="message", dir="in", time=now, peer=peer, jti=claims.jti, msg=claims.msg, request=sha256(text),
        reply=sha256(answered), status=200, item="PEN-LUMPSUM", case="KS450400202611240000012", basis="STATUTORY",
        officer="o-7f3c", person=person,
    )  # fmt: skip
    outcome: dict[str, Any] = {
        "iat": 1, "jti": claims.jti, "msg": "record.answer", "man": trust.manifest.label, "status": 200,
        "origin": node.log.origin, "index": 1, "leaf": encode(bytes(32)), "body": answered,
    }  # fmt: skip
    payload = format_outcome(claims, sha256(text), **outcome)
    stored = node.vault.encrypt(answered, b"received")
    return [
        ("TLS certificate: verdict", lambda: trust.check(made.keys.tls.certificate, Purpose.TLS, now=now)),
        ("statement: strict parse", lambda: parse_statement(text)),
        ("claims: typed", lambda: parse_claims(Claims, statement.claims)),
        ("signature: verify ES256", lambda: verify(statement, certificate.public_key)),
        ("unseal: steps 1-7 together", lambda: unseal(raw, trust, peer=peer, now=now)),
        ("rate of the peer", lambda: limits.count_message(peer)),
        ("body: typed", lambda: parse_body(REQUESTS, claims.msg, body)),
        ("person: number checked", lambda: parse_person_id(*person, today=now.date())),
        ("person: blind index", lambda: node.vault.blind_index(*person)),
        ("record: decrypt", lambda: node.vault.decrypt(stored, b"received")),
        ("answer: format", lambda: format_body(answer)),
        ("answer: encrypt for a repeat", lambda: node.vault.encrypt(answered, b"received")),
        ("log entry: subject", lambda: subject_of(bytes(32), *person)),
        ("log entry: bytes and leaf", lambda: format_entry(entry, node.vault, os.urandom)),
        ("reply: payload", lambda: format_outcome(claims, sha256(text), **outcome)),
        ("reply: sign ES256", lambda: seal_reply(payload, made.keys.message)),
    ]
