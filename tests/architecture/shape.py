"""The size and form of the source: rule 7 of the house, and what every table must say."""

import ast
import re

from tests.architecture.knowing import at
from tests.architecture.sources import Source, classes_of, functions_of

LONGEST_FUNCTION = 40
LONGEST_MODULE = 400
DEEPEST = 3

BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def functions_are_short(source: Source) -> list[str]:
    """At most 40 lines from `def` to the end, the docstring not counted."""
    sizes = ((function, lines_of(function)) for function in functions_of(source))
    return [at(source, f.lineno, f"{f.name} has {size} lines") for f, size in sizes if size > LONGEST_FUNCTION]


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return total
    text = function.body[0]
    return total - ((text.end_lineno or text.lineno) - text.lineno + 1)


def modules_are_short(source: Source) -> list[str]:
    """At most 400 lines, all counted."""
    size = len(source.text.splitlines())
    return [at(source, size, f"has {size} lines")] if size > LONGEST_MODULE else []


def nesting_is_shallow(source: Source) -> list[str]:
    """At most three blocks inside each other; `elif` and `except` do not deepen."""
    depths = ((function, depth_of(function.body)) for function in functions_of(source))
    return [at(source, f.lineno, f"{f.name} nests {depth} deep") for f, depth in depths if depth > DEEPEST]


def depth_of(body: list[ast.stmt]) -> int:
    """Return how many blocks stand inside each other at the deepest place."""
    return max((block_depth(statement) for statement in body), default=0)


def block_depth(statement: ast.stmt) -> int:
    """Return the depth that one statement adds; functions inside are measured on their own."""
    if not isinstance(statement, BLOCKS):
        return 0
    orelse = getattr(statement, "orelse", [])
    is_elif = isinstance(statement, ast.If) and len(orelse) == 1 and isinstance(orelse[0], ast.If)
    inner = [*getattr(statement, "body", []), *([] if is_elif else orelse), *getattr(statement, "finalbody", [])]
    for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
        inner += part.body
    return max(1 + depth_of(inner), depth_of(orelse) if is_elif else 0)


def tables_say_how_they_shard(source: Source) -> list[str]:
    """Every table has `__shard__`: how `shard_key`, first in its key, is derived; or why it needs none."""
    return [complaint for table in classes_of(source) if is_table(table) and (complaint := shard_fault(source, table))]


def is_table(table: ast.ClassDef) -> bool:
    """Return whether a class is declared with `table=True`."""
    return any(k.arg == "table" and isinstance(k.value, ast.Constant) and k.value.value is True for k in table.keywords)


def shard_fault(source: Source, table: ast.ClassDef) -> str:
    """Return what is wrong with a table's shard rule, or nothing."""
    values: dict[str, ast.expr | None] = {}
    for line in table.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            values[line.target.id] = line.value
        elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            values[line.targets[0].id] = line.value
    rule = values.get("__shard__")
    text = rule.value if isinstance(rule, ast.Constant) and isinstance(rule.value, str) else ""
    keys = [name for name, value in values.items() if value is not None and "primary_key=True" in ast.unparse(value)]
    if len(text) < 10:
        return at(source, table.lineno, f"table {table.name} has no __shard__ text")
    if "shard_key" in values and keys[:1] != ["shard_key"]:
        return at(source, table.lineno, f"table {table.name}: shard_key does not lead its primary key")
    if "shard_key" not in values and len(text) < 20:
        return at(source, table.lineno, f"table {table.name} has no shard_key and no reason")
    return ""


def names_say_something(source: Source) -> list[str]:
    """No module is called utils, helpers, manager or base."""
    stem = source.name.removesuffix(".py")
    return [at(source, 1, "says nothing by its name")] if re.fullmatch(r"utils?|helpers?|managers?|base", stem) else []


def nothing_is_left_for_later(source: Source) -> list[str]:
    """No comment promises work that is not done."""
    marks = re.compile(r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
    lines = enumerate(source.text.splitlines(), start=1)
    return [at(source, number, "promises work for later") for number, line in lines if marks.search(line)]
