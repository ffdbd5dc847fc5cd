"""Batches by commands and by the local interface: template, check, run, status, report, and what is refused."""

import http.client
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from node.batches.reading import LIMITS
from node.simulation.batches import batch_of
from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from tests.cli.test_cases import OURS, THEIRS, Cities
from tests.node.batches.cities import ITEM, LAYOUT, a_file, changed, good_rows
from tests.processes.cities import QuietOpening, eventually

CLERK = "clerk-450400:clerk"
BATCH = ("case", "batch")


@pytest.fixture(scope="module")
def cities() -> Iterator[Cities]:
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (OURS, THEIRS)]
    root = new_root()
    network = DemoNetwork(make_network(root, members, free_base(30_000, 2), network="cli-batches", opening=opening))
    try:
        for city in network.cities:
            network.start(city.code)
        for city in network.cities:
            network.wait(city.code)
        yield Cities(network, root)
    finally:
        network.stop_all()
        opening.close()
        shutil.rmtree(root, ignore_errors=True)


def a_batch(cities: Cities, name: str, content: bytes) -> str:
    path = cities.root / name
    path.write_bytes(content)
    return str(path)


def post(cities: Cities, content: bytes, query: str, *, token: str | None = None) -> tuple[int, dict[str, Any]]:
    """Hand a file in at the local interface of our city."""
    city = cities.network.city(OURS)
    known = token or (city.home / "data" / "api.token").read_text().strip()
    headers = {"authorization": f"Bearer {known}", "tongban-account": CLERK}
    connection = http.client.HTTPConnection("127.0.0.1", city.console_port, timeout=20)
    try:
        connection.request("POST", f"/api/v1/batches?{query}", content, headers)
        answered = connection.getresponse()
        return answered.status, json.loads(answered.read())
    finally:
        connection.close()


def test_a_template_is_written_and_is_a_batch_without_rows(cities: Cities) -> None:
    out = cities.root / "template.xlsx"
    told = cities.tongban(OURS, CLERK, "case", "template", ITEM, "--out", str(out))
    assert told["next"] == f"tongban case batch {out} --item {ITEM} --dry-run"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    refused = cities.tongban(OURS, CLERK, *BATCH, str(out), "--item", ITEM, exit_code=1)
    assert (refused["data"]["state"], refused["data"]["faults"][0]["rule"]) == ("refused", "no_rows")
    gone = cities.tongban(OURS, CLERK, "case", "template", "NO-SUCH", "--out", str(out), exit_code=1)
    assert gone["refusal"]["slug"] == "unknown-item"


def test_faulty_cells_are_told_and_a_mended_file_opens_the_rest(cities: Cities) -> None:
    rows = good_rows(4, seed=3)
    wrong = [rows[0], changed(rows[1], months_total="many"), *rows[2:]]
    file = a_batch(cities, "wrong.xlsx", a_file(wrong))
    report = cities.root / "report.json"
    checked = cities.tongban(OURS, CLERK, *BATCH, file, "--item", ITEM, "--dry-run", exit_code=1)
    assert (checked["data"]["opened"], checked["data"]["faulty"]) == (0, 1)
    told = cities.tongban(OURS, CLERK, *BATCH, file, "--item", ITEM, "--report", str(report), exit_code=1)
    assert (told["data"]["opened"], told["data"]["faulty"]) == (3, 1)
    (fault,) = told["data"]["shown"][0]["faults"]
    assert (fault["field"], fault["rule"]) == ("months_total", "integer")
    assert "many" not in report.read_text("utf-8")
    assert [bool(one["number"]) for one in json.loads(report.read_text("utf-8"))["report"]] == [True, False, True, True]
    mended = a_batch(cities, "mended.xlsx", a_file(rows))
    book = cities.root / "report.xlsx"
    told = cities.tongban(OURS, CLERK, *BATCH, mended, "--item", ITEM, "--report", str(book))
    assert (told["data"]["opened"], told["data"]["earlier"]) == (4, 3)
    with zipfile.ZipFile(book) as archive:
        assert fault["cell"] not in archive.read("xl/sharedStrings.xml").decode()
    listed = cities.tongban(OURS, CLERK, "case", "list", "--limit", "100")["data"]["cases"]
    numbers = {one["number"] for one in json.loads(report.read_text("utf-8"))["report"] if one["number"]}
    assert numbers < {one["number"] for one in listed}
    status = cities.tongban(OURS, CLERK, "case", "batch-status")["data"]["batches"]
    assert {"done", "refused"} >= {one["state"] for one in status}
    again = cities.tongban(OURS, CLERK, "case", "batch-status", told["data"]["id"])["data"]["batches"]
    assert again[0]["opened"] == 4


