"""The refusals of the protocol, drawn as a tree.

A refusal is a named, tested "no". Each class has one slug, one HTTP status, one side and one page,
`docs/problems/<slug>.md`, and travels as an RFC 9457 problem (protocol §5, experience H.2)::

    Refusal
     ├── Unreadable           Malformed  TooLarge  UnsupportedVersion  UnknownMessageType
     ├── WrongPlace           WrongNetwork  WrongAudience
     ├── NotTrusted           NotAMember  MemberSuspended  SignerMismatch  UnknownCertificate
     │                        CertificateExpired  CertificateRevoked  BadSignature
     ├── NotThisMessage       Stale  DigestMismatch  ReplayConflict
     ├── NotAllowed           PolicyDenied  RateLimited  UnknownItem  InvalidBody  NotFound
     │                        AttachmentMissing  TransferStands
     └── NotNow               ManifestBehind  StorageFull  PrintingOff  Busy  Internal

`detail` says what was found and what was expected, and is safe to show to anyone: it never repeats
input that could be personal data. `retry` tells the sender's outbox what to do: `auto` (send again),
`cure` (hourly, until someone has acted) or `no`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Side(StrEnum):
    """Who has to act."""

    YOURS = "yours"
    """the caller"""
    MINE = "mine"
    """the city that refused"""
    THIRD = "third"
    """the network, the way between, or another named city"""


class Retry(StrEnum):
    """What the sender does after this refusal (experience H.2, column retry)."""

    AUTO = "auto"
    CURE = "cure"
    NO = "no"


class Refusal(Exception):
    """A named "no". Subclasses fix slug, status, side, words and next step."""

    slug: ClassVar[str]
    status: ClassVar[int]
    side: ClassVar[Side]
    retry: ClassVar[Retry]
    title_zh: ClassVar[str]
    title_en: ClassVar[str]
    next_zh: ClassVar[str]
    next_en: ClassVar[str]

    def __init__(self, detail: str = "", *, retry_after_seconds: int | None = None, **facts: Any) -> None:
        """`facts` are extra members of the problem, safe to show (RFC 9457 §3.2)."""
        super().__init__(detail or self.title_en)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.facts: Mapping[str, Any] = facts


class Unreadable(Refusal):
    """The bytes are not a message of this protocol."""

    side = Side.YOURS


class Malformed(Unreadable):
    slug, status, retry = "malformed", 400, Retry.NO
    title_zh, title_en = "消息无法解析", "The message cannot be read"
    next_zh = "检查对方节点的版本；tongban doctor --peer"
    next_en = "check the client's version; tongban doctor --peer"


class TooLarge(Unreadable):
    slug, status, retry = "too-large", 413, Retry.NO
    title_zh, title_en = "超过大小限制", "Larger than allowed"
    next_zh = "改用附件或拆分后再发；答复中写明了上限"
    next_en = "send it as an attachment or split it; the limit is in the answer"


class UnsupportedVersion(Unreadable):
    slug, status, retry = "unsupported-version", 400, Retry.CURE
    title_zh, title_en = "协议版本不受支持", "Protocol version not supported"
    next_zh = "较旧的一方升级；答复中写明了支持的范围"
    next_en = "the older side upgrades; the supported range is in the answer"


class UnknownMessageType(Unreadable):
    slug, status, retry = "unknown-message-type", 400, Retry.CURE
    title_zh, title_en = "不认识的消息类型", "Unknown message type"
    next_zh = "比较双方节点的版本"
    next_en = "compare the versions of both nodes"


class WrongPlace(Refusal):
    """A message for somebody else."""

    side = Side.YOURS


class WrongNetwork(WrongPlace):
    slug, status, retry = "wrong-network", 421, Retry.NO
    title_zh, title_en = "消息属于另一个网络", "The message belongs to another network"
    next_zh = "检查 member.network；演示与正式网络不可混用"
    next_en = "check member.network; never mix demo and production"


class WrongAudience(WrongPlace):
    slug, status, retry = "wrong-audience", 421, Retry.NO
    title_zh, title_en = "消息的收件城市不是本市", "Addressed to another city"
    next_zh = "检查名册中对端的地址：tongban network show"
    next_en = "check the peer's URL in tongban network show"


class NotTrusted(Refusal):
    """The speaker is not who the network says may speak."""


class NotAMember(NotTrusted):
    slug, status, side, retry = "not-a-member", 403, Side.THIRD, Retry.CURE
    title_zh, title_en = "该城市不是成员", "This city is not a member"
    next_zh = "安全管理员提议接纳：tongban network propose --add"
    next_en = "security administrator: tongban network propose --add"


class MemberSuspended(NotTrusted):
    slug, status, side, retry = "member-suspended", 403, Side.THIRD, Retry.CURE
    title_zh, title_en = "该城市已暂停交换", "This city is suspended"
    next_zh = "在 tongban network history 中查看原因，或询问该城市"
    next_en = "read the reason in tongban network history, or ask that city"


class SignerMismatch(NotTrusted):
    slug, status, side, retry = "signer-mismatch", 403, Side.YOURS, Retry.NO
    title_zh, title_en = "签名者与连接城市不一致", "Signer is not the connected city"
    next_zh = "检查代理与密钥配置；审计管理员会收到提示"
    next_en = "check proxy and key configuration; the auditor is told"


class UnknownCertificate(NotTrusted):
    slug, status, side, retry = "unknown-certificate", 403, Side.YOURS, Retry.CURE
    title_zh, title_en = "证书未登记", "Certificate not registered"
    next_zh = "安全管理员核对指纹：tongban certs status"
    next_en = "security administrator: compare fingerprints, tongban certs status"


class CertificateExpired(NotTrusted):
    slug, status, side, retry = "certificate-expired", 403, Side.THIRD, Retry.CURE
    title_zh, title_en = "证书已过期", "Certificate expired"
    next_zh = "该城市的安全管理员续期：tongban certs renew"
    next_en = "that city's security administrator: tongban certs renew"


class CertificateRevoked(NotTrusted):
    slug, status, side, retry = "certificate-revoked", 403, Side.THIRD, Retry.CURE
    title_zh, title_en = "证书已吊销", "Certificate revoked"
    next_zh = "该城市的安全管理员换新密钥：tongban certs csr，并电话确认"
    next_en = "that city's security administrator: new key by tongban certs csr, phone to confirm"


class BadSignature(NotTrusted):
    slug, status, side, retry = "bad-signature", 403, Side.YOURS, Retry.NO
    title_zh, title_en = "签名无效", "Signature is not valid"
    next_zh = "用 tongban verify 核验留存的消息；审计管理员会收到提示"
    next_en = "tongban verify the stored message; the auditor is told"


class NotThisMessage(Refusal):
    """A trusted speaker, but this text may not act (any more)."""


class Stale(NotThisMessage):
    slug, status, side, retry = "stale", 400, Side.YOURS, Retry.AUTO
    title_zh, title_en = "时间超出允许范围", "Outside the allowed time window"
    next_zh = "系统管理员检查时钟：tongban doctor --only clock；查询请重新发起"
    next_en = "system administrator: tongban doctor --only clock; ask a query anew"


class DigestMismatch(NotThisMessage):
    slug, status, side, retry = "digest-mismatch", 400, Side.YOURS, Retry.AUTO
    title_zh, title_en = "内容与签名摘要不一致", "Content differs from the signed digest"
    next_zh = "自动重发一次；仍不一致则检查代理"
    next_en = "sent again once; then check proxies"


class ReplayConflict(NotThisMessage):
    slug, status, side, retry = "replay-conflict", 409, Side.YOURS, Retry.NO
    title_zh, title_en = "同一编号已收到不同内容", "Same number already used for other content"
    next_zh = "审计管理员比较两份内容；换新编号发送"
    next_en = "the auditor compares both; send under a new number"


class NotAllowed(Refusal):
    """Understood and authentic, and still no."""


class PolicyDenied(NotAllowed):
    slug, status, side, retry = "policy-denied", 403, Side.MINE, Retry.CURE
    title_zh, title_en = "未授权该事项或字段", "Item or field not permitted"
    next_zh = "对方城市的安全管理员调整访问策略，或换用途查询"
    next_en = "the security administrator of that city: access policy; or ask under another purpose"


class RateLimited(NotAllowed):
    slug, status, side, retry = "rate-limited", 429, Side.YOURS, Retry.AUTO
    title_zh, title_en = "请求过于频繁", "Too many requests"
    next_zh = "按 Retry-After 等待后再发"
    next_en = "wait for Retry-After, then send again"


class UnknownItem(NotAllowed):
    slug, status, side, retry = "unknown-item", 422, Side.YOURS, Retry.CURE
    title_zh, title_en = "目录中没有该事项", "Item not in the catalogue"
    next_zh = "目录会自动获取；否则系统管理员查看 tongban packs list"
    next_en = "the catalogue is fetched automatically; else tongban packs list"


class InvalidBody(NotAllowed):
    slug, status, side, retry = "invalid-body", 422, Side.YOURS, Retry.CURE
    title_zh, title_en = "内容不符合事项要求", "Content does not meet the item's rules"
    next_zh = "答复列出了字段（不含内容）；改正后重发"
    next_en = "the fields are listed without values; correct and send again"


class AttachmentMissing(NotAllowed):
    slug, status, side, retry = "attachment-missing", 409, Side.YOURS, Retry.AUTO
    title_zh, title_en = "附件未到齐", "Attachments not complete"
    next_zh = "缺少的附件列在答复中；系统会自动补传"
    next_en = "the missing digests are listed; they are sent automatically"


class InvalidTransition(NotAllowed):
    slug, status, side, retry = "invalid-transition", 409, Side.YOURS, Retry.NO
    title_zh, title_en = "当前状态不能执行此操作", "Not possible in the present state"
    next_zh = "重新打开办件；答复列出了可以执行的操作"
    next_en = "reload the case; the possible actions are in the answer"


class NotFound(NotAllowed):
    slug, status, side, retry = "not-found", 404, Side.YOURS, Retry.NO
    title_zh, title_en = "没有这个内容，或无权查看", "Nothing here, or not for you"
    next_zh = "检查地址；只有相关城市可以读取"
    next_en = "check the address; only the cities concerned may read it"


class NotSignedIn(NotAllowed):
    slug, status, side, retry = "not-signed-in", 401, Side.YOURS, Retry.NO
    title_zh, title_en = "未登录", "Not signed in"
    next_zh = "出示 api.token 中的令牌，并用 Tongban-Account 说明经办人"
    next_en = "send the token of api.token, and who acts as Tongban-Account"


class NotPermitted(NotAllowed):
    slug, status, side, retry = "not-permitted", 403, Side.YOURS, Retry.NO
    title_zh, title_en = "无权执行此操作", "Not permitted"
    next_zh = "本接口目前只接受本机的请求；由有权的角色办理"
    next_en = "this interface answers on this machine only; let a role act that may"


class EditConflict(NotAllowed):
    slug, status, side, retry = "edit-conflict", 409, Side.YOURS, Retry.NO
    title_zh, title_en = "内容已被他人更改", "Somebody else has changed it meanwhile"
    next_zh = "重新打开，核对后再操作；已填写的内容没有丢失"
    next_en = "open it again, compare, and act once more; nothing typed is lost"


class TransferStands(NotAllowed):
    slug, status, side, retry = "transfer-stands", 409, Side.YOURS, Retry.NO
    title_zh, title_en = "此人从该转出地的转移已在办理", "This person's transfer out of that city is carried already"
    next_zh = "打开答复中的办件继续办理，不要重复发起；只有全国系统业务编号的，在全国系统中办理"
    next_en = "go on with the case that is named; where only the national system carries it, go on there"


class NotNow(Refusal):
    """Nothing is wrong with the message; it may pass later."""

    side = Side.MINE


class ManifestBehind(NotNow):
    slug, status, side, retry = "manifest-behind", 409, Side.THIRD, Retry.AUTO
    title_zh, title_en = "成员名册版本落后", "Membership list is out of date"
    next_zh = "自动获取新名册后重发"
    next_en = "fetched automatically, then sent again"


class OutOfSequence(NotNow):
    slug, status, side, retry = "out-of-sequence", 409, Side.THIRD, Retry.AUTO
    title_zh, title_en = "前一条消息尚未收到", "An earlier message is missing"
    next_zh = "系统会先补发缺少的消息，再重发此条"
    next_en = "it waits, and the missing one is sent first"


class StorageFull(NotNow):
    slug, status, retry = "storage-full", 507, Retry.AUTO
    title_zh, title_en = "存储空间不足", "Storage is full"
    next_zh = "对方系统管理员清理或扩容；没有任何内容被部分保存"
    next_en = "system administrator there: free space or extend; nothing was half stored"


class PrintingOff(NotNow):
    slug, status, retry = "printing-off", 503, Retry.CURE
    title_zh, title_en = "文书打印未启用", "Printing is off"
    next_zh = "查看原因和要执行的命令：tongban document status"
    next_en = "see the cause and the command: tongban document status"


class Busy(NotNow):
    slug, status, retry = "busy", 503, Retry.AUTO
    title_zh, title_en = "暂时繁忙", "Busy at the moment"
    next_zh = "无需处理；会自动以递增间隔重试"
    next_en = "none; tried again with growing pauses"


class Internal(NotNow):
    slug, status, retry = "internal", 500, Retry.AUTO
    title_zh, title_en = "处理失败，未产生任何变更", "Failed; nothing was changed"
    next_zh = "对方系统管理员按追踪号查日志"
    next_en = "system administrator there, with the trace number"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal as it was received from a peer; `known` is its class where we know the slug."""

    slug: str
    status: int
    detail: str
    trace: str
    known: type[Refusal] | None


