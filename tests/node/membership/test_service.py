"""Membership in a real database: what comes into force, what is refused, and how every process learns of it."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from node.audit.service import Log, entries
from node.membership import service, store
from node.membership.service import (
    accept_crl,
    accept_version,
    check_fetched,
    crl_of,
    found_network,
    keep_trust,
    manifest_data,
    manifest_in_force,
    read_trust,
    remember_certificate,
)
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database
from protocol.certificates import Purpose
from protocol.errors import (
    Busy,
    CertificateExpired,
    CertificateRevoked,
    Malformed,
    NotFound,
    UnknownCertificate,
)
from protocol.manifest import ManifestRefused, Status
from tests.making import make_certificate, make_city_ca, make_crl
from tests.networks import TestNetwork, make_network

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ME, PEER, OTHER = "442000", "450400", "440900"
LOG = Log("tongban/yizhangwang/442000/1", open_vault(bytes(32), os.urandom), os.urandom)


@pytest.fixture(scope="module")
def network() -> TestNetwork:
    return make_network([ME, PEER, OTHER], NOW)


@pytest.fixture
def node(open_database: Callable[..., Database], database_url: str) -> Database:
    return open_database(database_url, LOG.close_group)


@pytest.fixture
def member(node: Database, network: TestNetwork) -> Database:
    """A node that has joined, and holds everybody's CRL."""
    node.write(lambda tx: found_network(tx, network.genesis, digest=network.digest, now=NOW))
    for city in network.cities.values():
        node.write(lambda tx, city=city: accept_crl(tx, city.member, city.crl_der, now=NOW))  # type: ignore[misc]
    return node


def logged(node: Database) -> list[tuple[str, str | None]]:
    """Return (kind, digest) of each entry, the oldest first."""
    with node.reading() as session:
        return [(one["kind"], one.get("request")) for one in entries(session)][::-1]


def generation(node: Database) -> int:
    with node.reading() as session:
        return store.generation(session)


def in_force(node: Database) -> int:
    with node.reading() as session:
        return manifest_in_force(session).version


def test_a_genesis_with_the_digest_told_by_telephone_comes_into_force_and_is_logged(
    node: Database, network: TestNetwork
) -> None:
    assert generation(node) == 0
    manifest = node.write(lambda tx: found_network(tx, network.genesis, digest=network.digest, now=NOW))
    assert manifest == network.manifest
    assert (in_force(node), generation(node)) == (1, 1)
    assert logged(node) == [("manifest", network.digest)]


def test_a_genesis_of_another_digest_changes_nothing(node: Database, network: TestNetwork) -> None:
    other = make_network([ME, PEER], NOW)
    with pytest.raises(ManifestRefused):
        node.write(lambda tx: found_network(tx, other.genesis, digest=network.digest, now=NOW))
    assert (generation(node), logged(node)) == (0, [])
    with node.reading() as session:
        for read in (manifest_in_force, lambda one: read_trust(one, ME), lambda one: manifest_data(one, None)):
            with pytest.raises(NotFound):
                read(session)
    with pytest.raises(NotFound):
        keep_trust(node, ME)


def test_the_next_version_comes_into_force_and_the_earlier_one_stays_readable(
    member: Database, network: TestNetwork
) -> None:
    data = network.next_version(statuses={OTHER: Status.SUSPENDED})
    before = generation(member)
    member.write(lambda tx: accept_version(tx, data, now=NOW))
    assert (in_force(member), generation(member)) == (2, before + 1)
    with member.reading() as session:
        assert manifest_data(session, None) == manifest_data(session, 2) == data
        assert manifest_data(session, 1) == network.genesis
        with pytest.raises(NotFound):
            manifest_data(session, 3)
    assert logged(member)[-1][0] == "manifest"


def test_versions_can_follow_each_other_in_one_transaction(node: Database, network: TestNetwork) -> None:
    second = network.next_version()
    third = network.upgraded(second).next_version()

    def join(transaction: Any) -> None:
        found_network(transaction, network.genesis, digest=network.digest, now=NOW)
        accept_version(transaction, second, now=NOW)
        accept_version(transaction, third, now=NOW)

    node.write(join)
    assert (in_force(node), generation(node)) == (3, 3)


