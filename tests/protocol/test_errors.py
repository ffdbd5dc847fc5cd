"""The tree of refusals: one slug, status, side and text each; problems travel and come back (RFC 9457)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import (
    Busy,
    Malformed,
    PolicyDenied,
    Refusal,
    Retry,
    Side,
    every_refusal,
    format_problem,
    parse_problem,
    refusal_named,
)

EVERY = every_refusal()


def test_slugs_are_unique_and_every_refusal_can_be_found_by_its_own() -> None:
    assert len({refusal.slug for refusal in EVERY}) == len(EVERY)
    assert [refusal_named(refusal.slug) for refusal in EVERY] == list(EVERY)
    assert refusal_named("no-such-thing") is None


@pytest.mark.parametrize("refusal", EVERY, ids=lambda refusal: refusal.slug)
def test_a_refusal_says_everything_that_a_reader_needs(refusal: type[Refusal]) -> None:
    assert refusal.slug == refusal.slug.lower().strip("-")
    assert 400 <= refusal.status <= 599
    assert isinstance(refusal.side, Side)
    assert isinstance(refusal.retry, Retry)
    for text in (refusal.title_zh, refusal.title_en, refusal.next_zh, refusal.next_en):
        assert text
        assert text == text.strip()
    assert any(ord(letter) > 0x2E80 for letter in refusal.title_zh)
    assert refusal.next_en.isascii()


@pytest.mark.parametrize("refusal", EVERY, ids=lambda refusal: refusal.slug)
def test_a_problem_travels_and_comes_back(refusal: type[Refusal]) -> None:
    problem = format_problem(refusal("found that", limit_bytes=7), trace="t-1")
    assert problem["type"] == f"urn:tongban:refusal:{refusal.slug}"
    assert (problem["slug"], problem["status"], problem["limit_bytes"]) == (refusal.slug, refusal.status, 7)
    received = parse_problem(problem)
    assert (received.known, received.slug, received.status) == (refusal, refusal.slug, refusal.status)
    assert (received.detail, received.trace) == ("found that", "t-1")


def test_a_fact_never_covers_what_the_class_fixes() -> None:
    problem = format_problem(PolicyDenied("no", slug="busy", status=200, retry="auto", more=1), trace="t")
    assert (problem["slug"], problem["status"], problem["retry"], problem["more"]) == ("policy-denied", 403, "cure", 1)


def test_a_refusal_without_detail_still_says_its_title() -> None:
    assert str(Busy()) == "Busy at the moment"
    assert str(Busy("the CRL is stale")) == "the CRL is stale"
    assert Busy(retry_after_seconds=5).retry_after_seconds == 5


@pytest.mark.parametrize("length", [1, 64])
def test_a_slug_has_up_to_64_characters(length: int) -> None:
    assert parse_problem({"slug": "s" * length, "status": 400}).slug == "s" * length


def test_the_refusal_of_a_newer_version_stays_readable() -> None:
    received = parse_problem({"slug": "quota-of-tomorrow", "status": 403, "detail": "x", "new": {"deep": []}})
    assert (received.known, received.slug, received.detail, received.trace) == (None, "quota-of-tomorrow", "x", "")


@pytest.mark.parametrize(
    "problem",
    [
        None,
        [],
        "busy",
        {},
        {"slug": "busy"},
        {"status": 503},
        {"slug": 1, "status": 503},
        {"slug": "", "status": 503},
        {"slug": "b" * 65, "status": 503},
        {"slug": "busy", "status": "503"},
        {"slug": "busy", "status": True},
        {"slug": "busy", "status": 503.0},
    ],
)
def test_what_is_no_problem_is_malformed(problem: Any) -> None:
    with pytest.raises(Malformed):
        parse_problem(problem)


@given(st.text(), st.text(), st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_long_and_strange_texts_of_a_peer_are_cut(detail: str, trace: str, other: Any) -> None:
    received = parse_problem({"slug": "busy", "status": 503, "detail": detail * 50, "trace": trace * 50})
    assert len(received.detail) <= 500
    assert len(received.trace) <= 64
    strange = parse_problem({"slug": "busy", "status": 503, "detail": {"x": other}, "trace": [other]})
    assert (strange.detail, strange.trace) == ("", "")
