"""A node directory as `tongban init` leaves it, for the tests of this folder."""

from collections.abc import Mapping
from pathlib import Path

from config.faults import Fault, SettingsInvalid
from config.load import Loaded, load

MINIMAL = """\
[member]
code = "450400"
name_zh = "梧州市"
name_en = "Wuzhou"
network = "yizhangwang"

[peer]
public_url = "https://gateway.example:8443"
"""


def make_node(home: Path, text: str = MINIMAL) -> Path:
    """Write a configuration and a storage key of mode 0600; return the node directory."""
    (home / "tongban.toml").write_text(text, encoding="utf-8")
    key = home / "storage.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    return home


def read(home: Path, environment: Mapping[str, str] | None = None, **overrides: str) -> Loaded:
    """Load the node; a keyword `limits__pool` stands for the flag of `limits.pool`."""
    flags = {name.replace("__", "."): text for name, text in overrides.items()}
    return load(home, config_file=None, environment=environment or {}, overrides=flags)


def faults_of(home: Path, environment: Mapping[str, str] | None = None, **overrides: str) -> tuple[Fault, ...]:
    """Return what is wrong with the node's configuration."""
    try:
        read(home, environment, **overrides)
    except SettingsInvalid as invalid:
        return invalid.faults
    return ()
