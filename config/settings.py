"""Every setting of a node: one frozen tree, each field with its default, its unit and its meaning.

The tree is what `tongban.toml` says, one table per section::

    [limits]
    peer_rps = 200            ->  settings.limits.peer_rps == 200

Absent on purpose: whatever is agreed between cities (members, keys, witness quorum, clock skew, CRL grace,
catalogue, calendar) comes signed from the network and never from a file; and a setting joins only together
with the feature that obeys it. `limits` may be stricter than the network's policy, never wider; the node
compares them when both are known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from config.fields import (
    Address,
    Code,
    ConsoleUrl,
    DatabaseUrl,
    Digest,
    List,
    Listen,
    Meaning,
    Name,
    NetworkId,
    NodePath,
    Optional,
    PeerUrl,
    WarnDays,
    broken,
)

Language = Literal["zh", "en"]
ScanWord = Annotated[str, Field(min_length=1, max_length=4096)]


class Section(BaseModel):
    """What every section shares: frozen, strict, nothing unknown, defaults checked like given values."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


class Member(Section):
    """Who this node is."""

    code: Annotated[Code, Meaning("本市六位行政区划代码", "six-digit division code of this city")]
    name_zh: Annotated[Name, Meaning("页面和文书上的中文名称", "Chinese name on pages and papers")]
    name_en: Annotated[Name, Meaning("页面和文书上的英文名称", "English name on pages and papers")]
    network: Annotated[
        NetworkId,
        Meaning("网络标识；其他网络的报文一律拒绝", "network id; a message of another network is refused"),
    ]
    genesis: Annotated[
        Digest | None,
        Optional,
        Meaning(
            "创始清单摘要，由人工核对后填入；仅在加入网络之前可以为空",
            "digest of the genesis manifest, checked by hand; empty only before joining",
        ),
    ] = None


class Dirs(Section):
    """Where the node keeps what it owns. The node creates them with mode 0700."""

    data: Annotated[NodePath, Meaning("数据目录", "data directory")] = Path("data")
    certs: Annotated[NodePath, Meaning("证书与私钥目录", "directory of certificates and private keys")] = Path("certs")
    attachments: Annotated[NodePath, Meaning("附件目录", "directory of attachments")] = Path("attachments")
    backups: Annotated[NodePath, Meaning("备份目录", "directory of backups")] = Path("backups")


class Peer(Section):
    """The port for other cities."""

    listen: Annotated[
        Listen,
        Meaning("供其他城市使用的双向 TLS 1.3 监听地址", "where mutual TLS 1.3 for other cities listens", "HOST:PORT"),
    ] = Address("0.0.0.0", 8443)  # noqa: S104 - other cities must reach it; the client certificate is the gate
    public_url: Annotated[PeerUrl, Meaning("其他城市访问本节点的网址", "what other cities call", "URL")]


class Console(Section):
    """The port for this city's own people and systems."""

    listen: Annotated[
        Listen, Meaning("控制台与本地接口的监听地址", "where the console and the local API listen", "HOST:PORT")
    ] = Address("127.0.0.1", 8000)
    public_url: Annotated[
        ConsoleUrl | None,
        Optional,
        Meaning("控制台对外网址，用于二维码", "public address of the console, used in QR codes", "URL"),
    ] = None


class Database(Section):
    """Where rows live."""

    url: Annotated[
        DatabaseUrl,
        Digest,
        Meaning(
            "数据库地址；相对的 SQLite 文件位于节点目录内",
            "database; a relative SQLite file is in the node directory",
            "URL",
        ),
    ] = "sqlite:///tongban.db"
    pool: Annotated[int, Field(ge=1, le=500), Meaning("每个进程的连接数", "connections per process", "connections")] = (
        10
    )
    password_file: Annotated[
        NodePath | None,
        Optional,
        Meaning("存放数据库口令的文件", "file that holds the database password", secret=True),
    ] = None


class Storage(Section):
    """Encryption of personal data at rest."""

    key_file: Annotated[
        NodePath,
        Meaning(
            "32 字节主密钥文件，用于加密列与盲索引，权限 0600；遗失则个人数据不可恢复",
            "file of the 32-byte master key of columns and blind index, mode 0600; without it personal data is lost",
            secret=True,
        ),
    ] = Path("storage.key")


class Log(Section):
    """The evidence log."""

    checkpoint_seconds: Annotated[
        int,
        Field(ge=1, le=3600),
        Meaning("日志有增长时签发检查点的间隔", "how often a checkpoint is signed when the log has grown", "s"),
    ] = 10


