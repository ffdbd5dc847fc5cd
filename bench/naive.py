"""The server that one would write first: FastAPI routes and models, PyJWT, SQLModel, a commit for each message.

It makes the same checks as ours (statement, certificate, times, body, replay, purpose, release rule), writes the
same rows and the same log entry, and signs the same reply. Key objects are cached and the database session is
kept short; it is meant to be good code of its kind. Only the verdict on the TLS certificate is lacking, since plain
uvicorn hands it to nobody: that makes it faster, not slower.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from fastapi import FastAPI, Header, HTTPException, Request, Response
from sqlmodel import Session

from node.app import Node, new_id, utc_now
from node.audit.service import Entry
from node.exchange.tables import Received
from node.membership import service as membership
from node.membership.keyring import read_keys
from node.records.service import instant, new_salt
from node.records.store import ANY_PEER
from node.records.tables import ReleaseRuleRow
from node.storage.encryption import shard_key
from node.storage.engine import WRITING
from node.storage.unit_of_work import Pending, Place, Transaction
from protocol.certificates import Purpose
from protocol.claims import (
    MESSAGE_TYP,
    REPLY_TYP,
    VERSION,
    Answered,
    Claims,
    LogPlace,
    ReplyClaims,
    describe_body,
    sha256,
)
from protocol.envelope import active_member
from protocol.identifiers import parse_person_id
from protocol.messages import RecordAnswer, RecordKind, RecordQuery, format_body
from protocol.policy import ReleaseRule, check_purpose, decide
from protocol.suites import encode


class Naive:
    """One node as a straightforward program."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.keys = read_keys(node.settings.dirs.certs, node.passphrase, node.member)
        with node.database.reading() as session:
            self.trust = membership.read_trust(session, node.member)
        self.engine = node.database.engine.execution_options(**{WRITING: True})

    def verify(self, token: str, body: bytes, content_type: str) -> Claims:
        """Return the claims of a message that passes every check."""
        header = jwt.get_unverified_header(token)
        certificate = self.trust.certificates.get(header["x5t#S256"])
        if certificate is None or header["typ"] != MESSAGE_TYP:
            raise HTTPException(401, "unknown certificate")
        decoded = jwt.decode(
            token, certificate.public_key, algorithms=["ES256"], audience=self.trust.member,
            leeway=self.trust.manifest.policy.clock_skew_seconds,
        )  # fmt: skip
        claims = Claims.model_validate(decoded)
        active_member(self.trust.manifest, claims.iss)
        self.trust.check(certificate, Purpose.MESSAGE, now=utc_now())
        promised = claims.body
        if claims.net != self.trust.manifest.network or claims.man != self.trust.manifest.label:
            raise HTTPException(403, "another network")
        if (promised.sha256, promised.size, promised.type) != (sha256(body), len(body), content_type):
            raise HTTPException(400, "another body")
        return claims

    def answer(self, session: Session, token: str, claims: Claims, query: RecordQuery) -> ReplyClaims:
        """Look up, decide, log and store; return the claims of the reply and leave its body in `Received`."""
        key = (shard_key(claims.jti), claims.iss, claims.jti)
        if session.get(Received, key) is not None or claims.why is None:
            raise HTTPException(409, "replay")
        check_purpose(claims.why, self.node.items)
        subject = query.subject
        parse_person_id(subject.id_type, subject.id_number, today=utc_now().date())
        decision = decide(self.rule(session, claims, query.record), query.record, query.fields)
        found = self.node.registry.connector(Transaction(session), subject, query.record)
        lines = found and [{name: line.get(name) for name in decision.released} for line in found.lines]
        body = format_body(
            RecordAnswer(
                salt=new_salt(self.node.registry.random),
                found=found is not None,
                record=lines or None,
                withheld=list(decision.withheld),
                as_of=instant(found.as_of if found else utc_now()),
            )
        )
        entry = Entry(
            kind="message", dir="in", time=utc_now(), peer=claims.iss, jti=claims.jti, msg=claims.msg,
            request=sha256(token.encode()), reply=sha256(body), status=200, item=claims.why.item,
            case=claims.why.case, basis=claims.why.basis, officer=claims.who.officer if claims.who else None,
            person=(subject.id_type, subject.id_number),
        )  # fmt: skip
        places: list[Place] = []
        self.node.log.close_group(session, [Pending(entry, lambda _session, place: places.append(place))])
        return self.keep(session, token, claims, body, places[0])

    def rule(self, session: Session, claims: Claims, kind: RecordKind) -> ReleaseRule | None:
        """Return the rule for this peer, else for any."""
        for peer in (claims.iss, ANY_PEER):
            row = session.get(ReleaseRuleRow, (peer, claims.why and claims.why.item, kind.value))
            if row is not None:
                return ReleaseRule(claims.iss, row.item, kind, frozenset(row.fields.split(",")))
        return None

    def keep(self, session: Session, token: str, claims: Claims, body: bytes, place: Place) -> ReplyClaims:
        """Store the exchange and return the claims of its reply."""
        reply = ReplyClaims(
            net=claims.net, ver=VERSION, iss=claims.aud, aud=claims.iss, iat=int(time.time()), jti=new_id(),
            msg="record.answer", man=self.trust.manifest.label,
            re=Answered(jti=claims.jti, sha256=sha256(token.encode())), status=200,
            log=LogPlace(origin=place.origin, index=place.index, leaf=encode(place.leaf)), body=describe_body(body),
        )  # fmt: skip
        self.body = body
        session.add(
            Received(
                shard_key=shard_key(claims.jti), iss=claims.iss, jti=claims.jti, digest=sha256(token.encode()),
                statement=token.encode(), payload=reply.model_dump_json(exclude_none=True).encode(),
                body=self.node.vault.encrypt(body, f"received:{claims.iss}:{claims.jti}".encode()),
                body_type="application/json", status=200, received_at=utc_now(),
                body_until=datetime.fromtimestamp(claims.exp, UTC) + timedelta(seconds=300),
            )
        )  # fmt: skip
        return reply

    def sign(self, reply: ReplyClaims) -> str:
        """Return the reply's statement."""
        name = self.keys.message.certificate.fingerprint
        claims: dict[str, Any] = reply.model_dump(exclude_none=True)
        return jwt.encode(claims, self.keys.message.key, "ES256", headers={"typ": REPLY_TYP, "x5t#S256": name})


def naive_app(node: Node) -> FastAPI:
    """Return the application."""
    app, naive = FastAPI(), Naive(node)

    @app.post("/v1/messages")
    async def receive(request: Request, query: RecordQuery, tongban_message: Annotated[str, Header()]) -> Response:
        body = await request.body()
        claims = naive.verify(tongban_message, body, request.headers["content-type"])
        with Session(naive.engine) as session:
            reply = naive.answer(session, tongban_message, claims, query)
            session.commit()
        return Response(naive.body, media_type="application/json", headers={"tongban-message": naive.sign(reply)})

    return app
