"""`document verify`: a line per check; what could not be checked never counts as passed."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pikepdf
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from node.documents.press import Press, Signer
from node.documents.signing import sign_pdf
from node.documents.verifying import Check, Outcome, Trusted, verify
from protocol.certificates import Purpose, parse_crl
from tests.making import MadeCa, make_certificate, make_city_ca, make_crl, make_entry
from tests.node.documents.papers import paper_of
from tests.node.documents.rooms import CA, LEAF, NETWORK, NOW, TRUSTED, signer

DAY = timedelta(days=1)
LATER = NOW + timedelta(days=3650)


def printed(press: Press, by: Signer | None = None, at: Any = NOW, **changes: Any) -> bytes:
    paper = json.loads(paper_of("decision")) | {"form": press.form()} | changes
    return press.print(json.dumps(paper, ensure_ascii=False).encode(), by or signer(), at)


def outcomes(press: Press, pdf: bytes, trusted: Trusted | None = TRUSTED, now: Any = LATER) -> dict[str, Outcome]:
    return {one.name: one.outcome for one in verify(press.examine(pdf), trusted, now=now)}


def failed(checks: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in checks.items() if outcome is Outcome.FAILED]


def signed_by(ca: MadeCa, **changes: Any) -> Signer:
    leaf = make_certificate(ca, changes.pop("purpose", Purpose.DOCUMENT), NOW, **changes)
    return Signer(leaf.der, ca.der, lambda data: bytes(leaf.key.sign(data, ECDSA(SHA256()))))


def crl(at: Any = NOW + DAY, **changes: Any) -> Trusted:
    made = make_crl(CA, at, **changes)
    return Trusted(NETWORK, {"450400": [CA.authority]}, [parse_crl(made, [CA.authority])])


def test_a_good_paper_passes_every_check(press: Press) -> None:
    assert set(outcomes(press, printed(press)).values()) == {Outcome.PASSED}


def test_a_changed_byte_of_the_content_fails_the_signature(press: Press) -> None:
    pdf = bytearray(printed(press))
    pdf[pdf.index(b"stream\n") + 20] ^= 1
    assert "signature" in failed(outcomes(press, bytes(pdf)))


def test_a_stranger_who_signs_for_a_city_is_found(press: Press) -> None:
    stranger = make_city_ca("450400", NETWORK, NOW)
    checks = outcomes(press, printed(press, signed_by(stranger)))
    assert failed(checks) == ["certificate", "at_signing"]


def test_a_message_key_signs_no_paper(press: Press) -> None:
    assert "certificate" in failed(outcomes(press, printed(press, signed_by(CA, purpose=Purpose.MESSAGE))))


def test_another_member_cannot_print_in_the_name_of_this_city(press: Press) -> None:
    other = make_city_ca("442000", NETWORK, NOW)
    trusted = replace(TRUSTED, authorities={**TRUSTED.authorities, "442000": [other.authority]})
    assert failed(outcomes(press, printed(press, signed_by(other)), trusted)) == ["data"]


def test_a_certificate_that_had_ended_when_it_signed_fails(press: Press) -> None:
    late = LEAF.certificate.not_after + DAY
    assert failed(outcomes(press, printed(press, at=late), crl(at=late + DAY))) == ["at_signing"]


def test_a_certificate_that_ended_later_does_no_harm(press: Press) -> None:
    late = LEAF.certificate.not_after + DAY
    assert failed(outcomes(press, printed(press), crl(at=late))) == []


@pytest.mark.parametrize(("hours", "fails"), [(-1, True), (1, False)])
def test_a_revocation_counts_from_its_day(press: Press, hours: int, fails: bool) -> None:
    trusted = crl(entries=[make_entry(LEAF.certificate.serial, NOW + timedelta(hours=hours))])
    assert failed(outcomes(press, printed(press), trusted)) == (["at_signing"] if fails else [])


def test_what_cannot_be_checked_is_named_and_not_passed(press: Press) -> None:
    pdf = printed(press)
    assert outcomes(press, pdf, None)["certificate"] is Outcome.UNCHECKED
    old = outcomes(press, pdf, crl(at=NOW - DAY))
    assert old["at_signing"] is Outcome.UNCHECKED
    assert outcomes(press, pdf, replace(TRUSTED, crls=[]), NOW + DAY)["at_signing"] is Outcome.UNCHECKED
    assert outcomes(press, printed(press, form="f" * 64))["printed"] is Outcome.UNCHECKED


def test_attached_data_that_are_not_what_is_printed_are_found(press: Press) -> None:
    """A city that prints one thing, attaches another, and signs both: everything but the drawing is in order."""
    paper = json.loads(paper_of("decision")) | {"form": press.form()}
    drawn = press.print(json.dumps(paper, ensure_ascii=False).encode(), None, NOW)
    paper["data"]["decided_on"] = "2024-12-21"
    with pikepdf.open(io.BytesIO(drawn)) as pdf:
        pdf.Root.AF[0].EF.F.write(json.dumps(paper, ensure_ascii=False).encode())
        out = io.BytesIO()
        pdf.save(out)
    own = signer()
    signed = sign_pdf(out.getvalue(), certificate=own.certificate, authority=own.authority, now=NOW, sign=own.sign)
    assert failed(outcomes(press, signed)) == ["printed"]


def test_a_fresh_paper_is_good_by_the_list_of_yesterday_and_one_from_the_future_is_not(press: Press) -> None:
    yesterday = crl(at=NOW - timedelta(minutes=1))
    assert failed(outcomes(press, printed(press), yesterday, NOW)) == []
    assert set(outcomes(press, printed(press), yesterday, NOW).values()) == {Outcome.PASSED}
    ahead = printed(press, at=NOW + timedelta(minutes=10))
    assert failed(outcomes(press, ahead, yesterday, NOW)) == ["at_signing"]


def test_an_unsigned_paper_fails(press: Press) -> None:
    pdf = press.print(paper_of("decision"), None, NOW)
    assert set(failed(outcomes(press, pdf))) == {"signature", "certificate", "at_signing"}


def test_every_check_has_words_in_both_languages(press: Press) -> None:
    checks: list[Check] = verify(press.examine(printed(press)), None, now=NOW)
    assert [one.name for one in checks] == ["signature", "certificate", "at_signing", "data", "printed"]
    assert all(one.zh and one.en for one in checks)
