"""Processes of one city that are started in another way than `RunningNetwork.start` does."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from node.audit.service import Verification, sign_checkpoint, verify
from node.membership.keyring import read_log_key
from protocol.notes import SignatureType, key_of
from tests.processes.cities import READY_SECONDS, RunningNetwork, eventually

COMMAND_SECONDS = 60


def environment_of(network: RunningNetwork, extra: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **network.environment, **extra}


def serve(
    network: RunningNetwork, code: str, *arguments: str, ready: int = 1, name: str = "", **extra: str
) -> subprocess.Popen[bytes]:
    """Start `tongban serve` of a city with more arguments, and wait until `ready` of its processes say so.

    It is ended with the network, which knows it under `name`, the city's code if none is given.
    """
    home = network.city(code).home
    command = [sys.executable, "-m", "node", "serve", "--home", str(home), "--lang", "en", "--no-console", *arguments]
    before = count_ready(network, code)
    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment_of(network, extra)
        )
    network.processes[name or code] = process

    def all_ready() -> bool:
        assert process.poll() is None, f"{code} ended: {network.output(code)[-1500:]}"
        return count_ready(network, code) >= before + ready

    eventually(all_ready, seconds=READY_SECONDS, what=f"{code} is ready")
    return process


def count_ready(network: RunningNetwork, code: str) -> int:
    """Return how many processes of a city have ever said that they are ready."""
    log = network.city(code).home / "node.log"
    return log.read_text(encoding="utf-8", errors="replace").count(f"ready {code}") if log.exists() else 0


def run(
    network: RunningNetwork, code: str, *arguments: str, stdin: str = "", **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of a city's administrator, and return how it ended and what it said."""
    command = [sys.executable, "-m", "node", "--home", str(network.city(code).home), "--lang", "en", *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        env=environment_of(network, extra),
    )


def run_json(network: RunningNetwork, code: str, *arguments: str) -> tuple[int, Any]:
    """Run a command with `--json`; return its exit code and the object it printed."""
    done = run(network, code, "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def signed_and_verified(network: RunningNetwork, code: str) -> Verification:
    """Sign what is new in a city's log, as its worker would, and verify all of it."""
    node = network.node(code)
    key = read_log_key(network.city(code).home / "certs", network.passphrase(code))
    sign_checkpoint(node.database, node.log, key, now=datetime.now(UTC))
    with node.database.reading() as session:
        return verify(session, node.log, key_of(node.log.origin, SignatureType.ED25519, key))


def rows(network: RunningNetwork, code: str, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return what a city's database answers."""
    with network.node(code).database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]
