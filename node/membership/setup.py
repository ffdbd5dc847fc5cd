"""Making a node directory, and joining it to a network (experience (c), `tongban init`).

A node directory holds `tongban.toml`, the keys under `certs/`, the master key of personal data, the
passphrase that encrypts the keys, the database and the join request. Everything is created 0600 or 0700
and nothing is ever overwritten.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.membership import service
from node.membership.managed import City, create_city, join_request
from node.storage.encryption import KEY_BYTES
from node.storage.unit_of_work import Database
from protocol.manifest import Manifest

SETTINGS_FILE: Final = "tongban.toml"
STORAGE_KEY: Final = "storage.key"
PASSPHRASE: Final = "certs.passphrase"  # noqa: S105 - the name of a file
JOIN_FILE: Final = "join-request.txt"


class NotEmpty(Exception):
    """The directory holds a node, or something else, already."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What `init` asks."""

    member: str
    name_zh: str
    name_en: str
    network: str
    peer_url: str
    peer_listen: str
    console_listen: str
    database_url: str
    managed: bool
    checkpoint_seconds: int = 10


def make_home(home: Path, answers: Answers, *, random: Callable[[int], bytes], now: datetime) -> str | None:
    """Create a node directory; return the join request, or None while the offline CA has not answered.

    Raises:
        NotEmpty: the directory is not empty.
        CertsFault: a key or certificate cannot be made.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(home.iterdir()):
        raise NotEmpty(str(home))
    home.chmod(0o700)
    for name in ("data", "certs", "attachments", "backups"):
        (home / name).mkdir(mode=0o700)
    passphrase = random(24).hex().encode()
    _write_secret(home / PASSPHRASE, passphrase)
    _write_secret(home / STORAGE_KEY, random(KEY_BYTES))
    names = (answers.name_zh, answers.name_en)
    city = city_of(answers.network, answers.member, names, answers.peer_url, passphrase)
    create_city(home / "certs", city, managed=answers.managed, now=now)
    _write_new(home / SETTINGS_FILE, settings_text(answers), 0o600)
    if not answers.managed:
        return None
    request = join_request(home / "certs", city)
    _write_new(home / JOIN_FILE, request, 0o644)
    return request


def city_of(network: str, member: str, names: tuple[str, str], peer_url: str, passphrase: bytes | None) -> City:
    """Return the city as the CA tool needs it: names in zh and en; the TLS name is the host of the peer URL."""
    return City(
        network=network,
        member=member,
        name_zh=names[0],
        name_en=names[1],
        endpoint=peer_url,
        hosts=(urlsplit(peer_url).hostname or "",),
        passphrase=passphrase,
    )


def settings_text(answers: Answers) -> str:
    """Return the settings file: what was answered, and where the secrets lie; all else is default."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return f"""# tongban config explain  shows every setting, its meaning and where its value comes from.
[member]
code = {quoted(answers.member)}
name_zh = {quoted(answers.name_zh)}
name_en = {quoted(answers.name_en)}
network = {quoted(answers.network)}
genesis = ""

[peer]
listen = {quoted(answers.peer_listen)}
public_url = {quoted(answers.peer_url)}

[console]
listen = {quoted(answers.console_listen)}

[database]
url = {quoted(answers.database_url)}

[log]
checkpoint_seconds = {answers.checkpoint_seconds}

[storage]
key_file = "{STORAGE_KEY}"

[certs]
mode = "{"managed" if answers.managed else "external"}"
passphrase_file = "{PASSPHRASE}"
"""


def join_network(home: Path, database: Database, manifest: bytes, digest: str, *, now: datetime) -> Manifest:
    """Bring the genesis manifest into force, and note its digest in the settings file.

    Raises:
        ManifestRefused: not the genesis with that digest, signed by all founders.
    """
    founded = database.write(lambda transaction: service.found_network(transaction, manifest, digest=digest, now=now))
    path = home / SETTINGS_FILE
    text = path.read_text(encoding="utf-8").replace('genesis = ""', f'genesis = "{digest}"', 1)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    _write_new(temporary, text, 0o600)
    os.replace(temporary, path)
    return founded


def _write_secret(path: Path, data: bytes) -> None:
    _write_new(path, data, 0o600)


def _write_new(path: Path, data: bytes | str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
