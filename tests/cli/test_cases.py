"""A case by nothing but commands and the local interface: opened in 梧州, decided in 中山, handed over in 梧州."""

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.simulation.demo import new_root
from node.simulation.lumpsum import SIGNED_NOTICE
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from tests.node.cases.two_cities import answer, application
from tests.processes.cities import QuietOpening, eventually

OURS, THEIRS = "450400", "442000"


@dataclass
class Cities:
    """Two serving cities with consoles."""

    network: DemoNetwork
    root: Path

    def tongban(self, code: str, acting: str, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        home = str(self.network.city(code).home)
        command = [sys.executable, "-m", "node", *arguments, "--home", home, "--as", acting, "--json", "--lang", "en"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exit_code, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def file(self, name: str, content: Any) -> str:
        path = self.root / name
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return str(path)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        account: str = f"clerk-{OURS}:clerk",
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        """Call the local interface of our city."""
        city = self.network.city(OURS)
        known = (city.home / "data" / "api.token").read_text().strip()
        given = {"authorization": f"Bearer {known if token is None else token}", "tongban-account": account}
        connection = http.client.HTTPConnection("127.0.0.1", city.console_port, timeout=20)
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, {**given, "content-type": "application/json", **headers})
        answered = connection.getresponse()
        told = json.loads(answered.read())
        connection.close()
        return answered.status, told


@pytest.fixture(scope="module")
def cities() -> Iterator[Cities]:
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (OURS, THEIRS)]
    root = new_root()
    network = DemoNetwork(make_network(root, members, free_base(29_000, 2), network="cli-cases", opening=opening))
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


CLERK, OFFICER, REVIEWER = "clerk-450400:clerk", "officer-442000:officer", "reviewer-442000:reviewer"
NEW = ("case", "new", "--item", "PEN-LUMPSUM", "--to", THEIRS, "--file")


def test_bad_input_names_the_field_and_opens_nothing(cities: Cities) -> None:
    wrong = cities.file("wrong.json", application(months_total=-1))
    refused = cities.tongban(OURS, CLERK, *NEW, wrong, exit_code=1)
    assert refused["refusal"]["slug"] == "invalid-body"
    assert refused["refusal"]["fields"][0]["at"] == "months_total"
    form = cities.file("form.json", application())
    assert cities.tongban(OURS, CLERK, *NEW, form, "--dry-run")["data"]["number"] is None
    assert cities.tongban(OURS, CLERK, "case", "list")["data"]["cases"] == []


def state_of(cities: Cities, code: str, number: str) -> str:
    return str(cities.tongban(code, CLERK, "case", "show", number)["data"]["state"])


def test_a_case_from_the_form_to_the_handover_by_commands(cities: Cities) -> None:
    form = cities.file("form.json", application())
    scan = cities.root / "notice.pdf"
    scan.write_bytes(SIGNED_NOTICE)
    number = cities.tongban(OURS, CLERK, *NEW, form, "--attach", f"RIGHTS_NOTICE={scan}")["data"]["number"]

    def arrived() -> bool:
        told = cities.tongban(THEIRS, OFFICER, "case", "list", "--box", "todo")
        return number in [one["number"] for one in told["data"]["cases"]]

    eventually(arrived, seconds=30)
    assert cities.tongban(THEIRS, OFFICER, "case", "sign", number)["data"]["state"] == "IN_REVIEW"
    answered = cities.file("answer.json", {"answer": answer()})
    cities.tongban(THEIRS, OFFICER, "case", "decide", number, "--file", answered)
    again = cities.tongban(THEIRS, "officer-442000:reviewer", "case", "review", number, exit_code=1)
    assert again["refusal"]["slug"] == "invalid-transition"
    assert cities.tongban(THEIRS, REVIEWER, "case", "review", number)["data"]["state"] == "DECIDED"
    eventually(lambda: state_of(cities, OURS, number) == "DECIDED", seconds=30)
    fields = ("--field", "received_by=person", "--field", "received_on=2026-11-24")
    cities.tongban(OURS, CLERK, "case", "handover", number, *fields)
    eventually(lambda: {state_of(cities, code, number) for code in (OURS, THEIRS)} == {"HANDED_OVER"}, seconds=30)
    ours, theirs = (cities.tongban(code, CLERK, "case", "show", number)["data"] for code in (OURS, THEIRS))
    assert ours["head"] == theirs["head"]
    assert [one["digest"] for one in ours["timeline"]] == [one["digest"] for one in theirs["timeline"]]
    assert ours["person"] == {"name": "邓**", "id_no": "4504**********1014"}
    assert cities.tongban(OURS, "ops:sysadmin", "outbox", "list")["data"]["messages"] == []


def test_the_interface_opens_shows_and_acts_with_idempotency_keys(cities: Cities) -> None:
    body = {"item": "PEN-LUMPSUM", "to": THEIRS, "application": application()}
    assert cities.call("POST", "/api/v1/cases/check", body)[0] == 200
    status, made = cities.call("POST", "/api/v1/cases", body, **{"idempotency-key": "test-key-1"})
    assert status == 201
    assert cities.call("POST", "/api/v1/cases", body, **{"idempotency-key": "test-key-1"})[1] == made
    other = {**body, "application": application(months_total=90)}
    status, told = cities.call("POST", "/api/v1/cases", other, **{"idempotency-key": "test-key-1"})
    assert (status, told["slug"]) == (409, "edit-conflict")
    status, told = cities.call("POST", "/api/v1/cases", body)
    assert (status, told["slug"]) == (422, "invalid-body"), "a write without a key is refused"
    status, page = cities.call("GET", f"/api/v1/cases/{made['number']}")
    assert (status, page["state"]) == (200, "ACCEPTED")
    assert "withdraw" in [one["event"] for one in page["actions"]]
    event = {"event": "withdraw", "data": {"reason": "本人不再申请"}, "seen": page["head"]}
    status, _ = cities.call(
        "POST", f"/api/v1/cases/{made['number']}/events", event, **{"idempotency-key": "test-key-2"}
    )
    assert status == 201

    def withdrawn() -> bool:
        return bool(cities.call("GET", f"/api/v1/cases/{made['number']}")[1]["state"] == "WITHDRAWN")

    eventually(withdrawn, seconds=30)
    events = cities.call("GET", f"/api/v1/cases/{made['number']}/timeline")[1]["events"]
    assert [one["event"] for one in events] == ["withdraw", "open"]
    assert cities.call("GET", "/api/v1/cases?box=done")[1]["cases"]
    assert cities.call("GET", "/api/v1/cases/KS450400202411249999990")[1]["slug"] == "not-found"


def test_the_interface_knows_its_callers(cities: Cities) -> None:
    for headers, slug in (({"token": ""}, "not-signed-in"), ({"token": "x" * 43}, "not-signed-in"),
                          ({"account": "nobody"}, "not-signed-in")):  # fmt: skip
        status, told = cities.call("GET", "/api/v1/cases", **headers)
        assert (status, told["slug"]) == (401, slug)
    token = cities.network.city(OURS).home / "data" / "api.token"
    assert token.stat().st_mode & 0o777 == 0o600


def test_the_interface_describes_itself(cities: Cities) -> None:
    status, told = cities.call("GET", "/api/openapi.json")
    assert status == 200
    assert {"/api/v1/cases", "/api/v1/cases/{number}", "/api/v1/cases/{number}/events"} <= told["paths"].keys()
