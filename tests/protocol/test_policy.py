"""May this member ask this, and which fields does it get? Deny by default (protocol §5.1 step 10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.claims import Why
from protocol.errors import InvalidBody, PolicyDenied, UnknownItem
from protocol.messages import LINES, RecordKind
from protocol.policy import BASES, Decision, ReleaseRule, check_purpose, decide

ITEMS = frozenset({"PEN-LUMPSUM", "PEN-TRANSFER"})
CASE = "KS450400202611240000012"
BALANCE = tuple(LINES[RecordKind.BALANCE].model_fields)


def rule(*fields: str, record: RecordKind = RecordKind.BALANCE) -> ReleaseRule:
    return ReleaseRule("450400", "PEN-LUMPSUM", record, frozenset(fields))


@pytest.mark.parametrize(
    "why",
    [
        Why(item="PEN-LUMPSUM", basis="STATUTORY", case=CASE),
        Why(item="PEN-LUMPSUM", basis="STATUTORY", ref="咨询 2026-17"),
        Why(item="PEN-TRANSFER", basis="CONSENT", case=CASE, consent="A" * 43),
    ],
)
def test_a_lawful_purpose_passes(why: Why) -> None:
    check_purpose(why, ITEMS)


@pytest.mark.threat("T05")
@pytest.mark.parametrize(
    ("why", "kind"),
    [
        (Why(item="PEN-OTHER", basis="STATUTORY", case=CASE), UnknownItem),
        (Why(item="PEN-LUMPSUM", basis="STATUTORY"), PolicyDenied),
        (Why(item="PEN-LUMPSUM", basis="CURIOSITY", case=CASE), PolicyDenied),
        (Why(item="PEN-LUMPSUM", basis="CONSENT", case=CASE), PolicyDenied),
    ],
    ids=["item unknown", "neither case nor consultation", "basis unknown", "consent without its digest"],
)
def test_a_question_without_lawful_purpose_is_refused(why: Why, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        check_purpose(why, ITEMS)


def test_an_empty_catalogue_permits_nothing() -> None:
    with pytest.raises(UnknownItem):
        check_purpose(Why(item="PEN-LUMPSUM", basis="STATUTORY", case=CASE), ())


def test_the_bases_are_those_of_the_law() -> None:
    assert {"STATUTORY", "CONSENT"} == BASES


@pytest.mark.threat("T05")
def test_without_a_rule_nothing_leaves_the_city() -> None:
    with pytest.raises(PolicyDenied):
        decide(None, RecordKind.BALANCE, None)
    with pytest.raises(PolicyDenied):
        decide(rule(), RecordKind.BALANCE, None)


@pytest.mark.threat("T05")
def test_only_released_fields_leave_and_the_others_are_named() -> None:
    decision = decide(rule("until", "balance_fen", "nothing_of_ours"), RecordKind.BALANCE, None)
    assert decision == Decision(
        released=("until", "balance_fen"), withheld=("insurance", "principal_fen", "interest_fen")
    )


def test_fields_that_were_not_asked_for_are_neither_released_nor_withheld() -> None:
    decision = decide(rule(*BALANCE), RecordKind.BALANCE, ["balance_fen", "insurance"])
    assert decision == Decision(released=("insurance", "balance_fen"), withheld=())


def test_asking_only_for_what_is_withheld_is_denied() -> None:
    with pytest.raises(PolicyDenied):
        decide(rule("until"), RecordKind.BALANCE, ["balance_fen"])


def test_a_field_that_the_kind_does_not_have_is_refused_before_the_rule_is_read() -> None:
    for given_rule in (None, rule("until")):
        with pytest.raises(InvalidBody):
            decide(given_rule, RecordKind.BALANCE, ["until", "employer"])


@given(st.sampled_from(RecordKind), st.data())
def test_what_is_asked_is_released_or_withheld_and_nothing_else(kind: RecordKind, data: st.DataObject) -> None:
    known = list(LINES[kind].model_fields)
    fields = data.draw(st.frozensets(st.sampled_from(known)))
    asked = data.draw(st.none() | st.lists(st.sampled_from(known), min_size=1))
    wanted = set(known if asked is None else asked)
    if not wanted & fields:
        with pytest.raises(PolicyDenied):
            decide(rule(*fields, record=kind), kind, asked)
        return
    decision = decide(rule(*fields, record=kind), kind, asked)
    assert set(decision.released) == wanted & fields
    assert set(decision.withheld) == wanted - fields
    assert [*decision.released] == [name for name in known if name in decision.released]
