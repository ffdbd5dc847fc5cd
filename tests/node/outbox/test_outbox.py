"""The outbox: with its cause, in order, under lease and fence, until the outcome is known (protocol §5.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from node.cases import service
from node.cases.service import Opening
from node.outbox.service import LEASE, Parcel, Settled, list_messages
from node.transport.client import NoAnswer
from protocol.claims import Why
from protocol.envelope import RawMessage, RawReply
from protocol.errors import NotFound
from protocol.suites import parse_statement
from tests.node.cases.conftest import *  # noqa: F403 - the two cities
from tests.node.cases.two_cities import ACCEPTING, CLERK, RESPONSIBLE, CaseCity, application, running, settle

Pair = tuple[CaseCity, CaseCity]
Deliver = Callable[[], Awaitable[RawReply]]


def claim(city: CaseCity, **more: Any) -> Any:
    given: dict[str, Any] = {"under_way": {}, "per_peer": 12, "limit": 64, **more}
    return city.database.write(lambda tx: city.room.outbox.claim(tx, **given))[0]


def opened(city: CaseCity, count: int = 1) -> list[str]:
    """Open cases without a delivery that runs."""
    wanted = Opening("PEN-LUMPSUM", RESPONSIBLE, application())
    return [
        city.database.write(lambda tx: service.open_case(city.room, tx, wanted, CLERK)).number for _ in range(count)
    ]


def states(city: CaseCity) -> list[tuple[str, int, bool]]:
    return [
        (state, step, bool(is_next))
        for state, step, is_next in city.rows("SELECT state, step, is_next FROM outbox ORDER BY line, step")
    ]


def test_a_failed_cause_leaves_no_message(cities: Pair) -> None:
    def fails(tx: Any) -> None:
        service.open_case(cities[0].room, tx, Opening("PEN-LUMPSUM", RESPONSIBLE, application()), CLERK)
        raise RuntimeError("after the message")

    with pytest.raises(RuntimeError):
        cities[0].database.write(fails)
    for table in ("outbox", "cases", "case_event", "sent", "log_entry"):
        assert cities[0].rows(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


def test_a_message_is_claimed_once_until_its_lease_ends(cities: Pair) -> None:
    city = cities[0]
    opened(city, 3)
    first = claim(city)
    assert len(first) == 3
    assert claim(city) == []
    city.wire.clock[0] += LEASE + timedelta(seconds=1)
    again = claim(city)
    assert [one.fence for one in again] == [one.fence + 1 for one in first]


def test_a_process_that_lost_its_lease_changes_nothing(cities: Pair) -> None:
    city = cities[0]
    opened(city)
    (late,) = claim(city)
    city.wire.clock[0] += LEASE + timedelta(seconds=1)
    (current,) = claim(city)
    dead = Settled(late, "dead", slug="stale")
    assert city.database.write(lambda tx: city.room.outbox.settle(tx, dead)) is False
    assert states(city) == [("waiting", 0, True)]
    assert city.database.write(lambda tx: city.room.outbox.settle(tx, Settled(current, "dead", slug="stale"))) is True


def test_only_the_first_of_a_line_may_go_and_the_next_follows_its_outcome(cities: Pair) -> None:
    city = cities[0]
    number = opened(city)[0]
    parcel = _parcel(city, number)
    city.database.write(lambda tx: city.room.outbox.enqueue(tx, parcel))
    assert [one.key[2] for one in claim(city)] == [0]
    assert states(city) == [("waiting", 0, True), ("waiting", 1, False)]
    city.wire.clock[0] += LEASE + timedelta(seconds=1)
    (first,) = claim(city)
    city.database.write(lambda tx: city.room.outbox.settle(tx, Settled(first, "refused", slug="invalid-transition")))
    assert [one.key[2] for one in claim(city)] == [1]


def _parcel(city: CaseCity, number: str) -> Any:
    why = Why(item="PEN-LUMPSUM", basis="STATUTORY", case=number)
    return Parcel(RESPONSIBLE, "case.event", number, b"{}", why, CLERK.who())


def test_a_dead_message_holds_its_line_until_people_retry_or_give_up(cities: Pair) -> None:
    city = cities[0]
    number = opened(city)[0]
    city.database.write(lambda tx: city.room.outbox.enqueue(tx, _parcel(city, number)))
    (first,) = claim(city)
    city.database.write(lambda tx: city.room.outbox.settle(tx, Settled(first, "dead", slug="policy-denied")))
    assert claim(city) == []
    city.database.write(lambda tx: city.room.outbox.retry(tx, first.jti, actor="sysadmin"))
    (again,) = claim(city)
    assert again.jti == first.jti
    with pytest.raises(NotFound):
        city.database.write(lambda tx: city.room.outbox.give_up(tx, first.jti, reason="r", actor="sysadmin"))
    city.database.write(lambda tx: city.room.outbox.settle(tx, Settled(again, "dead", slug="policy-denied")))
    city.database.write(lambda tx: city.room.outbox.give_up(tx, first.jti, reason="r", actor="sysadmin"))
    assert states(city) == [("given-up", 0, True), ("waiting", 1, True)]
    kinds = [kind for (kind,) in city.rows('SELECT kind FROM log_entry ORDER BY "index"')]
    assert kinds[-2:] == ["outbox.retry", "outbox.give-up"]


def test_a_silent_peer_gets_one_message_at_a_time_and_delays_nobody_else(cities: Pair) -> None:
    city = cities[0]
    opened(city, 20)
    assert len(claim(city)) == 12
    city.wire.clock[0] += LEASE + timedelta(seconds=1)
    city.database.write(lambda tx: city.room.outbox.peer_silent(tx, RESPONSIBLE, "unreachable"))
    assert claim(city) == []
    city.wire.clock[0] += timedelta(seconds=40)
    assert len(claim(city)) == 1
    assert claim(city, under_way={RESPONSIBLE: 1}) == []
    city.database.write(lambda tx: city.room.outbox.peer_answered(tx, RESPONSIBLE))
    assert len(claim(city)) == 12


def test_pauses_double_up_to_five_minutes_with_a_tenth_of_jitter(cities: Pair) -> None:
    pauses = [cities[0].room.outbox.pause_after(attempts, None).total_seconds() for attempts in range(12)]
    for attempts, pause in enumerate(pauses):
        plain = min(2.0**attempts, 300)
        assert 0.9 * plain <= pause <= 1.1 * plain


def test_what_expired_unanswered_goes_out_again_under_a_new_number_and_acts_once(cities: Pair) -> None:
    """The first text was executed, its answer lost; its `exp` passes; the same body is sent `again`."""
    accepting, responsible = cities

    async def lose_answers(_source: str, _target: str, raw: RawMessage, deliver: Deliver) -> RawReply:
        answer = await deliver()
        if "again" in parse_statement(raw.statement).claims:
            return answer
        lost.append(1)
        raise NoAnswer("timeout", "the answer to the first text is always lost")

    lost: list[int] = []
    accepting.wire.between = lose_answers

    async def play() -> str:
        async with running(*cities):
            number = (await accepting.open(application())).number
            async with asyncio.timeout(10):
                while not lost:
                    await asyncio.sleep(0.01)
            accepting.database.write(lambda tx: _expire(tx))
            await settle(*cities)
            return number

    number = asyncio.run(play())
    sent = [
        parse_statement(bytes(one)).claims for (one,) in accepting.rows("SELECT statement FROM sent ORDER BY sent_at")
    ]
    assert len(sent) >= 2
    assert {one["again"]["jti"] for one in sent[1:]} == {sent[0]["jti"]}
    assert all(one["body"] == sent[0]["body"] for one in sent)
    assert responsible.rows("SELECT count(*) FROM cases") == [(1,)]
    heads = [city.row(number).head for city in cities]
    assert heads[0] == heads[1]


def _expire(tx: Any) -> None:
    tx.session.execute(text("UPDATE outbox SET expires_at = '2026-11-24 03:12:50'"))


def test_what_arrives_by_again_first_keeps_the_old_text_from_acting(cities: Pair) -> None:
    accepting, responsible = cities
    opened(accepting)
    (first,) = claim(accepting)
    accepting.database.write(
        lambda tx: accepting.room.outbox.postpone(tx, first, None, after=timedelta(0), detail="no answer")
    )
    (claimed,) = claim(accepting)
    renewed = accepting.database.write(lambda tx: accepting.room.outbox.renewed(tx, claimed))
    assert renewed is not None

    async def play() -> list[Any]:
        async with running(responsible):
            certificate = accepting.wire.network[ACCEPTING].tls.certificate
            answers = []
            for statement in (renewed.message.statement, first.message.statement, renewed.message.statement):
                raw = RawMessage(statement, renewed.message.body, "application/json")
                answers.append(await responsible.pipeline.receive(raw, certificate))
            return answers

    answers = asyncio.run(play())
    assert [one.status for one in answers] == [200, 200, 200]
    assert answers[0].body == answers[1].body == answers[2].body
    assert responsible.rows("SELECT count(*) FROM cases") == [(1,)]


def test_what_expired_and_was_always_answered_is_dead(cities: Pair) -> None:
    accepting, responsible = cities

    async def play() -> None:
        opened(accepting)
        accepting.database.write(lambda tx: _expire(tx))
        accepting.wire.clock[0] += timedelta(seconds=60)
        async with running(accepting):
            async with asyncio.timeout(10):
                while accepting.waiting():
                    await asyncio.sleep(0.01)

    asyncio.run(play())
    assert accepting.rows("SELECT state, slug FROM outbox") == [("dead", "stale")]
    assert responsible.rows("SELECT count(*) FROM cases") == [(0,)]


def test_a_busy_peer_is_tried_again_when_it_says(cities: Pair) -> None:
    """`Retry-After` of a signed refusal is honoured to the second; the message waits, and is not dead."""
    city, told = cities[0], list[int]()

    async def busy(_source: str, _target: str, _raw: RawMessage, deliver: Deliver) -> RawReply:
        answer = await deliver()
        told.append(answer.status)
        return replace(answer, retry_after_seconds=120)

    opened(city)
    city.wire.between, city.wire.has_room = busy, False

    async def play() -> None:
        async with running(*cities):
            async with asyncio.timeout(10):
                while not city.rows("SELECT attempts FROM outbox")[0][0]:
                    await asyncio.sleep(0.01)

    asyncio.run(play())
    with city.database.reading() as session:
        (line,), _more = list_messages(session, peer=None, state=None, after=None, limit=5)
    pause = datetime.fromisoformat(line["next_at"]) - city.wire.now()
    assert told == [507]
    assert (line["state"], line["slug"]) == ("waiting", "storage-full")
    assert 115 <= pause.total_seconds() <= 121
