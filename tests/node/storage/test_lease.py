"""The lease: one leader at a time, and a leader that slept is told so before it writes."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from node.storage.lease import (
    Lease,
    LeaseLost,
    acquire_or_renew,
    check,
    claim_tick,
    database_time,
    delete_ticks,
    give_up,
)
from node.storage.unit_of_work import Database, Transaction

DUE = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
OPEN = Callable[..., Database]


def take(database: Database, holder: str, ttl_seconds: float = 30) -> Lease | None:
    return database.write(lambda tx: acquire_or_renew(tx.session, "worker", holder, ttl_seconds=ttl_seconds))


def taken(database: Database, holder: str, ttl_seconds: float = 30) -> Lease:
    lease = take(database, holder, ttl_seconds)
    assert lease is not None
    return lease


def prove(database: Database, lease: Lease) -> None:
    database.write(lambda tx: check(tx.session, lease))


def end(database: Database) -> None:
    """Let the lease be over, as if its holder had been frozen for its whole time."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    moved = text("UPDATE lease SET until = :past")
    value = past.strftime("%Y-%m-%d %H:%M:%S.%f") if database.engine.dialect.name == "sqlite" else past
    database.write(lambda tx: tx.session.execute(moved, {"past": value}) and None)


def test_the_clock_is_that_of_the_database_aware_and_in_utc(database: Database) -> None:
    with database.reading() as session:
        moment = database_time(session)
    assert moment.tzinfo is UTC
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_first_to_come_leads_and_others_wait(database: Database) -> None:
    lease = taken(database, "a")
    assert lease.epoch == 1
    assert take(database, "b") is None
    prove(database, lease)


def test_a_leader_that_renews_keeps_its_epoch_and_moves_its_end(database: Database) -> None:
    first = taken(database, "a", 5)
    second = taken(database, "a", 60)
    assert second.epoch == first.epoch
    assert second.until > first.until + timedelta(seconds=50)
    prove(database, first)


def test_a_takeover_raises_the_epoch_and_fences_the_frozen_leader(database: Database) -> None:
    frozen = taken(database, "a")
    end(database)
    new = taken(database, "b")
    assert new.epoch == frozen.epoch + 1
    with pytest.raises(LeaseLost, match="taken over"):
        prove(database, frozen)
    prove(database, new)
    assert take(database, "a") is None


def test_a_leader_whose_time_is_over_may_not_write_even_when_nobody_has_taken_over(database: Database) -> None:
    lease = taken(database, "a")
    end(database)
    with pytest.raises(LeaseLost, match="over"):
        prove(database, lease)


def test_a_leader_that_comes_back_after_its_end_is_a_new_leader(database: Database) -> None:
    lease = taken(database, "a")
    end(database)
    assert taken(database, "a").epoch == lease.epoch + 1
    with pytest.raises(LeaseLost):
        prove(database, lease)


def test_the_write_of_a_fenced_leader_is_not_committed(database: Database) -> None:
    frozen = taken(database, "a")
    end(database)
    taken(database, "b")

    def write(transaction: Transaction) -> None:
        claim_tick(transaction.session, "checkpoint", DUE)
        check(transaction.session, frozen)

    with pytest.raises(LeaseLost):
        database.write(write)
    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM job_tick")).scalar_one() == 0


def test_nobody_takes_over_between_the_check_and_its_commit(database: Database, open_database: OPEN) -> None:
    lease = taken(database, "a", 0.3)
    other = open_database(database.engine.url.render_as_string(hide_password=False))
    checked, order = threading.Event(), list[str]()

    def write(transaction: Transaction) -> None:
        check(transaction.session, lease)
        checked.set()
        time.sleep(0.8)
        order.append("leader wrote")

    def take_over() -> None:
        assert checked.wait(5)
        time.sleep(0.4)
        while take(other, "b") is None:
            time.sleep(0.05)
        order.append("taken over")

    thread = threading.Thread(target=take_over)
    thread.start()
    database.write(write)
    thread.join()
    assert order == ["leader wrote", "taken over"]


def test_a_leader_frozen_inside_a_transaction_blocks_the_takeover_for_seconds_only(
    postgresql_url: str, open_database: OPEN
) -> None:
    frozen, other = open_database(postgresql_url), open_database(postgresql_url)
    lease = taken(frozen, "a", 0.5)
    with frozen.reading() as session:
        check(session, lease)
        time.sleep(0.7)
        started = time.monotonic()
        new = taken(other, "b")
        assert new.epoch == lease.epoch + 1
        assert time.monotonic() - started < 12
        with pytest.raises(Exception, match=r"terminating|closed|idle-in-transaction"):
            check(session, lease)
        session.invalidate()


def test_a_lease_given_up_is_free_at_once(database: Database) -> None:
    lease = taken(database, "a")
    database.write(lambda tx: give_up(tx.session, lease))
    assert taken(database, "b").epoch == lease.epoch + 1


def test_giving_up_a_lost_lease_changes_nothing(database: Database) -> None:
    old = taken(database, "a")
    end(database)
    new = taken(database, "b")
    database.write(lambda tx: give_up(tx.session, old))
    prove(database, new)


def test_leases_of_other_names_do_not_disturb(database: Database) -> None:
    taken(database, "a")
    other = database.write(lambda tx: acquire_or_renew(tx.session, "other", "b", ttl_seconds=5))
    assert other is not None
    assert other.epoch == 1


def test_of_many_that_come_together_one_leads(database: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        leases = list(pool.map(lambda n: take(database, f"holder-{n}"), range(6)))
    assert sum(lease is not None for lease in leases) == 1


def test_a_tick_is_claimed_once_however_many_try(database: Database) -> None:
    def claim(n: int) -> bool:
        return database.write(lambda tx: claim_tick(tx.session, "checkpoint", DUE))

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(claim, range(6))) == [False] * 5 + [True]


def test_a_lost_tick_does_not_spoil_the_rest_of_its_transaction(database: Database) -> None:
    database.write(lambda tx: claim_tick(tx.session, "a", DUE))

    def claim_both(transaction: Transaction) -> tuple[bool, bool]:
        return claim_tick(transaction.session, "a", DUE), claim_tick(transaction.session, "b", DUE)

    assert database.write(claim_both) == (False, True)
    assert database.write(lambda tx: claim_tick(tx.session, "b", DUE)) is False


def test_a_claim_whose_transaction_failed_is_open_again(database: Database) -> None:
    def claim_and_fail(transaction: Transaction) -> None:
        assert claim_tick(transaction.session, "a", DUE)
        raise LookupError

    with pytest.raises(LookupError):
        database.write(claim_and_fail)
    assert database.write(lambda tx: claim_tick(tx.session, "a", DUE))


def test_old_ticks_are_deleted_and_newer_ones_stay(database: Database) -> None:
    for hours in range(4):
        at = DUE + timedelta(hours=hours)
        database.write(lambda tx, at=at: claim_tick(tx.session, "a", at))  # type: ignore[misc]
    assert database.write(lambda tx: delete_ticks(tx.session, before=DUE + timedelta(hours=3))) == 3
    assert database.write(lambda tx: claim_tick(tx.session, "a", DUE + timedelta(hours=3))) is False
