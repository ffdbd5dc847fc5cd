"""Receiving a message, step by step (protocol §5.1, steps 0-7): one thing is wrong, one refusal follows."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.certificates import Purpose
from protocol.claims import Earlier, describe_body, sha256
from protocol.envelope import (
    Message,
    MessageKey,
    RawMessage,
    Trust,
    read_certificate_name,
    read_number,
    seal,
    unseal,
)
from protocol.errors import (
    BadSignature,
    Busy,
    CertificateExpired,
    CertificateRevoked,
    DigestMismatch,
    Malformed,
    ManifestBehind,
    MemberSuspended,
    NotAMember,
    Refusal,
    SignerMismatch,
    Stale,
    TooLarge,
    UnknownCertificate,
    UnsupportedVersion,
    WrongAudience,
    WrongNetwork,
)
from protocol.manifest import NetworkPolicy, Status
from protocol.messages import Ping
from tests.making import make_certificate
from tests.networks import WHO, WHY, make_network, new_number, seconds
from tests.protocol.forging import GONE, forge, header_of, plain

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
US, PEER, THIRD = "442000", "450400", "440900"
NETWORK = make_network([US, PEER, THIRD], NOW)
BODY = b'{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A"}'
REQUIRED = ["net", "ver", "iss", "aud", "iat", "exp", "jti", "msg", "man", "body"]


def query(**changes: Any) -> RawMessage:
    return NETWORK.seal(PEER, US, BODY, msg="record.query", **changes)


def open_at(raw: RawMessage, *, trust: Trust | None = None, peer: str = PEER, now: datetime = NOW) -> Message:
    return unseal(raw, trust or NETWORK.trust_of(US), peer=peer, now=now)


def refused(kind: type[Refusal], raw: RawMessage, **where: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        open_at(raw, **where)
    assert type(caught.value) is kind, caught.value
    return caught.value


def forged(header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> RawMessage:
    """A query whose claims need not fit the model; signed by the peer's own key."""
    claims = NETWORK.claims(PEER, US, BODY, msg="record.query")
    return RawMessage(forge(NETWORK[PEER], plain(claims, **changes), header=header, key=key), BODY, "application/json")


def test_a_message_is_opened_with_the_very_bytes_that_arrived() -> None:
    raw = query()
    message = open_at(raw)
    assert (message.statement, message.body, message.digest) == (raw.statement, BODY, sha256(raw.statement))
    assert (message.claims.iss, message.claims.aud, message.claims.msg) == (PEER, US, "record.query")
    assert (message.claims.why, message.claims.who) == (WHY, WHO)


# Step 0, who stands behind the connection, is in test_trust.py.
# Step 1: size and form. Every other broken form is a row of token_attacks.py.


def test_a_statement_has_at_most_six_kibibytes() -> None:
    header = json.dumps(header_of(NETWORK[PEER])).encode()
    payload = json.dumps(plain(NETWORK.claims(PEER, US, BODY, msg="record.query"))).encode()
    spaces = ((head, length) for head in range(4) for length in range(4300, 4500))
    statements = (forge(NETWORK[PEER], payload.ljust(n), header=header + b" " * head) for head, n in spaces)
    largest = next(one for one in statements if len(one) == 6 * 1024)
    open_at(RawMessage(largest, BODY, "application/json"))
    refusal = refused(TooLarge, RawMessage(largest + b"A", BODY, "application/json"))
    assert refusal.facts == {"limit_bytes": 6144}


# Step 2: typ, ver, claims, net, aud.


@pytest.mark.threat("T02")
def test_a_reply_is_no_message() -> None:
    answer = NETWORK.answer(open_at(query()), BODY, msg="record.answer")
    refused(Malformed, RawMessage(answer.statement, BODY, "application/json"))
    refused(Malformed, forged(header_of(NETWORK[PEER], typ="tongban-reply+jwt")))


@pytest.mark.parametrize("version", ["2", "0", 1, None, ["1"], GONE])
def test_another_version_is_answered_with_the_supported_ones(version: Any) -> None:
    assert refused(UnsupportedVersion, forged(ver=version)).facts == {"supported": ["1"]}


