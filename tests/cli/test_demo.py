"""The demo as a stranger runs it: it ends by itself, tells the truth in JSON, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BASE = 20_000 + os.getpid() * 37 % 12_000
"""Where the demo begins to look for free ports; apart from that of another test run on this machine."""
COMMAND = [sys.executable, "-m", "node", "demo", "--people", "20", "--port-base", str(BASE)]


def test_the_demo_ends_by_itself_with_exit_0_and_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run([*COMMAND, "--once", "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert told["failures"] == []
    assert told["cities"] == ["442000", "450400", "520300"]
    steps = {story["id"]: [step["name"] for step in story["steps"]] for story in told["stories"]}
    assert steps == {
        "lumpsum": [
            "notice",
            "signed",
            "accept",
            "not-delivered",
            "delivered",
            "sign",
            "first-review",
            "second-review",
            "handover",
            "same-timeline",
        ],
        "transfer": ["what-if", "accept", "letter", "sheet", "fund", "join"],
        "retirement": ["accept", "departments", "decide", "handover"],
        "query": ["ask-one-city", "ask-network-one-stopped", "ask-network-all"],
        "refusals": ["policy", "expired-certificate", "forged-body", "forged-signature", "replay"],
    }
    numbers = {story["id"]: story["case"] for story in told["stories"] if "case" in story}
    assert {name: number[:8] for name, number in numbers.items()} == {
        "lumpsum": "KS450400",
        "transfer": "KS520300",
        "retirement": "KS450400",
    }
    assert all(log["verified"] and log["entries"] > 5 for log in told["logs"])
    assert list(tmp_path.iterdir()) == [], "the run directory is removed"


def test_ctrl_c_ends_the_demo_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    demo = subprocess.Popen(
        [*COMMAND, "--story", "query"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert demo.stderr is not None
    while "故事" not in (line := demo.stderr.readline()) and "stories" not in line:
        assert line, "the demo ended before it was asked to"
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert list(tmp_path.iterdir()) == []
