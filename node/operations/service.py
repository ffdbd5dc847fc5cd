"""Diagnosis of a node, and the state of every key and certificate (experience (c) `doctor`, `certs status`; (e) 诊断).

A diagnosis never fails: what is broken is a red line, and what hangs on it is a grey one. Everything comes
in as `Facts`: values, and functions that open things and may fail. Nothing is written anywhere. ::

    checks = await diagnose(facts, only="database")
    checks[0]    # Check(name="database", state=State.OK, title=("数据库 3 ms", "Database 3 ms"), …)
"""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.audit import service as audit
from node.audit.service import Log
from node.membership import service as membership
from node.operations import checks
from node.operations.checks import GROUPS, Check, LogSeen, SchemaSeen, State, Words
from node.operations.reaching import (
    Asker,
    Bounds,
    Clients,
    Look,
    Seen,
    check_peer,
    check_resting,
    look_at_certificate,
    our_offset,
    peers_of,
)
from node.storage.schema import status
from node.storage.unit_of_work import Database
from node.transport.client import PeerClients
from node.transport.tls import TlsIdentity
from protocol.certificates import Crl, CrlInvalid, parse_crl
from protocol.envelope import MessageKey, Trust
from protocol.errors import NotFound, Refusal
from protocol.manifest import Status

__all__ = ["GROUPS", "Check", "Facts", "Opened", "State", "Values", "diagnose"]

PEER_SECONDS: Final = 5.0
ANSWER_MAX_BYTES: Final = 16 * 1024
PATIENCE: Final = timedelta(seconds=60)
"""So long an entry may always wait for its checkpoint before anybody is told."""


class Opened(Protocol):
    """The part of `node.app.Node` that a diagnosis reads."""

    @property
    def database(self) -> Database:
        """Return the database, which may be away."""

    @property
    def log(self) -> Log:
        """Return the log."""


class HeldKeys(Protocol):
    """The part of the key ring's `Keys` that a diagnosis reads."""

    @property
    def tls(self) -> TlsIdentity:
        """Return our TLS certificate, chain and key."""

    @property
    def message(self) -> MessageKey:
        """Return our message key."""

    @property
    def log(self) -> Ed25519PrivateKey:
        """Return the key of our log."""

    @property
    def crl(self) -> bytes:
        """Return the newest CRL of our CA, DER."""


