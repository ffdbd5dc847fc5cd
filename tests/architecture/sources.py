"""The source files of the house, parsed once, and the small questions that rules ask of them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "certs", "config", "node")


@dataclass(frozen=True, slots=True)
class Source:
    """One module: its path from the root of the repository, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The top-level folder, such as `node`."""
        return self.path.split("/", 1)[0]

    @property
    def name(self) -> str:
        """The file name, such as `store.py`."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def room(self) -> str:
        """The folder under `node/`, such as `records`; empty elsewhere."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "node" and len(parts) > 2 else ""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and the name taken from it (empty for `import module`)."""

    module: str
    name: str
    line: int

    @property
    def root(self) -> str:
        """The top-level package."""
        return self.module.split(".", 1)[0]

    @property
    def dotted(self) -> str:
        """Module and name as one path, such as `node.records.service`."""
        return f"{self.module}.{self.name}" if self.name else self.module


def planted(path: str, text: str) -> Source:
    """Return a module that exists only as text, to show that a rule catches it."""
    return Source(path, text, ast.parse(text, path))


@cache
def read_sources(*folders: str) -> tuple[Source, ...]:
    """Return every Python module under the given folders of the repository."""
    files = sorted(file for folder in folders for file in (HOUSE / folder).rglob("*.py"))
    return tuple(planted(file.relative_to(HOUSE).as_posix(), file.read_text("utf-8")) for file in files)


def imports_of(source: Source) -> Iterator[Import]:
    """Yield every import of a module, inside functions too; relative imports are made absolute."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(source, node)
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)


def absolute(source: Source, node: ast.ImportFrom) -> str:
    """Return the full name of the module that a `from ... import` names."""
    if not node.level:
        return node.module or ""
    folders = source.path.split("/")[: -node.level]
    return ".".join([*folders, *([node.module] if node.module else [])])


def calls_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and line of each call whose target is a plain name or attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def functions_of(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method, nested ones too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def classes_of(source: Source) -> Iterator[ast.ClassDef]:
    """Yield every class."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            yield node
