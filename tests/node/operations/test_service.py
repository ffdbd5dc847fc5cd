"""A diagnosis: every check in every state, in both languages, with three lines where it is not good."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from node.audit.service import sign_checkpoint
from node.membership import service as membership
from node.operations.checks import GROUPS, check_database, check_disk, check_log, check_manifest
from node.operations.checks import LogSeen as Seen
from node.operations.service import Check, State, diagnose
from node.storage.schema import HEAD
from node.storage.unit_of_work import Database
from protocol.errors import CertificateExpired, MemberSuspended
from protocol.manifest import Status
from tests.making import make_crl
from tests.networks import TestNetwork, make_network
from tests.node.operations.nodes import GIB, Joined, away, healthy, other_log_key, saying, silent

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
OURS, PEER, THIRD = "442000", "450400", "440900"
DAYS = timedelta(days=1)


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return make_network([OURS, PEER, THIRD], NOW)


@pytest.fixture
def blank(network: TestNetwork, sqlite_url: str, open_database: Callable[..., Database], tmp_path: Path) -> Joined:
    return Joined(network, open_database(sqlite_url), tmp_path)


@pytest.fixture
def node(blank: Joined) -> Joined:
    return blank.join()


def states(found: dict[str, Check]) -> dict[str, str]:
    return {name: one.state.value for name, one in found.items() if one.state is not State.OK}


def test_a_healthy_node_is_all_green(node: Joined) -> None:
    sign_checkpoint(node.database, node.log, node.keys.log, now=NOW)
    found = node.diagnose()
    assert states(found) == {}
    assert {one.group for one in found.values()} == set(GROUPS)
    assert found[f"peers.{PEER}"].facts["tls_days_left"] == 89
    assert found["log"].facts["unsigned"] == 0
    assert found["manifest"].facts == {"version": 1, "network": "yizhangwang", "days_left": 180}


def test_settings_that_cannot_be_read_are_the_only_line(node: Joined) -> None:
    fault = (f"{node.home}/tongban.toml:3: 未知的设置", f"{node.home}/tongban.toml:3: unknown setting")
    found = node.diagnose(values=None, fault=fault)
    assert states(found) == {"settings": "fail"}
    assert found["settings"].cause[1] == "tongban.toml:3: unknown setting"


def test_a_database_that_is_away_turns_what_hangs_on_it_grey(node: Joined) -> None:
    def broken() -> Any:
        raise ConnectionError("postgresql://user:secret@host/db")  # pragma: allowlist secret

    found = node.diagnose(node=broken)
    assert states(found) == {"database": "fail", "manifest": "off", "log": "off", "certificates.crl": "off",
                             "clock": "off", "peers": "off"}  # fmt: skip
    assert "secret" not in str(found)
    assert "ConnectionError" in found["database"].cause[0]


def test_a_schema_that_is_behind_says_how_to_upgrade(node: Joined) -> None:
    with node.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    found = node.diagnose("database")
    assert found["database"].state is State.FAIL
    assert found["database"].next[0] == "tongban db upgrade"
    assert found["database"].facts["pending"][-1] == HEAD
    assert check_database(None, "OperationalError").state is State.FAIL


def test_tables_that_are_missing_are_red_lines_and_no_traceback(node: Joined) -> None:
    with node.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE manifest_version"))
        connection.execute(text("DROP TABLE log_head"))
    found = node.diagnose()
    assert states(found) == {
        "manifest": "fail",
        "log": "fail",
        "certificates.crl": "off",
        "clock": "off",
        "peers": "off",
    }


@pytest.mark.parametrize(
    ("used", "free", "state"),
    [(84, 16, State.OK), (85, 15, State.WARN), (94, 6, State.WARN), (95, 5, State.FAIL), (50, 1, State.FAIL)],
)
def test_the_disk_alarms_at_85_and_95_percent_and_at_the_reserve(used: int, free: int, state: State) -> None:
    found = check_disk("data", used=used * GIB, free=free * GIB, reserve=GIB)
    assert found.state is state
    assert ("storage-full" in found.effect[1]) == (free == 1)


def test_a_directory_that_is_gone_is_a_red_line(node: Joined) -> None:
    def gone(path: Path) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    assert states(node.diagnose("disk", disk=gone)) == {"disk.data": "fail"}


def test_a_key_that_others_can_read_is_named_below_the_node_directory(node: Joined) -> None:
    (node.certs / "log.key").chmod(0o640)
    found = node.diagnose("files")["files"]
    assert found.state is State.FAIL
    assert found.next == ("chmod 600 certs/log.key",) * 2
    for key in node.certs.glob("*.key"):
        key.unlink()
    assert node.diagnose("files")["files"].state is State.OFF


def test_a_node_that_has_not_joined_is_told_how(blank: Joined) -> None:
    found = blank.diagnose()
    assert states(found) == {
        "manifest": "fail",
        "certificates.crl": "off",
        "log": "off",
        "clock": "off",
        "peers": "off",
    }
    assert "tongban init" in found["manifest"].next[0]


@pytest.mark.parametrize(("later", "state"), [(119, State.OK), (120, State.WARN), (179, State.WARN), (181, State.FAIL)])
def test_the_manifest_is_warned_of_from_60_days_and_red_when_expired(
    network: TestNetwork, later: int, state: State
) -> None:
    assert check_manifest(network.manifest, OURS, NOW + later * DAYS).state is state


def test_our_own_suspension_is_red(network: TestNetwork) -> None:
    suspended = network.with_status(OURS, Status.SUSPENDED).manifest
    assert check_manifest(suspended, OURS, NOW).facts["status"] == "suspended"
    assert check_manifest(network.manifest, "110100", NOW).state is State.FAIL


@pytest.mark.parametrize(
    ("later", "tls", "message"),
    [(50, "ok", "ok"), (61, "warn", "ok"), (91, "fail", "ok"), (310, "fail", "warn"), (366, "fail", "fail")],
)
def test_our_certificates_are_warned_of_in_time(node: Joined, later: int, tls: str, message: str) -> None:
    node.now = NOW + later * DAYS
    found = node.diagnose("certificates")
    assert (found["certificates.tls"].state, found["certificates.message"].state) == (tls, message)


def test_a_revoked_certificate_is_red_and_needs_a_new_key(network: TestNetwork, blank: Joined) -> None:
    city = network[OURS]
    crl = make_crl(city.ca, NOW, revoked=[city.message.certificate.serial], number=2)
    blank.join()
    blank.database.write(lambda tx: membership.accept_crl(tx, OURS, crl, now=NOW))
    found = blank.diagnose("certificates")["certificates.message"]
    assert (found.state, found.facts["slug"]) == (State.FAIL, "certificate-revoked")
    assert "tongban certs csr --use message" in found.next[1]


def test_our_crl_alarms_at_half_of_the_time_that_it_holds(node: Joined) -> None:
    for later, state in ((6, State.OK), (8, State.WARN), (15, State.FAIL)):
        node.now = NOW + later * DAYS
        assert node.diagnose("certificates.crl")["certificates.crl"].state is state
    node.keys.crl = b"no CRL"
    assert node.diagnose("certificates.crl")["certificates.crl"].facts["crl"] is None


def test_a_log_key_that_the_manifest_does_not_list_is_red(node: Joined) -> None:
    node.keys.log = other_log_key()
    assert states(node.diagnose("certificates")) == {"certificates.log": "fail"}


def test_keys_that_cannot_be_read_are_a_red_line_that_tells_only_safe_words(node: Joined) -> None:
    def unreadable() -> Any:
        raise ValueError("tls.key cannot be read")

    hidden = node.diagnose(keys=unreadable)
    assert states(hidden) == {"certificates": "fail", "clock": "off", "peers": "off"}
    assert hidden["certificates"].cause == ("ValueError", "ValueError")
    assert node.diagnose(keys=unreadable, told=(ValueError,))["certificates"].cause[0] == "tls.key cannot be read"


def test_the_log_is_warned_of_when_entries_wait_for_their_checkpoint(node: Joined) -> None:
    sign_checkpoint(node.database, node.log, node.keys.log, now=NOW)
    signed = node.diagnose("log")["log"].facts["entries"]
    node.add_entries(1, at=NOW + timedelta(seconds=5))
    node.add_entries(2, at=NOW + timedelta(seconds=50))
    node.now = NOW + timedelta(seconds=60)
    waiting = node.diagnose("log")["log"]
    assert (waiting.state, waiting.facts["entries"], waiting.facts["unsigned"]) == (State.OK, signed + 3, 3)
    node.now = NOW + timedelta(seconds=66)
    assert node.diagnose("log")["log"].state is State.WARN
    assert node.diagnose("log")["log"].facts["checkpoint_age_seconds"] == 66


def test_a_log_shorter_than_its_checkpoint_is_red() -> None:
    patience = timedelta(minutes=1)
    assert check_log(Seen(5, 8, NOW, None), patience=patience, now=NOW).state is State.FAIL
    assert check_log(Seen(0, 0, None, None), patience=patience, now=NOW).state is State.OFF


@pytest.mark.parametrize(("ahead", "state"), [(29, State.OK), (31, State.WARN), (-31, State.WARN), (-301, State.FAIL)])
def test_our_clock_is_wrong_when_all_peers_say_so(node: Joined, ahead: int, state: State) -> None:
    found = node.diagnose(peers={PEER: healthy(ahead=ahead), THIRD: healthy(ahead=ahead)})
    assert found["clock"].state is state
    assert not [name for name in found if name.endswith(".clock")]


def test_a_peer_that_alone_has_another_time_is_the_one_that_is_wrong(node: Joined) -> None:
    found = node.diagnose(peers={PEER: healthy(ahead=400), THIRD: healthy()})
    assert found["clock"].state is State.OK
    assert found[f"peers.{PEER}.clock"].state is State.FAIL
    assert node.diagnose(peers={PEER: healthy(ahead=90)})[f"peers.{PEER}.clock"].state is State.WARN


def test_with_one_answer_nobody_can_tell_whose_clock_is_wrong(node: Joined) -> None:
    found = node.diagnose(peers={PEER: healthy(ahead=90), THIRD: away("unreachable")})
    assert found["clock"].state is State.WARN
    assert "only peer" in found["clock"].cause[1]
    nobody = node.diagnose("clock", peers={PEER: away("timeout"), THIRD: away("timeout")})
    assert states(nobody) == {"clock": "off"}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (away("unreachable"), "unreachable"),
        (away("timeout"), "timeout"),
        (away("tls"), "tls"),
        (away("too-large"), "too-large"),
        (away("tls", CertificateExpired("ended")), "certificate-expired"),
        (saying(403, b'{"slug":"member-suspended","status":403}'), "member-suspended"),
        (saying(500, b'{"slug":"brand-new","status":500}'), "refused"),
        (saying(502, b"<html>"), "unreadable"),
        (saying(200, b'{"time":"2026-11-24T03:00:00","manifest":1,"software":"x"}'), "unreadable"),
        (saying(200, b'{"time":7,"manifest":1,"software":"x"}'), "unreadable"),
        (saying(200, b"[1]"), "unreadable"),
        (saying(200, b"[" * 9000), "unreadable"),
    ],
)
def test_a_peer_that_does_not_answer_well_is_red_and_alone(node: Joined, answer: Any, outcome: str) -> None:
    found = node.diagnose("peers", peers={PEER: answer})
    assert states(found) == {f"peers.{PEER}": "fail"}
    assert found[f"peers.{PEER}"].facts["outcome"] == outcome


def test_a_refusal_by_the_peer_brings_its_own_next_step(node: Joined) -> None:
    found = node.diagnose("peers", peers={PEER: saying(403, b'{"slug":"member-suspended","status":403}')})
    assert found[f"peers.{PEER}"].next == (MemberSuspended.next_zh, MemberSuspended.next_en)
    assert found[f"peers.{PEER}"].cause[1].startswith("it refuses us")


def test_one_silent_peer_delays_nothing_beyond_its_timeout(node: Joined) -> None:
    async def never(member: Any, loopback: bool) -> Any:
        await asyncio.sleep(3600)

    started = time.monotonic()
    found = node.diagnose("peers", peers={PEER: silent, THIRD: silent}, look=never, seconds=0.2)
    assert time.monotonic() - started < 2
    assert found[f"peers.{PEER}"].facts["outcome"] == "timeout"


def test_words_of_a_peer_are_shown_short_and_without_control_characters(node: Joined) -> None:
    found = node.diagnose("peers", peers={PEER: healthy(software="\x1b[31m" + "x" * 99)})
    assert found[f"peers.{PEER}"].facts["software"] == "[31m" + "x" * 36


def test_a_peers_certificate_is_warned_of_from_30_days_and_red_when_it_has_ended(node: Joined) -> None:
    node.now = NOW + 61 * DAYS
    assert node.diagnose("peers")[f"peers.{PEER}.certificate"].state is State.WARN
    node.now = NOW + 91 * DAYS
    ended = node.diagnose("peers", peers={PEER: away("tls")})
    assert ended[f"peers.{PEER}.certificate"].facts["days_left"] < 0
    assert ended[f"peers.{PEER}"].state is State.FAIL


def test_a_certificate_that_the_city_did_not_issue_is_red(network: TestNetwork, node: Joined) -> None:
    stranger = make_network([OURS, PEER], NOW)
    node.shown[PEER] = stranger[PEER].tls.certificate
    assert node.diagnose("peers")[f"peers.{PEER}.certificate"].facts["slug"] == "unknown-certificate"
    node.shown[PEER] = network[THIRD].tls.certificate
    assert node.diagnose("peers")[f"peers.{PEER}"].facts["tls_days_left"] is None


def test_a_peers_crl_that_grows_old_is_told(network: TestNetwork, node: Joined) -> None:
    for later, state in ((8, "warn"), (15, "fail")):
        node.now = NOW + later * DAYS
        assert node.diagnose("peers")[f"peers.{PEER}.crl"].state == state


def test_a_crl_that_was_never_fetched_is_red(node: Joined) -> None:
    with node.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM member_crl WHERE member = :peer"), {"peer": PEER})
    assert node.diagnose("peers")[f"peers.{PEER}.crl"].cause[0] == "尚未取得"


@pytest.mark.parametrize(("theirs", "words"), [(0, "it is behind"), (2, "we are behind")])
def test_another_version_of_the_manifest_is_told(node: Joined, theirs: int, words: str) -> None:
    found = node.diagnose("peers", peers={PEER: healthy(manifest=theirs)})
    assert states(found) == {f"peers.{PEER}.manifest": "warn"}
    assert found[f"peers.{PEER}.manifest"].cause[1] == words


def test_a_suspended_member_is_grey_and_not_asked(network: TestNetwork, node: Joined) -> None:
    data = network.next_version(statuses={PEER: Status.SUSPENDED})
    node.database.write(lambda tx: membership.accept_version(tx, data, now=NOW))
    facts = node.facts(peers={THIRD: healthy(manifest=2)})
    found = {one.name: one for one in asyncio.run(diagnose(facts, only="peers"))}
    assert states(found) == {f"peers.{PEER}": "off"}
    clients: Any = facts.clients
    assert clients.asked == [(THIRD, "GET", "/v1/health")]


def test_one_peer_can_be_asked_alone(node: Joined) -> None:
    assert list(node.diagnose(peer=PEER)) == [f"peers.{PEER}"]
    assert states(node.diagnose(peer="110100")) == {"peers": "fail"}


def test_only_chooses_a_group_or_a_line_and_refuses_other_words(node: Joined) -> None:
    facts = node.facts()
    assert [one.name for one in asyncio.run(diagnose(facts, only="disk"))] == ["disk.data"]
    clients: Any = facts.clients
    assert clients.asked == []
    assert list(node.diagnose("certificates.tls")) == ["certificates.tls"]
    with pytest.raises(ValueError, match="none of settings"):
        node.diagnose("weather")
