"""Failpoints: each is listed once, each listed one is used, and without the environment none does anything."""

import ast
import os
import runpy

import pytest

from tests.architecture.sources import HOUSE, Source, calls_of, functions_of, planted, read_sources


def uses_of(sources: tuple[Source, ...]) -> dict[str, str]:
    """Return each failpoint used and where; a name that is not a literal is given as its source text."""
    found = {}
    for source in (source for source in sources if source.name != "failpoints.py"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".", 1)[-1] == "failpoint":
                found[text_of(node.args[0])] = f"{source.path}:{node.lineno}"
    return found


def text_of(expression: ast.expr) -> str:
    """Return the text of a literal, or the source of any other expression."""
    is_text = isinstance(expression, ast.Constant) and isinstance(expression.value, str)
    return str(ast.literal_eval(expression)) if is_text else ast.unparse(expression)


def lists_of(sources: tuple[Source, ...]) -> dict[str, set[str]]:
    """Return the dotted module of each `failpoints.py`, and the names in its one list."""
    lists = {}
    for source in (source for source in sources if source.name == "failpoints.py"):
        module = source.path.removesuffix(".py").replace("/", ".")
        strings = (node.value for node in ast.walk(list_in(source)) if isinstance(node, ast.Constant))
        lists[module] = {text for text in strings if isinstance(text, str)}
    return lists


def list_in(source: Source) -> ast.expr:
    """Return the expression assigned to `NAMES`."""
    for statement in source.tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and target.id == "NAMES" and value is not None:
            return value
    raise AssertionError(f"{source.path} has no list NAMES")


def test_every_failpoint_is_listed_and_every_listed_one_is_used() -> None:
    sources = read_sources("node")
    listed, uses = set().union(*lists_of(sources).values()), uses_of(sources)
    assert uses.keys() == listed, f"used: {uses}"
    assert listed, "the node has no failpoints: nothing shows what a crash between two steps does"


def test_without_the_environment_a_failpoint_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if "FAILPOINT" in name]:
        monkeypatch.delenv(name)
    for module, names in lists_of(read_sources("node")).items():
        fresh = runpy.run_path(str(HOUSE / (module.replace(".", "/") + ".py")))  # its name may be imported already
        assert [fresh["failpoint"](name) for name in sorted(names)] == [None] * len(names)


def test_every_commit_stands_between_two_failpoints() -> None:
    pairs = [(source, function) for source in read_sources("node") for function in functions_of(source)]
    assert [f"{source.path}:{one.lineno} {one.name}" for source, one in pairs if commits_unguarded(one)] == []


def commits_unguarded(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function commits a session and lacks a failpoint before or after."""
    calls = sorted(calls_of(function), key=lambda call: call[1])
    commits = [line for name, line in calls if name.endswith(".commit")]
    points = [line for name, line in calls if name.rsplit(".", 1)[-1] == "failpoint"]
    return bool(commits) and not (points and points[0] < commits[0] and points[-1] > commits[-1])


def test_an_unguarded_commit_and_an_unlisted_name_are_found() -> None:
    bare = ast.parse("def f(s):\n    failpoint('a')\n    s.commit()").body[0]
    guarded = ast.parse("def f(s):\n    failpoint('a')\n    s.commit()\n    failpoint('b')").body[0]
    assert isinstance(bare, ast.FunctionDef)
    assert isinstance(guarded, ast.FunctionDef)
    assert commits_unguarded(bare)
    assert not commits_unguarded(guarded)
    sources = (planted("node/failpoints.py", "NAMES = ('a',)"), planted("node/app.py", "failpoint('b')"))
    assert uses_of(sources).keys() != set().union(*lists_of(sources).values())
