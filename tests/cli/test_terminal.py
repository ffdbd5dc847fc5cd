"""How commands answer: common options anywhere, one JSON object, exit codes, languages, colour."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from node.terminal import OK, REFUSED, UNAVAILABLE, USAGE, Terminal, language_of, take_common_options

WHAT, SIDE, TODO = ("出错了", "It went wrong"), ("本市", "this city"), ("这样做", "do this")
COMMAND = ["case", "show", "KS1", "--proof"]


def ending(act: Callable[[], Any]) -> int:
    """Return the exit code with which a command ends."""
    with pytest.raises(typer.Exit) as end:
        act()
    return int(end.value.exit_code)


@given(place=st.integers(0, len(COMMAND)), options=st.permutations([["--json"], ["--lang", "en"], ["-q"], ["-y"]]))
def test_common_options_may_stand_anywhere(place: int, options: list[list[str]]) -> None:
    words = [word for option in options for word in option]
    terminal, rest = take_common_options([*COMMAND[:place], *words, *COMMAND[place:]], {})
    assert rest == COMMAND
    assert (terminal.json, terminal.lang, terminal.quiet, terminal.yes) == (True, "en", True, True)


def test_every_common_option_has_its_effect(tmp_path: Path) -> None:
    line = [
        "--home",
        str(tmp_path),
        f"--config={tmp_path}/other.toml",
        "--timeout",
        "2.5",
        "--as",
        "o-1:clerk",
        "--no-color",
    ]
    terminal, rest = take_common_options([*line, "--no-color"], {})
    assert (rest, terminal.home, terminal.config_file) == ([], tmp_path, tmp_path / "other.toml")
    assert (terminal.timeout, terminal.acting, terminal.color) == (2.5, "o-1:clerk", False)


def test_long_forms_mean_the_same_as_short_ones() -> None:
    assert take_common_options(["-q", "-y"], {}) == take_common_options(["--quiet", "--yes"], {})


def test_what_follows_two_hyphens_is_left_to_the_command() -> None:
    terminal, rest = take_common_options(["query", "--", "--json", "--lang", "xx"], {})
    assert (terminal.json, rest) == (False, ["query", "--", "--json", "--lang", "xx"])


@pytest.mark.parametrize(
    "line",
    [
        ["--lang"],
        ["doctor", "--home"],
        ["--lang", "fr"],
        ["--timeout", "0"],
        ["--timeout", "3601"],
        ["--timeout", "nan"],
        ["--timeout", "soon"],
        ["--as", "name"],
        ["--as", ":role"],
    ],
)
def test_an_option_without_a_value_that_can_be_is_refused(line: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        take_common_options(line, {})


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({}, "zh"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({"LANG": "POSIX"}, "zh"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "zh_TW", "LC_MESSAGES": "en_US", "LANG": "en_US"}, "zh"),
    ],
)
def test_the_locale_chooses_the_language(environment: dict[str, str], lang: str) -> None:
    assert language_of(environment) == lang
    assert take_common_options([], environment)[0].lang == lang


def test_the_option_beats_our_variable_and_that_beats_the_locale() -> None:
    environment = {"TONGBAN_LANG": "zh", "LANG": "en_US.UTF-8"}
    assert take_common_options([], environment)[0].lang == "zh"
    assert take_common_options(["--lang=en"], environment)[0].lang == "en"


def test_the_node_directory_comes_from_option_variable_or_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"TONGBAN_HOME": "from-variable"}
    assert take_common_options([], {})[0].home == tmp_path
    assert take_common_options([], environment)[0].home == tmp_path / "from-variable"
    assert take_common_options(["--home", "given"], environment)[0].home == tmp_path / "given"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_result_is_one_json_object_with_stable_keys(capsys: pytest.CaptureFixture[str], lang: str) -> None:
    code = ending(lambda: Terminal(lang=lang, json=True).finish({"城": 1}, show=["not shown"], next_step="tongban x"))
    said = capsys.readouterr()
    assert (code, said.err) == (OK, "")
    assert json.loads(said.out) == {"ok": True, "data": {"城": 1}, "refusal": None, "next": "tongban x"}
    assert said.out.count("\n") == 1


def test_a_refusal_is_one_json_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(lang="en", json=True)
    code = ending(
        lambda: terminal.fail(WHAT, side=SIDE, next_step=TODO, slug="stale", trace="7f3c-91d2", facts={"skew": 300})
    )
    said = capsys.readouterr()
    refusal = {"title": WHAT[1], "side": SIDE[1], "slug": "stale", "trace": "7f3c-91d2", "skew": 300}
    assert (code, said.err) == (REFUSED, "")
    assert json.loads(said.out) == {"ok": False, "data": None, "refusal": refusal, "next": TODO[1]}


def test_people_read_the_result_on_stdout_and_it_ends_with_a_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    for lang, step in (("zh", "下一步: tongban x"), ("en", "Next: tongban x")):
        terminal = Terminal(lang=lang)
        ending(partial(terminal.finish, {}, show=["line [red] :smile:"], next_step="tongban x"))
        said = capsys.readouterr()
        assert said.out.splitlines() == ["line [red] :smile:", step]
        assert said.err == ""


def test_people_read_a_refusal_on_stderr_what_side_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    ending(lambda: Terminal(lang="zh").fail(WHAT, side=SIDE, next_step=TODO, slug="stale", trace="7f3c"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["✘ 出错了", "哪一方: 本市", "下一步: 这样做", "stale · 7f3c"]
    ending(lambda: Terminal(lang="en").fail(WHAT, side=SIDE, next_step=TODO))
    assert capsys.readouterr().err.splitlines() == ["✘ It went wrong", "Side: this city", "Next: do this"]


def test_exit_codes_tell_done_refused_usage_and_unavailable() -> None:
    assert (OK, REFUSED, USAGE, UNAVAILABLE) == (0, 1, 2, 3)
    quiet = Terminal(quiet=True)
    assert ending(lambda: quiet.finish({})) == 0
    assert ending(lambda: quiet.finish({}, ok=False)) == 1
    assert ending(lambda: quiet.finish({}, ok=False, code=UNAVAILABLE)) == 3
    assert ending(lambda: quiet.fail(WHAT, side=SIDE, next_step=TODO)) == 1
    assert ending(lambda: quiet.fail(WHAT, side=SIDE, next_step=TODO, code=USAGE)) == 2


def test_progress_goes_to_stderr_and_is_silent_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    for terminal, told in ((Terminal(lang="en"), "reading\n"), (Terminal(quiet=True), ""), (Terminal(json=True), "")):
        terminal.say("读取", "reading")
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", told)


def test_quiet_leaves_out_the_next_step_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    ending(lambda: Terminal(quiet=True).finish({}, show=["result"], next_step="tongban x"))
    assert capsys.readouterr().out == "result\n"


def test_a_line_is_never_broken_when_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    ending(lambda: Terminal().finish({}, show=["x" * 500]))
    assert capsys.readouterr().out == "x" * 500 + "\n"


class Screen(io.StringIO):
    """A terminal that understands colours."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "environment", "colored"),
    [([], {}, True), (["--no-color"], {}, False), ([], {"NO_COLOR": "1"}, False), ([], {"NO_COLOR": ""}, True)],
)
def test_colour_ends_with_the_option_and_with_the_variable(
    line: list[str], environment: dict[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, _ = take_common_options(line, environment)
    ending(lambda: terminal.finish({}, show=[Text("red", style="red")]))
    assert ("\x1b[31m" in screen.getvalue()) == colored


def test_secret_lines_come_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "id"
    source.write_text("11010519491231002X\n王小明\nmore\n", encoding="utf-8")
    assert Terminal().read_secret_lines(str(source)) == ["11010519491231002X", "王小明"]
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n"))
    assert Terminal().read_secret_lines("-") == ["one", ""]
