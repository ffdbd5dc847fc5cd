"""The servers that the exchange is compared with: `python -m bench.servers KIND --home DIR --peer HOST:PORT`.

    ceiling    bare, and one signature verified and one made per message: what the cryptography leaves
    bare       uvicorn (httptools, uvloop) over mutual TLS: an ASGI function sends the body back as JSON
    unlogged   our whole path, but the log is not extended: no entry is formatted, hashed or inserted
    naive      FastAPI, PyJWT and a commit for each message (`bench/naive.py`)

They exist to be measured against; nothing of the node can be switched to behave like them.
"""

import argparse
import asyncio
import dataclasses
import socket
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from sqlmodel import Session

from bench.naive import naive_app
from node.__main__ import Opening
from node.app import start
from node.membership import service as membership
from node.membership.keyring import read_keys
from node.serving import Serving, open_ports, serve
from node.storage.unit_of_work import Database, Pending, Place
from node.terminal import Terminal
from node.transport.tls import server_context
from protocol.envelope import seal_reply
from protocol.suites import parse_statement, verify


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send the body back: the least that an HTTP server over TLS can do with a message."""
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def run_uvicorn(app: Any, opening: Opening, listener: socket.socket) -> None:
    """Serve an application as plain uvicorn does, with the TLS of our peer port."""
    node = opening.node()
    keys = read_keys(node.settings.dirs.certs, node.passphrase, node.member)
    with node.database.reading() as session:
        manifest = membership.read_trust(session, node.member).manifest
    context = server_context(keys.tls, manifest)
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda _config, _default: context,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    print("ready", flush=True)
    server.run([listener])


def bare(opening: Opening, listener: socket.socket) -> None:
    """Serve `echo`."""
    run_uvicorn(echo, opening, listener)


def ceiling(opening: Opening, listener: socket.socket) -> None:
    """Serve `echo` after verifying the statement's signature; the answer carries a signature of ours."""
    node = opening.node()
    keys = read_keys(node.settings.dirs.certs, node.passphrase, node.member)
    with node.database.reading() as session:
        known = membership.read_trust(session, node.member).certificates

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        text = next(value for name, value in scope["headers"] if name == b"tongban-message")
        statement = parse_statement(text)
        verify(statement, known[statement.certificate].public_key)
        seal_reply(text[:600], keys.message)
        await echo(scope, receive, send)

    run_uvicorn(checked, opening, listener)


def naive(opening: Opening, listener: socket.socket) -> None:
    """Serve the naive application."""
    run_uvicorn(naive_app(opening.node()), opening, listener)


def unlogged(opening: Opening, listener: socket.socket) -> None:
    """Serve a node whose groups end without a log: places are counted, nothing is written."""
    node = opening.node()
    places = count()

    def close_group(session: Session, pending: Sequence[Pending]) -> None:
        for waiting in pending:
            if waiting.then is not None:
                waiting.then(session, Place(node.log.origin, next(places), b"\0" * 32))

    other = dataclasses.replace(node, database=Database(node.database.engine, close_group))

    async def run() -> None:
        running = await start(other)
        ports = dataclasses.replace(open_ports("none", ("", 0), None), peer=listener)
        await serve(Serving("peer", ports, lambda _zh, en: print(en, flush=True), "bench"), running)

    uvloop.run(run())


KINDS: dict[str, Callable[[Opening, socket.socket], None]] = {
    "bare": bare,
    "ceiling": ceiling,
    "naive": naive,
    "unlogged": unlogged,
}


def main() -> None:
    """Bind and serve until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--peer", required=True)
    asked = parser.parse_args()
    host, _, port = asked.peer.partition(":")
    listener = open_ports("peer", (host, int(port)), None).peer
    if listener is None:
        sys.exit("no port")
    KINDS[asked.kind](Opening(dataclasses.replace(Terminal(lang="en"), home=asked.home)), listener)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(None)
    main()
