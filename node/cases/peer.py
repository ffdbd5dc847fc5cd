"""Peer route of the cases room: the transcript of a case, for the other city of it (protocol §4, §6)."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from node.cases import service
from node.cases.room import Room
from node.storage.unit_of_work import Database
from node.transport.callers import Callers
from protocol.manifest import Member

Number = Annotated[str, Path(pattern=r"^KS[0-9]{21}$")]


@dataclass(frozen=True, slots=True)
class TranscriptDoor:
    """What the route needs."""

    room: Room
    database: Database
    callers: Callers


def router(door: TranscriptDoor) -> APIRouter:
    """Return the route."""
    routes = APIRouter(prefix="/v1/cases")
    active = Annotated[Member, Depends(door.callers.active)]

    @routes.get("/{number}/events")
    def events(caller: active, number: Number, after: Annotated[int, Query(ge=-1, lt=2**31)] = -1) -> dict[str, Any]:
        with door.database.reading() as session:
            return service.transcript_for(door.room, session, number, caller.id, after=after)

    return routes
