"""`tongban case estimate` and the interface beside it, on a node that serves: figures, sources, marks, refusals."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from tests.cli.test_cases import OURS, THEIRS, Cities
from tests.node.cases.test_estimates import QUESTION
from tests.processes.cities import QuietOpening

CLERK = "clerk-450400:clerk"


@pytest.fixture(scope="module")
def cities() -> Iterator[Cities]:
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (OURS, THEIRS)]
    root = new_root()
    network = DemoNetwork(make_network(root, members, free_base(29_200, 2), network="cli-estimates", opening=opening))
    try:
        network.start(OURS)
        network.wait(OURS)
        yield Cities(network, root)
    finally:
        network.stop_all()
        opening.close()
        shutil.rmtree(root, ignore_errors=True)


def printed(cities: Cities, lang: str, *arguments: str) -> str:
    home = str(cities.network.city(OURS).home)
    command = [sys.executable, "-m", "node", "case", "estimate", *arguments, "--home", home, "--lang", lang]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_file_and_options_are_answered_alike_by_command_and_interface(cities: Cities) -> None:
    file = cities.file("question.json", QUESTION)
    told = cities.tongban(OURS, CLERK, "case", "estimate", "--file", file)
    assert told["ok"]
    status, answered = cities.call("POST", "/api/v1/estimates", QUESTION)
    assert status == 200
    assert answered == told["data"]
    options = ("--birth", "196501", "--category", "MALE", "--item", "PEN-TRANSFER", "--received", "2026-11-23",
               "--ui-kind", "ENTITLED", "--ui-monthly", "171000", "--ui-months", "9",
               "--certified", "2026-11-24")  # fmt: skip
    by_options = cities.tongban(OURS, CLERK, "case", "estimate", *options)["data"]
    assert [one["name"] for one in by_options["sections"]] == ["retirement", "unemployment", "certification", "due"]


def test_people_read_the_rule_and_its_source_beside_each_figure_in_both_languages(cities: Cities) -> None:
    file = cities.file("question.json", QUESTION)
    zh, en = (printed(cities, lang, "--file", file) for lang in ("zh", "en"))
    for text in (zh, en):
        assert "44,972.35" in text
        assert "国办发〔2009〕66号第四条" in text
        assert "? [K]" in text
        assert "[W]" in text
    assert "未经核实" in zh
    assert "have not been verified" in en
    assert "下一步" in zh
    assert "Next:" in en
    assert "POOLED_SHARE" in printed(cities, "en", "--rules")


def test_what_is_wrong_ends_with_the_field(cities: Cities) -> None:
    refused = cities.tongban(OURS, CLERK, "case", "estimate", "--certified", "soon", exit_code=1)
    assert refused["refusal"]["slug"] == "invalid-body"
    assert refused["refusal"]["fields"][0]["at"] == "certification/certified_on"
    cities.tongban(OURS, CLERK, "case", "estimate", exit_code=1)
    unread = cities.root / "broken.json"
    unread.write_text("[")
    cities.tongban(OURS, CLERK, "case", "estimate", "--file", str(unread), exit_code=2)
    status, told = cities.call("POST", "/api/v1/estimates", {"transfer": {}})
    assert (status, told["slug"]) == (422, "invalid-body")
    assert "442000" not in json.dumps(told)
    assert cities.call("POST", "/api/v1/estimates", {}, token="")[0] == 401


def test_the_rules_are_told_over_the_interface(cities: Cities) -> None:
    status, told = cities.call("GET", "/api/v1/estimates/rules")
    codes: dict[str, Any] = {one["code"]: one for one in told["rules"]}
    assert status == 200
    assert codes["RETIREMENT_AGE"]["uncertain"]
    assert not codes["POOLED_SHARE"]["uncertain"]
