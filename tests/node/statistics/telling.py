"""Histories of cases for tests, and a naive count of them that knows nothing of folds, months or databases."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from node.statistics.reckoning import NO_DUE, Part, Running, Told

FIRST = date(2025, 11, 28)
ITEMS = ("PEN-TRANSFER", "PEN-LUMPSUM")
CITIES = ("442000", "520300", "450400")
LEGS = ("OUT", "IN_JOIN", "TOTAL")
FEN = st.integers(0, 10**13)
PARTS = st.one_of(
    st.sampled_from(["opened", "closed"]).map(Part),
    st.sampled_from(["NO_RELATION", "ARREARS", "OTHER"]).map(lambda code: Part("refused", detail=code)),
    st.sampled_from(["APPROVED", "REJECTED"]).map(lambda code: Part("decided", detail=code)),
    st.tuples(st.sampled_from(LEGS), st.integers(0, 40), st.integers(0, 20), st.integers(0, 1)).map(
        lambda t: Part("finished", t[0], "working_day", 1, *t[1:])
    ),
    st.tuples(st.sampled_from(["instructed", "reconciled", "mismatched"]), FEN).map(lambda t: Part(t[0], total=t[1])),
)
DAYS = st.integers(0, 100).map(lambda n: FIRST + timedelta(days=n))
RUNNING = st.dictionaries(st.sampled_from(LEGS), DAYS | st.just(NO_DUE), max_size=3).map(
    lambda legs: tuple(Running(*one) for one in legs.items())
)
NONE: tuple[Running, ...] = ()


@st.composite
def histories(draw: st.DrawFn, most: int = 4) -> list[list[Told]]:
    """Return the events of some cases, each in order; some events are followed by a move of the due days."""
    cases = []
    for place in range(draw(st.integers(1, most))):
        of = draw(st.tuples(st.sampled_from(ITEMS), st.sampled_from(CITIES), st.sampled_from(CITIES)))
        told = []
        for seq in range(draw(st.integers(1, 5))):
            for again in range(draw(st.sampled_from([1, 1, 2]))):
                parts = tuple(draw(st.lists(PARTS, max_size=3))) if not again else ()
                is_open = draw(st.booleans())
                running = draw(RUNNING) if is_open else NONE
                told.append(Told(f"KS{place:021}", seq, *of, draw(DAYS), parts, is_open, running, again))
        cases.append(told)
    return cases


def naive_sums(told: list[Told], first: date, last: date) -> dict[tuple[Any, ...], list[int]]:
    """Return sums by item, pair, measure, leg and detail, event by event."""
    found: dict[tuple[Any, ...], list[int]] = {}
    of_days = [(one, part) for one in told if first <= one.day <= last for part in one.parts]
    for one, part in of_days:
        key = (one.item, one.accepting, one.responsible, part.measure, part.leg, part.detail)
        added = (part.n, part.total, part.promised, part.kept)
        found[key] = [a + b for a, b in zip(found.get(key, [0] * 4), added, strict=True)]
    return found


def naive_open(cases: list[list[Told]]) -> Counter[tuple[Any, ...]]:
    """Return how many cases are open by item, pair, leg and due day, from the last that each of them told."""
    found: Counter[tuple[Any, ...]] = Counter()
    for told in cases:
        if told and told[-1].is_open:
            last, of = told[-1], (told[-1].item, told[-1].accepting, told[-1].responsible)
            found[(*of, "", min([one.due_on for one in last.running], default=NO_DUE))] += 1
            for one in last.running:
                found[(*of, one.leg, one.due_on)] += 1
    return found
