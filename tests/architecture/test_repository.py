"""The repository as a stranger finds it: commands, lock file, reasons, and skips that cannot be overlooked."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import HOUSE

TARGETS = {"setup", "demo", "test", "test-nightly", "check", "bench", "bench-nightly", "figure", "fonts", "docs"}
PROJECT = (HOUSE / "pyproject.toml").read_text("utf-8")
LOCK = (HOUSE / "requirements.lock").read_text("utf-8")
TEXTS = [*HOUSE.glob("*.toml"), *HOUSE.glob("*.md"), HOUSE / "Makefile", HOUSE / "requirements.lock"]
FOLDERS = ("protocol", "certs", "config", "node", "tests", "bench", "bench-nightly", "docs", ".ci")


def is_readable(file: Path) -> bool:
    """Return whether a file is text of ours."""
    return file.suffix in {".py", ".md", ".toml", ".json", ".csv", ".sh", ""} and "__pycache__" not in file.parts


def test_the_makefile_has_the_promised_targets() -> None:
    makefile = (HOUSE / "Makefile").read_text("utf-8")
    assert {name for name in re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)} == TARGETS


def test_setup_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(HOUSE / name, tmp_path)
    # A make inside `make test` would tell of its level and directory.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    run = subprocess.run(
        ["make", "setup", "PYTHON=no-such-python"], cwd=tmp_path, env=alone, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert run.stdout.splitlines() == [
        "no-such-python is missing. Install it: sudo apt-get install python3.11 python3.11-venv"
    ]


def test_what_ci_runs_is_valid_and_executable() -> None:
    script = HOUSE / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert script.read_text("utf-8").rstrip().endswith("make test STRICT=1")


@pytest.mark.threat("T20")
def test_every_locked_requirement_has_hashes_and_no_address() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    pinned = [block for block in blocks if not block.startswith("#")]
    assert pinned
    assert [block.split()[0] for block in pinned if "==" not in block or "--hash=sha256:" not in block] == []
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links)", LOCK, re.MULTILINE)


@pytest.mark.threat("T20")
def test_every_direct_dependency_is_locked_and_has_a_reason() -> None:
    dependencies = tomllib.loads(PROJECT)["project"]["dependencies"]
    locked = {name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?==", LOCK, re.M)}
    for dependency in dependencies:
        name = re.split(r"[\[<>=]", dependency)[0]
        assert name.lower() in locked, f"{name} is not locked"
        assert re.search(rf'"{re.escape(dependency)}",\s+# \S', PROJECT), f"{name} has no reason"


def test_no_file_names_a_machine_or_a_registry() -> None:
    files = [file for folder in FOLDERS for file in (HOUSE / folder).rglob("*") if file.is_file() and is_readable(file)]
    forbidden = re.compile(
        "|".join(("/ho" + "me/", "/ro" + "ot/", "/wo" + "rk/", "py" + "pi.org", "registry.npm" + "js"))
    )
    found = [
        file.relative_to(HOUSE).as_posix() for file in [*files, *TEXTS] if forbidden.search(file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(("strict", "code"), [("", 0), ("1", 1)])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_skips_are_said_last_and_fail_a_strict_run(tmp_path: Path, strict: str, code: int, workers: str) -> None:
    shutil.copy(HOUSE / "tests" / "conftest.py", tmp_path)
    text = "import pytest\n@pytest.mark.skip(reason='no PostgreSQL here')\ndef test_a(): ...\ndef test_b(): ...\n"
    (tmp_path / "test_some.py").write_text(text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "STRICT": strict}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == code
    assert "SKIPPED (no PostgreSQL here) x 1" in run.stdout.splitlines()
    assert ("STRICT=1: a skip is a failure" in run.stdout) is bool(strict)
    assert "hypothesis seed: " in run.stdout
