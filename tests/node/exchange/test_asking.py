"""What asking does with an answer that it cannot verify: that is no answer, never the peer's refusal."""

import asyncio
import dataclasses
from typing import Any

import pytest

from node.exchange.service import Asking, Learning, Question
from node.transport.client import NoAnswer
from protocol.envelope import RawMessage, unseal
from protocol.errors import Busy, CertificateRevoked, Refusal, UnknownCertificate
from protocol.manifest import Member
from protocol.messages import Ping, Pong, format_body
from tests.networks import make_network, new_number
from tests.node.exchange.receiving import NOW

US, PEER = "450400", "442000"
PONG = Pong(software="tongban", versions=["1"], manifest=1, time="2026-11-24T11:00:00+08:00")


@pytest.mark.threat("T02")
@pytest.mark.parametrize("fault", [Busy("away"), CertificateRevoked("gone"), None])
def test_an_answer_whose_certificate_cannot_be_learnt_is_no_answer(fault: Refusal | None) -> None:
    network = make_network([US, PEER], NOW)
    knowing = network.trust_of(US)
    trust = dataclasses.replace(knowing, certificates={})  # the peer's message certificate is unknown here

    async def learn(_member: str, _fingerprint: str) -> bool:
        if fault is not None:
            raise fault
        return False

    async def nothing(*_: Any) -> None:
        return None

    class Clients:
        async def post_message(self, _member: Member, statement: bytes, body: bytes, *_: Any, **__: Any) -> Any:
            raw = RawMessage(statement, body, "application/json")
            request = unseal(raw, network.trust_of(PEER), peer=US, now=NOW)
            return network.answer(request, PONG, msg="pong"), PEER

    async def read(_work: Any, _ahead: Any) -> None:
        return None

    asking = Asking(
        read=read, clients=Clients(), trust=lambda: trust, key=lambda: network.cities[US].message_key,  # type: ignore[arg-type]
        learning=Learning(learn, nothing, nothing), now=lambda: NOW, new_id=new_number, monotonic=lambda: 0.0,
    )  # fmt: skip
    with pytest.raises(NoAnswer) as missing:
        asyncio.run(asking.ask(Question(PEER, "ping", format_body(Ping())), seconds=1))
    assert missing.value.reason == "unverified"
    assert type(missing.value.refusal) is (UnknownCertificate if fault is None else type(fault))
