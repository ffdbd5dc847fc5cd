"""Makers of whole small networks for tests: cities with every key, a signed genesis, sealed messages.

What `make_network` returns is valid in every part; each part can be changed by name, so that a test shows
the one thing that is wrong::

    network = make_network(["442000", "450400"], NOW)
    raw = network.seal("450400", "442000", Ping(), msg="ping")
    message = unseal(raw, network.trust_of("442000"), peer="450400", now=NOW)
    late = network.seal("450400", "442000", Ping(), msg="ping", exp=seconds(NOW) - 1)
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from uuid_utils import uuid7

from protocol.bodies import Body
from protocol.certificates import Certificate, Crl, Purpose, parse_crl
from protocol.claims import Answered, Claims, LogPlace, ReplyClaims, Who, Why, describe_body, format_claims, sha256
from protocol.envelope import Message, MessageKey, RawMessage, RawReply, Trust, seal, seal_reply
from protocol.manifest import (
    LIFETIME,
    Manifest,
    MemberContent,
    NetworkContent,
    NetworkPolicy,
    Status,
    accept_genesis,
    accept_next,
    digest_of,
    draft,
    sign,
    witness_quorum,
)
from protocol.messages import WITHOUT_PURPOSE, format_body
from protocol.notes import NoteKey, SignatureType, format_vkey, key_of
from tests.making import LOCAL_HOSTS, MadeCa, MadeCertificate, make_certificate, make_city_ca, make_crl

NETWORK = "yizhangwang"
NAMES = {"442000": "中山", "450400": "梧州", "440900": "茂名", "450900": "玉林"}
WHY = Why(item="PEN-LUMPSUM", basis="STATUTORY", case="KS450400202611240000012")
WHO = Who(office="窗口 2", officer="o-7f3c", role="clerk")


def seconds(moment: datetime) -> int:
    """Return POSIX seconds, as claims have them."""
    return int(moment.timestamp())


def new_number() -> str:
    """Return a fresh UUIDv7, as `jti`."""
    return str(uuid7())


@dataclass(frozen=True)
class City:
    """A member with all its private keys; `governance` is main and backup."""

    member: str
    network: str
    endpoint: str
    ca: MadeCa
    tls: MadeCertificate
    message: MadeCertificate
    governance: tuple[Ed25519PrivateKey, ...]
    log: Ed25519PrivateKey
    witness: Ed25519PrivateKey
    crl_der: bytes

    @property
    def message_key(self) -> MessageKey:
        return MessageKey(certificate=self.message.certificate, key=self.message.key)

    @property
    def key_name(self) -> str:
        """The origin of the city's log, which is also the name of its note keys."""
        return f"tongban/{self.network}/{self.member}/1"

    @property
    def log_key(self) -> NoteKey:
        return key_of(self.key_name, SignatureType.ED25519, self.log)

    @property
    def witness_key(self) -> NoteKey:
        return key_of(self.key_name, SignatureType.COSIGNATURE, self.witness)

    @property
    def crl(self) -> Crl:
        return parse_crl(self.crl_der, [self.ca.authority])

    @property
    def public_governance(self) -> list[Ed25519PublicKey]:
        return [key.public_key() for key in self.governance]

    def content(self, status: Status = Status.ACTIVE) -> MemberContent:
        """Return the city's entry in a manifest."""
        return MemberContent(
            id=self.member,
            names={"zh": NAMES.get(self.member, self.member)},
            status=status,
            endpoints=[self.endpoint],
            ca=[self.ca.pem],
            log_key=format_vkey(self.log_key),
            witness_key=format_vkey(self.witness_key),
        )