@pytest.mark.parametrize("claim", sorted({*REQUIRED} - {"ver"}))
def test_every_claim_is_required(claim: str) -> None:
    absent: dict[str, Any] = {claim: GONE}
    refused(Malformed, forged(**absent))


def test_a_claim_that_nobody_knows_is_refused_and_not_repeated() -> None:
    more: dict[str, Any] = {"442000199003070018": 1}
    refusal = refused(Malformed, forged(**more))
    assert "442000199003070018" not in refusal.detail


def test_a_message_of_another_network_is_refused() -> None:
    refused(WrongNetwork, query(net="othernet"))


@pytest.mark.threat("T02")
def test_a_message_to_another_city_is_refused() -> None:
    refused(WrongAudience, NETWORK.seal(PEER, THIRD, BODY, msg="record.query"))


@pytest.mark.threat("T02")
def test_our_own_message_sent_back_to_us_is_refused() -> None:
    refused(WrongAudience, NETWORK.seal(US, PEER, BODY, msg="record.query"))
    refused(SignerMismatch, NETWORK.seal(US, US, BODY, msg="record.query"))


@pytest.mark.parametrize(("msg", "longest"), [("record.query", 300), ("ping", 300), ("case.open", 30 * 86400)])
def test_a_message_lives_no_longer_than_its_kind_may(msg: str, longest: int) -> None:
    at = seconds(NOW)
    open_at(NETWORK.seal(PEER, US, BODY, msg=msg, exp=at + longest))
    refused(Malformed, NETWORK.seal(PEER, US, BODY, msg=msg, exp=at + longest + 1))


@pytest.mark.parametrize("length", [0, -1])
def test_a_message_ends_after_it_begins(length: int) -> None:
    refused(Malformed, query(iat=seconds(NOW) + 100, exp=seconds(NOW) + 100 + length))


@pytest.mark.parametrize("missing", [["why"], ["who"], ["why", "who"]])
def test_a_question_says_why_and_who(missing: list[str]) -> None:
    refused(Malformed, query(**dict.fromkeys(missing)))


@pytest.mark.parametrize("present", [{"why": WHY}, {"who": WHO}, {"why": WHY, "who": WHO}])
@pytest.mark.parametrize("msg", ["ping", "library.publish"])
def test_a_message_without_purpose_claims_none(msg: str, present: dict[str, Any]) -> None:
    open_at(NETWORK.seal(PEER, US, BODY, msg=msg))
    refused(Malformed, NETWORK.seal(PEER, US, BODY, msg=msg, **present))


@pytest.mark.threat("T02")
def test_only_what_is_delivered_can_replace_an_earlier_message() -> None:
    again = Earlier(jti=new_number(), sha256=sha256(b"the first one"))
    assert open_at(NETWORK.seal(PEER, US, BODY, msg="case.open", again=again)).claims.again == again
    refused(Malformed, query(again=again))


# Step 3: the sender is an active member and the one that is connected.


def test_a_sender_that_is_no_member_is_refused() -> None:
    stranger = NETWORK.seal(PEER, US, BODY, msg="record.query", iss="450900")
    refused(NotAMember, stranger, peer="450900")


@pytest.mark.parametrize(("status", "kind"), [(Status.SUSPENDED, MemberSuspended), (Status.LEFT, NotAMember)])
def test_a_sender_that_may_not_exchange_is_refused(status: Status, kind: type[Refusal]) -> None:
    refused(kind, query(), trust=NETWORK.with_status(PEER, status).trust_of(US))


@pytest.mark.threat("T03")
def test_a_member_cannot_pass_on_another_members_message() -> None:
    refused(SignerMismatch, query(), peer=THIRD)


def test_a_newer_manifest_than_ours_means_that_we_are_behind() -> None:
    newer = NETWORK.upgraded(NETWORK.next_version(statuses={}))
    refusal = refused(ManifestBehind, newer.seal(PEER, US, BODY, msg="record.query"))
    assert refusal.facts == {"version": 1}
    refused(ManifestBehind, query(man="999999999:" + "A" * 43))


@pytest.mark.threat("T23")
def test_the_same_version_with_another_digest_is_another_network() -> None:
    refused(WrongNetwork, query(man="1:" + "A" * 43))