def test_a_version_that_does_not_follow_or_lacks_votes_changes_nothing(member: Database, network: TestNetwork) -> None:
    skipping = network.next_version(version=3)
    too_few = network.next_version([network[ME].governance[0]])
    before = (generation(member), logged(member))
    for data in (network.genesis, skipping, too_few, b"{}", b""):
        with pytest.raises(ManifestRefused):
            member.write(lambda tx, data=data: accept_version(tx, data, now=NOW))  # type: ignore[misc]
    assert in_force(member) == 1
    assert (generation(member), logged(member)) == before


def test_a_newer_crl_is_taken_and_an_old_or_known_one_is_not(member: Database, network: TestNetwork) -> None:
    ca, before = network[PEER].ca, generation(member)
    newer, older = make_crl(ca, NOW, number=7), make_crl(ca, NOW, number=6)
    takes = [member.write(lambda tx, der=der: accept_crl(tx, PEER, der, now=NOW)) for der in (newer, older, newer)]  # type: ignore[misc]
    assert takes == [True, False, False]
    assert generation(member) == before + 1
    with member.reading() as session:
        assert crl_of(session, PEER) == newer
        assert [crl.number for crl in read_trust(session, ME).crls if crl.authority == ca.authority.fingerprint] == [7]


def test_a_crl_that_another_ca_signed_is_refused(member: Database, network: TestNetwork) -> None:
    before = (generation(member), logged(member))
    foreign = make_crl(network[OTHER].ca, NOW, number=9)
    forged = make_crl(make_city_ca(PEER, network.name, NOW), NOW, number=9)
    for der in (foreign, forged, b"", b"not a CRL"):
        with pytest.raises(Malformed):
            member.write(lambda tx, der=der: accept_crl(tx, PEER, der, now=NOW))  # type: ignore[misc]
    assert (generation(member), logged(member)) == before


def test_a_crl_number_that_no_database_holds_is_refused_as_malformed(member: Database, network: TestNetwork) -> None:
    with pytest.raises(Malformed, match=r"2\*\*63"):
        member.write(lambda tx: accept_crl(tx, PEER, make_crl(network[PEER].ca, NOW, number=2**64), now=NOW))
    largest = make_crl(network[PEER].ca, NOW, number=2**63 - 1)
    assert member.write(lambda tx: accept_crl(tx, PEER, largest, now=NOW))


def test_the_crl_of_a_stranger_is_not_found(member: Database, network: TestNetwork) -> None:
    with pytest.raises(NotFound):
        member.write(lambda tx: accept_crl(tx, "110100", network[PEER].crl_der, now=NOW))
    with member.reading() as session, pytest.raises(NotFound):
        crl_of(session, "110100")


def test_the_crl_of_a_ca_that_the_manifest_names_no_more_does_not_stop_the_node(
    member: Database, network: TestNetwork
) -> None:
    new_ca = make_city_ca(PEER, network.name, NOW)
    changed = replace(network[PEER], ca=new_ca)
    members = [one.content() for one in ({**network.cities, PEER: changed}).values()]
    data = network.next_version(members=sorted(members, key=lambda one: one.id))
    member.write(lambda tx: accept_version(tx, data, now=NOW))
    with member.reading() as session:
        trust = read_trust(session, ME)
    authorities = {crl.authority for crl in trust.crls}
    assert network[PEER].ca.authority.fingerprint not in authorities
    assert len(authorities) == 2
    assert member.write(lambda tx: accept_crl(tx, PEER, make_crl(new_ca, NOW), now=NOW))


def trusted(node: Database) -> Any:
    with node.reading() as session:
        return read_trust(session, ME)


def test_a_good_message_certificate_is_kept_once(member: Database, network: TestNetwork) -> None:
    certificate, before = network[PEER].message.certificate, generation(member)
    for _ in range(2):
        member.write(lambda tx: remember_certificate(tx, trusted(member), certificate, now=NOW))
    assert generation(member) == before + 1
    assert logged(member)[-1] == ("certificate", certificate.fingerprint)
    assert trusted(member).certificates == {certificate.fingerprint: certificate}


