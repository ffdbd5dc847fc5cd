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
from functools import lru_cache, partial
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

import structlog
from starlette.routing import Route
from uuid_utils import uuid7

from config.data import amounts_bytes, calendar_bytes, catalogue_bytes, procedures_bytes, read_catalogue
from config.load import read_secret
from config.settings import Settings
from node.attachments import peer as attachments_peer
from node.attachments.opening import open_attachments
from node.attachments.receiving import Receiving
from node.attachments.sending import Sending
from node.attachments.service import Attachments
from node.audit import peer as audit_peer
from node.audit.service import Entry, Log
from node.batches.room import Batches
from node.cases import peer as cases_peer
from node.cases import telling
from node.cases.opening import OpenedCases, open_cases
from node.cases.receiving import message_handlers as case_handlers
from node.cases.room import Room, item_in_force
from node.cases.service import check_case, may_read, open_case
from node.documents.opening import open_documents, signing
from node.documents.service import City, Documents
from node.exchange import peer as exchange_peer
from node.exchange.limits import PeerLimits
from node.exchange.pipeline import Pipeline
from node.exchange.service import Asking, Learning
from node.foresight import case_documents
from node.membership import peer as membership_peer
from node.membership import service as membership
from node.membership.catching_up import CatchUp
from node.membership.keyring import KeyRing, open_keyring
from node.membership.service import TrustKeeper, keep_trust
from node.operations.service import Values
from node.outbox.delivery import Delivery
from node.records.connectors.builtin import builtin_ahead, builtin_registry
from node.records.service import Registry, message_handlers
from node.statistics.jobs import StatisticsJobs
from node.statistics.service import Room as StatisticsRoom
from node.storage.encryption import Vault, open_vault
from node.storage.engine import open_engine
from node.storage.unit_of_work import Database, Transaction
from node.storage.writer import Writer
from node.transport.callers import Callers
from node.transport.client import PeerClients
from node.transport.messages_route import MESSAGES, Asgi, PeerApp, messages_route
from node.transport.problems import bare_app
from node.transport.server import Patience
from node.transport.tls import server_context
from node.transport.transfers import Transfers
from protocol.claims import VERSION

SOFTWARE: Final = "tongban/0.1.0"
MIB: Final = 1024 * 1024
FIRST_EPOCH: Final = 1

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
    attachments: Attachments
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
        attachments=open_attachments(
            settings.dirs.attachments,
            vault,
            attachment_mib=settings.limits.attachment_mib,
            unused_mib=settings.limits.case_mib,
            reserve_mib=settings.limits.disk_reserve_mib,
            scan_command=settings.attachments.scan_command,
            now=now,
        ),
        passphrase=read_secret(passphrase).strip() if passphrase else None,
    )


def values_of(settings: Settings) -> Values:
    """Return the settings that a diagnosis needs."""
    secrets = (settings.storage.key_file, settings.certs.passphrase_file, settings.database.password_file)
    dirs = settings.dirs
    return Values(
        member=settings.member.code,
        clock_warn_seconds=settings.limits.clock_warn_seconds,
        disk_reserve_bytes=settings.limits.disk_reserve_mib * MIB,
        warn_days=settings.certs.warn_days,
        checkpoint_seconds=settings.log.checkpoint_seconds,
        certs=dirs.certs,
        directories={"data": dirs.data, "certs": dirs.certs},
        secrets=tuple(path for path in secrets if path is not None),
    )


@lru_cache(maxsize=1)
def shared_documents() -> dict[str, tuple[str, bytes]]:
    """Return the documents that the manifest names: (name, bytes) by SHA-256 in hex."""
    named = {"catalogue": catalogue_bytes(), "procedures": procedures_bytes(), "amounts": amounts_bytes()} | {
        f"calendar-{year}": data for year, data in calendar_bytes().items()
    }
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
    cases: OpenedCases
    statistics: StatisticsJobs
    batches: Batches
    pipeline: Pipeline
    receiving: Receiving
    sending: Sending
    documents: Documents
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
        await asyncio.to_thread(self.receiving.close)
        await asyncio.to_thread(self.documents.press.close)
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
    builtin = {digest: data for digest, (_, data) in shared_documents().items()}
    catch_up = CatchUp(keeper, clients, writer, now, time.monotonic, builtin)
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
    receiving = Receiving(node.attachments, node.database, writer.submit)
    sending = Sending(node.attachments, Transfers(clients), receiving)
    cases = _cases(node, keyring, keeper, asking, sending, writer)
    documents = _documents(node, keyring, keeper, now)
    pipeline = _pipeline(node, keyring, keeper, writer, learning, cases.room, now)
    room = cases.room
    statistics = StatisticsJobs(StatisticsRoom(now, partial(telling.replay, room), partial(telling.days, room)), writer)
    batches = _batches(node, writer, room, now)
    running = Running(
        node, keyring, keeper, writer, clients, catch_up, asking, cases, statistics, batches, pipeline, receiving,
        sending, documents, now,
    )  # fmt: skip
    keeper.changed.append(running.rebuild_context)
    running.rebuild_context()
    return running


