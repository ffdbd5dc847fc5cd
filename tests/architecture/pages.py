"""Rules of the written pages: links that resolve, refusals that are explained, threats that are answered."""

import re
from collections.abc import Iterable
from pathlib import Path

from protocol.errors import Refusal

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
THREAT_ROW = re.compile(r"^\| (T\d\d) \|(.*)\|\s*$", re.MULTILINE)
THREAT_MARK = re.compile(r"""mark\.threat\(\s*["'](T\d\d)["']""")
JOINS = "joins with the"
NEEDED = ("What happened", "发生了什么", "Who acts", "谁来处理", "Next step", "下一步", "Retry", "How it is tested")


def broken_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead nowhere: a missing file, or a missing heading in one."""
    faults = []
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists():
            faults.append(f"{page.name}: {target} does not exist")
        elif fragment and fragment not in anchors(text if file == page else file.read_text("utf-8")):
            faults.append(f"{page.name}: {target} has no such heading")
    return faults


def anchors(text: str) -> set[str]:
    """Return the fragments by which the headings of a page can be reached."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def page_faults(refusal: type[Refusal], text: str) -> list[str]:
    """Return what the page of a refusal leaves out: its names, status, side, retry or one of the answers."""
    facts = (refusal.slug, str(refusal.status), refusal.title_zh, refusal.title_en, f"`{refusal.retry.value}`", *NEEDED)
    return [f"{refusal.slug}: the page does not say {fact}" for fact in facts if fact not in text]


def class_faults(refusal: type[Refusal]) -> list[str]:
    """Return what a refusal class leaves out or says wrongly."""
    words = ("title_zh", "title_en", "next_zh", "next_en")
    faults = [f"{refusal.__name__} has no {word}" for word in words if not getattr(refusal, word, "")]
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", getattr(refusal, "slug", "")):
        faults.append(f"{refusal.__name__} has no slug")
    if not 400 <= getattr(refusal, "status", 0) <= 599:
        faults.append(f"{refusal.__name__} has no status of a refusal")
    faults += [f"{refusal.__name__} has no {part}" for part in ("side", "retry") if not hasattr(refusal, part)]
    return faults


def is_provoked(refusal: type[Refusal], tests: Iterable[str]) -> bool:
    """Return whether some test names the refusal by its slug, in quotes, or by its class."""
    name = re.compile(rf"""\b{refusal.__name__}\b|["']{refusal.slug}["']""")
    return any(name.search(text) for text in tests)


def threats_of(model: str) -> dict[str, bool]:
    """Return each threat number of the threat model, and whether this version answers it already."""
    return {number: JOINS not in row for number, row in THREAT_ROW.findall(model)}


def threat_faults(model: str, tests: Iterable[str]) -> list[str]:
    """Return marked numbers that the model does not know, and answered threats that no test is marked with."""
    threats = threats_of(model)
    marked = {number for text in tests for number in THREAT_MARK.findall(text)}
    unknown = [f"{number} is marked but not in the threat model" for number in sorted(marked - threats.keys())]
    return unknown + [f"{n} has no test" for n, is_here in sorted(threats.items()) if is_here and n not in marked]
