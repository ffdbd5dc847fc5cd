"""Composition root of the HTTP side: settings in, a node with its two ports out.

`open_node` builds what every process of a node needs (database, log, keys, trust); `Running` adds what an
event loop needs (writer, clients, pipeline). Everybody below receives values; nobody below reads settings.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from uuid_utils import uuid7

from config.data import calendar_bytes, catalogue_bytes, read_catalogue
from config.load import read_secret
from config.settings import Settings
from node.audit import peer as audit_peer
from node.audit.service import Entry, Log
from node.exchange import peer as exchange_peer
from node.exchange.limits import PeerLimits
from node.exchange.pipeline import Pipeline
from node.exchange.service import Asking, Learning
from node.membership import peer as membership_peer
from node.membership import service as membership
from node.membership.catching_up import CatchUp
from node.membership.keyring import KeyRing, open_keyring
from node.membership.service import TrustKeeper, keep_trust
from node.records.connectors.builtin import builtin_ahead, builtin_registry
from node.records.service import Registry, message_handlers
from node.storage.encryption import Vault, open_vault
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database, Transaction
from node.storage.writer import Writer
from node.transport.callers import ENDING, Callers
from node.transport.client import PeerClients
from node.transport.messages_route import messages_route
from node.transport.server import Patience
from node.transport.tls import server_context
from protocol.claims import PROBLEM_TYPE, VERSION
from protocol.errors import Internal, InvalidBody, NotFound, Refusal, format_problem

SOFTWARE: Final = "tongban/0.1.0"
MIB: Final = 1024 * 1024
FIRST_EPOCH: Final = 1
MESSAGES: Final = "/v1/messages"

logger = structlog.get_logger("node")


def utc_now() -> datetime:
    """Return the present; the only clock of a node, handed to everybody as a value."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a UUIDv7."""
    return str(uuid7())


@dataclass(frozen=True, slots=True)
class Node:
    """What every process of a node holds."""

    settings: Settings
    log: Log
    database: Database
    vault: Vault
    registry: Registry
    items: frozenset[str]
    passphrase: bytes | None = field(repr=False)

    @property
    def member(self) -> str:
        """Return our member id."""
        return self.settings.member.code


def open_engine_of(settings: Settings) -> Any:
    """Return the engine; a password comes from its file, never from the URL."""
    secret = settings.database.password_file
    password = read_secret(secret).decode().strip() if secret is not None else None
    return open_engine(settings.database.url, pool=settings.database.pool, password=password)


