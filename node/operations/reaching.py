"""Asking peers how they are, and judging what they say (experience (e), 诊断: 对端).

Two things per peer, at the same time: `GET /v1/health` through the ordinary peer client, and a look at the
TLS certificate that its port shows, which also works when that certificate is not good any more. The look
sends no certificate of ours and no byte of content, and closes.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from node.membership.service import clock_offset
from node.operations.checks import (
    Check,
    State,
    Words,
    crl_facts,
    crl_of,
    crl_state,
    day,
    days_left,
    first_warning,
    refusal_of,
)
from node.transport.client import READING, NoAnswer
from node.transport.tls import is_allowed_address
from protocol.certificates import Certificate, Purpose, parse_certificate
from protocol.envelope import Trust
from protocol.errors import Malformed, Refusal, parse_problem
from protocol.manifest import Member, Status

HEALTH_MAX_BYTES: Final = 16 * 1024
SHOWN: Final = 40
"""So much of a peer's own words is shown."""


class Clients(Protocol):
    """The part of `node.transport.client.PeerClients` that a diagnosis needs."""

    request: Callable[..., Awaitable[Any]]
    close: Callable[[], Awaitable[None]]


Look = Callable[[Member, bool], Awaitable[Certificate]]
"""Returns the TLS certificate of a member's port; the flag says whether loopback is allowed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of asking one peer; `outcome` is ok, a reason of NoAnswer, a slug, or unreadable."""

    member: Member
    outcome: str
    milliseconds: int = 0
    offset: float | None = None
    manifest: int | None = None
    software: str = ""
    refusal: type[Refusal] | None = None
    refused_by_us: bool = False
    certificate: Certificate | None = None


async def look_at_certificate(member: Member, loopback: bool) -> Certificate:
    """Return the TLS certificate that a member's port shows, good or not; the caller judges it.

    Raises:
        OSError: unreachable, no TLS, or an address that a node may not connect to.
        UnknownCertificate: not a certificate of this protocol.
    """
    place = urlsplit(member.endpoints[0])
    host, port = place.hostname or "", place.port or 443
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [str(one[4][0]) for one in found if is_allowed_address(str(one[4][0]), loopback=loopback)]
    if not allowed:
        raise OSError("the name resolves to addresses that a node may not connect to")
    # Nothing is trusted here: whatever is shown is returned, and `Trust.check` judges it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(allowed[0], port, ssl=context, server_hostname=host)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(True)
    finally:
        writer.transport.abort()
    return parse_certificate(shown or b"")


@dataclass(frozen=True, slots=True)
class Asker:
    """What asking needs."""

    clients: Clients
    look: Look
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    seconds: float
    loopback: bool

    async def ask_all(self, members: Sequence[Member]) -> list[Seen]:
        """Ask all at once: a silent one delays nobody beyond `seconds`."""
        return list(await asyncio.gather(*(self.ask(one) for one in members)))

    async def ask(self, member: Member) -> Seen:
        """Return what came of asking one peer; never raises for what a peer does."""
        seen, certificate = await asyncio.gather(self._health(member), self.certificate(member))
        return Seen(**{name: getattr(seen, name) for name in Seen.__slots__} | {"certificate": certificate})

    async def certificate(self, member: Member) -> Certificate | None:
        """Return the TLS certificate that a peer shows, if it shows one that names it."""
        try:
            async with asyncio.timeout(self.seconds):
                shown = await self.look(member, self.loopback)
        except (OSError, TimeoutError, Refusal):
            return None
        return shown if shown.member == member.id and shown.purpose is Purpose.TLS else None

    async def _health(self, member: Member) -> Seen:
        started = self.monotonic()
        try:
            async with asyncio.timeout(self.seconds):
                answer = await self.clients.request(
                    member, "GET", "/v1/health", max_bytes=HEALTH_MAX_BYTES, seconds=self.seconds, use=READING
                )
        except NoAnswer as missing:
            if missing.refusal is None:
                return Seen(member, missing.reason)
            return Seen(member, missing.refusal.slug, refusal=type(missing.refusal), refused_by_us=True)
        except TimeoutError:
            return Seen(member, "timeout")
        spent = round((self.monotonic() - started) * 1000)
        return _read(member, answer.status, answer.body, spent, self.now())


