"""What a setting may be: its meaning in two languages, and the checked types used by `settings.py`.

A setting is written as text by a person, so every rule here answers in words that say what is expected::

    listen = "0.0.0.0:8443"      ->  Address(host="0.0.0.0", port=8443)
    listen = "[::1]:8443"        ->  Address(host="::1", port=8443)          (RFC 3986 §3.2.2: IPv6 in brackets)
    listen = "8443"              ->  refused: expected HOST:PORT, port 0 to 65535

No rule repeats the value it refuses: a secret may stand in the wrong place. Relative paths mean "inside the
node directory", which reaches the validators as `context={"home": Path}`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

RULE = "rule"
"""Error type of every rule of this module; its context carries `zh` and `en`."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a setting means and in which unit it counts. `secret`: the value is a file that holds a secret."""

    zh: str
    en: str
    unit: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where a port listens. Port 0 lets the system choose a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def broken(zh: str, en: str) -> PydanticCustomError:
    """Return the error to raise when a rule does not hold, in both languages."""
    return PydanticCustomError(RULE, "{en}", {"zh": zh, "en": en})


def matching(pattern: str, zh: str, en: str) -> AfterValidator:
    """Return a validator for text that must match `pattern` as a whole."""
    whole = re.compile(pattern)

    def check(value: str) -> str:
        if whole.fullmatch(value) is None:
            raise broken(zh, en)
        return value

    return AfterValidator(check)


def _read_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})", value)
    if found is None or int(found["port"]) > 65535:
        raise broken("应为 主机:端口，端口 0 至 65535", "expected HOST:PORT, port 0 to 65535")
    return Address(found["six"] or found["host"], int(found["port"]))


def _origin_only(schemes: frozenset[str]) -> Callable[[str], str]:
    shown = " / ".join(sorted(schemes))

    def check(value: str) -> str:
        url = _split(value)
        if url is None or url.scheme not in schemes or not url.hostname or value != f"{url.scheme}://{url.netloc}":
            raise broken(
                f"应为不带路径的网址，协议 {shown}，如 https://gateway.example:8443",
                f"expected a URL without path, scheme {shown}, such as https://gateway.example:8443",
            )
        if "@" in url.netloc:
            raise broken("网址中不得含用户名或口令", "user name and password do not belong in a URL")
        return value

    return check


def _split(value: str) -> SplitResult | None:
    try:
        url = urlsplit(value)
        return url if url.port is None or url.port > 0 else None
    except ValueError:
        return None


def _database_url(value: str, info: ValidationInfo) -> str:
    file = value.removeprefix("sqlite:///")
    if file != value and re.fullmatch(r"[^?#:\0]*[^?#:\0/]", file):
        return f"sqlite:///{_inside(info, file)}"
    url = _split(value)
    if url is None or url.scheme != "postgresql+psycopg" or url.path in ("", "/"):
        raise broken(
            "应为 sqlite:///文件 或 postgresql+psycopg://用户@主机:端口/库名",
            "expected sqlite:///FILE or postgresql+psycopg://USER@HOST:PORT/NAME",
        )
    # A libpq URI takes the password in its query too (PostgreSQL manual, 34.1.1.2).
    if url.password is not None or re.search(r"(?i)(^|&)(ssl)?password=", url.query):
        raise broken(
            "口令不得写在网址中，请用 database.password_file", "no password in the URL: use database.password_file"
        )
    return value


def _inside(info: ValidationInfo, value: str | Path) -> Path:
    home = (info.context or {}).get("home")
    return Path(value) if home is None else Path(home) / value


def _read_path(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        if not value or "\0" in value:
            raise broken("应为路径", "expected a path")
        return _inside(info, value)
    return _inside(info, value) if isinstance(value, Path) else value


def _absent(value: object) -> object:
    return None if value == "" else value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _falling(value: tuple[int, ...]) -> tuple[int, ...]:
    if list(value) != sorted(set(value), reverse=True) or any(not 1 <= day <= 3650 for day in value):
        raise broken(
            "应为由大到小、不重复的天数，每个 1 至 3650",
            "expected days from large to small, each 1 to 3650, none twice",
        )
    return value


Optional = BeforeValidator(_absent)
"""TOML has no null: `""` means "not set" for a setting that may be absent."""
List = BeforeValidator(_as_tuple)
Listen = Annotated[Address, BeforeValidator(_read_address)]
PeerUrl = Annotated[str, AfterValidator(_origin_only(frozenset({"https"})))]
ConsoleUrl = Annotated[str, AfterValidator(_origin_only(frozenset({"http", "https"})))]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
NodePath = Annotated[Path, BeforeValidator(_read_path)]
WarnDays = Annotated[tuple[int, ...], List, AfterValidator(_falling)]
Code = Annotated[str, matching(r"[1-9][0-9]{5}", "应为六位行政区划代码", "expected a division code of six digits")]
Name = Annotated[
    str,
    matching(
        r"[^\x00-\x1f\x7f]{1,100}",
        "应为 1 至 100 个字符，不含控制字符",
        "expected 1 to 100 characters, no control characters",
    ),
]
NetworkId = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{1,39}",
        "应为小写字母开头的小写字母、数字和连字符，2 至 40 个字符",
        "expected 2 to 40 lower-case letters, digits and hyphens, a letter first",
    ),
]
Digest = Annotated[
    str,
    matching(
        r"[0-9a-f]{64}|[A-Za-z0-9_-]{43}",
        "应为 SHA-256 摘要：64 位小写十六进制，或 43 位 base64url",
        "expected a SHA-256 digest: 64 lower-case hex digits, or 43 characters of base64url",
    ),
]
