"""How a command of the CA tool answers: text for people in zh or en, or one JSON object; then a next step."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from certs.faults import CertsFault, WrongUsage


@dataclass(frozen=True, slots=True)
class Words:
    """One text in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` for programs, `text` for people, `next` a command that can be copied."""

    data: dict[str, Any]
    text: Words
    next: str


def say(zh: str, en: str) -> Words:
    """Return one text in both languages."""
    return Words(zh=zh, en=en)


def answer(run: Callable[[datetime], Answer], *, as_json: bool, lang: str | None) -> None:
    """Run a command at the present time and print what came of it; exits with its code when it is refused."""
    is_zh = chosen_language(lang) == "zh"
    try:
        if lang not in (None, "zh", "en"):
            raise WrongUsage("--lang 为 zh 或 en", "--lang is zh or en")
        done = run(datetime.now(UTC))
    except CertsFault as fault:
        _print_fault(fault, as_json=as_json, is_zh=is_zh)
        raise SystemExit(fault.exit_code) from None
    except OSError as fault:
        # A full disk or a missing right is no fault of the request: exit code 3.
        reason = fault.strerror or "I/O"
        _print_refusal("not-writable", f"文件操作失败：{reason}", as_json=as_json, is_zh=is_zh)
        raise SystemExit(3) from None
    if as_json:
        print(json.dumps({"ok": True, "data": done.data, "refusal": None, "next": done.next}, ensure_ascii=False))
        return
    print(done.text.zh if is_zh else done.text.en)
    print(f"{'下一步' if is_zh else 'Next'}: {done.next}")


def chosen_language(lang: str | None) -> str:
    """Return `zh` or `en`: as asked for, else as the locale says."""
    if lang in ("zh", "en"):
        return str(lang)
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"


def _print_fault(fault: CertsFault, *, as_json: bool, is_zh: bool) -> None:
    _print_refusal(fault.slug, fault.zh if is_zh else fault.en, as_json=as_json, is_zh=is_zh)


def _print_refusal(slug: str, detail: str, *, as_json: bool, is_zh: bool) -> None:
    step = "tongban certs --help"
    if as_json:
        refusal = {"slug": slug, "detail": detail}
        print(json.dumps({"ok": False, "data": None, "refusal": refusal, "next": step}, ensure_ascii=False))
        return
    print(f"✘ {detail}", file=sys.stderr)
    print(f"{'哪一方: 本市' if is_zh else 'Side: this city'} · {slug}", file=sys.stderr)
    print(f"{'下一步' if is_zh else 'Next'}: {step}", file=sys.stderr)
