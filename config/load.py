"""Read the settings of a node: flag > environment > file > default, and every fault at once.

- file: `tongban.toml` in the node directory, TOML 1.0.
- environment: `TONGBAN_` + section + `__` + key, e.g. `TONGBAN_DATABASE__POOL=20`. A list is written with
  commas: `TONGBAN_CERTS__WARN_DAYS=30,7,1`. A `TONGBAN_` variable that is neither a setting nor one of
  `OUR_VARIABLES` is a fault.
- secrets: only in files, named by a key that ends in `_file`. A secret file that group or others can read
  is a fault; the secret itself is read where it is used (`read_secret`) and is never part of the settings.

`load` only reads: it creates no file and no directory.

    loaded = load(Path("/srv/tongban"), config_file=None, environment=os.environ, overrides={"database.pool": "20"})
    loaded.settings.database.pool        ->  20
    str(loaded.origins["database.pool"]) ->  "flag"
"""

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from config.faults import MISSING, Fault, SettingsInvalid, nearest_of, words_of
from config.settings import FIELDS, Settings, meaning_of

FILE_NAME = "tongban.toml"
PREFIX = "TONGBAN_"
OUR_VARIABLES: Mapping[str, str] = {
    "TONGBAN_HOME": "node directory, like --home",
    "TONGBAN_LANG": "language of the command line, like --lang",
    "TONGBAN_FAILPOINTS": "failpoints of the fault tests",
    "TONGBAN_CHROMIUM": "browser of the browser tests",
}
"""Variables with our prefix that are not settings."""
VARIABLES: Mapping[str, str] = {f"{PREFIX}{key.upper().replace('.', '__')}": key for key in FIELDS}
"""Environment variable -> key of the setting."""
_UNKNOWN = ("未知的设置", "unknown setting")


class Source(StrEnum):
    """Where a value comes from, strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "env"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value comes from; `name` is the file or the variable, `line` counts from 1."""

    source: Source
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.name if self.line is None else f"{self.name}:{self.line}"
        return f"{self.source} {place}" if place else str(self.source)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the origin of each."""

    settings: Settings
    origins: Mapping[str, Origin]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `tongban config explain`. A secret shows only whether it is set."""

    key: str
    value: str
    source: str
    meaning_zh: str
    meaning_en: str
    default: str
    unit: str


@dataclass(frozen=True, slots=True)
class _Given:
    """What one source says: values as written there, and what is wrong already."""

    values: Mapping[str, tuple[object, Origin]]
    faults: tuple[Fault, ...] = ()
    readable: bool = True


def load(
    home: Path, *, config_file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, str]
) -> Loaded:
    """Return the settings of the node in `home`.

    `config_file` replaces `tongban.toml` of the node directory, which may be absent; `overrides` maps keys to
    the text of flags. Cost: one file read, one `stat` per secret file.

    Raises:
        SettingsInvalid: with every fault of every source; no fault repeats a value.
    """
    path = config_file if config_file is not None else home / FILE_NAME
    file = _from_file(path, must_exist=config_file is not None)
    sources = (_from_flags(overrides), _from_environment(environment), file)
    merged: dict[str, tuple[object, Origin]] = {}
    for given in reversed(sources):
        merged.update(given.values)
    faults = [fault for given in sources for fault in given.faults]
    settings, against_rules = _validate(merged, home, required_in=str(path) if file.readable else None)
    faults += against_rules
    bad = {fault.key for fault in against_rules}
    faults += [fault for key in FIELDS if key not in bad for fault in _secret_faults(key, merged, home)]
    if faults or settings is None:
        raise SettingsInvalid(tuple(sorted(faults, key=lambda one: (one.source, one.line or 0, one.key))))
    default = Origin(Source.DEFAULT)
    return Loaded(settings, {key: merged[key][1] if key in merged else default for key in FIELDS})


def explain(loaded: Loaded, key: str | None = None) -> list[Row]:
    """Return one row per setting, or only those of the setting or section `key`.

    Raises:
        SettingsInvalid: there is no such setting or section; the fault names the nearest.
    """
    keys = [one for one in FIELDS if key is None or one == key or one.startswith(f"{key}.")]
    if not keys:
        raise SettingsInvalid((Fault(key or "", "flag", None, *_UNKNOWN, nearest_of(key or "", list(FIELDS))),))
    return [_row(loaded, one) for one in keys]


def read_secret(path: Path) -> bytes:
    """Return the content of a secret file, byte for byte.

    Raises:
        SettingsInvalid: absent, empty, not a plain file, or readable by group or others.
    """
    problem = _secret_problem(path)
    if problem is not None:
        raise SettingsInvalid((Fault("", str(path), None, *problem),))
    return path.read_bytes()


def _from_file(path: Path, *, must_exist: bool) -> _Given:
    problem = ("文件不存在", "no such file")
    try:
        text = path.read_bytes().decode()
        tree = tomllib.loads(text)
    except FileNotFoundError:
        return _Given({}, (Fault("", str(path), None, *problem),), readable=False) if must_exist else _Given({})
    except OSError:
        problem = ("文件无法读取", "the file cannot be read")
    except UnicodeDecodeError:
        problem = ("文件不是 UTF-8 编码", "the file is not UTF-8")
    except tomllib.TOMLDecodeError as fault:
        # Only the place of the message is kept: its words may quote the file.
        found = re.search(r"line (\d+)", str(fault))
        line = int(found[1]) if found else max(1, len(text.splitlines()))
        words = ("不是有效的 TOML", "not valid TOML")
        return _Given({}, (Fault("", str(path), line, *words),), readable=False)
    else:
        return _known(tree, path, _lines(text))
    return _Given({}, (Fault("", str(path), None, *problem),), readable=False)