@dataclass(frozen=True)
class TestNetwork:
    """Cities that founded a network together."""

    __test__: ClassVar[bool] = False  # no test class, whatever pytest thinks of the name

    name: str
    now: datetime
    cities: dict[str, City]
    genesis: bytes
    digest: str
    manifest: Manifest

    def __getitem__(self, member: str) -> City:
        return self.cities[member]

    def content(self, **changes: Any) -> NetworkContent:
        """Return what the manifest in force says, with changes."""
        return content_of(self.cities.values(), **{"network": self.name, "policy": self.manifest.policy, **changes})

    def next_version(self, signers: Iterable[Ed25519PrivateKey] | None = None, **changes: Any) -> bytes:
        """Return the next version of the manifest, signed by all main keys unless `signers` are given.

        Changes: version, expires, governance, content (a NetworkContent), or fields of the content.
        """
        version = changes.pop("version", self.manifest.version + 1)
        expires = changes.pop("expires", self.now + LIFETIME)
        governance = changes.pop("governance", None)
        content = changes.pop("content", None) or self.content(**changes)
        if governance is None:
            active = [one.id for one in content.members if one.status is Status.ACTIVE]
            governance = {id: self.cities[id].public_governance for id in active if id in self.cities}
        data = draft(content, version=version, expires=expires, governance=governance)
        keys = [one.governance[0] for one in self.cities.values()] if signers is None else signers
        return sign_all(data, keys, previous=self.manifest)

    def upgraded(self, data: bytes) -> "TestNetwork":
        """Return the network under its next version."""
        return dataclasses.replace(self, manifest=accept_next(self.manifest, data))

    def with_status(self, member: str, status: Status) -> "TestNetwork":
        """Return the network after it suspended a member, or let it go."""
        return self.upgraded(self.next_version(statuses={member: status}))

    def certificates(self) -> dict[str, Certificate]:
        """Return every message certificate, by `x5t#S256`."""
        return {one.message.certificate.fingerprint: one.message.certificate for one in self.cities.values()}

    def trust_of(self, member: str, **changes: Any) -> Trust:
        """Return what a member decides by: this manifest, everybody's CRL and message certificate.

        Changes: manifest, crls, certificates, verdicts.
        """
        given: dict[str, Any] = {
            "manifest": self.manifest,
            "crls": tuple(one.crl for one in self.cities.values()),
            "certificates": self.certificates(),
            **changes,
        }
        return Trust(member=member, **given)

    def trust_under_crl(self, member: str, of: str, **changes: Any) -> Trust:
        """Return what `member` decides by when it holds another CRL of city `of`.

        Changes: now, and those of `make_crl`: revoked, number, lifetime...
        """
        ca = self.cities[of].ca
        crl = parse_crl(make_crl(ca, changes.pop("now", self.now), **changes), [ca.authority])
        return self.trust_of(member, crls=(*(one.crl for one in self.cities.values() if one.member != of), crl))

    def claims(self, sender: str, receiver: str, body: bytes, *, msg: str, **changes: Any) -> Claims:
        """Return the claims of a message, two minutes long; every claim can be changed by name."""
        without = msg in WITHOUT_PURPOSE
        given: dict[str, Any] = {
            "net": self.name,
            "ver": "1",
            "iss": sender,
            "aud": receiver,
            "iat": seconds(self.now),
            "exp": seconds(self.now) + 120,
            "jti": new_number(),
            "msg": msg,
            "man": self.manifest.label,
            "why": None if without else WHY,
            "who": None if without else WHO,
            "body": describe_body(body),
            **changes,
        }
        return Claims(**given)

    def seal(self, sender: str, receiver: str, body: Body | bytes, *, msg: str, **changes: Any) -> RawMessage:
        """Return a message as it arrives. Changes: any claim, and `key`, the MessageKey that signs."""
        key = changes.pop("key", None) or self.cities[sender].message_key
        data = body if isinstance(body, bytes) else format_body(body)
        claims = self.claims(sender, receiver, data, msg=msg, **changes)
        return RawMessage(statement=seal(claims, key), body=data, content_type=claims.body.type)

    def reply_claims(self, request: Message, body: bytes, *, msg: str, **changes: Any) -> ReplyClaims:
        """Return the claims of the answer to a request; every claim can be changed by name."""
        origin = f"tongban/{self.name}/{request.claims.aud}/1"
        given: dict[str, Any] = {
            "net": self.name,
            "ver": "1",
            "iss": request.claims.aud,
            "aud": request.claims.iss,
            "iat": seconds(self.now),
            "jti": new_number(),
            "msg": msg,
            "man": self.manifest.label,
            "re": Answered(jti=request.claims.jti, sha256=request.digest),
            "status": 200,
            "log": LogPlace(origin=origin, index=7, leaf=sha256(b"leaf")),
            "body": describe_body(body),
            **changes,
        }
        return ReplyClaims(**given)

    def answer(self, request: Message, body: Body | bytes, *, msg: str, **changes: Any) -> RawReply:
        """Return a reply as it arrives. Changes: any claim, and `key`, the MessageKey that signs."""
        key = changes.pop("key", None) or self.cities[request.claims.aud].message_key
        data = body if isinstance(body, bytes) else format_body(body)
        claims = self.reply_claims(request, data, msg=msg, **changes)
        statement = seal_reply(format_claims(claims), key)
        return RawReply(status=claims.status, statement=statement, body=data, content_type=claims.body.type)


