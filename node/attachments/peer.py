"""Peer routes of attachments: `PUT`, `HEAD` and `GET /v1/attachments/{sha256}` (protocol §4)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from node.attachments import service
from node.attachments.receiving import Receiving
from node.attachments.service import MayRead, Progress, Upload
from node.storage.unit_of_work import Database
from node.transport.bodies import StreamedRoute, check_plain, sent_range, wanted_range
from node.transport.callers import Callers
from protocol.manifest import Member

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
STATE: Final = "tongban-state"
_STATUS: Final = {service.COMPLETE: 201, service.HELD: 202, service.PARTIAL: 202}


@dataclass(frozen=True, slots=True)
class AttachmentsDoor:
    """What the routes need."""

    receiving: Receiving
    database: Database
    callers: Callers
    may_read: MayRead


def router(door: AttachmentsDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1", route_class=StreamedRoute)
    active = Annotated[Member, Depends(door.callers.active)]
    room = door.receiving.room

    @routes.put("/attachments/{digest}")
    async def put(caller: active, digest: Digest, request: Request) -> Response:
        headers = request.headers
        check_plain(headers)
        start, size = sent_range(headers.get("content-range", ""), headers.get("content-length", ""))
        upload = Upload(digest, size, headers.get("content-type", ""), caller.id)
        progress = await door.receiving.receive(upload, start, _pieces(request))
        return JSONResponse({"state": progress.state}, _STATUS[progress.state], _standing(progress))

    @routes.head("/attachments/{digest}")
    def head(caller: active, digest: Digest) -> Response:
        with door.database.reading() as session:
            return Response(headers=_standing(service.progress(room, session, digest, caller.id)))

    @routes.get("/attachments/{digest}")
    def get(caller: active, digest: Digest, request: Request) -> Response:
        with door.database.reading() as session:
            found = service.whole(session, digest, caller.id, door.may_read)
        start, stop = wanted_range(request.headers.get("range", ""), found.size)
        headers = {"content-length": str(stop - start), "accept-ranges": "bytes"}
        if (start, stop) != (0, found.size):
            headers["content-range"] = f"bytes {start}-{stop - 1}/{found.size}"
        status = 206 if "content-range" in headers else 200
        return StreamingResponse(service.open_stream(room, found, start, stop), status, headers, found.type)

    return routes


def _standing(progress: Progress) -> dict[str, str]:
    """Return how an upload stands: the bytes that are here, and their state."""
    here = f"0-{progress.stored - 1}" if progress.stored else "*"
    return {"content-range": f"bytes {here}/{progress.size}", STATE: progress.state}


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes; a connection that is cut ends it."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        return