def open_node(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Node:
    """Build what needs no event loop. Opens no port and no connection yet."""
    engine = open_engine_of(settings)
    vault = open_vault(read_secret(settings.storage.key_file), os.urandom)
    member = settings.member
    log = Log(f"tongban/{member.network}/{member.code}/{FIRST_EPOCH}", vault, os.urandom)
    items = frozenset(item["code"] for item in read_catalogue()["items"])
    passphrase = settings.certs.passphrase_file
    return Node(
        settings=settings,
        log=log,
        database=Database(engine, log.close_group),
        vault=vault,
        registry=Registry(builtin_registry(vault), builtin_ahead(vault), items, os.urandom, now),
        items=items,
        passphrase=read_secret(passphrase).strip() if passphrase else None,
    )


@lru_cache(maxsize=1)
def shared_documents() -> dict[str, tuple[str, bytes]]:
    """Return the documents that the manifest names: (name, bytes) by SHA-256 in hex."""
    named = {"catalogue": catalogue_bytes()} | {f"calendar-{year}": data for year, data in calendar_bytes().items()}
    return {hashlib.sha256(data).hexdigest(): (name, data) for name, data in named.items()}


@dataclass(slots=True)
class Running:
    """What an event loop needs: made by `start`, ended by `stop`."""

    node: Node
    keyring: KeyRing
    keeper: TrustKeeper
    writer: Writer
    clients: PeerClients
    catch_up: CatchUp
    asking: Asking
    pipeline: Pipeline
    now: Callable[[], datetime]
    context: Any = None

    def rebuild_context(self) -> None:
        """Make a new TLS context from the current certificate and manifest; handshakes take it at once."""
        self.context = server_context(self.keyring.current.tls, self.keeper.current.manifest)

    async def refresh(self) -> None:
        """Notice what other processes, commands or files have changed; called every second."""
        if self.keyring.refresh():
            await self.adopt_own()
            self.rebuild_context()
        self.keeper.refresh()

    async def adopt_own(self) -> None:
        """Bring our own CRL and message certificate into the database, and the CRL to every peer."""
        keys, own = self.keyring.current, self.node.member
        fresh = await self.writer.submit(lambda tx: membership.accept_crl(tx, own, keys.crl, now=self.now()))
        self.keeper.refresh()
        certificate = keys.message.certificate
        if certificate.fingerprint not in self.keeper.current.certificates:
            trust = self.keeper.current
            await self.writer.submit(lambda tx: membership.remember_certificate(tx, trust, certificate, now=self.now()))
            self.keeper.refresh()
        if fresh:
            self.pushing = asyncio.get_running_loop().create_task(self.catch_up.push_crl(keys.crl))

    pushing: asyncio.Task[None] | None = None
    """our new CRL on its way to every peer; who is away polls it later"""

    def health(self) -> dict[str, Any]:
        """Return what `/v1/health` says."""
        return {
            "software": SOFTWARE,
            "versions": [VERSION],
            "member": self.node.member,
            "manifest": self.keeper.current.manifest.version,
            "time": self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ready": True,
        }

    async def stop(self) -> None:
        """Close connections, finish what waits, end the writer."""
        await self.clients.close()
        self.writer.stop()
        self.node.database.engine.dispose()


async def start(node: Node, *, now: Callable[[], datetime] = utc_now) -> Running:
    """Start the writer and open keys and trust.

    Raises:
        KeysUnusable: a key or certificate file.
        NotFound: this node has not joined a network.
    """
    keyring = open_keyring(node.settings.dirs.certs, node.passphrase, node.member)
    keeper = keep_trust(node.database, node.member)
    writer = Writer(node.database)
    writer.start()
    clients = PeerClients(
        identity=lambda: keyring.current.tls,
        trust=lambda: keeper.current,
        now=now,
        max_answer_bytes=message_limit(node, keeper),
    )
    catch_up = CatchUp(keeper, clients, writer, now, time.monotonic)
    learning = Learning(catch_up.certificate, catch_up.manifest, catch_up.crl)
    asking = Asking(
        read=writer.read,
        clients=clients,
        trust=lambda: keeper.current,
        key=lambda: keyring.current.message,
        learning=learning,
        now=now,
        new_id=new_id,
        monotonic=time.monotonic,
    )
    pipeline = _pipeline(node, keyring, keeper, writer, learning, now)
    running = Running(node, keyring, keeper, writer, clients, catch_up, asking, pipeline, now)
    keeper.changed.append(running.rebuild_context)
    running.rebuild_context()
    return running


def _pipeline(
    node: Node,
    keyring: KeyRing,
    keeper: TrustKeeper,
    writer: Writer,
    learning: Learning,
    now: Callable[[], datetime],
) -> Pipeline:
    limits = node.settings.limits
    pong = exchange_peer.handlers(software=SOFTWARE, manifest_version=lambda: keeper.current.manifest.version, now=now)
    return Pipeline(
        writer=writer,
        vault=node.vault,
        limits=PeerLimits(limits.peer_rps),
        handlers=pong | message_handlers(node.registry),
        trust=lambda: keeper.current,
        key=lambda: keyring.current.message,
        learning=learning,
        now=now,
        new_id=new_id,
        has_room=disk_room(node.settings.dirs.data, limits.disk_reserve_mib * MIB),
    )


def message_limit(node: Node, keeper: TrustKeeper) -> int:
    """Return the largest body in bytes: our setting, never wider than what the network agreed."""
    return min(node.settings.limits.message_mib, keeper.current.manifest.policy.message_mib) * MIB


def disk_room(directory: Path, reserve_bytes: int) -> Callable[[], bool]:
    """Return a check of the disk reserve that asks the file system once a second."""
    state = {"at": -1.0, "ok": True}

    def has_room() -> bool:
        moment = time.monotonic()
        if moment - state["at"] >= 1:
            state["at"], state["ok"] = moment, shutil.disk_usage(directory).free > reserve_bytes
        return bool(state["ok"])

    return has_room


class _PeerApp:
    """The peer port: messages go straight to their endpoint, everything else to FastAPI's routes."""

    def __init__(self, messages: Any, others: FastAPI) -> None:
        self._messages, self._others = messages, others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_message = scope["path"] == MESSAGES and scope["method"] == "POST"
        await (self._messages if is_message else self._others)(scope, receive, send)


def peer_app(running: Running, patience: Patience) -> _PeerApp:
    """Return the application of the peer port."""
    app = _bare_app()
    keeper = running.keeper
    limit = message_limit(running.node, keeper)
    endpoint = messages_route(running.pipeline.receive, max_body_bytes=limit, body_seconds=patience.body_seconds)
    app.router.routes.insert(0, Route(MESSAGES, _Asgi(endpoint), methods=["POST"]))
    callers = Callers(trust=lambda: keeper.current, now=running.now)
    door = membership_peer.MembershipDoor(
        database=running.node.database,
        writer=running.writer,
        keeper=keeper,
        callers=callers,
        documents={digest: data for digest, (_, data) in shared_documents().items()},
        health=running.health,
    )
    app.include_router(membership_peer.router(door))
    app.include_router(audit_peer.router(audit_peer.LogDoor(running.node.database, running.node.log, callers)))
    return _PeerApp(endpoint, app)


class _Asgi:
    """Tells starlette that an endpoint is a plain ASGI application."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)


def console_app(running: Running) -> FastAPI:
    """Return the application of the console port: the discovery document, and readiness."""
    app = _bare_app()
    settings = running.node.settings

    @app.get("/.well-known/tongban")
    def discovery() -> dict[str, Any]:
        return {
            "versions": [VERSION],
            "network": settings.member.network,
            "member": settings.member.code,
            "peer": settings.peer.public_url,
        }

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"ready": True, "member": settings.member.code, "software": SOFTWARE}

    return app


def _bare_app() -> FastAPI:
    app = FastAPI(title="Tongban", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return problem_response(refusal)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, fault: RequestValidationError) -> Response:
        places = [{"at": "/".join(map(str, one["loc"])), "rule": one["type"]} for one in fault.errors()]
        return problem_response(InvalidBody("the request does not have the form it must have", fields=places[:20]))

    @app.exception_handler(HTTPException)
    async def unknown(_request: Request, fault: HTTPException) -> Response:
        if fault.status_code == 405:
            return Response(status_code=405, headers=fault.headers)
        return problem_response(NotFound())

    @app.exception_handler(Exception)
    async def failed(_request: Request, _fault: Exception) -> Response:
        logger.error("request.failed")
        return problem_response(Internal())

    return app


def problem_response(refusal: Refusal) -> JSONResponse:
    """Return a refusal as RFC 9457 problem+json; unsigned, as all but messages are."""
    trace = new_id().replace("-", "")[-8:]
    headers = {"retry-after": str(refusal.retry_after_seconds)} if refusal.retry_after_seconds is not None else {}
    if isinstance(refusal, ENDING):
        headers["connection"] = "close"
    return JSONResponse(
        format_problem(refusal, trace=f"{trace[:4]}-{trace[4:]}"),
        status_code=refusal.status,
        headers=headers,
        media_type=PROBLEM_TYPE,
    )


def book_start(transaction: Transaction, *, actor: str, now: datetime) -> None:
    """Log that a node process has started."""
    transaction.append(Entry(kind="start", dir="local", time=now, actor=actor))