@dataclass(frozen=True, slots=True)
class Values:
    """The settings that a diagnosis needs."""

    member: str
    clock_warn_seconds: int
    disk_reserve_bytes: int
    warn_days: tuple[int, ...]
    checkpoint_seconds: int
    certs: Path
    directories: Mapping[str, Path]
    """by the word that a line shows"""
    secrets: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a diagnosis rests on; `values` is None when the settings cannot be read, and `fault` says why."""

    home: Path
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    node: Callable[[], Opened]
    keys: Callable[[], HeldKeys]
    values: Values | None = None
    fault: Words | None = None
    clients: Clients | None = None
    """None: a client is made of our keys, and closed"""
    look: Look = look_at_certificate
    disk: Callable[[Path], Any] = shutil.disk_usage
    told: tuple[type[Exception], ...] = ()
    """faults whose text is safe to show; of others only the kind is told"""
    seconds: float = PEER_SECONDS


@dataclass(slots=True)
class _Found:
    """What the local checks brought for those of the peers."""

    lines: list[Check] = field(default_factory=list)
    trust: Trust | None = None
    keys: HeldKeys | None = None


async def diagnose(facts: Facts, only: str | None = None, peer: str | None = None) -> list[Check]:
    """Return the lines of a diagnosis; at most `facts.seconds` for all peers together.

    Args:
        facts: what there is.
        only: a group or the name of a line; None: all.
        peer: a member; only its lines then.

    Raises:
        ValueError: `only` names no check.
    """
    if only is not None and only.partition(".")[0] not in GROUPS:
        raise ValueError(f"{only} is none of {', '.join(GROUPS)}")
    if facts.values is None:
        return [checks.check_settings(facts.fault or ("无法读取", "cannot be read"), facts.home)]
    found = await asyncio.to_thread(_local, facts, facts.values)
    lines = found.lines
    if peer is not None or only is None or only.partition(".")[0] in ("clock", "peers"):
        lines = [*lines, *await _peers(facts, facts.values, found, peer)]
    chosen = [one for one in lines if only is None or one.name == only or one.name.startswith(f"{only}.")]
    if peer is None:
        return chosen
    return [one for one in chosen if one.name == "peers" or one.name.split(".")[1:2] == [peer]]


def _local(facts: Facts, values: Values) -> _Found:
    """What needs no event loop, in the order of the page."""
    found = _Found()
    found.lines.append(checks.check_settings(None, facts.home))
    opened, line = _database(facts)
    found.lines += [line, *_disks(facts, values), checks.check_files(_modes(facts.home, values))]
    if opened is None:
        because = ("数据库不可用，未检查", "not checked: the database cannot be used")
        found.lines.append(checks.unchecked("manifest", ("名册", "Manifest"), because))
    else:
        found.lines.append(_manifest(facts, values, opened, found))
    found.lines += _own_certificates(facts, values, found)
    if opened is None:
        found.lines.append(checks.unchecked("log", ("日志", "Log"), because))
    else:
        found.lines.append(_log(facts, values, opened))
    return found


def kind_of(fault: Exception, told: tuple[type[Exception], ...]) -> str:
    """Return what may be shown of a fault: its text if it is one of ours, else its kind."""
    return str(fault) if isinstance(fault, (*told, Refusal)) else type(fault).__name__


def _database(facts: Facts) -> tuple[Opened | None, Check]:
    try:
        opened = facts.node()
        engine = opened.database.engine
        found = status(engine)
        started = facts.monotonic()
        status(engine)
        spent = (facts.monotonic() - started) * 1000
    except Exception as fault:
        return None, checks.check_database(None, kind_of(fault, facts.told))
    line = checks.check_database(SchemaSeen(spent, found.current, found.head, found.pending), "")
    return (opened if line.state is State.OK else None), line


def _disks(facts: Facts, values: Values) -> list[Check]:
    """One line per file system: directories that share one are named together."""
    names: dict[tuple[int, int], tuple[list[str], Any]] = {}
    lines = []
    for name, path in values.directories.items():
        try:
            usage = facts.disk(path)
            names.setdefault((path.stat().st_dev, usage.total), ([], usage))[0].append(name)
        except OSError as fault:
            lines.append(_no_directory(name, fault))
    for together, usage in names.values():
        reserve = values.disk_reserve_bytes
        lines.append(checks.check_disk("+".join(together), free=usage.free, used=usage.used, reserve=reserve))
    return lines


def _no_directory(name: str, fault: OSError) -> Check:
    return Check(
        f"disk.{name}",
        State.FAIL,
        (f"目录 {name} 不可用", f"The directory of {name} cannot be used"),
        cause=checks.both(fault.strerror or "I/O"),
        effect=("其中的数据无法读写", "what lies in it can be neither read nor written"),
        next=checks.both("tongban config explain dirs"),
    )


def _modes(home: Path, values: Values) -> dict[str, int]:
    paths = {*values.certs.glob("*.key"), *values.certs.glob("ca/*.key"), *values.secrets}
    found = {}
    for path in sorted(path for path in paths if path.is_file()):
        shown = path.relative_to(home) if path.is_relative_to(home) else path
        found[str(shown)] = path.stat().st_mode
    return found


def _manifest(facts: Facts, values: Values, opened: Opened, found: _Found) -> Check:
    try:
        found.trust = trust_of(opened, values.member)
    except NotFound:
        return checks.check_manifest(None, values.member, facts.now())
    except Exception as fault:
        return _unreadable("manifest", ("名册不可用", "The manifest cannot be used"), kind_of(fault, facts.told))
    return checks.check_manifest(found.trust.manifest, values.member, facts.now())


def _unreadable(name: str, title: Words, kind: str) -> Check:
    return Check(
        name,
        State.FAIL,
        title,
        cause=(f"存储的内容无法读取（{kind}）", f"what is stored cannot be read ({kind})"),
        effect=("节点无法工作", "the node cannot work"),
        next=("tongban db status；tongban audit verify", "tongban db status; tongban audit verify"),
    )


def _own_certificates(facts: Facts, values: Values, found: _Found) -> list[Check]:
    try:
        keys = found.keys = facts.keys()
    except Exception as fault:
        return [
            Check(
                "certificates",
                State.FAIL,
                ("密钥或证书不可用", "A key or certificate cannot be used"),
                cause=checks.both(kind_of(fault, facts.told)),
                effect=("节点无法启动", "the node cannot start"),
                next=("修复该文件；tongban doctor --only files", "mend the file named; tongban doctor --only files"),
            )
        ]
    now, trust = facts.now(), found.trust
    lines = [
        checks.check_certificate(one, trust, warn_days=values.warn_days, now=now)
        for one in (keys.tls.certificate, keys.message.certificate)
    ]
    if trust is None or values.member not in trust.manifest.members:
        because = ("没有名册，未核对", "not compared: there is no manifest")
        return [*lines, checks.unchecked("certificates.crl", ("本市吊销列表", "Our CRL"), because)]
    grace = timedelta(days=trust.manifest.policy.crl_grace_days)
    return [*lines, checks.check_own_crl(_own_crl(keys.crl, trust), grace, now), _log_key(keys, trust)]


def _own_crl(der: bytes, trust: Trust) -> Crl | None:
    try:
        return parse_crl(der, trust.manifest.members[trust.member].authorities)
    except CrlInvalid:
        return None


def _log_key(keys: HeldKeys, trust: Trust) -> Check:
    if keys.log.public_key().public_bytes_raw() == trust.manifest.members[trust.member].log_key.public:
        return Check("certificates.log", State.OK, ("日志密钥与名册一致", "The log key is that of the manifest"))
    return Check(
        "certificates.log",
        State.FAIL,
        ("日志密钥与名册不一致", "The log key is not that of the manifest"),
        cause=("log.key 不是名册中登记的密钥", "log.key is not the key that the manifest lists"),
        effect=("其他城市无法核验本市检查点", "other cities cannot verify our checkpoints"),
        next=("换回登记的 log.key；tongban certs status", "put the listed log.key back; tongban certs status"),
    )


def _log(facts: Facts, values: Values, opened: Opened) -> Check:
    try:
        with opened.database.reading() as session:
            seen = _read_log(session, opened.log)
    except Exception as fault:
        return _unreadable("log", ("日志不可用", "The log cannot be used"), kind_of(fault, facts.told))
    patience = max(PATIENCE, 6 * timedelta(seconds=values.checkpoint_seconds))
    return checks.check_log(seen, patience=patience, now=facts.now())


def _read_log(session: Any, log: Log) -> LogSeen:
    size = audit.size(session, log)
    try:
        newest = audit.read_checkpoint(session, log)
        signed, signed_at = newest.size, newest.signed_at
    except NotFound:
        signed, signed_at = 0, None
    since = None
    if signed < size:
        oldest = next(audit.entries(session, below=signed + 1, limit=1))
        since = datetime.fromisoformat(oldest["time"])
    return LogSeen(size, signed, signed_at, since)


async def _peers(facts: Facts, values: Values, found: _Found, peer: str | None) -> list[Check]:
    if found.trust is None or found.keys is None:
        because = ("没有名册或密钥，未检查", "not checked: there is no manifest, or no key")
        return [
            checks.check_clock(None, peers=0, warn=0, skew=0),
            checks.unchecked("peers", ("对端", "Peers"), because),
        ]
    trust = found.trust
    members = [one for one in peers_of(trust) if peer in (None, one.id)]
    if peer is not None and not members:
        cause = (f"名册中没有城市 {peer}", f"the manifest lists no other city {peer}")
        todo = checks.both("tongban network show")
        title, effect = ("没有这个对端", "No such peer"), ("无法检查", "it cannot be checked")
        return [Check("peers", State.FAIL, title, cause, effect, todo)]
    asked = [one for one in members if one.status is Status.ACTIVE]
    seen = await ask_peers(facts, found.keys, trust, asked)
    offset, policy = our_offset(seen), trust.manifest.policy
    answered = sum(one.offset is not None for one in seen)
    bounds = Bounds(trust, facts.now(), values.warn_days, values.clock_warn_seconds, offset)
    warn, skew = values.clock_warn_seconds, policy.clock_skew_seconds
    return [
        checks.check_clock(offset, peers=answered, warn=warn, skew=skew),
        *(line for one in seen for line in check_peer(one, bounds)),
        *(check_resting(one) for one in members if one.status is Status.SUSPENDED),
    ]


async def ask_peers(facts: Facts, keys: HeldKeys, trust: Trust, members: Sequence[Any]) -> list[Seen]:
    """Ask peers for their health and look at their certificates, all at once."""
    own = facts.clients is None
    clients: Any = facts.clients
    if own:
        identity = keys.tls
        clients = PeerClients(lambda: identity, lambda: trust, facts.now, ANSWER_MAX_BYTES)
    loopback = trust.manifest.policy.loopback_endpoints
    asker = Asker(clients, facts.look, facts.now, facts.monotonic, facts.seconds, loopback)
    try:
        return await asker.ask_all(members)
    finally:
        if own:
            await clients.close()


def trust_of(opened: Opened, member: str) -> Trust:
    """Return what this node relies on.

    Raises:
        NotFound: this node has not joined a network.
    """
    with opened.database.reading() as session:
        return membership.read_trust(session, member)
