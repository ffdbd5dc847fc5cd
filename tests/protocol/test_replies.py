"""Checking an answer: one thing is wrong, and it is no answer (protocol §5.1, "The sender, on the reply")."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocol.certificates import Purpose
from protocol.claims import REFUSAL, Answered, LogPlace, format_claims, sha256
from protocol.envelope import Message, MessageKey, RawReply, Reply, Trust, seal_reply, unseal, unseal_reply
from protocol.errors import (
    BadSignature,
    Busy,
    CertificateExpired,
    CertificateRevoked,
    DigestMismatch,
    Malformed,
    Refusal,
    SignerMismatch,
    TooLarge,
    UnknownCertificate,
    UnsupportedVersion,
    WrongAudience,
    WrongNetwork,
)
from tests.making import make_certificate
from tests.networks import make_network, new_number
from tests.protocol.forging import GONE, forge, header_of, plain

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
US, ASKED, THIRD = "450400", "442000", "440900"
NETWORK = make_network([US, ASKED, THIRD], NOW)
BODY = b'{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","found":false,"withheld":[]}'


def asked(receiver: str = ASKED) -> Message:
    """A request of ours, as a verified message."""
    raw = NETWORK.seal(US, receiver, b"{}", msg="record.query")
    return unseal(raw, NETWORK.trust_of(receiver), peer=US, now=NOW)


REQUEST = asked()


def answer(**changes: Any) -> RawReply:
    return NETWORK.answer(REQUEST, BODY, msg=changes.pop("msg", "record.answer"), **changes)


def check(raw: RawReply, *, trust: Trust | None = None, server: str = ASKED, now: datetime = NOW) -> Reply:
    return unseal_reply(raw, REQUEST, trust or NETWORK.trust_of(US), server=server, now=now)


def refused(kind: type[Refusal], raw: RawReply, **where: Any) -> None:
    with pytest.raises(Refusal) as caught:
        check(raw, **where)
    assert type(caught.value) is kind, caught.value


def forged(header: dict[str, Any] | None = None, **changes: Any) -> RawReply:
    claims = NETWORK.reply_claims(REQUEST, BODY, msg="record.answer")
    header = header or header_of(NETWORK[ASKED], "tongban-reply+jwt")
    return RawReply(200, forge(NETWORK[ASKED], plain(claims, **changes), header=header), BODY, "application/json")


def test_an_answer_is_opened_with_the_very_bytes_that_arrived() -> None:
    raw = answer()
    reply = check(raw)
    assert (reply.statement, reply.body, reply.digest) == (raw.statement, BODY, sha256(raw.statement))
    assert (reply.claims.iss, reply.claims.aud, reply.claims.status) == (ASKED, US, 200)


def test_the_same_stored_payload_can_be_signed_anew_and_stays_the_same_reply() -> None:
    payload = format_claims(NETWORK.reply_claims(REQUEST, BODY, msg="record.answer"))
    first, second = (seal_reply(payload, NETWORK[ASKED].message_key) for _ in range(2))
    assert first != second
    raw = RawReply(200, first, BODY, "application/json")
    assert check(raw).claims == check(dataclasses.replace(raw, statement=second)).claims


# 1: form, typ, version, network.


@pytest.mark.threat("T02")
def test_a_message_is_no_answer() -> None:
    refused(Malformed, forged(header_of(NETWORK[ASKED], "tongban+jwt")))
    request = NETWORK.seal(ASKED, US, BODY, msg="ping")
    refused(Malformed, RawReply(200, request.statement, BODY, "application/json"))


def test_an_answer_has_a_size_limit_too() -> None:
    raw = answer()
    refused(TooLarge, dataclasses.replace(raw, statement=raw.statement + b"A" * 6144))


@pytest.mark.parametrize("version", ["2", 1, None, GONE])
def test_an_answer_in_another_version_is_none(version: Any) -> None:
    refused(UnsupportedVersion, forged(ver=version))


REQUIRED = ["net", "iss", "aud", "iat", "jti", "msg", "man", "re", "status", "body"]


@pytest.mark.parametrize("claim", REQUIRED)
def test_every_claim_of_an_answer_is_required(claim: str) -> None:
    absent: dict[str, Any] = {claim: GONE}
    refused(Malformed, forged(**absent))


@pytest.mark.parametrize("claim", ["exp", "why", "who", "again", "evil"])
def test_an_answer_has_no_other_claims(claim: str) -> None:
    more: dict[str, Any] = {claim: 1795489200}
    refused(Malformed, forged(**more))


def test_an_answer_of_another_network_is_none() -> None:
    refused(WrongNetwork, answer(net="othernet"))


# 2: certificate and signature.


def answered_under(purpose: Purpose = Purpose.MESSAGE, *, ca: str = ASKED, **changes: Any) -> tuple[RawReply, Trust]:
    made = make_certificate(NETWORK[ca].ca, purpose, NOW, **changes)
    raw = answer(key=MessageKey(made.certificate, made.key))
    return raw, NETWORK.trust_of(US, certificates={made.certificate.fingerprint: made.certificate})


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "changes",
    [{"ca": THIRD}, {"ca": THIRD, "member": ASKED}, {"network": "othernet"}, {"purpose": Purpose.TLS}],
    ids=str,
)
def test_an_answer_under_a_certificate_made_for_something_else_is_none(changes: dict[str, Any]) -> None:
    raw, knowing = answered_under(**changes)
    refused(UnknownCertificate, raw, trust=knowing)


def test_an_answer_under_an_unknown_certificate_is_none_until_it_is_fetched() -> None:
    raw, knowing = answered_under()
    refused(UnknownCertificate, raw)
    check(raw, trust=knowing)


def test_an_answer_under_a_bad_certificate_is_none() -> None:
    raw, knowing = answered_under(not_before=NOW - 366 * DAY)
    refused(CertificateExpired, raw, trust=knowing)
    serial = NETWORK[ASKED].message.certificate.serial
    refused(CertificateRevoked, answer(), trust=NETWORK.trust_under_crl(US, ASKED, revoked=[serial]))
    refused(Busy, answer(), trust=NETWORK.trust_of(US, crls=()))


@pytest.mark.threat("T01")
def test_an_answer_signed_with_another_key_is_none() -> None:
    mixed = MessageKey(NETWORK[ASKED].message.certificate, NETWORK[THIRD].message.key)
    refused(BadSignature, answer(key=mixed))


# 3: signed by the city that was asked and that is connected, to us.


@pytest.mark.threat("T03")
def test_a_third_city_cannot_answer_for_the_one_asked() -> None:
    place = LogPlace(origin=f"tongban/{NETWORK.name}/{THIRD}/1", index=7, leaf=sha256(b""))
    third = answer(iss=THIRD, key=NETWORK[THIRD].message_key, log=place)
    refused(SignerMismatch, third, server=THIRD)
    refused(SignerMismatch, third)
    refused(SignerMismatch, answer(), server=THIRD)


@pytest.mark.threat("T02")
def test_an_answer_to_another_city_is_none() -> None:
    refused(WrongAudience, answer(aud=THIRD))


# 4-6: this request, this status, this body.


@pytest.mark.threat("T02")
@pytest.mark.parametrize(
    "answered",
    [
        Answered(jti=REQUEST.claims.jti, sha256=sha256(b"another request")),
        Answered(jti=new_number(), sha256=REQUEST.digest),
        Answered(sha256=sha256(b"another request")),
    ],
)
def test_an_answer_to_another_request_is_none(answered: Answered) -> None:
    refused(DigestMismatch, answer(re=answered))


def test_the_answer_to_our_earlier_question_is_no_answer_to_this_one() -> None:
    earlier = NETWORK.answer(asked(), BODY, msg="record.answer")
    refused(DigestMismatch, earlier)


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "change", [{"status": 201}, {"body": BODY + b" "}, {"body": b""}, {"content_type": "text/html"}], ids=str
)
def test_an_answer_that_was_changed_on_the_way_is_none(change: dict[str, Any]) -> None:
    refused(DigestMismatch, dataclasses.replace(answer(), **change))


# 7: the promise.


def test_an_outcome_promises_its_place_in_the_log_and_a_refusal_need_not() -> None:
    refused(Malformed, answer(log=None))
    assert check(answer(msg=REFUSAL, status=403, log=None)).claims.log is None


@pytest.mark.threat("T01")
@pytest.mark.parametrize(
    "origin", [f"tongban/{NETWORK.name}/{THIRD}/1", f"tongban/{NETWORK.name}/{US}/1", f"tongban/othernet/{ASKED}/1"]
)
def test_a_promise_about_the_log_of_another_city_is_none(origin: str) -> None:
    refused(BadSignature, answer(log=LogPlace(origin=origin, index=7, leaf=sha256(b""))))


def test_a_refusal_that_could_not_read_our_number_names_the_text_alone() -> None:
    raw = answer(msg=REFUSAL, status=400, log=None, re=Answered(sha256=REQUEST.digest))
    assert check(raw).claims.re.jti is None
