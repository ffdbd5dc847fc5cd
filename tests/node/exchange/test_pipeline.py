"""Steps 8 to 11 of protocol §5.1 against real databases: one transaction, one effect, one reply for ever."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from node.exchange import store
from node.exchange.limits import PeerLimits
from node.exchange.service import Answer
from node.storage import unit_of_work
from protocol.claims import sha256
from protocol.errors import PolicyDenied, TooLarge
from protocol.messages import Ping
from protocol.suites import encode
from tests.networks import TestNetwork, new_number, seconds
from tests.node.exchange.receiving import NOW, RECEIVER, SENDER, ReceivingNode, payload, slug

pytestmark = pytest.mark.threat("T02")
Making = Callable[..., ReceivingNode]


def a_ping(network: TestNetwork, **changes: Any) -> Any:
    return network.seal(SENDER, RECEIVER, Ping(), **{"msg": "ping", **changes})


@contextmanager
def failing_commit(node: ReceivingNode, fault: Exception) -> Iterator[None]:
    """Let every commit of this database fail while the block runs."""

    def fail(_connection: object) -> None:
        raise fault

    event.listen(node.database.engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(node.database.engine, "commit", fail)


def test_a_message_leaves_one_row_one_entry_and_a_reply_that_names_it(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    sealed = node.receive(raw)
    claims = payload(sealed)
    ((index, leaf, jti),) = node.rows('SELECT "index", leaf, jti FROM log_entry')
    assert (sealed.status, node.received(), node.kinds()) == (200, 1, ["message"])
    assert claims["re"] == {"jti": jti, "sha256": sha256(raw.statement)}
    assert claims["log"] == {"origin": f"tongban/yizhangwang/{RECEIVER}/1", "index": index, "leaf": encode(leaf)}
    assert claims["body"]["sha256"] == sha256(sealed.body)


def test_a_repeat_gets_the_stored_reply_and_has_no_effect(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    first, repeat = node.receive(raw), node.receive(raw)
    assert (payload(repeat), repeat.body) == (payload(first), first.body)
    assert (node.received(), node.kinds()) == (1, ["message"])


def test_fifty_simultaneous_copies_have_one_effect_and_one_reply(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    sealed = node.receive_all(*[raw] * 50)
    assert {one.status for one in sealed} == {200}
    assert len({str(payload(one)) for one in sealed}) == len({one.body for one in sealed}) == 1
    assert (node.received(), node.kinds()) == (1, ["message"])


def test_the_same_number_with_another_text_is_refused(receiving: Making, network: TestNetwork) -> None:
    node, jti = receiving(), new_number()
    assert node.receive(a_ping(network, jti=jti)).status == 200
    assert slug(node.receive(a_ping(network, jti=jti, exp=seconds(NOW) + 60))) == "replay-conflict"
    assert (node.received(), node.kinds()) == (1, ["message", "refusal"])


def test_a_number_is_used_up_before_type_and_body_are_looked_at(receiving: Making, network: TestNetwork) -> None:
    """8 before 9: an invalid body under a used number is a conflict, and under a new number an invalid body."""
    node, jti = receiving(), new_number()
    assert node.receive(a_ping(network, jti=jti)).status == 200
    broken = network.seal(SENDER, RECEIVER, b'{"surprise":1}', msg="ping", jti=jti)
    assert slug(node.receive(broken)) == "replay-conflict"
    assert slug(node.receive(network.seal(SENDER, RECEIVER, b'{"surprise":1}', msg="ping"))) == "invalid-body"


def test_a_repeat_is_answered_from_the_store_although_policy_has_changed(
    receiving: Making, network: TestNetwork
) -> None:
    """8 before 10: what was answered once is answered the same, and no handler runs again."""
    raw = a_ping(network)
    first = receiving().receive(raw)

    def denies(*_given: object) -> Answer:
        raise PolicyDenied("not any more")

    node = receiving(handlers={"ping": denies})
    assert payload(node.receive(raw)) == payload(first)
    assert slug(node.receive(a_ping(network))) == "policy-denied"


def test_a_refused_message_is_not_remembered_and_may_pass_later(receiving: Making, network: TestNetwork) -> None:
    raw = a_ping(network)

    def denies(*_given: object) -> Answer:
        raise PolicyDenied("not yet")

    assert slug(receiving(handlers={"ping": denies}).receive(raw)) == "policy-denied"
    node = receiving()
    assert node.receive(raw).status == 200
    assert node.kinds() == ["refusal", "message"]


def test_an_expired_message_is_stale_even_when_it_was_answered_before(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    assert node.receive(raw).status == 200
    node.clock[0] = NOW + timedelta(seconds=121)
    assert slug(node.receive(raw)) == "stale"


def test_a_reply_is_not_sent_before_its_effect_is_durable(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    with failing_commit(node, OperationalError("COMMIT", {}, Exception("server closed the connection"))):
        sealed = node.receive(raw)
    assert (sealed.status, slug(sealed)) == (503, "busy")
    assert "log" not in payload(sealed)
    assert (node.received(), node.kinds()) == (0, [])
    assert node.receive(raw).status == 200
    assert (node.received(), node.kinds()) == (1, ["message"])


def test_a_commit_that_fails_for_an_unknown_reason_is_internal_and_leaves_nothing(
    receiving: Making, network: TestNetwork
) -> None:
    node, raw = receiving(), a_ping(network)
    with failing_commit(node, RuntimeError("440101199001011234")):
        sealed = node.receive(raw)
    assert (sealed.status, slug(sealed)) == (500, "internal")
    assert b"440101199001011234" not in sealed.body
    assert (node.received(), node.kinds()) == (0, [])
    assert node.receive(raw).status == 200


def test_a_handler_that_fails_leaves_neither_effect_nor_entry(receiving: Making, network: TestNetwork) -> None:
    def fails(transaction: Any, message: Any, _body: object) -> Answer:
        row = store.sent_row(message.claims.jti, aud=RECEIVER, msg="ping", statement=b"", now=NOW)
        store.ADD_SENT.one(transaction.session, *row)
        raise RuntimeError("after its effect")

    node = receiving(handlers={"ping": fails})
    assert slug(node.receive(a_ping(network))) == "internal"
    assert (node.received(), node.rows("SELECT count(*) FROM sent"), node.kinds()) == (0, [(0,)], ["refusal"])


def test_a_key_that_cannot_sign_is_busy_and_a_repeat_signs_the_stored_payload(
    receiving: Making, network: TestNetwork
) -> None:
    def locked() -> Any:
        raise OSError("the key store does not answer")

    raw = a_ping(network)
    away = receiving(key=locked)
    sealed = away.receive(raw)
    assert (sealed.status, slug(sealed), sealed.statement) == (503, "busy", b"")
    ((stored,),) = away.rows("SELECT payload FROM received")
    back = receiving()
    assert encoded(back.receive(raw).statement) == encode(bytes(stored))
    assert (back.received(), back.kinds().count("message")) == (1, 1)


def encoded(statement: bytes) -> str:
    """Return the payload part of a statement, as it travels."""
    return statement.split(b".")[1].decode()


def test_a_full_disk_refuses_before_anything_is_stored(receiving: Making, network: TestNetwork) -> None:
    node = receiving(has_room=lambda: False)
    sealed = node.receive(a_ping(network))
    assert (sealed.status, slug(sealed), node.received()) == (507, "storage-full", 0)


def test_too_many_messages_of_a_peer_are_refused_and_not_remembered(receiving: Making, network: TestNetwork) -> None:
    node = receiving(limits=PeerLimits(2))
    statuses = [one.status for one in node.receive_all(*(a_ping(network) for _ in range(20)))]
    passed, refused = statuses.count(200), statuses.count(429)
    assert passed >= 2
    assert refused >= 10
    assert (node.received(), node.kinds().count("refusal")) == (passed, refused) == (passed, 20 - passed)


def test_what_transport_found_is_refused_signed_and_logged(receiving: Making, network: TestNetwork) -> None:
    node = receiving()
    sealed = node.receive(a_ping(network), fault=TooLarge("too much"))
    assert (sealed.status, payload(sealed)["status"], node.kinds()) == (413, 413, ["refusal"])


def test_a_header_that_does_not_parse_gets_an_unsigned_refusal(receiving: Making, network: TestNetwork) -> None:
    node, raw = receiving(), a_ping(network)
    sealed = node.receive(type(raw)(b"no statement", raw.body, raw.content_type))
    assert (sealed.status, slug(sealed), sealed.statement) == (400, "malformed", b"")


def test_the_body_of_an_answer_is_deleted_once_exp_and_grace_are_over(receiving: Making, network: TestNetwork) -> None:
    node = receiving()
    assert node.receive(a_ping(network)).status == 200
    ended = NOW + timedelta(seconds=120 + 300)
    assert node.database.write(lambda tx: store.delete_bodies(tx.session, now=ended)) == 0
    assert node.database.write(lambda tx: store.delete_bodies(tx.session, now=ended + timedelta(seconds=1))) == 1
    ((body, statement, stored),) = node.rows("SELECT body, statement, payload FROM received")
    assert body is None
    assert statement
    assert stored


def test_the_stored_answer_cannot_be_read_without_the_key(receiving: Making, network: TestNetwork) -> None:
    node = receiving()
    sealed = node.receive(a_ping(network))
    ((body,),) = node.rows("SELECT body FROM received")
    assert sealed.body not in bytes(body)
    assert b"tongban/test" not in bytes(body)


def test_a_fault_after_the_commit_loses_the_answer_and_no_effect(
    receiving: Making, network: TestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit ambiguity (C25): the outcome is told as unknown, and the repeat gets what was committed."""

    def reached(name: str) -> None:
        if name == "commit.after":
            raise RuntimeError(name)

    node, raw = receiving(), a_ping(network)
    monkeypatch.setattr(unit_of_work, "failpoint", reached)
    assert slug(node.receive(raw)) == "internal"
    monkeypatch.undo()
    assert node.receive(raw).status == 200
    assert (node.received(), node.kinds().count("message")) == (1, 1)


