"""A command line that is typed wrong is told so, with code 2 and where to look; never a traceback."""

import subprocess
import sys

import pytest

WRONG = {
    "an unknown command": ["nope"],
    "an unknown option": ["demo", "--nope"],
    "a number out of range": ["bench", "--rounds", "0"],
    "a word that is none of the choices": ["serve", "--role", "x"],
    "a number that is a word": ["demo", "--cities", "many"],
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize(
    ("lang", "hint"), [("zh", "下一步: 加 --help 查看用法"), ("en", "Next: add --help to see how it is used")]
)
def test_it_is_told_what_is_wrong_and_where_to_look(case: str, lang: str, hint: str) -> None:
    command = [sys.executable, "-m", "node", *WRONG[case], "--lang", lang]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    first, last = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout, last) == (2, "", hint)
    assert first.startswith("✘ ")
    assert "fault" not in first
