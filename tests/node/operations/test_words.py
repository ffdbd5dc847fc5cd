"""The words of a diagnosis: every line there is, in both languages, with next steps that exist."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main

from node.__main__ import command_line
from node.operations import checks
from node.operations.checks import Check, LogSeen, SchemaSeen, State
from node.operations.reaching import check_resting
from node.storage.unit_of_work import Database
from node.terminal import Terminal
from protocol.errors import CertificateExpired, every_refusal
from protocol.manifest import Status
from tests.networks import TestNetwork, make_network
from tests.node.operations.nodes import GIB, Joined, away, healthy, other_log_key, saying

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
OURS, PEER, THIRD = "442000", "450400", "440900"
DAYS = timedelta(days=1)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
KNOWN = {
    "settings": "ok fail",
    "database": "ok fail",
    "disk.data": "ok warn fail",
    "files": "ok fail off",
    "manifest": "ok warn fail off",
    "certificates": "fail",
    "certificates.tls": "ok warn fail",
    "certificates.message": "ok warn fail",
    "certificates.crl": "ok warn fail off",
    "certificates.log": "ok fail",
    "log": "ok warn fail off",
    "clock": "ok warn fail off",
    "peers": "fail off",
    "peers.CODE": "ok fail off",
    "peers.CODE.certificate": "warn fail",
    "peers.CODE.crl": "warn fail",
    "peers.CODE.manifest": "warn",
    "peers.CODE.clock": "warn fail",
}


def pure_lines(network: TestNetwork) -> list[Check]:
    """Return the lines that need no node."""
    patience, suspended = timedelta(minutes=1), network.with_status(OURS, Status.SUSPENDED).manifest
    return [
        checks.check_settings(("错", "wrong"), Path("/")),
        checks.check_database(None, "OperationalError"),
        checks.check_database(SchemaSeen(3.0, None, "0001", ("0001",)), ""),
        *(checks.check_disk("data", free=100 - used, used=used, reserve=0) for used in (10, 90, 96)),
        checks.check_disk("data", free=1, used=1, reserve=GIB),
        checks.check_files({}),
        checks.check_files({"certs/tls.key": 0o644}),
        checks.check_manifest(None, OURS, NOW),
        checks.check_manifest(suspended, OURS, NOW),
        *(checks.check_log(LogSeen(*each), patience=patience, now=NOW)
          for each in ((0, 0, None, None), (9, 9, NOW, None), (9, 8, NOW, NOW - DAYS), (5, 8, NOW, None))),
        *(checks.check_clock(off, peers=count, warn=30, skew=300)
          for count in (1, 2) for off in (None, 1.0, 31.0, -301.0)),
    ]  # fmt: skip


def lines_of_a_node(node: Joined) -> list[Check]:
    """Return the lines of one node through good and bad days."""

    def broken() -> Any:
        raise OSError(5, "Input/output error")

    found: list[Check] = []
    for later in (0, 8, 15, 61, 91, 130, 185, 310, 366):
        node.now = NOW + later * DAYS
        found += node.diagnose().values()
    node.now = NOW
    answers = [away(word) for word in ("unreachable", "timeout", "tls", "refused-address", "too-large")]
    answers += [away("tls", CertificateExpired()), healthy(manifest=2), healthy(manifest=0)]
    answers += [healthy(ahead=90), healthy(ahead=900), saying(500, b"{}"), saying(403, b'{"slug":"x","status":403}')]
    answers += [saying(403, b'{"slug":"not-a-member","status":403}')]
    for answer in answers:
        found += node.diagnose("peers", peers={PEER: answer}).values()
    found += [*node.diagnose(node=broken).values(), *node.diagnose(keys=broken).values()]
    found += [*node.diagnose(disk=lambda path: broken()).values(), *node.diagnose(peer="110100").values()]
    node.keys.log, node.keys.crl = other_log_key(), b""
    return [*found, *node.diagnose("certificates").values()]


@pytest.fixture
def lines(
    sqlite_url: str, open_database: Callable[..., Database], tmp_path: Path
) -> dict[tuple[str, State], list[Check]]:
    """Every line there is, by name and state."""
    network = make_network([OURS, PEER, THIRD], NOW)
    node = Joined(network, open_database(sqlite_url), tmp_path)
    every = [*pure_lines(network), *lines_of_a_node(node.join()), *lines_of_a_suspended_peer(network)]
    found: dict[tuple[str, State], list[Check]] = {}
    for one in every:
        found.setdefault((re.sub(r"\d{6}", "CODE", one.name), one.state), []).append(one)
    return found


def lines_of_a_suspended_peer(network: TestNetwork) -> list[Check]:
    return [check_resting(network.manifest.members[PEER])]


def test_the_words_of_every_line(lines: dict[tuple[str, State], list[Check]]) -> None:
    every_check_is_met_in_every_state(lines)
    for (name, state), many in lines.items():
        for one in many:
            line_speaks_both_languages(f"{name} {state.value}", one)
    the_commands_of_every_next_step_exist([one for many in lines.values() for one in many])


def every_check_is_met_in_every_state(lines: dict[tuple[str, State], list[Check]]) -> None:
    """No state is left out here, and none is met that `KNOWN` does not name."""
    assert {f"{name} {state.value}" for name, state in lines} == {
        f"{name} {state}" for name, each in KNOWN.items() for state in each.split()
    }


def line_speaks_both_languages(name: str, one: Check) -> None:
    """A bad line has cause, effect and next step; every text is there in Chinese and in English."""
    said = [one.title]
    if one.state in (State.WARN, State.FAIL):
        said += [one.cause, one.effect, one.next]
    for zh, en in said:
        assert "" not in (zh, en), f"{name}: {one}"
        assert not CHINESE.search(en), f"{name} is not English: {en}"
    assert CHINESE.search(one.title[0]), f"{name}: {one.title[0]}"


def the_commands_of_every_next_step_exist(lines: list[Check]) -> None:
    """Each `tongban …` of a next step is a command of this program, its options too.

    What a refusal of the protocol says itself is left out: that table names commands of later versions too.
    """
    root: Any = typer.main.get_command(command_line(Terminal()))
    refusals = {(one.next_zh, one.next_en) for one in every_refusal()}
    own = [said for one in lines if one.next not in refusals for said in one.next]
    steps = {found for said in own for found in re.findall(r"tongban[ a-zA-Z-]+", said)}
    assert len(steps) >= 10
    for step in steps:
        command_exists(root, step)


def command_exists(root: Any, step: str) -> None:
    command = root
    for word in step.split()[1:]:
        if word.startswith("--"):
            assert word in {name for one in command.params for name in one.opts}, f"{step}: no {word}"
        elif getattr(command, "commands", None):
            assert word in command.commands, f"{step}: no {word}"
            command = command.commands[word]
