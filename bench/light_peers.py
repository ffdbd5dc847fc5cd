"""Fifteen cities in one process that answer at once: `python -m bench.light_peers --home DIR --home DIR …`.

Machines of a network work at the same time; processes on one processor take turns, and each finds the caches full of
the one before. So live peers on this machine hide what asking costs. These answer every question with "nobody of that
number here", signed with their city's own key over our TLS, so that the asking side does all of its work; they verify
nothing, look nothing up and keep nothing.
"""

import argparse
import asyncio
import dataclasses
import os
import ssl
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from node.__main__ import Opening
from node.app import new_id, utc_now
from node.membership import service as membership
from node.membership.keyring import read_keys
from node.records.service import instant, new_salt
from node.terminal import Terminal
from node.transport.server import Patience, bind, peer_server
from node.transport.tls import server_context
from protocol.claims import Claims, format_outcome, parse_claims, sha256
from protocol.envelope import MessageKey, seal_reply
from protocol.messages import RecordAnswer, format_body
from protocol.suites import parse_statement

LEAF = sha256(b"no log is kept")


@dataclasses.dataclass(frozen=True, slots=True)
class LightPeer:
    """One city: what it signs with, and where its log would be."""

    key: MessageKey
    label: str
    origin: str
    places: "count[int]"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one message; an ASGI application."""
        statement = next(value for name, value in scope["headers"] if name == b"tongban-message")
        while (await receive()).get("more_body", False):
            pass
        reply, body = self._answer(statement)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"tongban-message", reply),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, statement: bytes) -> tuple[bytes, bytes]:
        question, now = parse_claims(Claims, parse_statement(statement).claims), utc_now()
        body = format_body(RecordAnswer(salt=new_salt(os.urandom), found=False, withheld=[], as_of=instant(now)))
        payload = format_outcome(
            question, sha256(statement), iat=int(now.timestamp()), jti=new_id(), msg="record.answer", man=self.label,
            status=200, origin=self.origin, index=next(self.places), leaf=LEAF, body=body,
        )  # fmt: skip
        return seal_reply(payload, self.key), body


def _server_of(home: Path) -> tuple[uvicorn.Server, Any]:
    node = Opening(dataclasses.replace(Terminal(lang="en"), home=home)).node()
    keys = read_keys(node.settings.dirs.certs, node.passphrase, node.member)
    with node.database.reading() as session:
        manifest = membership.read_trust(session, node.member).manifest
    context: ssl.SSLContext = server_context(keys.tls, manifest)
    app = LightPeer(keys.message, manifest.label, node.log.origin, count())
    listen = node.settings.peer.listen
    return peer_server(app, context, Patience()), bind(listen.host, listen.port)


async def _serve(homes: list[Path]) -> None:
    servers = [_server_of(home) for home in homes]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers))


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, action="append", required=True)
    uvloop.run(_serve(parser.parse_args().home))


if __name__ == "__main__":
    main()
