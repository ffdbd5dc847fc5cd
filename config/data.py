"""The shared documents that come with the software: item catalogue, calendars, demo network, demo release policy.

A document is known between cities by the SHA-256 of its bytes (protocol §3), so `…_bytes` give the file exactly
as it is stored and `read_…` the parsed JSON. In force is what the network's manifest names, not what lies here.
"""

import json
from importlib.resources import files
from typing import Any


def catalogue_bytes() -> bytes:
    """Return the catalogue of the 18 items, byte for byte."""
    return _document("catalogue", "items.json")


def calendar_bytes() -> dict[int, bytes]:
    """Return the working-day calendars, byte for byte, by year in ascending order."""
    names = sorted(
        entry.name for entry in files("config").joinpath("calendars").iterdir() if entry.name.endswith(".json")
    )
    return {int(name.removesuffix(".json")): _document("calendars", name) for name in names}


def procedures_bytes() -> bytes:
    """Return the pack of procedures, byte for byte."""
    return _document("policy", "procedures.json")


def amounts_bytes() -> bytes:
    """Return the rules of amounts, ages and places, byte for byte."""
    return _document("policy", "amounts.json")


def demo_policy_bytes() -> bytes:
    """Return the release policy of the demo, byte for byte."""
    return _document("policy", "demo-release.json")


def read_catalogue() -> dict[str, Any]:
    """Return the catalogue: `items`, `blocks`, `materials`, and the lists they refer to."""
    return _parsed(catalogue_bytes())


def read_calendars() -> dict[int, dict[str, Any]]:
    """Return the calendars by year.

    A date in `work` is a working day; else one in `off` is not; else Monday to Friday are.
    """
    return {year: _parsed(content) for year, content in calendar_bytes().items()}


def procedure_events() -> dict[str, tuple[str, str]]:
    """Return the events of all procedures, each with its names in Chinese and English."""
    procedures = _parsed(procedures_bytes())["procedures"].values()
    rows = [row for procedure in procedures for row in procedure["transitions"]]
    return {row["event"]: (row["zh"], row["en"]) for row in reversed(rows)}


def read_demo_network() -> dict[str, Any]:
    """Return the sample network: `network`, names, 16 `members` of `division`, `name_zh`, `name_en`, …"""
    return _parsed(_document("demo", "network.json"))


def read_demo_lumpsum() -> dict[str, Any]:
    """Return the demo's case: `item`, `to` and an `application`; `{{CODE}}` stands for the digest of a file."""
    return _parsed(_document("demo", "lumpsum.json"))


def read_demo_policy() -> dict[str, Any]:
    """Return the demo's release policy: `rules`, each `{peer, item, record, fields}`; what no rule names is denied."""
    return _parsed(demo_policy_bytes())


def _document(*place: str) -> bytes:
    return files("config").joinpath(*place).read_bytes()


def _parsed(content: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(content)
    return document
