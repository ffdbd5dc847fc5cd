"""Manifest files as a forger writes them: the JSON itself is wrong, and well signed (protocol §3, trap C20)."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata, Targets

from protocol.manifest import (
    MANIFEST_MAX_BYTES,
    ManifestRefused,
    accept_genesis,
    accept_next,
    digest_of,
    sign,
)
from tests.networks import make_network

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MEMBERS = ["442000", "450400", "440900", "450900"]
NETWORK = make_network(MEMBERS, NOW)
MAINS = [city.governance[0] for city in NETWORK.cities.values()]
SECOND = NETWORK.next_version()
Change = Callable[[dict[str, Any]], Any]


def key_id(signed: dict[str, Any], key: Ed25519PrivateKey) -> str:
    public = key.public_key().public_bytes_raw().hex()
    return next(id for id, listed in signed["keys"].items() if listed["keyval"]["public"] == public)


def resigned(change: Change, keys: Iterable[Ed25519PrivateKey] = MAINS) -> bytes:
    """The second version with a change to its signed part, signed without our code."""
    signed = json.loads(SECOND)["signed"]
    signers = {key_id(signed, key): key for key in keys}
    change(signed)
    text = encode_canonical(signed)
    assert text is not None
    signatures = [
        {"keyid": id, "sig": key.sign(text.encode("utf-8", "surrogatepass")).hex()} for id, key in signers.items()
    ]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def refused(data: bytes, match: str | None = None) -> None:
    with pytest.raises(ManifestRefused, match=match):
        accept_next(NETWORK.manifest, data)


def first(mapping: dict[str, Any]) -> Any:
    return next(iter(mapping.values()))


def test_the_tool_of_these_tests_signs_well() -> None:
    assert accept_next(NETWORK.manifest, resigned(lambda signed: None)).digest == digest_of(SECOND)


@pytest.mark.threat("T23")
def test_one_key_under_two_ids_is_not_two_votes() -> None:
    """GHSA-r7vq-6425-j94w: the library once counted it so."""
    signed = json.loads(SECOND)["signed"]
    one = key_id(signed, MAINS[0])

    def double(signed: dict[str, Any]) -> None:
        signed["keys"]["f" * 64] = signed["keys"][one]
        signed["roles"]["root"]["keyids"].append("f" * 64)

    refused(resigned(double), "more than|each active member|a public key occurs twice")
    data = json.loads(resigned(lambda signed: None, MAINS[:2]))
    data["signatures"].append({"keyid": "f" * 64, "sig": data["signatures"][0]["sig"]})
    refused(json.dumps(data).encode(), "too few")


def test_one_key_under_two_ids_of_a_member_without_backup() -> None:
    signed = json.loads(SECOND)["signed"]
    main, backup = (key_id(signed, key) for key in NETWORK[MEMBERS[0]].governance)

    def double(signed: dict[str, Any]) -> None:
        del signed["keys"][backup]
        signed["keys"]["f" * 64] = signed["keys"][main]
        signed["roles"]["root"]["keyids"] = sorted(signed["keys"])

    refused(resigned(double), "a public key occurs twice")


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version": 2', b'"version": 1, "version": 2'),
        (b'"version": 2', b'"version": 2, "version": 2'),
        (b'"version": 2', b'"version": 1, "\\u0076ersion": 2'),
        (b'"quorum": 2', b'"quorum": 1, "quorum": 2'),
        (b'"signatures": [', b'"signatures": [], "signatures": ['),
    ],
)
def test_duplicate_keys_are_refused_before_anything_is_read(old: bytes, new: bytes) -> None:
    data = resigned(lambda signed: None)
    assert old in data
    refused(data.replace(old, new), "not strict JSON")


ATTACKS: dict[str, Change] = {
    "unknown field of the network": lambda s: s["x-tongban"].update(evil=1),
    "unknown field of a member": lambda s: s["x-tongban"]["members"][0].update(vote=2),
    "unknown field of the policy": lambda s: s["x-tongban"]["policy"].update(evil=1),
    "no extension": lambda s: s.pop("x-tongban"),
    "extension is a list": lambda s: s.update({"x-tongban": []}),
    "unknown status": lambda s: s["x-tongban"]["members"][0].update(status="king"),
    "number as text": lambda s: s["x-tongban"].update(quorum="2"),
    "number as truth": lambda s: s["x-tongban"]["policy"].update(message_mib=True),
    "skew too large": lambda s: s["x-tongban"]["policy"].update(clock_skew_seconds=86400),
    "grace too long": lambda s: s["x-tongban"]["policy"].update(crl_grace_days=365),
    "unknown protocol version": lambda s: s["x-tongban"].update(versions=["9"]),
    "network name with a slash": lambda s: s["x-tongban"].update(network="a/b"),
    "member id in other digits": lambda s: s["x-tongban"]["members"][0].update(id="44２０００"),
    "endpoint without TLS": lambda s: s["x-tongban"]["members"][0].update(endpoints=["http://a.example.test"]),
    "endpoint with a path": lambda s: s["x-tongban"]["members"][0].update(endpoints=["https://a.example.test/x"]),
    "endpoint with a user": lambda s: s["x-tongban"]["members"][0].update(endpoints=["https://u@a.example.test"]),
    "no endpoint": lambda s: s["x-tongban"]["members"][0].update(endpoints=[]),
    "no CA": lambda s: s["x-tongban"]["members"][0].update(ca=[]),
    "no name": lambda s: s["x-tongban"]["members"][0].update(names={}),
    "name with a lone surrogate": lambda s: s["x-tongban"]["members"][0].update(names={"zh": "\ud800"}),
    "document by no digest": lambda s: s["x-tongban"].update(documents={"calendar": "x"}),
    "threshold of one": lambda s: s["roles"]["root"].update(threshold=1),
    "threshold of four": lambda s: s["roles"]["root"].update(threshold=4),
    "threshold zero": lambda s: s["roles"]["root"].update(threshold=0),
    "a key of no role": lambda s: s["roles"]["root"]["keyids"].pop(),
    "a role key that is not there": lambda s: s["roles"]["root"]["keyids"].append("f" * 64),
    "a role key twice": lambda s: s["roles"]["root"]["keyids"].append(s["roles"]["root"]["keyids"][0]),
    "key without owner": lambda s: first(s["keys"]).pop("x-tongban-member"),
    "key with two owners": lambda s: first(s["keys"]).update({"x-tongban-member": ["442000", "450400"]}),
    "key of another owner": lambda s: first(s["keys"]).update({"x-tongban-member": "440300"}),
    "key of another type": lambda s: first(s["keys"]).update(keytype="rsa"),
    "key of another scheme": lambda s: first(s["keys"]).update(scheme="rsassa-pss-sha256"),
    "key that is no Edwards key": lambda s: first(s["keys"]).update(keytype="ecdsa", scheme="ecdsa-sha2-nistp256"),
    "key not hexadecimal": lambda s: first(s["keys"])["keyval"].update(public="zz"),
    "key too short": lambda s: first(s["keys"])["keyval"].update(public="00"),
    "key as number": lambda s: first(s["keys"])["keyval"].update(public=7),
    "another TUF role": lambda s: s.update(_type="targets"),
    "no TUF role": lambda s: s.pop("_type"),
    "another major version of TUF": lambda s: s.update(spec_version="2.0.0"),
    "a date that is none": lambda s: s.update(expires="tomorrow"),
    "no end": lambda s: s.pop("expires"),
    "version as text": lambda s: s.update(version="2"),
    "version true": lambda s: s.update(version=True),
    "version zero": lambda s: s.update(version=0),
    "a role is missing": lambda s: s["roles"].pop("targets"),
    "lone surrogate beside the network": lambda s: s.update({"x-other": "\ud800"}),
    "lone surrogate as owner": lambda s: first(s["keys"]).update({"x-tongban-member": "\ud800"}),
    "keys for another role": lambda s: s["roles"]["targets"]["keyids"].append(s["roles"]["root"]["keyids"][0]),
}


@pytest.mark.threat("T23")
@pytest.mark.parametrize("name", ATTACKS)
def test_a_well_signed_manifest_of_another_form_is_refused(name: str) -> None:
    refused(resigned(ATTACKS[name]))


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xef\xbb\xbf" + SECOND,
        SECOND + b"x",
        SECOND[:-1],
        SECOND.decode().encode("utf-16"),
    ],
)
def test_what_is_no_metadata_is_refused(data: bytes) -> None:
    refused(data, "not TUF root metadata")


@pytest.mark.threat("T23")
def test_a_wrong_signature_is_no_vote_beside_enough_good_ones() -> None:
    keys = [key for member in MEMBERS[:2] for key in NETWORK[member].governance]
    data = json.loads(resigned(lambda signed: None, keys))
    data["signatures"].append({"keyid": key_id(data["signed"], MAINS[2]), "sig": "00" * 64})
    refused(json.dumps(data).encode(), "2 members of the previous version have signed, 3 are needed")


@pytest.mark.threat("T23")
def test_metadata_of_another_role_is_refused_whatever_it_holds() -> None:
    targets = Targets(version=2, expires=NOW)
    targets.unrecognized_fields["x-tongban"] = json.loads(SECOND)["signed"]["x-tongban"]
    refused(Metadata(targets).to_bytes(), "another role")


def test_a_manifest_has_a_size_limit() -> None:
    refused(SECOND.ljust(MANIFEST_MAX_BYTES + 1), "at most")
    assert accept_next(NETWORK.manifest, SECOND.ljust(MANIFEST_MAX_BYTES)).version == 2


@pytest.mark.threat("T23")
def test_a_signature_over_another_text_is_none() -> None:
    data = json.loads(SECOND)
    data["signed"]["x-tongban"]["memorandum"] = "changed"
    refused(json.dumps(data).encode(), "too few")
    data = json.loads(SECOND)
    for signature in data["signatures"]:
        signature["sig"] = "00" * 64
    refused(json.dumps(data).encode(), "too few")


def test_true_is_not_version_one() -> None:
    founders = [key for city in NETWORK.cities.values() for key in city.governance]
    forged = resigned(lambda signed: signed.update(version=True), founders)
    with pytest.raises(ManifestRefused, match="whole number"):
        accept_genesis(forged, digest=digest_of(forged))


@given(st.data())
def test_any_other_byte_is_refused_or_says_the_same(data: st.DataObject) -> None:
    """Signatures that nobody needs, and the spelling of JSON, may change; what is signed may not."""
    at = data.draw(st.integers(0, len(SECOND) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = SECOND[:at] + bytes([byte]) + SECOND[at + 1 :]
    try:
        manifest = accept_next(NETWORK.manifest, changed)
    except ManifestRefused:
        return
    assert manifest.digest == digest_of(SECOND)


json_values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just([]) | st.just({})
)


@pytest.mark.parametrize("public", ["", "0", "zz", "00" * 32, 7, None])
def test_nobody_signs_what_lists_another_key_under_the_own_number(public: Any) -> None:
    changed = json.loads(SECOND)
    for listed in changed["signed"]["keys"].values():
        listed["keyval"]["public"] = public
    with pytest.raises(ManifestRefused):
        sign(json.dumps(changed).encode(), MAINS[0])


@given(st.data())
def test_any_other_value_ends_in_a_manifest_or_in_a_named_refusal(data: st.DataObject) -> None:
    def change(signed: dict[str, Any]) -> None:
        place: Any = signed
        while isinstance(place, dict | list) and place:
            name = data.draw(
                st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1)
            )
            if not isinstance(place[name], dict | list) or data.draw(st.booleans()):
                place[name] = data.draw(json_values)
                return
            place = place[name]

    changed = json.loads(SECOND)
    change(changed["signed"])
    text = json.dumps(changed).encode()
    for attempt in (accept_next, lambda current, text: sign(text, MAINS[0])):
        try:
            attempt(NETWORK.manifest, text)
        except ManifestRefused:
            continue
