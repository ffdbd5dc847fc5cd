"""The checks of a diagnosis that need no peer: values in, lines out (experience (e), 诊断).

A line has a state and, where it is not ✔, three things: 原因 (cause), 影响 (effect), 下一步 (next step). Red only
when something is wrong here and now; what is normal without being there is `off`, and so is what cannot be
looked at because something else, which has its own red line, is broken. No line holds personal data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from protocol.certificates import Certificate, Crl, Purpose
from protocol.envelope import Trust
from protocol.errors import Busy, Refusal
from protocol.manifest import WARNING, Manifest, Status

Words = tuple[str, str]
"""A text in Chinese and in English."""
NOTHING: Final[Words] = ("", "")
DAY: Final = timedelta(days=1)
MIB: Final = 1024 * 1024
TLS_WARN_DAYS: Final = 30
"""TLS certificates live 90 days at most, so the first warnings of longer ones would always be on."""
DISK_WARN_PERCENT: Final = 85
DISK_FULL_PERCENT: Final = 95
OTHERS: Final = 0o077
GROUPS: Final = ("settings", "database", "disk", "files", "manifest", "certificates", "log", "clock", "peers")
"""What can be checked, in the order of the page; a line is named `group` or `group.part`."""


class State(StrEnum):
    """How a line stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a diagnosis."""

    name: str
    state: State
    title: Words
    cause: Words = NOTHING
    effect: Words = NOTHING
    next: Words = NOTHING
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Return which of `GROUPS` it belongs to."""
        return self.name.partition(".")[0]


def both(text: str) -> Words:
    """Return a command or a number, which is the same in both languages."""
    return text, text


def unchecked(name: str, title: Words, because: Words) -> Check:
    """Return the grey line of something that cannot be looked at."""
    return Check(name, State.OFF, title, cause=because)


def days_left(end: datetime, now: datetime) -> int:
    """Return whole days until `end`; negative after it."""
    return (end - now) // DAY


