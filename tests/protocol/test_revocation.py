"""Steps 4 and 5 of the trust decision (protocol §2): time, revocation, and what evidence needs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from protocol.certificates import (
    Crl,
    CrlInvalid,
    Purpose,
    Verdict,
    judge,
    parse_crl,
)
from protocol.errors import Busy, CertificateExpired, CertificateRevoked
from tests.making import (
    ABSENT,
    MadeCa,
    MadeCertificate,
    make_certificate,
    make_city_ca,
    make_crl,
    make_entry,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GRACE = timedelta(days=7)
NETWORK = "yizhangwang"
ZHONGSHAN = make_city_ca("442000", NETWORK, NOW)
WUZHOU = make_city_ca("450400", NETWORK, NOW)
GOOD = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW)
GOOD_CRL = make_crl(ZHONGSHAN, NOW)
UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)


def crl_of(ca: MadeCa, revoked: Sequence[int] = (), **changes: Any) -> Crl:
    return parse_crl(make_crl(ca, NOW, revoked, **changes), [ca.authority])


def verdict_on(made: MadeCertificate, *crls: Crl, ca: MadeCa = ZHONGSHAN, use: Purpose = Purpose.MESSAGE) -> Verdict:
    return judge(made.certificate, [ca.authority], crls, network=NETWORK, use=use, grace=GRACE)


# --- Step 4: time ---


def test_an_expired_certificate_is_refused() -> None:
    verdict = verdict_on(GOOD, crl_of(ZHONGSHAN, lifetime=400 * DAY))
    verdict.at(GOOD.certificate.not_after)
    with pytest.raises(CertificateExpired, match="message certificate of 442000 ended"):
        verdict.at(GOOD.certificate.not_after + timedelta(seconds=1))


def test_a_certificate_that_is_not_valid_yet_is_refused() -> None:
    made = make_certificate(ZHONGSHAN, Purpose.MESSAGE, NOW, not_before=NOW + DAY)
    with pytest.raises(CertificateExpired, match="begins on"):
        verdict_on(made, crl_of(ZHONGSHAN)).at(NOW)


def test_an_expired_ca_vouches_no_more() -> None:
    old = make_city_ca("442000", NETWORK, NOW, lifetime=timedelta(days=30))
    verdict = verdict_on(make_certificate(old, Purpose.MESSAGE, NOW), crl_of(old, lifetime=60 * DAY), ca=old)
    verdict.at(NOW)
    with pytest.raises(CertificateExpired, match="the CA of 442000 ended"):
        verdict.at(NOW + 31 * DAY)


# --- Step 5: revocation ---


def test_a_revoked_certificate_is_refused() -> None:
    with pytest.raises(CertificateRevoked):
        verdict_on(GOOD, crl_of(ZHONGSHAN, [GOOD.certificate.serial])).at(NOW)


def test_a_revocation_counts_even_when_its_crl_is_stale() -> None:
    with pytest.raises(CertificateRevoked):
        verdict_on(GOOD, crl_of(ZHONGSHAN, [GOOD.certificate.serial])).at(NOW + 100 * DAY)


def test_without_a_crl_the_answer_is_busy() -> None:
    with pytest.raises(Busy, match="no CRL of 442000"):
        verdict_on(GOOD).at(NOW)


def test_a_crl_is_stale_after_its_next_update_and_the_grace() -> None:
    verdict = verdict_on(GOOD, crl_of(ZHONGSHAN))
    verdict.at(NOW + 14 * DAY)
    with pytest.raises(Busy, match="was due on"):
        verdict.at(NOW + 14 * DAY + timedelta(seconds=1))


def test_a_crl_from_the_future_is_not_relied_on() -> None:
    verdict = verdict_on(GOOD, crl_of(ZHONGSHAN, this_update=NOW + timedelta(seconds=301)))
    with pytest.raises(Busy, match="begins on"):
        verdict.at(NOW)
    verdict.at(NOW + timedelta(seconds=1))


def test_a_crl_of_another_ca_does_not_serve() -> None:
    with pytest.raises(Busy, match="no CRL of 442000"):
        verdict_on(GOOD, crl_of(WUZHOU)).at(NOW)


def test_a_crl_signed_by_another_ca_is_invalid() -> None:
    for der in (make_crl(WUZHOU, NOW), make_crl(ZHONGSHAN, NOW, signing_key=WUZHOU.key)):
        with pytest.raises(CrlInvalid, match="not signed by a CA of this member"):
            parse_crl(der, [ZHONGSHAN.authority])


def test_a_lower_crl_number_is_ignored() -> None:
    revoking, older = crl_of(ZHONGSHAN, [GOOD.certificate.serial], number=8), crl_of(ZHONGSHAN, number=7)
    for crls in ((revoking, older), (older, revoking)):
        with pytest.raises(CertificateRevoked):
            verdict_on(GOOD, *crls).at(NOW)
    fresh_but_lower = crl_of(ZHONGSHAN, number=7, lifetime=365 * DAY)
    with pytest.raises(Busy):
        verdict_on(GOOD, crl_of(ZHONGSHAN, number=8), fresh_but_lower).at(NOW + 30 * DAY)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": ABSENT},
        {"authority_key_identifier": ABSENT},
        {"extra": [UNKNOWN_CRITICAL]},
        {"extra": [(x509.DeltaCRLIndicator(1), True)]},
        {"entries": [make_entry(7, NOW), make_entry(7, NOW)]},
        {"entries": [make_entry(7, NOW, [UNKNOWN_CRITICAL])]},
        {"entries": [make_entry(7, NOW, [(x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)])]},
    ],
)
def test_a_crl_that_is_not_plain_and_complete_is_invalid(changes: dict[str, Any]) -> None:
    with pytest.raises(CrlInvalid) as fault:
        crl_of(ZHONGSHAN, **changes)
    assert "readable" not in str(fault.value)


def test_reason_and_invalidity_date_are_read() -> None:
    extensions = [
        (x509.CRLReason(x509.ReasonFlags.key_compromise), False),
        (x509.InvalidityDate((NOW - 3 * DAY).replace(tzinfo=None)), False),
    ]
    entry = crl_of(ZHONGSHAN, entries=[make_entry(7, NOW, extensions)]).revoked[7]
    assert (entry.at, entry.invalidity_date, entry.reason) == (NOW, NOW - 3 * DAY, "keyCompromise")
    assert entry.since == NOW - 3 * DAY


# --- Evidence: the log time, years later ---


def test_for_evidence_a_later_revocation_does_no_harm_and_an_earlier_one_does() -> None:
    revoked = crl_of(ZHONGSHAN, [GOOD.certificate.serial], this_update=NOW + DAY)
    verdict_on(GOOD, revoked).at_log_time(NOW - timedelta(minutes=1))
    with pytest.raises(CertificateRevoked):
        verdict_on(GOOD, revoked).at_log_time(NOW)


def test_for_evidence_the_invalidity_date_counts() -> None:
    entry = make_entry(
        GOOD.certificate.serial, NOW + DAY, [(x509.InvalidityDate((NOW - DAY).replace(tzinfo=None)), False)]
    )
    with pytest.raises(CertificateRevoked):
        verdict_on(GOOD, crl_of(ZHONGSHAN, entries=[entry], this_update=NOW + DAY)).at_log_time(NOW)


def test_for_evidence_the_crl_must_reach_to_the_log_time() -> None:
    verdict_on(GOOD, crl_of(ZHONGSHAN)).at_log_time(NOW)
    with pytest.raises(Busy):
        verdict_on(GOOD, crl_of(ZHONGSHAN)).at_log_time(NOW + DAY)
