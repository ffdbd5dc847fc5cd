"""What each step of an exchange takes by itself, in microseconds: `tables.steps` of the raw data.

Each step runs alone and over and over, so that everything it needs lies in the processor's caches; in the whole
path the same step takes longer. The steps are in the order of the path.
"""

import os
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from bench.stage import CASE, ITEM, Stage, opening_at
from node.audit.entries import Entry, format_entry
from node.exchange.limits import PeerLimits
from node.membership import service as membership
from node.records.service import instant, new_salt
from protocol.certificates import Purpose
from protocol.claims import Claims, format_outcome, parse_claims, sha256
from protocol.envelope import RawMessage, Trust, seal_reply, unseal
from protocol.identifiers import parse_person_id
from protocol.messages import REQUESTS, RecordAnswer, format_body, parse_body
from protocol.suites import encode, parse_statement, verify

REPEATS: Final = 2_000


def measure(made: Stage) -> list[tuple[str, float]]:
    """Return (step, µs), the fastest of three runs of two thousand."""
    return [(name, _fastest(step)) for name, step in (*_arriving(made), *_answering(made))]


def _fastest(step: Callable[[], Any]) -> float:
    return round(min(timeit.repeat(step, number=REPEATS, repeat=3)) / REPEATS * 1e6, 2)


def _arriving(made: Stage) -> list[tuple[str, Callable[[], Any]]]:
    head, _, body = made.questions(1)[0].partition(b"\r\n\r\n")
    text = head.rpartition(b"tongban-message: ")[2]
    trust = _trust(made)
    now, peer, tls = datetime.now(UTC), made.trust.member, made.keys.tls.certificate
    statement, raw = parse_statement(text), RawMessage(text, body, "application/json")
    limits, key = PeerLimits(100_000), trust.certificates[statement.certificate].public_key
    return [
        ("TLS certificate: verdict", lambda: trust.check(tls, Purpose.TLS, now=now)),
        ("statement: strict parse", lambda: parse_statement(text)),
        ("claims: typed", lambda: parse_claims(Claims, statement.claims)),
        ("signature: verify ES256", lambda: verify(statement, key)),
        ("unseal: the steps above and the rest of 1-7", lambda: unseal(raw, trust, peer=peer, now=now)),
        ("rate of the peer", lambda: limits.count_message(peer)),
        ("body: typed", lambda: parse_body(REQUESTS, "record.query", body)),
    ]


def _answering(made: Stage) -> list[tuple[str, Callable[[], Any]]]:
    node, person, now = opening_at(made.asked.home).node(), ("01", made.persons[0][0]), datetime.now(UTC)
    text = made.questions(1)[0].partition(b"\r\n\r\n")[0].rpartition(b"tongban-message: ")[2]
    claims, vault = parse_claims(Claims, parse_statement(text).claims), node.vault
    line = {"insurance": "110", "until": "202401", "balance_fen": 1_234_567}
    answer = RecordAnswer(salt=new_salt(os.urandom), found=True, record=[line], withheld=[], as_of=instant(now))
    body = format_body(answer)
    stored = vault.encrypt(body, b"received")
    entry = Entry(
        kind="message", dir="in", time=now, peer=claims.iss, jti=claims.jti, msg=claims.msg, request=sha256(text),
        reply=sha256(body), status=200, item=ITEM, case=CASE, basis="STATUTORY", officer="o-7f3c", person=person,
    )  # fmt: skip

    def payload() -> bytes:
        return format_outcome(
            claims, sha256(text), iat=1, jti=claims.jti, msg="record.answer", man=made.trust.manifest.label,
            status=200, origin=node.log.origin, index=1, leaf=encode(bytes(32)), body=body,
        )  # fmt: skip

    written, key = payload(), made.keys.message
    return [
        ("person: number checked", lambda: parse_person_id(*person, today=now.date())),
        ("person: blind index", lambda: vault.blind_index(*person)),
        ("record: decrypt", lambda: vault.decrypt(stored, b"received")),
        ("answer: format", lambda: format_body(answer)),
        ("answer: encrypt, for a repeat", lambda: vault.encrypt(body, b"received")),
        ("log entry: bytes, subject and leaf", lambda: format_entry(entry, vault, os.urandom)),
        ("reply: payload", payload),
        ("reply: sign ES256", lambda: seal_reply(written, key)),
    ]


def _trust(made: Stage) -> Trust:
    node = opening_at(made.asked.home).node()
    with node.database.reading() as session:
        return membership.read_trust(session, node.member)
