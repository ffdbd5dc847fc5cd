"""A batch that is killed anywhere and run again: every row has exactly one case, and the report says which."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.batches.running import GROUP
from node.simulation.batches import batch_of
from tests.faults.processes import environment_of, rows
from tests.node.batches.cities import ITEM, LAYOUT
from tests.processes.cities import RunningNetwork, running_network

OURS, THEIRS = "450400", "442000"
CITIES = (OURS, THEIRS)
ROWS = 6 * GROUP + 5


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Two cities that do not serve: what a batch opens stays in the outbox."""
    is_sqlite = request.param == "sqlite"
    pattern = "" if is_sqlite else str(request.getfixturevalue("postgresql").pattern(CITIES))
    root = tmp_path_factory.mktemp("batches")
    with running_network(root, CITIES, database=pattern, start=False, with_people=False) as made:
        yield made


def begin(network: RunningNetwork, file: Path, **extra: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "node", "case", "batch", str(file), "--item", ITEM]
    options = ["--home", str(network.city(OURS).home), "--as", "clerk:clerk", "--json", "--lang", "en"]
    report = ["--report", str(file.with_suffix(".json"))]
    return subprocess.Popen(
        [*command, *report, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment_of(network, extra),
    )


def cut_at(process: "subprocess.Popen[str]", done: int, seconds: float) -> None:
    """Kill a run a moment after it has told that so many rows are done; it may be over before."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith('{"progress"') and json.loads(line)["progress"]["done"] >= done:
            break
    time.sleep(seconds)
    process.kill()
    process.communicate()


def finished(network: RunningNetwork, file: Path) -> dict[str, Any]:
    process = begin(network, file)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 0, said + told
    page: dict[str, Any] = json.loads(said)["data"]
    return page


def cases(network: RunningNetwork) -> set[str]:
    return {number for (number,) in rows(network, OURS, "SELECT number FROM cases")}


def assert_exactly_once(network: RunningNetwork, file: Path, before: set[str], page: dict[str, Any]) -> None:
    assert (page["state"], page["rows"], page["opened"], page["earlier"]) == ("done", ROWS, ROWS, 0)
    fresh = cases(network) - before
    report = json.loads(file.with_suffix(".json").read_text("utf-8"))["report"]
    assert [one["at"] for one in report] == [f"申请!{number}" for number in range(2, ROWS + 2)]
    assert {one["number"] for one in report} == fresh
    assert len(fresh) == ROWS
    sent = [line for (line,) in rows(network, OURS, "SELECT line FROM outbox")]
    assert len(sent) == len(set(sent)) == len(before) + ROWS


def test_a_batch_that_is_killed_at_random_points_opens_every_row_once(city: RunningNetwork, tmp_path: Path) -> None:
    file, source, before = tmp_path / "killed.xlsx", random.Random(), cases(city)
    file.write_bytes(batch_of(LAYOUT, ROWS, to=THEIRS, seed=11))
    for _ in range(4):
        cut_at(begin(city, file), source.randrange(ROWS), source.uniform(0, 0.15))
    assert_exactly_once(city, file, before, finished(city, file))


@pytest.mark.parametrize("point", ["group.before_log", "commit.before", "commit.after"])
def test_a_batch_that_is_killed_around_a_commit_opens_every_row_once(
    city: RunningNetwork, tmp_path: Path, point: str
) -> None:
    flag, file, before = tmp_path / "armed", tmp_path / "cut.xlsx", cases(city)
    file.write_bytes(batch_of(LAYOUT, ROWS, to=THEIRS, seed=20 + len(point)))
    for done in (0, 2 * GROUP):
        process = begin(city, file, TONGBAN_FAILPOINTS=f"{point}=kill@{flag}")
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith('{"progress"') and json.loads(line)["progress"]["done"] >= done:
                flag.touch()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        flag.unlink()
        assert len(cases(city) - before) < ROWS
    assert_exactly_once(city, file, before, finished(city, file))
