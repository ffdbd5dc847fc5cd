"""One test per line of the house's rules "Who may know whom", over every module there is."""

from collections.abc import Callable

import pytest

from tests.architecture import knowing, shape
from tests.architecture.sources import PACKAGES, Source, imports_of, planted, read_sources

Rule = Callable[[Source], list[str]]

OVER_THE_PRODUCT: list[Rule] = [
    knowing.protocol_is_pure,
    knowing.packages_keep_their_order,
    knowing.only_roots_read_config,
    knowing.nothing_lives_in_modules,
    knowing.one_importer_each,
    knowing.rooms_call_services_downward,
    knowing.doors_are_thin,
    knowing.callers_own_the_transaction,
    shape.tables_say_how_they_shard,
]
OVER_EVERYTHING: list[Rule] = [
    knowing.benchmarks_stand_outside,
    shape.functions_are_short,
    shape.modules_are_short,
    shape.nesting_is_shallow,
    shape.names_say_something,
    shape.nothing_is_left_for_later,
]


@pytest.mark.parametrize("rule", OVER_THE_PRODUCT, ids=lambda rule: rule.__name__)
@pytest.mark.threat("T20")
def test_every_module_of_the_product_obeys(rule: Rule) -> None:
    faults = [fault for source in read_sources(*PACKAGES) for fault in rule(source)]
    assert not faults, f"{rule.__doc__}\n" + "\n".join(faults)


@pytest.mark.parametrize("rule", OVER_EVERYTHING, ids=lambda rule: rule.__name__)
def test_every_module_of_the_repository_obeys(rule: Rule) -> None:
    faults = [fault for source in read_sources(*PACKAGES, "tests", "bench") for fault in rule(source)]
    assert not faults, f"{rule.__doc__}\n" + "\n".join(faults)


@pytest.mark.threat("T20")
def test_exactly_one_module_of_the_node_reaches_the_certificate_authority() -> None:
    importers = {s.path for s in read_sources("node") for one in imports_of(s) if one.root == "certs"}
    assert importers == {knowing.CERTS_DOOR}


def test_every_folder_of_the_node_is_placed() -> None:
    rooms = {source.room for source in read_sources("node")} - {""}
    assert rooms <= {*knowing.ROOMS, *knowing.FLOOR, "simulation", "sdk"}


def test_the_rules_see_the_whole_product() -> None:
    seen = {source.package for source in read_sources(*PACKAGES)}
    assert seen == set(PACKAGES)