def day(moment: datetime) -> str:
    """Return an instant as people read it here."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def check_settings(fault: Words | None, home: Path) -> Check:
    """Say whether the settings can be used; `fault` is what is wrong with them, without values."""
    if fault is None:
        return Check("settings", State.OK, ("设置有效", "Settings are valid"))
    zh, en = (text.replace(f"{home}/", "") for text in fault)
    return Check(
        "settings",
        State.FAIL,
        ("设置有误", "The settings have faults"),
        cause=(zh, en),
        effect=("节点无法启动；其他各项未检查", "the node cannot start; nothing else was checked"),
        next=("改正后运行 tongban config check", "mend them, then: tongban config check"),
    )


@dataclass(frozen=True, slots=True)
class SchemaSeen:
    """A reachable database: how long an answer takes, which versions it has and lacks."""

    milliseconds: float
    current: str | None
    head: str
    pending: tuple[str, ...]


def check_database(seen: SchemaSeen | None, fault: str) -> Check:
    """Judge the database; `seen` is None when it did not answer, `fault` is then the kind of error."""
    if seen is None:
        return Check(
            "database",
            State.FAIL,
            ("数据库不可用", "The database is not available"),
            cause=(f"连接或查询失败（{fault}）", f"connecting or asking failed ({fault})"),
            effect=("所有消息以 busy 拒绝，对端稍后重发", "all messages are refused with busy; peers send them again"),
            next=(
                "检查 database.url 与数据库服务：tongban config explain database",
                "check database.url and the database server: tongban config explain database",
            ),
            facts={"fault": fault},
        )
    facts = {"ms": round(seen.milliseconds, 1), "schema": seen.current, "pending": list(seen.pending)}
    if seen.pending:
        return Check(
            "database",
            State.FAIL,
            ("数据库结构落后于本程序", "The database is behind this program"),
            cause=both(f"{seen.current or '-'} < {seen.head}"),
            effect=("节点无法启动", "the node cannot start"),
            next=both("tongban db upgrade"),
            facts=facts,
        )
    title = f"数据库 {seen.milliseconds:.0f} ms", f"Database {seen.milliseconds:.0f} ms"
    return Check("database", State.OK, title, facts=facts)


def check_disk(name: str, *, free: int, used: int, reserve: int) -> Check:
    """Judge the file system of one directory; all sizes in bytes."""
    percent = 100 * used // max(1, used + free)
    facts = {"free_mib": free // MIB, "used_percent": percent, "reserve_mib": reserve // MIB}
    shown = f"{free / (1024 * MIB):.1f} GiB"
    title = f"磁盘 {name}：剩余 {shown}（已用 {percent}%）", f"Disk of {name}: {shown} free ({percent}% used)"
    todo = (
        "清理或扩容该磁盘；tongban doctor --only disk",
        "free space on it or extend it; tongban doctor --only disk",
    )
    cause = f"已用 {percent}%，保留 {reserve // MIB} MiB", f"{percent}% used, reserve {reserve // MIB} MiB"
    if free <= reserve:
        effect = "新消息以 storage-full 拒绝", "new messages are refused with storage-full"
        return Check(f"disk.{name}", State.FAIL, title, cause, effect, todo, facts)
    if percent >= DISK_FULL_PERCENT:
        effect = "不再接收附件和导出", "no new attachments and no exports"
        return Check(f"disk.{name}", State.FAIL, title, cause, effect, todo, facts)
    if percent >= DISK_WARN_PERCENT:
        effect = f"到 {DISK_FULL_PERCENT}% 时停收附件", f"at {DISK_FULL_PERCENT}% attachments stop"
        return Check(f"disk.{name}", State.WARN, title, cause, effect, todo, facts)
    return Check(f"disk.{name}", State.OK, title, facts=facts)


def check_files(modes: Mapping[str, int]) -> Check:
    """Judge the modes of key and secret files, by their path below the node directory."""
    exposed = sorted(name for name, mode in modes.items() if mode & OTHERS)
    facts = {"files": len(modes), "exposed": exposed}
    if exposed:
        return Check(
            "files",
            State.FAIL,
            ("密钥文件可被其他用户访问", "Key files are open to other users"),
            cause=("权限过宽：" + "、".join(exposed), "modes too wide: " + ", ".join(exposed)),
            effect=(
                "密钥可能已泄露；节点拒绝使用它们",
                "the keys may be known to others; the node refuses to use them",
            ),
            next=both("chmod 600 " + " ".join(exposed)),
            facts=facts,
        )
    if not modes:
        return Check("files", State.OFF, ("没有密钥文件", "No key files"), facts=facts)
    title = f"密钥文件 {len(modes)} 个，权限正确", f"{len(modes)} key files, modes are right"
    return Check("files", State.OK, title, facts=facts)


def check_manifest(manifest: Manifest | None, member: str, now: datetime) -> Check:
    """Judge the manifest in force; None: this node has not joined a network."""
    if manifest is None:
        return Check(
            "manifest",
            State.FAIL,
            ("本节点尚未加入网络", "This node has not joined a network"),
            cause=("没有成员名册", "there is no manifest"),
            effect=("无法与任何城市交换", "nothing can be exchanged with any city"),
            next=both("tongban init --network manifest.json --genesis DIGEST"),
        )
    days = days_left(manifest.expires, now)
    facts = {"version": manifest.version, "network": manifest.network, "days_left": days}
    title = f"名册 v{manifest.version}（到期 {days} 天）", f"Manifest v{manifest.version} ({days} days left)"
    own = manifest.members.get(member)
    if own is None or own.status is not Status.ACTIVE:
        word = own.status.value if own else "absent"
        cause = f"本市 {member} 在名册中的状态：{word}", f"this city, {member}, stands there as {word}"
        effect = "其他城市拒绝本市的消息", "other cities refuse this city's messages"
        todo = "与其他城市的负责人联系；tongban network show", "talk to the other cities; tongban network show"
        return Check("manifest", State.FAIL, title, cause, effect, todo, {**facts, "status": word})
    cause = f"有效期至 {day(manifest.expires)}", f"it ends on {day(manifest.expires)}"
    todo = "由足够多的城市签发下一版；tongban network show", "enough cities sign the next version; tongban network show"
    if now > manifest.expires:
        effect = "进入宽限期，其后停止新的记录披露", "the grace period runs; after it no new records are disclosed"
        return Check("manifest", State.FAIL, title, cause, effect, todo, facts)
    if manifest.expires - now <= WARNING:
        effect = "到期前业务不受影响", "nothing until then"
        return Check("manifest", State.WARN, title, cause, effect, todo, facts)
    return Check("manifest", State.OK, title, facts=facts)


def first_warning(warn_days: Sequence[int], purpose: Purpose) -> int:
    """Return how many days before its end a certificate is first warned of."""
    fitting = [days for days in warn_days if purpose is not Purpose.TLS or days <= TLS_WARN_DAYS]
    return max(fitting, default=TLS_WARN_DAYS)


def check_certificate(
    certificate: Certificate, trust: Trust | None, *, warn_days: Sequence[int], now: datetime
) -> Check:
    """Judge one of our own certificates, as our peers will; without `trust` only its dates."""
    use = certificate.purpose
    days = days_left(certificate.not_after, now)
    name, facts = f"certificates.{use.value}", {"days_left": days, "fingerprint": certificate.fingerprint}
    title = f"本市 {use.value} 证书剩 {days} 天", f"Our {use.value} certificate: {days} days left"
    effect = (
        ("其他城市拒绝本市的连接", "other cities refuse our connections")
        if use is Purpose.TLS
        else ("其他城市拒绝本市的消息", "other cities refuse our messages")
    )
    todo = both(f"tongban certs renew --use {use.value}")
    cause = f"有效期至 {day(certificate.not_after)}", f"it ends on {day(certificate.not_after)}"
    if now > certificate.not_after:
        return Check(name, State.FAIL, title, cause, effect, todo, facts)
    refusal = refusal_of(certificate, trust, now)
    if refusal is not None:
        cause = f"{refusal.title_zh}（{refusal.slug}）", f"{refusal.title_en}: {refusal.detail}"
        todo = (
            f"换新密钥与证书：tongban certs csr --use {use.value}；再核对 tongban certs status",
            f"a new key and certificate: tongban certs csr --use {use.value}; then tongban certs status",
        )
        return Check(name, State.FAIL, title, cause, effect, todo, {**facts, "slug": refusal.slug})
    if days < first_warning(warn_days, use):
        later = f"到期后{effect[0]}", f"after that {effect[1]}"
        return Check(name, State.WARN, title, cause, later, todo, facts)
    return Check(name, State.OK, title, facts=facts)


def refusal_of(certificate: Certificate, trust: Trust | None, now: datetime) -> Refusal | None:
    """Return why a certificate may not be relied on; a CRL that is missing or stale has its own line."""
    if trust is None:
        return None
    try:
        trust.check(certificate, certificate.purpose, now=now)
    except Busy:
        return None
    except Refusal as refusal:
        return refusal
    return None


def crl_of(trust: Trust, member: str) -> Crl | None:
    """Return the newest CRL that we hold of a member's CAs."""
    own = {one.fingerprint for one in trust.manifest.members[member].authorities}
    mine = [crl for crl in trust.crls if crl.authority in own]
    return max(mine, key=lambda crl: (crl.number, crl.this_update), default=None)