def test_an_older_manifest_is_no_fault_of_a_message() -> None:
    newer = NETWORK.upgraded(NETWORK.next_version(statuses={}))
    assert open_at(query(), trust=newer.trust_of(US)).claims.man == NETWORK.manifest.label


# Step 4: the message certificate. What makes a certificate good is in test_certificates.py.


def sealed_under(purpose: Purpose = Purpose.MESSAGE, *, ca: str = PEER, **changes: Any) -> tuple[RawMessage, Trust]:
    """A query sealed under another certificate, and a trust that knows it."""
    made = make_certificate(NETWORK[ca].ca, purpose, NOW, **changes)
    raw = query(key=MessageKey(made.certificate, made.key))
    return raw, NETWORK.trust_of(US, certificates={made.certificate.fingerprint: made.certificate})


def test_a_certificate_that_is_not_known_is_refused_until_it_is_fetched() -> None:
    raw, knowing = sealed_under()
    refused(UnknownCertificate, raw)
    open_at(raw, trust=knowing)


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "changes",
    [
        {"ca": THIRD},
        {"ca": THIRD, "member": PEER},
        {"member": THIRD},
        {"member": "450900"},
        {"network": "othernet"},
        {"purpose": Purpose.TLS},
        {"purpose": Purpose.RECOGNITION},
        {"purpose": Purpose.DOCUMENT},
    ],
    ids=str,
)
def test_a_member_cannot_speak_under_a_certificate_made_for_something_else(changes: dict[str, Any]) -> None:
    raw, knowing = sealed_under(**changes)
    refused(UnknownCertificate, raw, trust=knowing)


@pytest.mark.parametrize("start", [NOW - 366 * DAY, NOW + timedelta(seconds=1)])
def test_a_certificate_outside_its_time_is_refused(start: datetime) -> None:
    raw, knowing = sealed_under(not_before=start)
    refused(CertificateExpired, raw, trust=knowing)


def test_a_revoked_message_certificate_is_refused() -> None:
    serial = NETWORK[PEER].message.certificate.serial
    refused(CertificateRevoked, query(), trust=NETWORK.trust_under_crl(US, PEER, revoked=[serial]))
    open_at(query(), trust=NETWORK.trust_under_crl(US, THIRD, revoked=[serial]))


def test_without_a_fresh_crl_a_message_has_to_wait() -> None:
    refused(Busy, query(), trust=NETWORK.trust_of(US, crls=()))
    refused(Busy, query(), trust=NETWORK.trust_under_crl(US, PEER, now=NOW - 14 * DAY - timedelta(seconds=1)))


# Step 5: the signature.


@pytest.mark.threat("T01")
def test_a_signature_of_another_key_is_refused() -> None:
    refused(BadSignature, forged(key=ec.generate_private_key(ec.SECP256R1())))
    refused(BadSignature, forged(key=NETWORK[THIRD].message.key))
    refused(BadSignature, forged(key=NETWORK[PEER].tls.key))


@pytest.mark.threat("T01")
def test_the_signature_of_one_message_does_not_fit_another() -> None:
    one, other = query().statement, query().statement
    swapped = one.rpartition(b".")[0] + b"." + other.rpartition(b".")[2]
    refused(BadSignature, RawMessage(swapped, BODY, "application/json"))


# Step 6: times, by the clock that is given.


@pytest.mark.threat("T18")
@pytest.mark.parametrize(
    ("offset", "kind"),
    [
        (timedelta(seconds=-300), None),
        (timedelta(seconds=-300, microseconds=-1), Stale),
        (timedelta(seconds=119, microseconds=999_999), None),
        (timedelta(seconds=120), Stale),
        (timedelta(minutes=-10), Stale),
        (timedelta(minutes=10), Stale),
        (DAY, Stale),
        (-DAY, Stale),
        (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC) - NOW, CertificateExpired),
        (datetime(1970, 1, 1, tzinfo=UTC) - NOW, CertificateExpired),
    ],
    ids=str,
)
def test_a_clock_that_differs_is_forgiven_up_to_the_skew(offset: timedelta, kind: type[Refusal] | None) -> None:
    older = make_network([US, PEER], NOW - 2 * DAY)
    raw = older.seal(PEER, US, BODY, msg="record.query", iat=seconds(NOW), exp=seconds(NOW) + 120)
    if kind is None:
        open_at(raw, trust=older.trust_of(US), now=NOW + offset)
    else:
        refused(kind, raw, trust=older.trust_of(US), now=NOW + offset)


