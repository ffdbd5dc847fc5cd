"""Who may be believed: step 0 of every request, and the memo that makes it cheap (protocol §2, §5.1)."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.certificates import Certificate, Purpose
from protocol.envelope import Trust, active_member, admit
from protocol.errors import Busy, CertificateExpired, CertificateRevoked, MemberSuspended, NotAMember, Refusal
from protocol.manifest import Status
from tests.making import make_certificate
from tests.networks import make_network

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
US, PEER, THIRD = "442000", "450400", "440900"
NETWORK = make_network([US, PEER, THIRD], NOW)


def tls(member: str = PEER, *, ca: str = PEER, **changes: Any) -> Certificate:
    """A TLS certificate of a city's CA, for its own member unless told otherwise."""
    return make_certificate(NETWORK[ca].ca, Purpose.TLS, NOW, member=member, **changes).certificate


def test_an_active_member_is_admitted() -> None:
    assert admit(tls(), NETWORK.trust_of(US), now=NOW).id == PEER


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    ("certificate", "kind"),
    [
        (tls("450900"), NotAMember),
        (tls(THIRD), NotAMember),
        (tls(network="othernet"), NotAMember),
        (NETWORK[PEER].message.certificate, NotAMember),
        (tls(not_before=NOW - 90 * DAY), CertificateExpired),
        (tls(not_before=NOW + DAY), CertificateExpired),
    ],
    ids=["no member", "CA of another member", "other network", "message certificate", "ended", "not begun"],
)
def test_a_connection_of_nobody_we_know_is_refused(certificate: Certificate, kind: type[Refusal]) -> None:
    late = NOW + timedelta(minutes=1)
    with pytest.raises(Refusal) as caught:
        admit(certificate, NETWORK.trust_of(US), now=late)
    assert type(caught.value) is kind


@pytest.mark.threat("T23")
@pytest.mark.parametrize(("status", "kind"), [(Status.SUSPENDED, MemberSuspended), (Status.LEFT, NotAMember)])
def test_a_member_that_may_not_exchange_is_not_admitted(status: Status, kind: type[Refusal]) -> None:
    after = NETWORK.with_status(PEER, status)
    with pytest.raises(kind):
        admit(tls(), after.trust_of(US), now=NOW)
    assert admit(tls(THIRD, ca=THIRD), after.trust_of(US), now=NOW).id == THIRD


def test_a_revoked_tls_certificate_ends_an_open_connection() -> None:
    certificate = tls()
    admit(certificate, NETWORK.trust_of(US), now=NOW)
    with pytest.raises(CertificateRevoked):
        admit(certificate, NETWORK.trust_under_crl(US, PEER, revoked=[certificate.serial]), now=NOW)


def test_without_a_fresh_crl_the_peer_is_asked_to_wait() -> None:
    with pytest.raises(Busy):
        admit(tls(), NETWORK.trust_of(US, crls=()), now=NOW)
    with pytest.raises(Busy):
        admit(tls(), NETWORK.trust_under_crl(US, PEER, now=NOW - 14 * DAY - timedelta(seconds=1)), now=NOW)
    assert admit(tls(), NETWORK.trust_under_crl(US, PEER, now=NOW - 14 * DAY), now=NOW).id == PEER


def test_only_members_in_force_are_active() -> None:
    assert active_member(NETWORK.manifest, PEER).id == PEER
    with pytest.raises(NotAMember):
        active_member(NETWORK.manifest, "450900")


# The memo.


def outcome(trust: Trust, certificate: Certificate, use: Purpose, now: datetime) -> type[Refusal] | None:
    """The kind of refusal, None for a yes."""
    try:
        trust.check(certificate, use, now=now)
    except Refusal as refusal:
        return type(refusal)
    return None


CERTIFICATES = [
    tls(),
    tls(THIRD),
    tls(not_before=NOW - 80 * DAY),
    tls("450900"),
    NETWORK[PEER].message.certificate,
    NETWORK[THIRD].message.certificate,
]
TRUSTS = [
    NETWORK.trust_of(US),
    NETWORK.trust_of(US, crls=()),
    NETWORK.trust_under_crl(US, PEER, revoked=[CERTIFICATES[0].serial, CERTIFICATES[4].serial]),
    NETWORK.trust_under_crl(US, PEER, now=NOW - 20 * DAY),
    NETWORK.with_status(PEER, Status.SUSPENDED).trust_of(US),
]


@given(
    st.sampled_from(TRUSTS),
    st.lists(
        st.tuples(st.sampled_from(CERTIFICATES), st.sampled_from(Purpose), st.integers(-120, 120)),
        min_size=2,
        max_size=12,
    ),
)
def test_a_remembered_verdict_is_the_verdict_that_would_be_given_now(
    trust: Trust, questions: list[tuple[Certificate, Purpose, int]]
) -> None:
    remembering = dataclasses.replace(trust, verdicts={})
    for certificate, use, days in questions:
        forgetful = dataclasses.replace(trust, verdicts={})
        now = NOW + days * DAY
        assert outcome(remembering, certificate, use, now) == outcome(forgetful, certificate, use, now)


def test_a_verdict_is_remembered_per_use() -> None:
    trust = NETWORK.trust_of(US)
    certificate = NETWORK[PEER].message.certificate
    assert outcome(trust, certificate, Purpose.MESSAGE, NOW) is None
    assert set(trust.verdicts) == {(certificate.fingerprint, Purpose.MESSAGE)}
    assert outcome(trust, certificate, Purpose.TLS, NOW) is not None
    other = NETWORK[THIRD].message.certificate
    assert outcome(trust, other, Purpose.MESSAGE, NOW) is None
    assert {name for name, _ in trust.verdicts} == {certificate.fingerprint, other.fingerprint}


def test_a_verdict_is_given_once_and_then_remembered() -> None:
    trust = NETWORK.trust_of(US)
    certificate = NETWORK[PEER].message.certificate
    trust.check(certificate, Purpose.MESSAGE, now=NOW)
    (first,) = trust.verdicts.values()
    trust.check(certificate, Purpose.MESSAGE, now=NOW)
    assert [one is first for one in trust.verdicts.values()] == [True]


def test_a_remembered_verdict_still_ends_with_its_certificate() -> None:
    trust = NETWORK.trust_of(US)
    certificate = NETWORK[PEER].message.certificate
    assert outcome(trust, certificate, Purpose.MESSAGE, NOW) is None
    assert outcome(trust, certificate, Purpose.MESSAGE, certificate.not_after + DAY) is CertificateExpired


def test_the_memo_does_not_grow_without_end() -> None:
    trust = NETWORK.trust_of(US)
    certificate = NETWORK[PEER].message.certificate
    trust.check(certificate, Purpose.MESSAGE, now=NOW)
    verdict = next(iter(trust.verdicts.values()))
    for number in range(9_999):
        trust.verdicts[str(number), Purpose.TLS] = verdict
    trust.check(tls(), Purpose.TLS, now=NOW)
    assert len(trust.verdicts) == 1
