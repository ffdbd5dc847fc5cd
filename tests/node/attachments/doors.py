"""A city's peer port with nothing but the door of attachments, over real TLS, in the loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from node.attachments.peer import AttachmentsDoor, router
from node.attachments.receiving import Receiving
from node.attachments.sending import Sending
from node.storage.writer import Writer
from node.transport.callers import Callers
from node.transport.client import PeerClients
from node.transport.server import Patience, bind, peer_server
from node.transport.tls import server_context
from node.transport.transfers import Transfers
from protocol.errors import Refusal, format_problem
from protocol.manifest import Member
from tests.networks import TestNetwork
from tests.node.attachments.rooms import ME, PEER, Room
from tests.node.transport.servers import NOW, identity_of


@dataclass
class OpenDoor:
    """The port of `PEER`, its room, and the members that count as parties of every case."""

    member: Member
    room: Room
    network: TestNetwork
    port: int
    parties: set[str]
    receiving: Receiving

    @asynccontextmanager
    async def caller(self, code: str = ME, own: Room | None = None) -> AsyncIterator[Sending]:
        """Give what another city sends with; its own attachments are in `own`."""
        identity, trust = identity_of(self.network[code].tls), self.network.trust_of(code)
        clients = PeerClients(
            identity=lambda: identity, trust=lambda: trust, now=lambda: NOW, max_answer_bytes=100_000
        )  # fmt: skip
        room = own or self.room
        receiving = room.receiving()
        try:
            yield Sending(room.room, Transfers(clients, silent_seconds=10, pauses=(0.1, 0.3, 0.6)), receiving)
        finally:
            await clients.close()
            receiving.close()


@asynccontextmanager
async def open_door(network: TestNetwork, room: Room, **changes: Any) -> AsyncIterator[OpenDoor]:
    """Serve; `changes` are fields of Receiving."""
    trust, parties = network.trust_of(PEER), set[str]()
    writer = Writer(room.database)
    writer.start()
    receiving = Receiving(room.room, room.database, writer.submit, **changes)
    door = AttachmentsDoor(
        receiving, room.database, Callers(lambda: trust, lambda: NOW), lambda _s, _d, member: member in parties
    )
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.include_router(router(door))

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse(format_problem(refusal, trace=""), refusal.status)

    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    context = server_context(identity_of(network[PEER].tls), network.manifest)
    server = peer_server(app, context, Patience())
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield OpenDoor(_at(network.manifest.members[PEER], port), room, network, port, parties, receiving)
    finally:
        server.should_exit = True
        await serving
        receiving.close()
        writer.stop()


def _at(member: Member, port: int) -> Member:
    return replace(member, endpoints=(f"https://127.0.0.1:{port}",))