def _known(tree: Mapping[str, Any], path: Path, lines: Mapping[str, int]) -> _Given:
    values: dict[str, tuple[object, Origin]] = {}
    faults = []
    for key, value in _leaves(tree):
        line = _line_of(key, lines)
        if key in FIELDS:
            values[key] = (value, Origin(Source.FILE, str(path), line))
        else:
            # A quoted key may hold anything; a fault stays one line and cannot steer a terminal.
            shown = "".join(sign if sign.isprintable() else "?" for sign in key)
            faults.append(Fault(shown, str(path), line, *_UNKNOWN, nearest_of(key, list(FIELDS))))
    return _Given(values, tuple(faults))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted key and value; an empty table is a leaf unless it is one of our sections."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and (value or key in Settings.model_fields):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _lines(text: str) -> dict[str, int]:
    """Return the line of each table and key. `tomllib` gives values without places.

    The text is valid TOML already, so only multi-line strings could look like keys; they are skipped.
    """
    found: dict[str, int] = {}
    table, inside = "", False
    for number, line in enumerate(text.splitlines(), start=1):
        fences = line.count('"""') + line.count("'''")
        header = None if inside else re.match(r"\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(#|$)", line)
        pair = None if inside else re.match(r"""\s*([A-Za-z0-9_\-."' ]+?)\s*=""", line)
        if header:
            table = _bare(header[1]) + "."
            found.setdefault(table[:-1], number)
        elif pair:
            found.setdefault(table + _bare(pair[1]), number)
        inside ^= fences % 2 == 1
    return found


def _bare(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _line_of(key: str, lines: Mapping[str, int]) -> int | None:
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key)


def _from_environment(environment: Mapping[str, str]) -> _Given:
    values: dict[str, tuple[object, Origin]] = {}
    faults = []
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in OUR_VARIABLES):
        key = VARIABLES.get(name)
        if key is None:
            nearest = nearest_of(name, [*VARIABLES, *OUR_VARIABLES])
            faults.append(Fault(name, name, None, "未知的环境变量", "unknown variable", nearest))
        else:
            values[key] = (_from_text(environment[name], FIELDS[key].annotation), Origin(Source.ENVIRONMENT, name))
    return _Given(values, tuple(faults))


def _from_flags(overrides: Mapping[str, str]) -> _Given:
    known = {key: text for key, text in overrides.items() if key in FIELDS}
    return _Given(
        {key: (_from_text(text, FIELDS[key].annotation), Origin(Source.FLAG)) for key, text in known.items()},
        tuple(
            Fault(key, Source.FLAG, None, *_UNKNOWN, nearest_of(key, list(FIELDS)))
            for key in overrides
            if key not in known
        ),
    )


def _from_text(text: str, kind: Any) -> object:
    """Return text of a flag or variable as the value TOML would hold; what does not fit stays text and is refused."""
    if get_origin(kind) is Annotated:
        return _from_text(text, get_args(kind)[0])
    if kind is int and re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        return int(text)
    if kind is bool and text.strip() in ("true", "false"):
        return text.strip() == "true"
    if get_origin(kind) is tuple:
        return [_from_text(part.strip(), get_args(kind)[0]) for part in text.split(",")]
    return text


def _validate(
    merged: Mapping[str, tuple[object, Origin]], home: Path, *, required_in: str | None
) -> tuple[Settings | None, list[Fault]]:
    """Return the settings, or what is against the rules. `required_in` None: do not speak of missing keys."""
    tree: dict[str, dict[str, object]] = {section: {} for section in Settings.model_fields}
    for key, (value, _) in merged.items():
        section, _, name = key.partition(".")
        tree[section][name] = value
    try:
        return Settings.model_validate(tree, context={"home": home.absolute()}), []
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
    faults: dict[tuple[str, str], Fault] = {}
    for error in errors:
        key = ".".join(str(part) for part in error["loc"][:2])
        origin = merged[key][1] if key in merged else Origin(Source.DEFAULT)
        zh, en = words_of(error["type"], error.get("ctx", {}))
        place = origin.name or str(origin.source)
        if error["type"] != MISSING:
            faults[key, en] = Fault(key, place, origin.line, zh, en)
        elif required_in is not None:
            faults[key, en] = Fault(key, required_in, None, zh, en)
    return None, list(faults.values())


def _secret_faults(key: str, merged: Mapping[str, tuple[object, Origin]], home: Path) -> list[Fault]:
    value, origin = merged.get(key, (FIELDS[key].default, Origin(Source.DEFAULT)))
    if not meaning_of(key).secret or value in ("", None):
        return []
    problem = _secret_problem(home / str(value))
    return [] if problem is None else [Fault(key, origin.name or str(origin.source), origin.line, *problem)]


def _secret_problem(path: Path) -> tuple[str, str] | None:
    try:
        found = path.stat()
    except OSError:
        return "密钥文件不存在或无法读取", "the secret file is absent or cannot be read"
    if not stat.S_ISREG(found.st_mode):
        return "密钥文件不是普通文件", "the secret file is not a plain file"
    if found.st_mode & 0o077:
        return (
            "密钥文件可被同组或其他用户访问，应为 0600",
            "group or others have access to the secret file: expected mode 0600",
        )
    return ("密钥文件为空", "the secret file is empty") if found.st_size == 0 else None


def _row(loaded: Loaded, key: str) -> Row:
    section, _, name = key.partition(".")
    value = getattr(getattr(loaded.settings, section), name)
    meaning = meaning_of(key)
    field = FIELDS[key]
    shown = ("not set" if value is None else "set") if meaning.secret else _shown(value)
    default = "required" if field.is_required() else _shown(field.default)
    return Row(key, shown, str(loaded.origins[key]), meaning.zh, meaning.en, default, meaning.unit)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
