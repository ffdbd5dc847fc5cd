"""Peer routes of membership: manifests, CRLs, certificates, documents, health (protocol §4)."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import JSONResponse

from node.membership import service
from node.membership.service import TrustKeeper
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from node.transport.callers import Callers, read_body
from protocol.certificates import MAX_CRL_BYTES
from protocol.manifest import Member

Digest = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]
MemberCode = Annotated[str, Path(pattern=r"^[1-9][0-9]{5}$")]


@dataclass(frozen=True, slots=True)
class MembershipDoor:
    """What the routes need."""

    database: Database
    writer: Writer
    keeper: TrustKeeper
    callers: Callers
    documents: Mapping[str, bytes]
    """shared documents by SHA-256, hex"""
    health: Callable[[], dict[str, Any]]


def router(door: MembershipDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1")
    _manifests(routes, door)
    _crls(routes, door)
    _rest(routes, door)
    return routes


def _manifests(routes: APIRouter, door: MembershipDoor) -> None:
    reading = Annotated[Member, Depends(door.callers.reading)]

    @routes.get("/manifest")
    def manifest(caller: reading) -> Response:
        with door.database.reading() as session:
            return Response(service.manifest_data(session, None), media_type="application/json")

    @routes.get("/manifest/{version}")
    def manifest_version(caller: reading, version: Annotated[int, Path(ge=1, lt=10**9)]) -> Response:
        with door.database.reading() as session:
            return Response(service.manifest_data(session, version), media_type="application/json")


def _crls(routes: APIRouter, door: MembershipDoor) -> None:
    reading = Annotated[Member, Depends(door.callers.reading)]

    @routes.get("/crl/{member}")
    def crl(caller: reading, member: MemberCode, request: Request) -> Response:
        with door.database.reading() as session:
            der = service.crl_of(session, member)
        tag = f'"{hashlib.sha256(der).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return Response(der, media_type="application/pkix-crl", headers={"etag": tag})

    @routes.put("/crl/{member}", status_code=204)
    async def put_crl(caller: reading, member: MemberCode, request: Request) -> Response:
        der = await read_body(request, max_bytes=MAX_CRL_BYTES)
        await door.writer.submit(lambda tx: service.accept_crl(tx, member, der, now=door.callers.now()))
        door.keeper.refresh()
        return Response(status_code=204)


def _rest(routes: APIRouter, door: MembershipDoor) -> None:
    reading = Annotated[Member, Depends(door.callers.reading)]
    active = Annotated[Member, Depends(door.callers.active)]

    @routes.get("/certificates/{fingerprint}")
    def certificate(caller: reading, fingerprint: Digest) -> Response:
        with door.database.reading() as session:
            pem = service.certificate_pem(session, fingerprint)
        return Response(pem, media_type="application/x-pem-file")

    @routes.get("/documents/{digest}")
    def document(caller: active, digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> Response:
        with door.database.reading() as session:
            data = service.document(session, door.documents, digest)
        return Response(data, media_type="application/json")

    @routes.get("/health")
    def health(caller: reading) -> Response:
        return JSONResponse(door.health())