class Limits(Section):
    """Where the node says no."""

    message_mib: Annotated[
        int,
        Field(ge=1, le=64),
        Meaning("报文大小上限，超过即 too-large", "largest message; above it: too-large", "MiB"),
    ] = 4
    attachment_mib: Annotated[
        int,
        Field(ge=1, le=4096),
        Meaning("单个附件大小上限，超过即 too-large", "largest attachment; above it: too-large", "MiB"),
    ] = 128
    case_mib: Annotated[
        int,
        Field(ge=1, le=65_536),
        Meaning(
            "每个城市已传来但尚无办件引用的附件总量上限，超过即 too-large",
            "attachments of one city that no case names yet, together; above it: too-large",
            "MiB",
        ),
    ] = 512
    peer_rps: Annotated[
        int,
        Field(ge=1, le=100_000),
        Meaning(
            "每个城市每秒请求数上限，超过即 rate-limited",
            "requests of one city per second; above it: rate-limited",
            "1/s",
        ),
    ] = 200
    clock_warn_seconds: Annotated[
        int,
        Field(ge=1, le=300),
        Meaning("时钟偏差超过此值即告警", "alarm when the clock is off by more", "s"),
    ] = 30
    disk_reserve_mib: Annotated[
        int,
        Field(ge=1, le=1_048_576),
        Meaning("剩余磁盘低于此值即 storage-full", "less free disk than this: storage-full", "MiB"),
    ] = 1024


class Attachments(Section):
    """What happens to attachments before a case may name them."""

    scan_command: Annotated[
        tuple[ScanWord, ...],
        List,
        Field(max_length=64),
        Meaning(
            "检查附件的命令及参数，内容从标准输入读入，限时 60 秒；"
            "退出码 0 通过，1 拒绝，其他则暂缓并重试；空表示不检查",
            "command and arguments that examine an attachment from standard input within 60 s; "
            "exit code 0: clean, 1: refused, any other: held and tried again; empty: no examination",
        ),
    ] = ()


class Certs(Section):
    """Keys and certificates of this city."""

    mode: Annotated[
        Literal["managed", "external"],
        Meaning(
            "managed：本节点自管 CA 与续期（演示、小规模）；external：证书来自离线或持牌 CA，生产建议采用",
            "managed: CA and renewal here (demo, small); external: from an offline or licensed CA (production)",
        ),
    ] = "managed"
    warn_days: Annotated[
        WarnDays, Meaning("证书到期前多少天告警", "days before a certificate ends at which to warn", "d")
    ] = (60, 30, 14, 7, 1)
    passphrase_file: Annotated[
        NodePath | None,
        Optional,
        Meaning("存放私钥加密口令的文件", "file that holds the passphrase of the private keys", secret=True),
    ] = None


class Languages(Section):
    """Languages of pages, papers and commands."""

    default: Annotated[Language, Meaning("默认语言", "language when nobody chose one")] = "zh"
    enabled: Annotated[tuple[Language, ...], List, Field(min_length=1), Meaning("提供的语言", "languages offered")] = (
        "zh",
        "en",
    )

    @field_validator("enabled")
    @classmethod
    def _offers_the_default(cls, value: tuple[Language, ...], info: ValidationInfo) -> tuple[Language, ...]:
        if "default" in info.data and info.data["default"] not in value:
            raise broken("须包含 languages.default", "must contain languages.default")
        return value


class Documents(Section):
    """Printed papers."""

    font_dirs: Annotated[
        tuple[NodePath, ...],
        List,
        Field(max_length=16),
        Meaning(
            "文书字体目录，先于系统的 Noto CJK；空表示用系统字体或 make fonts 取得的字体",
            "folders of fonts for papers, before the system's Noto CJK; empty: the system's, or those of make fonts",
        ),
    ] = ()
    sign: Annotated[
        bool,
        Meaning(
            "用本市 document 证书签名；仅在由本市自己的印章服务签名时关闭",
            "sign with this city's document certificate; off only where the city's own seal service signs",
        ),
    ] = True
    verify_url: Annotated[
        ConsoleUrl | None,
        Optional,
        Meaning(
            "二维码中的验真网址；未设时为 console.public_url",
            "address in the QR code under which a paper is verified; console.public_url when not set",
            "URL",
        ),
    ] = None


class Logging(Section):
    """The operating log, which never holds personal data."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meaning("最低记录级别", "lowest level written")] = (
        "info"
    )
    format: Annotated[
        Literal["json", "text"], Meaning("json 供机器，text 供人阅读", "json for machines, text for people")
    ] = "json"


class Settings(Section):
    """The whole tree. Build it with `config.load.load`, which names every fault at once."""

    member: Member
    dirs: Dirs
    peer: Peer
    console: Console
    database: Database
    storage: Storage
    log: Log
    limits: Limits
    attachments: Attachments
    certs: Certs
    languages: Languages
    documents: Documents
    logging: Logging


def _walk() -> dict[str, FieldInfo]:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {
        f"{name}.{key}": field
        for name, section in sections.items()
        if isinstance(section, type) and issubclass(section, Section)
        for key, field in section.model_fields.items()
    }


FIELDS: Mapping[str, FieldInfo] = _walk()
"""Every setting by its dotted key, in the order of the file."""


def meaning_of(key: str) -> Meaning:
    """Return what the setting `key` means. Raises KeyError when there is no such setting."""
    return next(one for one in FIELDS[key].metadata if isinstance(one, Meaning))