def every_refusal() -> tuple[type[Refusal], ...]:
    """Return the leaf classes of the tree, in the order of their definition."""

    def leaves(parent: type[Refusal]) -> list[type[Refusal]]:
        children = parent.__subclasses__()
        return [leaf for child in children for leaf in leaves(child)] if children else [parent]

    return tuple(leaves(Refusal))


def refusal_named(slug: str) -> type[Refusal] | None:
    """Return the class with that slug, or None when this version does not know it."""
    return next((refusal for refusal in every_refusal() if refusal.slug == slug), None)


def format_problem(refusal: Refusal, *, trace: str) -> dict[str, Any]:
    """Return the `application/problem+json` object of a refusal (RFC 9457; experience H.1)."""
    problem: dict[str, Any] = {
        "type": f"urn:tongban:refusal:{refusal.slug}",
        "slug": refusal.slug,
        "status": refusal.status,
        "side": refusal.side.value,
        "title_zh": refusal.title_zh,
        "title_en": refusal.title_en,
        "detail": refusal.detail,
        "next": refusal.next_en,
        "trace": trace,
        "retry": refusal.retry.value,
    }
    for name, value in refusal.facts.items():
        problem.setdefault(name, value)
    return problem


def parse_problem(problem: object) -> Problem:
    """Return what a peer's problem object says; unknown slugs stay readable.

    Raises:
        Malformed: not an object with a text `slug` and an integer `status`.
    """
    if not isinstance(problem, dict):
        raise Malformed("the refusal is not a JSON object")
    slug, status = problem.get("slug"), problem.get("status")
    if not isinstance(slug, str) or type(status) is not int or not 1 <= len(slug) <= 64:
        raise Malformed("the refusal has no slug or status")
    detail, trace = problem.get("detail"), problem.get("trace")
    return Problem(
        slug=slug,
        status=status,
        detail=detail[:500] if isinstance(detail, str) else "",
        trace=trace[:64] if isinstance(trace, str) else "",
        known=refusal_named(slug),
    )
