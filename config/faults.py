"""Faults of a configuration, all at once, in two languages and without the values that were refused.

One fault reads like a compiler's, so that an editor can jump to it::

    tongban.toml:12: limits.peer_rsp: unknown setting; nearest known name: limits.peer_rps
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from config.fields import RULE

MISSING = "missing"
NO_WORDS = ("值不被接受", "the value is not accepted")
"""For an error type that a later pydantic may bring; no test may ever meet it."""

_WORDS: Mapping[str, tuple[str, str]] = {
    MISSING: ("必填", "required"),
    "string_type": ("类型错误：应为文本", "wrong type: expected text"),
    "int_type": ("类型错误：应为整数", "wrong type: expected a whole number"),
    "bool_type": ("类型错误：应为 true 或 false", "wrong type: expected true or false"),
    "tuple_type": ("类型错误：应为列表", "wrong type: expected a list"),
    "is_instance_of": ("类型错误：应为文本", "wrong type: expected text"),
    "dataclass_exact_type": ("类型错误：应为文本", "wrong type: expected text"),
    "literal_error": ("应为 {expected} 之一", "expected one of {expected}"),
    "greater_than_equal": ("不得小于 {ge}", "must be at least {ge}"),
    "less_than_equal": ("不得大于 {le}", "must be at most {le}"),
    "too_short": ("至少 {min_length} 项", "at least {min_length} needed"),
}
"""Words for the error types of pydantic that a setting can meet; a test meets each setting with wrong values."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `source` is a file, a variable or `flag`; `line` counts from 1."""

    key: str
    source: str
    line: int | None
    problem_zh: str
    problem_en: str
    nearest: str | None = None

    def text(self, language: Literal["zh", "en"] = "en") -> str:
        """Return the fault as one line; it never holds the value that was refused."""
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        head = where if self.key in ("", where) else f"{where}: {self.key}"
        problem, hint = self.problem_en, "; nearest known name: "
        if language == "zh":
            problem, hint = self.problem_zh, "；最接近的名称："
        return f"{head}: {problem}" if self.nearest is None else f"{head}: {problem}{hint}{self.nearest}"


class SettingsInvalid(ValueError):
    """The configuration cannot be used; `faults` holds everything that is wrong with it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(fault.text("en") for fault in faults))
        self.faults = faults

    def text(self, language: Literal["zh", "en"]) -> str:
        """Return one line per fault."""
        return "\n".join(fault.text(language) for fault in self.faults)


def words_of(kind: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Return the problem in zh and en for one error of pydantic, from its type and its context alone."""
    if kind == RULE:
        return str(context["zh"]), str(context["en"])
    zh, en = _WORDS.get(kind, NO_WORDS)
    listed = {"expected": str(context.get("expected", "")).replace(" or ", "、").replace(", ", "、")}
    return zh.format(**{**context, **listed}), en.format(**context)


def nearest_of(name: str, known: list[str]) -> str | None:
    """Return the known name that looks most like `name`, if any does."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), None)