def _read(member: Member, status: int, body: bytes, milliseconds: int, now: datetime) -> Seen:
    try:
        said = json.loads(body)
        if status != 200:
            problem = parse_problem(said)
            slug = problem.slug if problem.known else "refused"
            return Seen(member, slug, milliseconds, refusal=problem.known)
        offset = clock_offset(said["time"], now, milliseconds)
        manifest, software = int(said["manifest"]), str(said["software"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, Malformed):
        return Seen(member, "unreadable", milliseconds)
    shown = "".join(sign for sign in software if sign.isprintable())[:SHOWN]
    return Seen(member, "ok", milliseconds, offset, manifest, shown)


def our_offset(seen: Sequence[Seen]) -> float | None:
    """Return what the peers' clocks say that ours is off; each clock, ours too, has one vote.

    With one peer nobody can tell whose clock is wrong, so its offset is given.
    """
    offsets = [one.offset for one in seen if one.offset is not None]
    if len(offsets) <= 1:
        return offsets[0] if offsets else None
    return float(median([0.0, *offsets]))


@dataclass(frozen=True, slots=True)
class Bounds:
    """By what peers are judged."""

    trust: Trust
    now: datetime
    warn_days: Sequence[int]
    clock_warn: int
    reference: float | None
    """what the peers together say that our own clock is off, in seconds"""


def name_of(member: Member) -> Words:
    """Return a peer as it is called on a line."""
    names = member.names
    return f"对端 {member.id} {names.get('zh', '')}".strip(), f"Peer {member.id} {names.get('en', '')}".strip()


def check_peer(seen: Seen, bounds: Bounds) -> list[Check]:
    """Return the line of a peer, and a further line for each thing of it that is not as it must be."""
    parts = [_certificate(seen, bounds), _crl(seen, bounds), _manifest(seen, bounds), _clock(seen, bounds)]
    return [_reached(seen, bounds), *(one for one in parts if one is not None)]


def check_resting(member: Member) -> Check:
    """Return the grey line of a member that is suspended."""
    zh, en = name_of(member)
    title = f"{zh} 已暂停交换", f"{en} is suspended"
    return Check(f"peers.{member.id}", State.OFF, title, cause=("按名册", "by the manifest"))


def _facts(seen: Seen, bounds: Bounds) -> dict[str, Any]:
    certificate = seen.certificate
    left = None if certificate is None else days_left(certificate.not_after, bounds.now)
    facts = {
        "member": seen.member.id,
        "outcome": seen.outcome,
        "ms": seen.milliseconds,
        "software": seen.software,
        "manifest": seen.manifest,
        "offset_seconds": seen.offset,
        "tls_days_left": left,
    }
    return facts | crl_facts(crl_of(bounds.trust, seen.member.id), bounds.now)


_WAITS: Final[Words] = (
    "与该城市的查询没有答复；其他城市不受影响",
    "no answers from that city; other cities are not affected",
)
_CALL: Final[Words] = (
    "电话联系对方系统管理员；之后 tongban doctor --peer {0}",
    "phone that city's sysadmin; then tongban doctor --peer {0}",
)
_NO_ANSWER: Final[Mapping[str, Words]] = {
    "timeout": ("对方未在时限内答复", "it did not answer in time"),
    "unreachable": ("无法连接：对方停机、网络或防火墙", "it cannot be reached: down, network or firewall"),
    "tls": ("TLS 握手被拒绝：某一方的证书不被接受", "the TLS handshake failed: one side's certificate is not accepted"),
    "refused-address": ("名册中的地址不允许连接", "the manifest names an address that may not be connected to"),
    "unreadable": ("答复无法解析", "its answer cannot be read"),
    "refused": ("对方拒绝，原因未知", "it refused, for an unknown reason"),
}


def _reached(seen: Seen, bounds: Bounds) -> Check:
    name, (zh, en), facts = f"peers.{seen.member.id}", name_of(seen.member), _facts(seen, bounds)
    if seen.outcome == "ok":
        left = facts["tls_days_left"]
        tail = ("", "") if left is None else (f" 证书 {left} 天", f", certificate {left} days")
        title = f"{zh} {seen.milliseconds} ms{tail[0]}", f"{en} {seen.milliseconds} ms{tail[1]}"
        return Check(name, State.OK, title, facts=facts)
    title = f"{zh} 无法送达", f"{en} cannot be reached"
    todo = _CALL[0].format(seen.member.id), _CALL[1].format(seen.member.id)
    cause = _NO_ANSWER.get(seen.outcome, ("没有可用的答复", "no usable answer"))
    if seen.refusal is not None:
        by = ("本市不接受对方证书", "we do not accept its certificate")
        if not seen.refused_by_us:
            by, todo = ("对方拒绝本市", "it refuses us"), (seen.refusal.next_zh, seen.refusal.next_en)
        cause = f"{by[0]}：{seen.refusal.title_zh}", f"{by[1]}: {seen.refusal.title_en}"
    return Check(name, State.FAIL, title, cause, _WAITS, todo, facts)


def _certificate(seen: Seen, bounds: Bounds) -> Check | None:
    certificate = seen.certificate
    if certificate is None:
        return None
    (zh, en), days = name_of(seen.member), days_left(certificate.not_after, bounds.now)
    name, facts = f"peers.{seen.member.id}.certificate", {"days_left": days, "fingerprint": certificate.fingerprint}
    title = f"{zh} TLS 证书剩 {days} 天", f"{en}: TLS certificate, {days} days left"
    todo = (
        "电话通知对方安全管理员续期；核对：tongban certs status",
        "phone that city's secadmin to renew it; look again: tongban certs status",
    )
    cause = f"有效期至 {day(certificate.not_after)}", f"it ends on {day(certificate.not_after)}"
    refusal = refusal_of(certificate, bounds.trust, bounds.now)
    if refusal is not None:
        if bounds.now <= certificate.not_after:
            cause = f"{refusal.title_zh}（{refusal.slug}）", f"{refusal.title_en} ({refusal.slug})"
        return Check(name, State.FAIL, title, cause, _WAITS, todo, {**facts, "slug": refusal.slug})
    if days >= first_warning(bounds.warn_days, Purpose.TLS):
        return None
    effect = "到期后与该城市的交换中断", "after that nothing is exchanged with that city"
    return Check(name, State.WARN, title, cause, effect, todo, facts)


def _crl(seen: Seen, bounds: Bounds) -> Check | None:
    crl = crl_of(bounds.trust, seen.member.id)
    state = crl_state(crl, timedelta(days=bounds.trust.manifest.policy.crl_grace_days), bounds.now)
    if state is State.OK:
        return None
    (zh, en), facts = name_of(seen.member), crl_facts(crl, bounds.now)
    title, cause = (f"{zh} 的吊销列表不在手", f"{en}: no CRL at hand"), ("尚未取得", "none has been fetched yet")
    if crl is not None:
        title = f"{zh} 的吊销列表过旧", f"{en}: its CRL is old"
        cause = f"应于 {day(crl.next_update)} 前更新", f"the next one was due by {day(crl.next_update)}"
    effect = ("该城市的消息得到 busy", "its messages are answered with busy")
    if state is State.WARN:
        effect = ("再不更新，该城市的消息将得到 busy", "without a new one its messages will be answered with busy")
    todo = (
        "运行中的节点会自动获取；长时间如此，电话联系对方安全管理员：tongban doctor --peer " + seen.member.id,
        "a running node fetches it; if it lasts, phone that city's secadmin: tongban doctor --peer " + seen.member.id,
    )
    return Check(f"peers.{seen.member.id}.crl", state, title, cause, effect, todo, facts)


def _manifest(seen: Seen, bounds: Bounds) -> Check | None:
    ours = bounds.trust.manifest.version
    if seen.manifest is None or seen.manifest == ours:
        return None
    zh, en = name_of(seen.member)
    title = f"{zh} 名册 v{seen.manifest}，本市 v{ours}", f"{en}: manifest v{seen.manifest}, ours is v{ours}"
    whose = ("对方落后", "it is behind") if seen.manifest < ours else ("本市落后", "we are behind")
    effect = ("消息先得到 manifest-behind，取得新版后重发", "messages get manifest-behind and go again later")
    todo = (
        "运行中的节点会自动获取；长时间如此：tongban doctor --only manifest",
        "a running node fetches it; if it lasts: tongban doctor --only manifest",
    )
    facts = {"theirs": seen.manifest, "ours": ours}
    return Check(f"peers.{seen.member.id}.manifest", State.WARN, title, whose, effect, todo, facts)


def _clock(seen: Seen, bounds: Bounds) -> Check | None:
    if seen.offset is None or bounds.reference is None:
        return None
    off = seen.offset - bounds.reference
    if abs(off) <= bounds.clock_warn:
        return None
    (zh, en), skew = name_of(seen.member), bounds.trust.manifest.policy.clock_skew_seconds
    title = f"{zh} 时钟偏差 {off:+.0f} s", f"{en}: clock off by {off:+.0f} s"
    cause = "与其他城市相比", "compared with the other cities"
    effect = f"超过 {skew} s 时其消息以 stale 被拒绝", f"beyond {skew} s its messages are refused with stale"
    todo = _CALL[0].format(seen.member.id), _CALL[1].format(seen.member.id)
    state = State.FAIL if abs(off) > skew else State.WARN
    return Check(f"peers.{seen.member.id}.clock", state, title, cause, effect, todo, {"offset_seconds": round(off, 2)})


def peers_of(trust: Trust) -> list[Member]:
    """Return the members that can be asked about: all but ourselves and those that have left."""
    members = trust.manifest.members.values()
    return [one for one in members if one.id != trust.member and one.status is not Status.LEFT]
