"""A network without a centre: which manifest may come into force, and which may not (protocol §3)."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.manifest import (
    LIFETIME,
    Manifest,
    ManifestRefused,
    NetworkPolicy,
    OutsideWitness,
    Status,
    accept_genesis,
    accept_next,
    digest_of,
    reread,
    sign,
    threshold,
    witness_quorum,
)
from protocol.notes import SignatureType, format_vkey, key_of
from tests.networks import City, TestNetwork, content_of, make_city, make_network, sign_all

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MEMBERS = ["442000", "450400", "440900", "450900"]
NETWORK = make_network(MEMBERS, NOW)
A, B, C, D = (NETWORK[member] for member in MEMBERS)
NEWCOMER = make_city("440300", NETWORK.name, NOW)


def mains(*cities: City) -> list[Ed25519PrivateKey]:
    return [one.governance[0] for one in cities]


def refused(data: bytes, match: str, *, current: Manifest = NETWORK.manifest) -> None:
    with pytest.raises(ManifestRefused, match=match):
        accept_next(current, data)


# How many.


@pytest.mark.parametrize(
    ("members", "needed"), [(2, 2), (3, 2), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7), (16, 11), (33, 23)]
)
def test_the_threshold_is_two_or_more_than_two_thirds(members: int, needed: int) -> None:
    assert threshold(members) == needed


@pytest.mark.parametrize(("peers", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5), (15, 10)])
def test_the_witness_quorum_outvotes_the_dishonest(peers: int, quorum: int) -> None:
    assert witness_quorum(peers) == quorum


@given(st.integers(1, 400))
def test_two_witness_quorums_share_an_honest_witness(peers: int) -> None:
    dishonest = (peers - 1) // 3
    assert 2 * witness_quorum(peers) - peers > dishonest
    assert witness_quorum(peers) <= peers - dishonest


# The genesis.


def test_a_genesis_is_accepted_under_the_digest_that_was_handed_over() -> None:
    manifest = accept_genesis(NETWORK.genesis, digest=NETWORK.digest)
    assert (manifest.version, manifest.network, manifest.label) == (1, NETWORK.name, f"1:{NETWORK.digest}")
    assert [member.id for member in manifest.active()] == sorted(MEMBERS)
    assert manifest.expires == NOW + LIFETIME
    member = manifest.members["442000"]
    assert (member.endpoints, member.log_key, member.witness_key) == ((A.endpoint,), A.log_key, A.witness_key)
    assert member.authorities[0] == A.ca.authority
    assert set(member.governance) == {key.public_bytes_raw() for key in A.public_governance}


@pytest.mark.threat("T23")
def test_another_genesis_is_another_network() -> None:
    other = make_network(MEMBERS, NOW)
    with pytest.raises(ManifestRefused, match="another network"):
        accept_genesis(other.genesis, digest=NETWORK.digest)


@pytest.mark.threat("T23")
def test_a_genesis_is_signed_by_every_founder() -> None:
    unsigned = NETWORK.next_version([], version=1)
    with pytest.raises(ManifestRefused, match="too few"):
        accept_genesis(unsigned, digest=digest_of(unsigned))
    three = sign_all(unsigned, mains(A, B, C))
    with pytest.raises(ManifestRefused, match="450900"):
        accept_genesis(three, digest=digest_of(three))
    four = sign_all(unsigned, [*mains(A, B, C), D.governance[1]])
    assert accept_genesis(four, digest=digest_of(four)).version == 1


def test_a_later_version_is_no_genesis() -> None:
    second = NETWORK.next_version()
    with pytest.raises(ManifestRefused, match="version 1"):
        accept_genesis(second, digest=digest_of(second))


# The next version.


def test_the_next_version_needs_the_threshold_and_no_more() -> None:
    following = accept_next(NETWORK.manifest, NETWORK.next_version(mains(A, B, C)))
    assert (following.version, following.network) == (2, NETWORK.name)


@pytest.mark.threat("T23")
def test_one_signature_too_few_is_refused() -> None:
    refused(NETWORK.next_version(mains(A, B)), "too few signatures of the previous")


@pytest.mark.threat("T23")
def test_a_backup_key_never_counts_beside_the_main_key() -> None:
    refused(NETWORK.next_version([*A.governance, *B.governance]), "2 members of the previous version have signed, 3")
    accept_next(NETWORK.manifest, NETWORK.next_version([A.governance[1], B.governance[1], C.governance[1]]))


@pytest.mark.threat("T23")
def test_the_same_signature_again_adds_no_vote() -> None:
    refused(NETWORK.next_version([*mains(A, B), *mains(A, B)]), "too few")


@pytest.mark.threat("T23")
@pytest.mark.parametrize("version", [1, 3, 4, 1000])
def test_versions_rise_by_one(version: int) -> None:
    refused(NETWORK.next_version(version=version), "version 2 is expected")


@pytest.mark.threat("T23")
def test_an_old_version_does_not_come_back() -> None:
    second = NETWORK.upgraded(NETWORK.next_version())
    third = second.upgraded(second.next_version())
    refused(second.manifest.data, "version 4 is expected", current=third.manifest)
    refused(NETWORK.genesis, "version 4 is expected", current=third.manifest)


@pytest.mark.threat("T23")
def test_a_manifest_of_another_network_is_refused() -> None:
    refused(NETWORK.next_version(content=renamed("othernet")), "another network")


def renamed(network: str) -> Any:
    cities = [dataclasses.replace(one, network=network) for one in NETWORK.cities.values()]
    return content_of(cities, network=network)


@pytest.mark.threat("T23")
def test_strangers_cannot_write_the_next_version() -> None:
    strangers = make_network(MEMBERS, NOW)
    refused(strangers.next_version(), "too few signatures of the previous")


@pytest.mark.threat("T23")
def test_the_new_version_needs_its_own_threshold_too() -> None:
    two = make_network(MEMBERS[:2], NOW)
    grown = dataclasses.replace(two, cities={**two.cities, **{one.member: one for one in (C, D, NEWCOMER)}})
    with pytest.raises(ManifestRefused, match="too few signatures of the own version"):
        accept_next(two.manifest, grown.next_version(mains(*two.cities.values())))
    assert len(accept_next(two.manifest, grown.next_version()).active()) == 5


@pytest.mark.threat("T23")
def test_a_key_votes_for_the_member_whose_it_is_in_that_version() -> None:
    keys = {one.member: one.public_governance for one in (A, B, C)}
    moved = {**keys, A.member: [A.public_governance[0], D.public_governance[0]], D.member: [D.public_governance[1]]}
    data = NETWORK.next_version(mains(A, B, D), governance=moved)
    refused(data, "2 members of the own version have signed, 3")


def test_two_next_versions_are_two_networks_by_their_digests() -> None:
    one = accept_next(NETWORK.manifest, NETWORK.next_version(memorandum="one"))
    other = accept_next(NETWORK.manifest, NETWORK.next_version(memorandum="other"))
    assert one.version == other.version
    assert one.digest != other.digest


def test_other_signatures_are_the_same_manifest() -> None:
    few, all_of_them = NETWORK.next_version(mains(A, B, C)), NETWORK.next_version()
    assert few != all_of_them
    assert digest_of(few) == digest_of(all_of_them)
    assert accept_next(NETWORK.manifest, few).digest == digest_of(few)


# Life of a network.


def test_a_member_is_suspended_and_comes_back() -> None:
    suspended = NETWORK.with_status(D.member, Status.SUSPENDED)
    assert suspended.manifest.members[D.member].governance == ()
    assert D.member not in [member.id for member in suspended.manifest.active()]
    refused(suspended.next_version(mains(A, D)), "too few", current=suspended.manifest)
    back = accept_next(suspended.manifest, suspended.next_version(mains(A, B, D)))
    assert len(back.active()) == 4


def test_a_newcomer_joins_with_the_votes_of_old_and_new() -> None:
    grown = dataclasses.replace(NETWORK, cities={**NETWORK.cities, NEWCOMER.member: NEWCOMER})
    joined = accept_next(NETWORK.manifest, grown.next_version(mains(A, B, C, NEWCOMER)))
    assert len(joined.active()) == 5
    with pytest.raises(ManifestRefused, match="too few signatures of the previous"):
        accept_next(NETWORK.manifest, grown.next_version(mains(A, B, NEWCOMER)))


def test_a_member_of_two_can_change_its_governance_key() -> None:
    pair = make_network(MEMBERS[:2], NOW)
    first, second = pair.cities.values()
    new = Ed25519PrivateKey.generate()
    keys = {first.member: [new.public_key()], second.member: second.public_governance}
    data = pair.next_version([new, first.governance[0], second.governance[0]], governance=keys)
    assert accept_next(pair.manifest, data).members[first.member].governance == (new.public_key().public_bytes_raw(),)


@pytest.mark.threat("T23")
def test_only_a_listed_key_signs() -> None:
    with pytest.raises(ManifestRefused, match="not a governance key"):
        sign(NETWORK.genesis, Ed25519PrivateKey.generate())


def test_a_stored_manifest_is_read_again_under_its_digest() -> None:
    assert reread(NETWORK.genesis, digest=NETWORK.digest) == NETWORK.manifest
    with pytest.raises(ManifestRefused, match="differs"):
        reread(NETWORK.genesis, digest="A" * 43)


def test_the_end_is_a_date_that_the_caller_compares() -> None:
    ended = make_network(MEMBERS, NOW, expires=NOW - timedelta(days=1))
    assert ended.manifest.expires < NOW


# The rules of its content.


def content_with(member: str, **changes: Any) -> Any:
    whole = NETWORK.content()
    changed = [one.model_copy(update=changes) if one.id == member else one for one in whole.members]
    return whole.model_copy(update={"members": changed})


def vkey(name: str, type: SignatureType) -> str:
    return format_vkey(key_of(name, type, Ed25519PrivateKey.generate()))


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (NETWORK.content().model_copy(update={"members": [*NETWORK.content().members, A.content()]}), "twice"),
        (NETWORK.content(quorum=1), "quorum"),
        (NETWORK.content(quorum=3), "quorum"),
        (content_with(A.member, log_key=vkey(A.key_name, SignatureType.COSIGNATURE)), "cannot be read"),
        (content_with(A.member, witness_key=vkey(A.key_name, SignatureType.ED25519)), "cannot be read"),
        (content_with(A.member, log_key="x"), "cannot be read"),
        (content_with(A.member, ca=["x"]), "cannot be read"),
        (content_with(A.member, ca=[A.tls.pem]), "cannot be read"),
        (content_with(A.member, log_key=vkey(B.key_name, SignatureType.ED25519)), "is not named"),
        (content_with(A.member, log_key=vkey(f"{A.key_name}1", SignatureType.ED25519)), "is not named"),
    ],
)
def test_a_content_that_breaks_a_rule_is_refused(content: Any, match: str) -> None:
    refused(NETWORK.next_version(content=content), match)


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    "changes",
    [
        {"ca": [B.ca.pem]},
        {"ca": [A.ca.pem, A.ca.pem]},
        {"log_key": format_vkey(key_of(A.key_name, SignatureType.ED25519, B.log))},
        {"log_key": format_vkey(key_of(A.key_name, SignatureType.ED25519, A.witness))},
        {"log_key": format_vkey(key_of(A.key_name, SignatureType.ED25519, A.governance[1]))},
        {"witness_key": format_vkey(key_of(A.key_name, SignatureType.COSIGNATURE, B.witness))},
        {"witness_key": format_vkey(key_of(A.key_name, SignatureType.COSIGNATURE, B.governance[0]))},
    ],
    ids=[
        "CA of another",
        "CA twice",
        "log of another",
        "log as witness",
        "backup as log",
        "witness",
        "main as witness",
    ],
)
def test_a_public_key_occurs_once_whatever_it_is_for(changes: dict[str, Any]) -> None:
    refused(NETWORK.next_version(content=content_with(A.member, **changes)), "a public key occurs twice")


@pytest.mark.threat("T23")
def test_an_outside_witness_brings_a_key_of_its_own() -> None:
    good = vkey("witness.example.test", SignatureType.COSIGNATURE)
    following = accept_next(NETWORK.manifest, NETWORK.next_version(witnesses=[outside(good)]))
    assert following.quorum == witness_quorum(4)
    refused(NETWORK.next_version(witnesses=[outside(format_vkey(A.witness_key))]), "a public key occurs twice")
    refused(NETWORK.next_version(witnesses=[outside(good), outside(good)]), "a public key occurs twice")
    refused(NETWORK.next_version(witnesses=[outside("x")]), "outside witness")
    refused(NETWORK.next_version(witnesses=[outside(vkey("w", SignatureType.ED25519))]), "outside witness|0x04")


def outside(key: str) -> OutsideWitness:
    return OutsideWitness(name="witness", key=key, url="https://witness.example.test/")


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    "governance",
    [
        {A.member: A.public_governance, B.member: B.public_governance, C.member: C.public_governance},
        {one.member: one.public_governance for one in (*NETWORK.cities.values(), NEWCOMER)},
        {
            **{one.member: one.public_governance for one in (A, B, C)},
            D.member: [*D.public_governance, Ed25519PrivateKey.generate().public_key()],
        },
    ],
    ids=["member without key", "key without member", "three keys"],
)
def test_each_active_member_and_nobody_else_holds_keys(governance: Any) -> None:
    refused(NETWORK.next_version(mains(A, B, C), governance=governance), "each active member, and nobody else")


@pytest.mark.threat("T23")
def test_a_suspended_member_holds_no_key() -> None:
    everybody = {one.member: one.public_governance for one in NETWORK.cities.values()}
    data = NETWORK.next_version(statuses={D.member: Status.SUSPENDED}, governance=everybody)
    refused(data, "each active member, and nobody else")


def test_a_network_has_two_active_members() -> None:
    pair = make_network(MEMBERS[:2], NOW)
    data = pair.next_version(statuses={MEMBERS[0]: Status.LEFT})
    refused(data, "at least two active", current=pair.manifest)


def test_the_policy_of_the_network_is_read() -> None:
    policy = NetworkPolicy(clock_skew_seconds=60, crl_grace_days=0, message_mib=8)
    changed: TestNetwork = NETWORK.upgraded(NETWORK.next_version(policy=policy))
    assert changed.manifest.policy == policy