def make_city(member: str, network: str, now: datetime, **changes: Any) -> City:
    """Return a city with fresh keys. Changes: any field of City, and `hosts`, the names in its TLS certificate."""
    ca = changes.get("ca") or make_city_ca(member, network, now)
    hosts = changes.pop("hosts", LOCAL_HOSTS)
    given: dict[str, Any] = {
        "endpoint": f"https://{member}.example.test:8443",
        "ca": ca,
        "tls": make_certificate(ca, Purpose.TLS, now, hosts=hosts),
        "message": make_certificate(ca, Purpose.MESSAGE, now),
        "governance": (Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()),
        "log": Ed25519PrivateKey.generate(),
        "witness": Ed25519PrivateKey.generate(),
        "crl_der": make_crl(ca, now - timedelta(minutes=1)),
        **changes,
    }
    return City(member=member, network=network, **given)


def content_of(cities: Iterable[City], **changes: Any) -> NetworkContent:
    """Return the `x-tongban` field of cities. Changes: any field, and `statuses`, by member id."""
    statuses = changes.pop("statuses", {})
    members = changes.pop("members", None) or [
        one.content(statuses.get(one.member, Status.ACTIVE)) for one in sorted(cities, key=lambda one: one.member)
    ]
    active = sum(one.status is Status.ACTIVE for one in members)
    witnesses = changes.pop("witnesses", [])
    quorum = changes.pop("quorum", witness_quorum(max(1, active - 1 + len(witnesses))))
    return NetworkContent(**{"members": members, "witnesses": witnesses, "quorum": quorum, **changes})


def sign_all(data: bytes, keys: Iterable[Ed25519PrivateKey], *, previous: Manifest | None = None) -> bytes:
    """Return a manifest with a signature of each key."""
    for key in keys:
        data = sign(data, key, previous=previous)
    return data


def make_network(members: Sequence[str], now: datetime, **changes: Any) -> TestNetwork:
    """Return a network founded by `members` just before `now`.

    Changes: network (its id), policy, witnesses, quorum, documents, expires, cities (made before, by member id),
    and `endpoints` and `hosts`, by member id.
    """
    network = changes.pop("network", NETWORK)
    endpoints, hosts = changes.pop("endpoints", {}), changes.pop("hosts", {})
    cities: dict[str, City] = changes.pop("cities", {})
    for member in members:
        part = {"endpoint": endpoints.get(member), "hosts": hosts.get(member)}
        given = {name: value for name, value in part.items() if value is not None}
        cities = {**cities, member: cities.get(member) or make_city(member, network, now, **given)}
    expires = changes.pop("expires", now + LIFETIME)
    changes.setdefault("policy", NetworkPolicy(loopback_endpoints=True))
    content = content_of(cities.values(), network=network, **changes)
    governance = {one.member: one.public_governance for one in cities.values()}
    data = draft(content, version=1, expires=expires, governance=governance)
    genesis = sign_all(data, [one.governance[0] for one in cities.values()])
    digest = digest_of(genesis)
    return TestNetwork(
        name=network,
        now=now,
        cities=cities,
        genesis=genesis,
        digest=digest,
        manifest=accept_genesis(genesis, digest=digest),
    )
