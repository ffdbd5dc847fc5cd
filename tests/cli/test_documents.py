"""A paper by nothing but commands, in node directories as `tongban init` leaves them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.documents.press import Press
from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from tests.node.documents.conftest import NO_FONT
from tests.node.documents.papers import CASE, PAPERS
from tests.processes.cities import QuietOpening

OURS, THEIRS = "450400", "442000"


@dataclass
class Cities:
    """Two joined cities that do not serve."""

    network: DemoNetwork
    root: Path

    def tongban(self, code: str, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        home = str(self.network.city(code).home)
        command = [sys.executable, "-m", "node", "document", *arguments, "--home", home, "--json", "--lang", "en"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exit_code, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told


@pytest.fixture(scope="module")
def cities() -> Iterator[Cities]:
    press = Press()
    has_fonts = bool(press.families())
    press.close()
    if not has_fonts:
        pytest.skip(NO_FONT)
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (OURS, THEIRS)]
    root = new_root()
    network = DemoNetwork(make_network(root, members, free_base(29_500, 2), network="cli-papers", opening=opening))
    try:
        yield Cities(network, root)
    finally:
        opening.close()
        shutil.rmtree(root, ignore_errors=True)


def test_a_paper_is_printed_by_one_city_and_verified_by_another(cities: Cities) -> None:
    assert cities.tongban(OURS, "status")["data"]["faults"] == []
    data, out = cities.root / "decision.json", str(cities.root / "decision.pdf")
    data.write_text(json.dumps(PAPERS["decision"], ensure_ascii=False), "utf-8")
    asked = ("print", CASE, "--kind", "decision", "--data", str(data), "--out")
    first = cities.tongban(OURS, *asked, out)["data"]
    again = cities.tongban(OURS, *asked, str(cities.root / "again.pdf"))["data"]
    assert (again["number"], again["digest"], again["is_new"]) == (first["number"], first["digest"], False)
    assert (cities.root / "again.pdf").read_bytes() == Path(out).read_bytes()
    assert [one["number"] for one in cities.tongban(OURS, "list", CASE)["data"]["documents"]] == [first["number"]]
    ours = cities.tongban(OURS, "verify", out)["data"]["checks"]
    assert {one["outcome"] for one in ours} == {"passed"}
    # The other city knows the signer by the manifest; his revocation list it fetches as soon as both serve.
    theirs = cities.tongban(THEIRS, "verify", out, exit_code=3)["data"]["checks"]
    assert [one["name"] for one in theirs if one["outcome"] != "passed"] == ["at_signing"]


def test_without_its_document_key_a_city_prints_nothing_and_says_what_to_do(cities: Cities) -> None:
    city = cities.network.city(THEIRS)
    (city.home / "certs" / "document.pem").unlink()
    told = cities.tongban(THEIRS, "status", exit_code=3)["data"]
    assert told["families"]
    assert [one["slug"] for one in told["faults"]] == ["printing-off"]
    assert "tongban certs csr --use document" in told["faults"][0]["detail"]
    data = cities.root / "receipt.json"
    data.write_text(json.dumps(PAPERS["handover-receipt"], ensure_ascii=False), "utf-8")
    asked = ("print", "--kind", "handover-receipt", "--data", str(data), "--out", str(cities.root / "no.pdf"))
    refused = cities.tongban(THEIRS, *asked, exit_code=1)["refusal"]
    assert refused["slug"] == "printing-off"
    assert not (cities.root / "no.pdf").exists()
