"""A network of cities on this machine: directories, keys, genesis, people, processes (experience B.2).

Everything is made as a system administrator would make it, by the same functions: a node directory per
city, a join request each, a genesis manifest signed by all, a registry filled by import. Every run has
its own network id, keys and certificates; nothing is shared between runs or shipped.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.membership.founding import draft_genesis
from node.membership.managed import governance_key
from node.membership.setup import PASSPHRASE, Answers, join_network, make_home
from node.records.filling import Filling, check_file, fill_from_file
from node.records.service import set_release_rules
from node.simulation.people import people, write_csv
from node.storage.schema import upgrade
from node.terminal import Opening
from protocol.joining import parse_join_request
from protocol.manifest import NetworkPolicy, digest_of, sign

PEER_OFFSET: Final = 440
READY_SECONDS: Final = 30
DEMO_MARK: Final = "demo.json"


class PortsBusy(Exception):
    """No free range of ports was found."""


class CityFailed(Exception):
    """A city's process did not become ready; the text is the end of its log."""


@dataclass(frozen=True, slots=True)
class DemoCity:
    """One city of the demo."""

    code: str
    name_zh: str
    name_en: str
    home: Path
    console_port: int
    peer_port: int

    @property
    def endpoint(self) -> str:
        """Return the peer endpoint."""
        return f"https://127.0.0.1:{self.peer_port}"


@dataclass(slots=True)
class DemoNetwork:
    """The cities, and the processes that run."""

    cities: tuple[DemoCity, ...]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, code: str, *, console: bool = True) -> None:
        """Start one city's process; `wait` tells when it is ready."""
        city = self.city(code)
        command = [sys.executable, "-m", "node", "serve", "--home", str(city.home), "--lang", "en"]
        log = (city.home / "node.log").open("ab")
        self.processes[code] = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [*command, *([] if console else ["--no-console"])], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        log.close()

    def wait(self, code: str) -> None:
        """Wait until a city says that it is ready.

        Raises:
            CityFailed: it ended, or was not ready within 30 s.
        """
        city, process = self.city(code), self.processes[code]
        ready = f"ready {code}".encode()
        started = (city.home / "node.log").read_bytes().count(ready)
        for _ in range(READY_SECONDS * 50):
            text = (city.home / "node.log").read_bytes()
            if text.count(ready) > started or (started and _answers(city.peer_port)):
                return
            if process.poll() is not None:
                raise CityFailed(text.decode(errors="replace")[-800:])
            time.sleep(0.02)
        raise CityFailed(f"{code} was not ready within {READY_SECONDS} s")

    def stop(self, code: str) -> None:
        """Stop one city and wait for its end."""
        process = self.processes.pop(code, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)

    def stop_all(self) -> None:
        """Stop every city: all are told first, then waited for."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for code in list(self.processes):
            self.stop(code)

    def city(self, code: str) -> DemoCity:
        """Return a city by its code."""
        return next(one for one in self.cities if one.code == code)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_base(wanted: int, count: int) -> int:
    """Return the first base, in steps of 100, whose ports are all free.

    Raises:
        PortsBusy: none up to 60000.
    """
    for base in range(wanted, 60_000, 100):
        ports = [base + i for i in range(1, count + 1)] + [base + PEER_OFFSET + i for i in range(1, count + 1)]
        if not any(_taken(port) for port in ports):
            return base
    raise PortsBusy(str(wanted))


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def make_network(
    root: Path, members: Sequence[dict[str, Any]], base: int, *, network: str, opening: Opening, database: str = ""
) -> tuple[DemoCity, ...]:
    """Make node directories, found the network, and let every city join. `database`: URL pattern with `{code}`."""
    cities = tuple(
        DemoCity(
            code=one["division"],
            name_zh=one["name_zh"],
            name_en=one["name_en"],
            home=root / one["division"],
            console_port=base + number,
            peer_port=base + PEER_OFFSET + number,
        )
        for number, one in enumerate(members, start=1)
    )
    now = opening.now()
    requests = [
        make_home(city.home, _answers_of(city, network, database), random=os.urandom, now=now) for city in cities
    ]
    parsed = [parse_join_request(request or "") for request in requests]
    policy = NetworkPolicy(loopback_endpoints=True)
    genesis = draft_genesis(parsed, memorandum="演示 demo", documents=opening.documents(), policy=policy, now=now)
    for city in cities:
        passphrase = (city.home / PASSPHRASE).read_bytes()
        genesis = sign(genesis, governance_key(city.home / "certs" / "governance.key", passphrase))
    (root / "manifest.json").write_bytes(genesis)
    for city in cities:
        here = opening.at(city.home)
        upgrade(here.engine())
        join_network(city.home, here.node().database, genesis, digest_of(genesis), now=now)
        (city.home / DEMO_MARK).write_text(json.dumps({"network": network, "profile": "demo"}), encoding="utf-8")
    return cities


def _answers_of(city: DemoCity, network: str, database: str) -> Answers:
    return Answers(
        member=city.code,
        name_zh=city.name_zh,
        name_en=city.name_en,
        network=network,
        peer_url=city.endpoint,
        peer_listen=f"127.0.0.1:{city.peer_port}",
        console_listen=f"127.0.0.1:{city.console_port}",
        database_url=database.format(code=city.code) or "sqlite:///data/tongban.db",
        managed=True,
        checkpoint_seconds=1,
    )


def fill_registries(
    cities: Sequence[DemoCity], opening: Opening, *, seed: int, count: int, progress: Callable[[str, int], None]
) -> None:
    """Fill each city's registry with synthetic people, by the same import that a city uses; two at a time."""
    codes = [city.code for city in cities]
    with ProcessPoolExecutor(max_workers=min(len(codes), os.cpu_count() or 1)) as pool:
        written = [pool.submit(_write_people, city.home, city.code, codes, seed, count) for city in cities]
        for city, files in zip(cities, written, strict=True):
            files.result()
            progress(city.code, import_people(city.home, opening))


def _write_people(home: Path, code: str, codes: Sequence[str], seed: int, count: int) -> None:
    folder = home / "data" / "import"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_csv(folder, people(code, seed, count, cities=codes))


def import_people(home: Path, opening: Opening) -> int:
    """Import what `write_csv` left in a city's import folder, and delete it; return the number of lines."""
    here = opening.at(home)
    node, lines = here.node(), 0
    for path in sorted((home / "data" / "import").iterdir()):
        checked = check_file(path, None, now=here.now())
        if checked.error_count:
            raise ValueError(f"{path.name}: {checked.error_count} cells are wrong")
        filling = Filling(node.database, node.vault, here.new_id(), here.actor(), here.now())
        lines += fill_from_file(filling, path, None)
        path.unlink()
    return lines


def set_demo_policy(cities: Sequence[DemoCity], opening: Opening, rules: Sequence[dict[str, Any]]) -> None:
    """Give every city the demo's release rules."""
    for city in cities:
        here = opening.at(city.home)
        node = here.node()
        node.database.write(
            lambda tx, node=node, here=here: set_release_rules(
                tx, rules, items=node.items, actor=here.actor(), now=here.now()
            )
        )