def test_a_certificate_that_fails_the_trust_decision_is_not_kept(member: Database, network: TestNetwork) -> None:
    ca, before = network[PEER].ca, generation(member)
    bad = make_certificate(ca, Purpose.MESSAGE, NOW)
    revoking = make_crl(ca, NOW, number=2, revoked=[bad.certificate.serial])
    member.write(lambda tx: accept_crl(tx, PEER, revoking, now=NOW))
    cases: list[tuple[Any, datetime, type[Exception]]] = [
        (bad, NOW, CertificateRevoked),
        (make_certificate(ca, Purpose.MESSAGE, NOW), NOW + timedelta(days=3650), CertificateExpired),
        (make_certificate(ca, Purpose.TLS, NOW), NOW, UnknownCertificate),
        (make_certificate(make_city_ca(PEER, network.name, NOW), Purpose.MESSAGE, NOW), NOW, UnknownCertificate),
        (make_certificate(ca, Purpose.MESSAGE, NOW), NOW + timedelta(days=40), Busy),
    ]
    for made, now, refusal in cases:
        trust = trusted(member)
        with pytest.raises(refusal):
            member.write(
                lambda tx, made=made, now=now, trust=trust: remember_certificate(  # type: ignore[misc]
                    tx, trust, made.certificate, now=now
                )
            )
    assert trusted(member).certificates == {}
    assert generation(member) == before + 1


def test_a_fetched_certificate_is_the_one_that_was_asked_for(network: TestNetwork) -> None:
    wanted, other = network[PEER].message.certificate, network[OTHER].message.certificate
    assert check_fetched(wanted.fingerprint, wanted.der) == wanted
    for der in (other.der, b"", b"junk"):
        with pytest.raises(UnknownCertificate):
            check_fetched(wanted.fingerprint, der)


def test_trust_read_from_the_database_is_that_of_the_network(member: Database, network: TestNetwork) -> None:
    for city in network.cities.values():
        certificate = city.message.certificate
        member.write(lambda tx, one=certificate: remember_certificate(tx, trusted(member), one, now=NOW))  # type: ignore[misc]
    found, expected = trusted(member), network.trust_of(ME)
    assert found.manifest == expected.manifest
    assert found.certificates == expected.certificates
    assert {crl.der for crl in found.crls} == {crl.der for crl in expected.crls}


def test_the_keeper_reads_anew_only_when_the_generation_has_moved(
    member: Database, network: TestNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = keep_trust(member, ME)
    current = keeper.current
    monkeypatch.setattr(service, "read_trust", lambda *arguments: pytest.fail("read without need"))
    assert keeper.refresh() is False
    assert keeper.current is current
    monkeypatch.undo()
    member.write(lambda tx: accept_version(tx, network.next_version(), now=NOW))
    assert keeper.refresh() is True
    assert keeper.current.manifest.version == 2


def test_the_keeper_tells_of_a_new_manifest_or_crl_and_forgets_its_verdicts(
    member: Database, network: TestNetwork
) -> None:
    keeper, told = keep_trust(member, ME), list[str]()
    keeper.changed.append(lambda: told.append("changed"))
    certificate = network[PEER].message.certificate
    keeper.current.check(certificate, Purpose.MESSAGE, now=NOW)
    crl = make_crl(network[PEER].ca, NOW, number=2, revoked=[certificate.serial])
    member.write(lambda tx: accept_crl(tx, PEER, crl, now=NOW))
    assert keeper.refresh()
    assert told == ["changed"]
    with pytest.raises(CertificateRevoked):
        keeper.current.check(certificate, Purpose.MESSAGE, now=NOW)


def test_a_new_certificate_leaves_the_verdicts_and_closes_nothing(member: Database, network: TestNetwork) -> None:
    keeper, told = keep_trust(member, ME), list[str]()
    keeper.changed.append(lambda: told.append("changed"))
    certificate = network[PEER].message.certificate
    keeper.current.check(certificate, Purpose.MESSAGE, now=NOW)
    member.write(lambda tx: remember_certificate(tx, keeper.current, certificate, now=NOW))
    verdicts = keeper.current.verdicts
    assert keeper.refresh()
    assert keeper.current.certificates == {certificate.fingerprint: certificate}
    assert keeper.current.verdicts is verdicts
    assert len(verdicts) == 1
    assert told == []


def test_entries_name_digests_and_the_member_and_nothing_else(member: Database) -> None:
    with member.reading() as session:
        found = list(entries(session, kind="crl"))
    assert {one["peer"] for one in found} == {ME, PEER, OTHER}
    for one in found:
        assert one.keys() == {"index", "v", "time", "kind", "dir", "peer", "request", "salt"}, json.dumps(one)