BAD: list[tuple[Rule, str, str]] = [
    (knowing.protocol_is_pure, "protocol/log.py", "import time"),
    (knowing.protocol_is_pure, "protocol/log.py", "def f():\n    import logging"),
    (knowing.protocol_is_pure, "protocol/log.py", "from os import urandom"),
    (knowing.protocol_is_pure, "protocol/log.py", "from urllib.request import urlopen"),
    (knowing.protocol_is_pure, "protocol/log.py", "import sqlmodel"),
    (knowing.protocol_is_pure, "protocol/log.py", "from config.settings import Settings"),
    (knowing.protocol_is_pure, "protocol/log.py", "from ..node import app"),
    (knowing.protocol_is_pure, "protocol/log.py", "from datetime import datetime\nx = datetime.now()"),
    (knowing.protocol_is_pure, "protocol/log.py", "key = Ed25519PrivateKey.generate()"),
    (knowing.protocol_is_pure, "protocol/log.py", "x = open('clock')"),
    (knowing.packages_keep_their_order, "certs/ca.py", "from node.storage import engine"),
    (knowing.packages_keep_their_order, "certs/ca.py", "import typer"),
    (knowing.packages_keep_their_order, "config/load.py", "from protocol.errors import Refusal"),
    (knowing.packages_keep_their_order, "config/load.py", "import httpx"),
    (knowing.packages_keep_their_order, "node/app.py", "from certs.ca import issue"),
    (knowing.packages_keep_their_order, "node/app.py", "from tests.federation import city"),
    (knowing.packages_keep_their_order, "node/simulation/bench.py", "from bench.measuring import main"),
    (knowing.benchmarks_stand_outside, "bench/stage.py", "from config.load import load"),
    (knowing.benchmarks_stand_outside, "bench/stage.py", "from tests.making import a_person"),
    (knowing.only_roots_read_config, "node/audit/service.py", "from config.settings import Settings"),
    (knowing.only_roots_read_config, "node/audit/service.py", "def f():\n    import config.load"),
    (knowing.nothing_lives_in_modules, "node/storage/engine.py", "engine = create_engine('sqlite://')"),
    (knowing.nothing_lives_in_modules, "node/transport/client.py", "if True:\n    c = httpx.AsyncClient()"),
    (knowing.nothing_lives_in_modules, "node/app.py", "from config.load import load\nsettings = load()"),
    (knowing.one_importer_each, "node/records/service.py", "import httpx"),
    (knowing.one_importer_each, "node/records/service.py", "from fastapi import Request"),
    (knowing.one_importer_each, "node/records/service.py", "from sqlmodel import Session, select"),
    (knowing.one_importer_each, "node/records/peer.py", "from sqlalchemy import text"),
    (knowing.one_importer_each, "node/app.py", "from apscheduler.schedulers.asyncio import AsyncIOScheduler"),
    (knowing.one_importer_each, "protocol/envelope.py", "import jwt"),
    (knowing.rooms_call_services_downward, "node/audit/service.py", "from node.records import service"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from node.cases.service import open_case"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from node.audit.store import append"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from node.audit import tables"),
    (knowing.rooms_call_services_downward, "node/storage/engine.py", "from node.audit import service"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from node.app import build"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from ..cases import service"),
    (knowing.doors_are_thin, "node/records/api.py", "from node.records.store import find"),
    (knowing.doors_are_thin, "node/records/api.py", "from node.audit.service import append"),
    (
        knowing.doors_are_thin,
        "node/records/peer.py",
        "from protocol.errors import PolicyDenied\ndef f():\n    raise PolicyDenied('no')",
    ),
    (knowing.callers_own_the_transaction, "node/records/store.py", "def f(session):\n    session.commit()"),
    (knowing.callers_own_the_transaction, "node/records/service.py", "def f(unit):\n    unit.session.commit()"),
    (shape.functions_are_short, "node/app.py", "def f():\n" + "    x = 1\n" * 40),
    (shape.modules_are_short, "node/app.py", "x = 1\n" * 401),
    (
        shape.nesting_is_shallow,
        "node/app.py",
        "def f():\n for a in b:\n  if a:\n   with a:\n    try:\n     pass\n    finally:\n     pass",
    ),
    (shape.tables_say_how_they_shard, "node/audit/tables.py", "class Entry(SQLModel, table=True):\n    index: int"),
    (
        shape.tables_say_how_they_shard,
        "node/audit/tables.py",
        "class Entry(SQLModel, table=True):\n    __shard__ = 'not needed'\n    index: int",
    ),
    (
        shape.tables_say_how_they_shard,
        "node/exchange/tables.py",
        "class Seen(SQLModel, table=True):\n    __shard__ = 'from the message id'\n"
        "    iss: str = Field(primary_key=True)\n    shard_key: int = Field(primary_key=True)",
    ),
    (shape.names_say_something, "node/audit/utils.py", ""),
    (shape.nothing_is_left_for_later, "node/app.py", "x = 1  # " + "TO" + "DO later"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found(rule: Rule, path: str, text: str) -> None:
    assert rule(planted(path, text)), f"{rule.__name__} did not see it:\n{text}"


GOOD: list[tuple[Rule, str, str]] = [
    (
        knowing.benchmarks_stand_outside,
        "bench/stage.py",
        "from tests.databases import running_postgresql\nimport httpx",
    ),
    (knowing.protocol_is_pure, "protocol/suites.py", "import jwt\nfrom urllib.parse import quote\nimport hashlib"),
    (knowing.packages_keep_their_order, knowing.CERTS_DOOR, "from certs.issue import issue"),
    (knowing.packages_keep_their_order, "certs/commands.py", "import typer\nfrom protocol.errors import Refusal"),
    (knowing.only_roots_read_config, "node/worker.py", "from config.load import load"),
    (knowing.nothing_lives_in_modules, "node/app.py", "def build():\n    return FastAPI()"),
    (knowing.one_importer_each, "node/records/service.py", "from sqlmodel import Session"),
    (knowing.rooms_call_services_downward, "node/records/service.py", "from node.audit import service"),
    (knowing.rooms_call_services_downward, "node/records/store.py", "from node.storage.columns import UtcDateTime"),
    (knowing.doors_are_thin, "node/records/api.py", "from node.records import service"),
    (knowing.callers_own_the_transaction, "node/storage/unit.py", "def f(session):\n    session.commit()"),
    (shape.functions_are_short, "node/app.py", "def f():\n    '''" + "text\n" * 60 + "    '''\n" + "    x = 1\n" * 39),
    (
        shape.nesting_is_shallow,
        "node/app.py",
        "def f(a):\n if a:\n  pass\n elif a:\n  pass\n elif a:\n  pass\n else:\n  pass",
    ),
    (
        shape.tables_say_how_they_shard,
        "node/audit/tables.py",
        "class Entry(SQLModel, table=True):\n    __shard__ = 'one log per node, one sequence'\n    index: int",
    ),
]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_allowed_passes(rule: Rule, path: str, text: str) -> None:
    assert rule(planted(path, text)) == []
