"""Peer routes of the log: checkpoint, tiles, entries and proofs (protocol §4, §7)."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from node.audit import service
from node.audit.service import Log
from node.storage.unit_of_work import Database
from node.transport.callers import Callers
from protocol.manifest import Member

Index = Annotated[int, Path(ge=0, lt=2**60)]


@dataclass(frozen=True, slots=True)
class LogDoor:
    """What the routes need."""

    database: Database
    log: Log
    callers: Callers


def router(door: LogDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/log")
    active = Annotated[Member, Depends(door.callers.active)]

    @routes.get("/checkpoint")
    def checkpoint(caller: active) -> Response:
        with door.database.reading() as session:
            return Response(service.read_checkpoint(session, door.log).note, media_type="text/plain; charset=utf-8")

    @routes.get("/tile/{path:path}")
    def tile(caller: active, path: Annotated[str, Path(max_length=80)]) -> Response:
        with door.database.reading() as session:
            data = service.read_tile(session, door.log, f"tile/{path}")
        return Response(data, media_type="application/octet-stream")

    @routes.get("/entries/{index}")
    def entry(caller: active, index: Index) -> Response:
        with door.database.reading() as session:
            return Response(service.concerns(session, index, caller.id), media_type="application/json")

    @routes.get("/proof/{index}")
    def proof(caller: active, index: Index) -> Response:
        with door.database.reading() as session:
            service.concerns(session, index, caller.id)
            return Response(service.prove(session, door.log, index), media_type="text/plain; charset=utf-8")

    return routes