def test_what_is_too_much_at_a_time_is_busy_before_it_is_verified(receiving: Making, network: TestNetwork) -> None:
    node = receiving(limits=PeerLimits(1_000, in_flight_max=3))
    sealed = node.receive_all(*(a_ping(network) for _ in range(10)))
    assert [one.status for one in sealed] == [200] * 3 + [503] * 7
    assert {slug(one) for one in sealed[3:]} == {"busy"}
    assert {one.retry_after_seconds for one in sealed[3:]} == {1}
    assert node.received() == 3


def test_a_place_is_free_again_after_each_answer_refusals_and_faults_included(
    receiving: Making, network: TestNetwork
) -> None:
    def fails(*_given: object) -> Answer:
        raise RuntimeError("in the handler")

    limits = PeerLimits(1_000, in_flight_max=1)
    for handlers in ({}, {"handlers": {"ping": fails}}):
        node = receiving(limits=limits, **handlers)
        assert [node.receive(a_ping(network)).status for _ in range(3)] == [500 if handlers else 200] * 3
    broken = network.seal(SENDER, RECEIVER, Ping(), msg="ping")
    assert receiving(limits=limits).receive(type(broken)(b"", b"", "")).status == 400
    assert receiving(limits=limits).receive(a_ping(network)).status == 200
