"""From two empty directories to two nodes that answer each other, by nothing but the commands of the manual."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PERSON = "450400195708151014\n邓国安\n"
ROW = "id_type,id_number,name,insurance,until,balance_fen,principal_fen,interest_fen\n"


def tongban(home: Path, *arguments: str, text: str | None = None, code: int = 0) -> dict[str, Any]:
    """Run a command with `--json` and return its object."""
    command = [sys.executable, "-m", "node", *arguments, "--home", str(home), "--json", "--lang", "en"]
    done = subprocess.run(command, capture_output=True, text=True, input=text, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer.keys() == {"ok", "data", "refusal", "next"}
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two cities that have founded a network, by hand."""
    tmp_path = tmp_path_factory.mktemp("founding")
    cities = {"442000": ("中山", free_port()), "450400": ("梧州", free_port())}
    homes = {code: tmp_path / code for code in cities}
    for code, (name, port) in cities.items():
        made = tongban(
            homes[code], "init", "--member", code, "--name", name, "--network-id", "testwang",
            "--peer-url", f"https://127.0.0.1:{port}", "--non-interactive",
        )  # fmt: skip
        assert len(made["data"]["fingerprint"]) == 9
    requests = [str(home / "join-request.txt") for home in homes.values()]
    manifest = tmp_path / "manifest.json"
    founded = tongban(tmp_path, "network", "found", *requests, "-o", str(manifest), "--loopback")
    for home in homes.values():
        tongban(home, "network", "sign", str(manifest), "--key", str(home / "certs" / "governance.key"))
    for home in homes.values():
        digest = founded["data"]["digest"]
        assert tongban(home, "init", "--network", str(manifest), "--genesis", digest)["ok"]
    return homes


def serve(home: Path) -> "subprocess.Popen[str]":
    port = next(line for line in (home / "tongban.toml").read_text().split("\n") if "public_url" in line)
    peer = port.rpartition("//")[2].strip('"')
    return subprocess.Popen(
        [sys.executable, "-m", "node", "serve", "--home", str(home), "--peer", peer, "--no-console", "--lang", "en"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


@pytest.fixture
def zhongshan(homes: dict[str, Path]) -> Iterator[Path]:
    """中山; both cities are serving."""
    processes = [serve(home) for home in homes.values()]
    for code, process in zip(homes, processes, strict=True):
        assert process.stdout is not None
        lines = [line for line in iter(process.stdout.readline, f"ready {code}\n") if line]
        assert "self-test: a connection without a certificate is refused\n" in lines
    yield homes["442000"]
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_two_administrators_bring_two_cities_to_answer_each_other(homes: dict[str, Path], zhongshan: Path) -> None:
    wuzhou = homes["450400"]
    sheet = zhongshan.parent / "balance.csv"
    sheet.write_text(ROW + "01,450400195708151014,邓国安,110,201106,1234567,1200000,34567\n", encoding="utf-8")
    assert tongban(zhongshan, "records", "import", str(sheet))["data"]["written"] == 1

    ask = ("query", "--item", "PEN-LUMPSUM", "--record", "balance", "--city", "442000", "--consultation", "窗口咨询")
    denied = tongban(wuzhou, *ask, text=PERSON, code=1)
    assert denied["data"][0]["slug"] == "policy-denied", "without a rule nothing leaves the city"

    rules = zhongshan.parent / "rules.json"
    rule = {"peer": "450400", "item": "PEN-LUMPSUM", "record": "balance", "fields": ["insurance", "balance_fen"]}
    rules.write_text(json.dumps({"rules": [rule]}), encoding="utf-8")
    assert tongban(zhongshan, "records", "policy", "set", str(rules))["data"] == {"rules": 1, "in_force": True}

    (answer,) = tongban(wuzhou, *ask, text=PERSON)["data"]
    assert answer["record"] == [{"insurance": "110", "balance_fen": 1234567}]
    assert answer["withheld"] == ["until", "principal_fen", "interest_fen"]
    (theirs,) = tongban(zhongshan, "audit", "list", "--peer", "450400", "--kind", "message", "--limit", "1")["data"][
        "entries"
    ]
    assert theirs["index"] == answer["log_index"]
    assert theirs["jti"] == answer["jti"]
    assert tongban(zhongshan, "audit", "verify")["data"]["finding"] is None
    assert tongban(wuzhou, "ping", "442000")["data"][0]["outcome"] == "pong"
    assert tongban(wuzhou, "network", "show")["data"]["network"] == "testwang"


def test_an_import_with_one_bad_cell_writes_nothing(homes: dict[str, Path]) -> None:
    home = homes["442000"]
    sheet = home.parent / "balance.csv"
    good = "01,450400195708151014,邓国安,110,201106,1,1,0\n"
    sheet.write_text(ROW + good + good.replace("151014", "151015"), encoding="utf-8")
    refused = tongban(home, "records", "import", str(sheet), code=1)["data"]
    assert refused["errors"] == [{"kind": "balance", "row": 3, "column": "id_number", "rule": "check_character"}]
    assert refused["written"] == 0


def test_what_came_with_the_software_is_in_force_and_a_new_calendar_waits_for_the_manifest(
    homes: dict[str, Path],
) -> None:
    home = homes["442000"]
    found = {one["name"]: one for one in tongban(home, "packs", "list")["data"]["documents"]}
    assert {one["standing"] for one in found.values()} == {"in_force"}
    assert (found["calendar-2026"]["status"], found["calendar-2027"]["status"]) == ("official", "provisional")
    official = home.parent / "calendar-2027.json"
    official.write_text('{"year": 2027, "version": 2, "status": "official", "off": [], "work": []}', encoding="utf-8")
    assert tongban(home, "packs", "import", str(official), "--dry-run")["data"]["taken"] is False
    assert tongban(home, "packs", "import", str(official))["data"]["taken"] is True
    last = tongban(home, "packs", "list")["data"]["documents"][-1]
    assert (last["name"], last["status"], last["standing"]) == ("calendar-2027", "official", "not_named")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["query", "--item", "INS-CERT", "--all"], 2),
        (["audit", "list", "--from", "yesterday"], 2),
        (["ping"], 2),
        (["ping", "442000"], 3),
        (["audit", "show", "999999"], 1),
        (["packs", "import", "nothing.json"], 2),
        (["packs", "import", "/dev/null"], 1),
        (["init", "--member", "442000", "--name", "x", "--peer-url", "https://a:1", "--non-interactive"], 1),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_what_next(
    homes: dict[str, Path], arguments: list[str], code: int
) -> None:
    command = [sys.executable, "-m", "node", *arguments, "--home", str(homes["450400"]), "--lang", "zh"]
    done = subprocess.run(command, capture_output=True, text=True, input=PERSON, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "下一步" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_as_is_for_demo_directories_only(homes: dict[str, Path]) -> None:
    refused = tongban(homes["450400"], "audit", "list", "--as", "limin:auditor", code=2)
    assert "demo" in refused["refusal"]["title"]


def test_another_digest_is_another_network(homes: dict[str, Path], tmp_path: Path) -> None:
    fresh = tmp_path / "late"
    tongban(
        fresh, "init", "--member", "520300", "--name", "遵义", "--network-id", "testwang",
        "--peer-url", "https://127.0.0.1:9", "--non-interactive",
    )  # fmt: skip
    refused = tongban(
        fresh, "init", "--network", str(homes["442000"].parent / "manifest.json"), "--genesis", "x" * 43, code=1
    )
    assert "digest" in refused["refusal"]["title"]