def _cases(
    node: Node, keyring: KeyRing, keeper: TrustKeeper, asking: Asking, sending: Sending, writer: Writer
) -> OpenedCases:
    """Return the cases room and what delivers its messages."""
    return open_cases(
        member=node.member,
        vault=node.vault,
        trust=lambda: keeper.current,
        key=lambda: keyring.current.message,
        writer=writer,
        clients=asking.clients,
        delivering=lambda outbox, complete: Delivery(outbox, writer, asking.exchanging, complete),
        deliver=sending.deliver,
        attachments=node.attachments,
        documents=case_documents(lambda: keeper.current.manifest, shared_documents()),
        has_room=disk_room(node.settings.dirs.data, node.settings.limits.disk_reserve_mib * MIB),
        now=asking.now,
        new_id=new_id,
        uniform=SystemRandom().random,
        random=os.urandom,
    )


def _batches(node: Node, writer: Writer, room: Room, now: Callable[[], datetime]) -> Batches:
    """Return what opens the cases of a workbook."""
    finds, checks, opens = partial(item_in_force, room), partial(check_case, room), partial(open_case, room)
    return Batches(node.vault, writer, finds, checks, opens, now)


def _documents(node: Node, keyring: KeyRing, keeper: TrustKeeper, now: Callable[[], datetime]) -> Documents:
    """Return the room of printed papers; its worker process starts with the first of them."""
    settings = node.settings
    papers, city, console, dirs = settings.documents, settings.member, settings.console, settings.dirs
    issuer = City(city.code, city.name_zh, city.name_en)
    address = papers.verify_url or console.public_url or f"http://{console.listen}"
    has_room = disk_room(dirs.data, settings.limits.disk_reserve_mib * MIB)
    signer = signing(papers.sign, lambda: keyring.current.document_pair, lambda: keeper.current, now)
    return open_documents(dirs.data, node.vault, issuer, address, papers.font_dirs, signer, has_room, now, os.urandom)


def _pipeline(
    node: Node,
    keyring: KeyRing,
    keeper: TrustKeeper,
    writer: Writer,
    learning: Learning,
    room: Room,
    now: Callable[[], datetime],
) -> Pipeline:
    limits = node.settings.limits
    pong = exchange_peer.handlers(software=SOFTWARE, manifest_version=lambda: keeper.current.manifest.version, now=now)
    return Pipeline(
        writer=writer,
        vault=node.vault,
        limits=PeerLimits(limits.peer_rps),
        handlers=pong | message_handlers(node.registry) | case_handlers(room),
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


def peer_app(running: Running, patience: Patience) -> PeerApp:
    """Return the application of the peer port."""
    app = bare_app()
    keeper = running.keeper
    limit = message_limit(running.node, keeper)
    endpoint = messages_route(running.pipeline.receive, max_body_bytes=limit, body_seconds=patience.body_seconds)
    app.router.routes.insert(0, Route(MESSAGES, Asgi(endpoint), methods=["POST"]))
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
    database, room = running.node.database, running.cases.room
    app.include_router(cases_peer.router(cases_peer.TranscriptDoor(room, database, callers)))
    attached = attachments_peer.AttachmentsDoor(running.receiving, database, callers, may_read)
    app.include_router(attachments_peer.router(attached))
    return PeerApp(endpoint, app)


def book_start(transaction: Transaction, *, actor: str, now: datetime) -> None:
    """Log that a node process has started."""
    transaction.append(Entry(kind="start", dir="local", time=now, actor=actor))