@pytest.mark.threat("T18")
def test_the_skew_is_the_one_that_the_network_agreed() -> None:
    strict = make_network([US, PEER], NOW, policy=NetworkPolicy(clock_skew_seconds=30))
    raw = strict.seal(PEER, US, BODY, msg="ping")
    unseal(raw, strict.trust_of(US), peer=PEER, now=NOW - timedelta(seconds=30))
    with pytest.raises(Stale):
        unseal(raw, strict.trust_of(US), peer=PEER, now=NOW - timedelta(seconds=31))


@pytest.mark.threat("T18")
def test_the_year_2038_is_a_year_like_any_other() -> None:
    then = datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)
    later = make_network([US, PEER], then)
    raw = later.seal(PEER, US, Ping(), msg="ping")
    assert unseal(raw, later.trust_of(US), peer=PEER, now=then + timedelta(seconds=2)).claims.exp > 2**31


def test_a_message_does_not_outlive_its_certificate() -> None:
    end = NOW + timedelta(minutes=1)
    raw, knowing = sealed_under(lifetime=end - NOW + timedelta(minutes=5))
    refused(Malformed, raw, trust=knowing)
    made = make_certificate(NETWORK[PEER].ca, Purpose.MESSAGE, NOW, lifetime=timedelta(minutes=6))
    raw = query(key=MessageKey(made.certificate, made.key), exp=seconds(end))
    open_at(raw, trust=NETWORK.trust_of(US, certificates={made.certificate.fingerprint: made.certificate}))


# Step 7: the body.


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + b" "},
        {"body": BODY[:-1]},
        {"body": b""},
        {"body": BODY.replace(b"m3J", b"m3K")},
        {"content_type": "text/plain"},
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": ""},
    ],
    ids=str,
)
def test_a_body_that_was_not_signed_for_is_refused(change: dict[str, Any]) -> None:
    refused(DigestMismatch, dataclasses.replace(query(), **change))


def test_the_size_that_was_signed_for_counts_too() -> None:
    right = describe_body(BODY).model_dump()
    open_at(forged(body=right))
    refused(DigestMismatch, forged(body={**right, "size": len(BODY) + 1}))


# Around the steps.


def test_the_earliest_step_refuses_first() -> None:
    wrong = {"ver": "2", "net": "othernet", "aud": THIRD, "iss": "450900", "exp": seconds(NOW)}
    cured: dict[str, Any] = {"exp": seconds(NOW) + 60}
    order: list[tuple[str, Any, type[Refusal]]] = [
        ("ver", "1", UnsupportedVersion),
        ("net", NETWORK.name, WrongNetwork),
        ("aud", US, WrongAudience),
        ("iss", PEER, NotAMember),
    ]
    for claim, right, kind in order:
        refused(kind, dataclasses.replace(forged(**{**wrong, **cured}), body=b"another"))
        cured[claim] = right
    refused(DigestMismatch, dataclasses.replace(forged(**{**wrong, **cured}), body=b"another"))


def test_what_is_read_before_verification_never_raises() -> None:
    raw = query()
    assert read_certificate_name(raw.statement) == NETWORK[PEER].message.certificate.fingerprint
    assert read_number(raw.statement) == open_at(raw).claims.jti
    for broken in (
        b"",
        b"..",
        b"a.b.c",
        forged(jti=7).statement,
        forged(jti="x").statement,
        forged(jti=GONE).statement,
    ):
        assert read_number(broken) is None
    assert read_certificate_name(b"a.b.c") is None


def test_a_statement_that_would_be_too_large_is_not_sealed() -> None:
    claims, key = NETWORK.claims(PEER, US, BODY, msg="record.query"), NETWORK[PEER].message_key
    sizes = [len(seal(claims.model_copy(update={"net": "n" * length}), key)) for length in (1, 3900)]
    assert max(sizes) < 6 * 1024
    with pytest.raises(TooLarge):
        seal(claims.model_copy(update={"net": "n" * 4100}), key)