def crl_state(crl: Crl | None, grace: timedelta, now: datetime) -> State:
    """Return FAIL without a CRL or past its `nextUpdate` + grace, WARN from half of that time on."""
    if crl is None:
        return State.FAIL
    end = crl.next_update + grace
    if now > end:
        return State.FAIL
    return State.WARN if now - crl.this_update > (end - crl.this_update) / 2 else State.OK


def crl_facts(crl: Crl | None, now: datetime) -> dict[str, Any]:
    """Return number and age in hours of a CRL."""
    if crl is None:
        return {"crl": None, "crl_age_hours": None}
    return {"crl": crl.number, "crl_age_hours": (now - crl.this_update) // timedelta(hours=1)}


def check_own_crl(crl: Crl | None, grace: timedelta, now: datetime) -> Check:
    """Judge the CRL of our own CA; None: there is none, or it is not of our CA."""
    state, facts = crl_state(crl, grace, now), crl_facts(crl, now)
    age = facts["crl_age_hours"]
    title = ("本市吊销列表不可用", "Our CRL cannot be used")
    if crl is not None:
        title = f"本市吊销列表 #{crl.number}，{age} 小时前", f"Our CRL #{crl.number}, {age} hours old"
    if state is State.OK:
        return Check("certificates.crl", state, title, facts=facts)
    cause = ("文件缺失或不是本市 CA 所签", "missing, or not signed by our CA")
    if crl is not None:
        cause = f"应于 {day(crl.next_update)} 前更新", f"the next one was due by {day(crl.next_update)}"
    effect = (
        ("其他城市对本市消息答复 busy", "other cities answer our messages with busy")
        if state is State.FAIL
        else ("再不更新，其他城市将答复 busy", "without a new one other cities will answer with busy")
    )
    return Check("certificates.crl", state, title, cause, effect, both("tongban certs ca crl"), facts)


@dataclass(frozen=True, slots=True)
class LogSeen:
    """The log: how much of it is committed, how much is under a signed checkpoint."""

    entries: int
    signed: int
    signed_at: datetime | None
    unsigned_since: datetime | None
    """time of the first entry that no checkpoint covers"""


def check_log(seen: LogSeen, *, patience: timedelta, now: datetime) -> Check:
    """Judge the log; entries may wait `patience` for their checkpoint."""
    age = None if seen.signed_at is None else round((now - seen.signed_at).total_seconds())
    unsigned = seen.entries - seen.signed
    facts = {"entries": seen.entries, "unsigned": unsigned, "checkpoint_age_seconds": age}
    if seen.entries == 0 and seen.signed == 0:
        return Check("log", State.OFF, ("日志为空", "The log is empty"), facts=facts)
    title = f"日志 {seen.entries} 条，未签 {unsigned} 条", f"Log: {seen.entries} entries, {unsigned} not signed yet"
    if unsigned < 0:
        return Check(
            "log",
            State.FAIL,
            title,
            cause=(f"检查点覆盖 {seen.signed} 条", f"the checkpoint covers {seen.signed} entries"),
            effect=(
                "日志缺少已签名的条目，不再签发检查点",
                "signed entries are missing; no checkpoint is signed any more",
            ),
            next=both("tongban audit verify"),
            facts=facts,
        )
    if seen.unsigned_since is not None and now - seen.unsigned_since > patience:
        return Check(
            "log",
            State.WARN,
            title,
            cause=(
                f"自 {day(seen.unsigned_since)} 起没有新检查点：节点未运行，或签发失败",
                f"no checkpoint since {day(seen.unsigned_since)}: the node does not run, or signing fails",
            ),
            effect=("新条目暂无签名证明，业务不受影响", "new entries have no signed proof yet; traffic goes on"),
            next=("tongban serve；再运行 tongban audit verify", "tongban serve; then tongban audit verify"),
            facts=facts,
        )
    return Check("log", State.OK, title, facts=facts)


def check_clock(offset: float | None, *, peers: int, warn: int, skew: int) -> Check:
    """Judge our clock; `offset` is what peers are ahead of us, in seconds, None when none has answered."""
    facts = {"offset_seconds": None if offset is None else round(offset, 2), "peers": peers}
    if offset is None:
        title = "时钟未比较", "Clock not compared"
        return unchecked("clock", title, ("没有对端答复，无从比较", "no peer answered to compare with"))
    title = f"时钟偏差 {offset:+.2f} s", f"Clock offset {offset:+.2f} s"
    if abs(offset) <= warn:
        return Check("clock", State.OK, title, facts=facts)
    side = "慢" if offset > 0 else "快", "behind" if offset > 0 else "ahead of"
    cause = f"本机比 {peers} 个对端{side[0]} {abs(offset):.0f} s", f"we are {abs(offset):.0f} s {side[1]} {peers} peers"
    if peers == 1:
        cause = f"本机与唯一答复的对端相差 {abs(offset):.0f} s", f"{abs(offset):.0f} s from the only peer that answered"
    todo = (
        "系统管理员校准时钟：timedatectl set-ntp true；再 tongban doctor --only clock",
        "sysadmin: timedatectl set-ntp true; then tongban doctor --only clock",
    )
    if abs(offset) > skew:
        effect = f"超过 {skew} s：消息以 stale 被拒绝", f"more than {skew} s: messages are refused with stale"
        return Check("clock", State.FAIL, title, cause, effect, todo, facts)
    effect = f"到 {skew} s 时消息将以 stale 被拒绝", f"at {skew} s messages will be refused with stale"
    return Check("clock", State.WARN, title, cause, effect, todo, facts)