def test_what_the_command_line_refuses(cities: Cities) -> None:
    file = a_batch(cities, "big.xlsx", b"PK" + bytes(LIMITS.max_workbook_bytes))
    told = cities.tongban(OURS, CLERK, *BATCH, file, "--item", ITEM, exit_code=1)
    assert told["refusal"]["slug"] == "too-large"
    told = cities.tongban(OURS, CLERK, "case", "batch-status", "0" * 32, exit_code=1)
    assert told["refusal"]["slug"] == "not-found"


def test_a_file_at_the_local_interface_is_run_by_the_serving_process(cities: Cities) -> None:
    content = batch_of(LAYOUT, 150, to=THEIRS, seed=5)
    status, page = post(cities, content, f"item={ITEM}")
    assert (status, page["item"]) == (202, ITEM)
    place = f"/api/v1/batches/{page['id']}"
    eventually(lambda: cities.call("GET", place)[1]["state"] == "done", seconds=40)
    status, told = cities.call("GET", f"{place}/report?limit=100")
    assert (status, len(told["report"]), told["opened"]) == (200, 100, 150)
    rest = cities.call("GET", f"{place}/report?after={told['after']}")[1]
    assert len({one["number"] for one in [*told["report"], *rest["report"]]}) == 150
    assert rest["after"] is None
    assert post(cities, content, f"item={ITEM}")[1]["id"] == page["id"]
    assert page["id"] in [one["id"] for one in cities.call("GET", "/api/v1/batches")[1]["batches"]]


def test_the_report_comes_as_a_workbook_too(cities: Cities) -> None:
    rows = good_rows(2, seed=6)
    rows[0] = changed(rows[0], reason="x")
    page = post(cities, a_file(rows), f"item={ITEM}&dry_run=true")[1]
    place = f"/api/v1/batches/{page['id']}"
    eventually(lambda: cities.call("GET", place)[1]["state"] == "done", seconds=40)
    assert [one["at"] for one in cities.call("GET", f"{place}/report?faulty=true")[1]["report"]] == ["申请!2"]
    city = cities.network.city(OURS)
    headers = {
        "authorization": f"Bearer {(city.home / 'data' / 'api.token').read_text().strip()}",
        "tongban-account": CLERK,
    }
    connection = http.client.HTTPConnection("127.0.0.1", city.console_port, timeout=20)
    connection.request("GET", f"{place}/report.xlsx", headers=headers)
    answered = connection.getresponse()
    with zipfile.ZipFile(BytesIO(answered.read())) as archive:
        assert "xl/workbook.xml" in archive.namelist()
    connection.close()


def test_what_the_local_interface_refuses(cities: Cities) -> None:
    content = a_file(good_rows(1))
    assert post(cities, content, "item=NO-SUCH")[1]["slug"] == "unknown-item"
    assert post(cities, content, f"item={ITEM}", token="wrong")[1]["slug"] == "not-signed-in"
    assert post(cities, b"PK" + bytes(LIMITS.max_workbook_bytes), f"item={ITEM}")[0] == 413
    assert post(cities, content, "item=")[0] in (400, 422)
    assert cities.call("GET", f"/api/v1/batches/{'0' * 32}/report")[1]["slug"] == "not-found"
    assert cities.call("GET", "/api/v1/batches/x")[0] in (400, 404, 422)
