"""Every link resolves, every refusal is explained, provoked and mapped, every threat has its test."""

from pathlib import Path

import pytest

from protocol.errors import Refusal, every_refusal
from tests.architecture.pages import (
    broken_links,
    class_faults,
    is_provoked,
    page_faults,
    threat_faults,
    threats_of,
)
from tests.architecture.sources import HOUSE

PROBLEMS = HOUSE / "docs" / "problems"
PAGES = sorted([*HOUSE.glob("*.md"), *(HOUSE / "docs").rglob("*.md")])
THREAT_MODEL = (HOUSE / "docs" / "threat-model.md").read_text("utf-8")


def other_tests() -> list[str]:
    """Return the texts of all tests but those of this folder, which name everything."""
    files = (HOUSE / "tests").rglob("*.py")
    return [file.read_text("utf-8") for file in files if file.parent.name != "architecture"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOUSE).as_posix())
def test_every_relative_link_resolves(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One place\n[a](other.md) [b](#one-place) [c](#no-place) [d](https://example.org)\n", "utf-8")
    assert len(broken_links(page, page.read_text("utf-8"))) == 2


@pytest.mark.parametrize("refusal", every_refusal(), ids=lambda refusal: refusal.slug)
def test_every_refusal_has_slug_status_words_and_page(refusal: type[Refusal]) -> None:
    page = PROBLEMS / f"{refusal.slug}.md"
    assert class_faults(refusal) == []
    assert page_faults(refusal, page.read_text("utf-8")) == []


@pytest.mark.parametrize("refusal", every_refusal(), ids=lambda refusal: refusal.slug)
def test_every_refusal_is_provoked_by_a_test(refusal: type[Refusal]) -> None:
    assert is_provoked(refusal, other_tests()), f"no test names {refusal.__name__} or '{refusal.slug}'"


def test_a_refusal_has_one_slug_and_every_page_a_refusal() -> None:
    slugs = [refusal.slug for refusal in every_refusal()]
    pages = {page.stem for page in PROBLEMS.glob("*.md")} - {"index"}
    assert len(slugs) == len(set(slugs))
    assert pages == set(slugs)


def test_a_refusal_without_words_or_page_text_is_found() -> None:
    nameless = type("Nameless", (), {"status": 200})
    assert len(class_faults(nameless)) == 8
    assert page_faults(every_refusal()[0], "")
    assert not is_provoked(every_refusal()[0], ["a test of something else"])


def test_the_threat_model_has_all_24_threats() -> None:
    assert list(threats_of(THREAT_MODEL)) == [f"T{number:02}" for number in range(1, 25)]


def test_every_marked_threat_exists_and_every_answered_threat_has_a_test() -> None:
    files = (HOUSE / "tests").rglob("test_*.py")
    texts = [file.read_text("utf-8") for file in files if file.name != Path(__file__).name]
    assert threat_faults(THREAT_MODEL, texts) == []


def test_a_wrong_threat_number_and_a_missing_test_are_found() -> None:
    model = "| T01 | forged | here |\n| T02 | later | joins with the cases issue |\n"
    assert threats_of(model) == {"T01": True, "T02": False}
    assert threat_faults(model, ['@pytest.mark.threat("T77")']) == [
        "T77 is marked but not in the threat model",
        "T01 has no test",
    ]
