"""The built-in registry as a connector: one indexed row per person and kind, decrypted on demand."""

import json
from collections.abc import Sequence
from typing import Any

from node.records import store
from node.records.connectors import AheadOf, Connector, Found
from node.storage.encryption import Vault
from node.storage.unit_of_work import Ahead, Reading
from protocol.identifiers import normalise_name
from protocol.messages import RecordKind, Subject


def context_of(subject: bytes, kind: RecordKind) -> bytes:
    """Return what a record's ciphertext is bound to."""
    return b"registry:" + kind.value.encode() + b":" + subject


def format_content(name: str, lines: Sequence[dict[str, Any]]) -> bytes:
    """Return the content of a record before encryption."""
    return json.dumps({"name": name, "lines": list(lines)}, ensure_ascii=False, separators=(",", ":")).encode()


def builtin_ahead(vault: Vault) -> AheadOf:
    """Return what names the row that the connector will look up."""

    def ahead(subject: Subject, kind: RecordKind) -> Ahead:
        index = vault.blind_index(subject.id_type, subject.id_number)
        return [(store.RECORD, store.record_key(index, kind.value))]

    return ahead


def builtin_registry(vault: Vault) -> Connector:
    """Return the connector that reads the registry of this node."""

    def find(reading: Reading, subject: Subject, kind: RecordKind) -> Found | None:
        index = vault.blind_index(subject.id_type, subject.id_number)
        row = reading.find(store.RECORD, store.record_key(index, kind.value))
        if row is None:
            return None
        content = json.loads(vault.decrypt(row[0], context_of(index, kind)))
        if normalise_name(subject.name) != content["name"]:
            return None
        return Found(lines=content["lines"], as_of=row[1])

    return find
