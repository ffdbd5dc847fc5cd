"""Make messages.json: a network, its messages and replies, made with joserfc, hashlib and X.509; nothing of ours.

    python tests/vectors/make_message_vectors.py > tests/vectors/messages.json

An implementation loads `manifest` under `digest`, the CRLs and the message certificates (base64 DER), and
takes `now` for its clock. Each case then says who receives what over whose connection, and whether it is
`accepted` or refused, and under which slug. The private keys are thrown away: run it again for more cases.
Old vectors are never edited.
"""

import base64
import hashlib
import json
import struct
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
NETWORK, ASKING, ASKED = "vectors", "450400", "442000"
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
BODY = '{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","record":"balance","subject":{"id_type":"01","name":"邓某"}}'
JTI = "019b0000-0000-7000-8000-{:012x}"


def b64(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(data: bytes) -> str:
    """Return SHA-256 in base64url."""
    return b64(hashlib.sha256(data).digest())


def usage(**bits: bool) -> x509.KeyUsage:
    """Return a key usage with these bits."""
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: bits.get(name, False) for name in (*names, *rest)})


def name(text: str) -> x509.Name:
    """Return a distinguished name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class City:
    """A member with fresh keys: CA, message certificate, CRL, governance, log and witness key."""

    def __init__(self, member: str) -> None:
        """Make everything, valid for a year around NOW."""
        self.member = member
        self.ca_key, self.message_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.governance, self.log, self.witness = (ed25519.Ed25519PrivateKey.generate() for _ in range(3))
        identity = x509.SubjectKeyIdentifier.from_public_key(self.ca_key.public_key())
        self.ca = (
            self._builder(f"{member} CA", self.ca_key, 3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(identity, critical=False)
            .sign(self.ca_key, hashes.SHA256())
        )
        self.certificate = self.certify(self.message_key, "message")
        self.crl = self.revoke([])

    def _builder(self, subject: str, key: Any, days: int) -> x509.CertificateBuilder:
        start = NOW - timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(f"{self.member} CA"))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))

    def certify(self, key: Any, purpose: str) -> x509.Certificate:
        """Return a certificate with documentSigning, whatever its purpose says."""
        urn = x509.UniformResourceIdentifier(f"urn:tongban:{NETWORK}:{self.member}:{purpose}")
        return (
            self._builder(f"{self.member} {purpose}", key, 365)
            .add_extension(x509.SubjectAlternativeName([urn]), critical=False)
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key()), critical=False)
            .sign(self.ca_key, hashes.SHA256())
        )

    def revoke(self, serials: list[int]) -> bytes:
        """Return a CRL in DER."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(name(f"{self.member} CA"))
        builder = builder.last_update(NOW - timedelta(hours=1)).next_update(NOW + timedelta(days=7))
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(hours=2))
            builder = builder.add_revoked_certificate(entry.build())
        identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key())
        builder = builder.add_extension(x509.CRLNumber(1), critical=False).add_extension(identity, critical=False)
        return builder.sign(self.ca_key, hashes.SHA256()).public_bytes(Encoding.DER)

    def content(self) -> dict[str, Any]:
        """Return the city's entry in `x-tongban`."""
        key_name = f"tongban/{NETWORK}/{self.member}/1"
        return {
            "id": self.member,
            "names": {"zh": self.member},
            "status": "active",
            "endpoints": [f"https://{self.member}.example.test:8443"],
            "ca": [self.ca.public_bytes(Encoding.PEM).decode()],
            "log_key": vkey(key_name, 1, self.log),
            "witness_key": vkey(key_name, 4, self.witness),
            "contact": "",
        }


def vkey(key_name: str, kind: int, key: ed25519.Ed25519PrivateKey) -> str:
    """Return a verifier key (C2SP signed-note)."""
    material = struct.pack("B", kind) + key.public_key().public_bytes_raw()
    id = hashlib.sha256(key_name.encode() + b"\n" + material).hexdigest()[:8]
    return f"{key_name}+{id}+{base64.b64encode(material).decode()}"


def canonical(value: dict[str, Any]) -> bytes:
    """Return OLPC canonical JSON, which TUF signs: sorted, without spaces, only `\"` and `\\` escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("\\n", "\n").encode()


def manifest(cities: list[City]) -> tuple[str, str]:
    """Return the genesis and its digest."""
    keys = {}
    for city in cities:
        public = city.governance.public_key().public_bytes_raw().hex()
        listed = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
        keys[hashlib.sha256(canonical(listed)).hexdigest()] = {**listed, "x-tongban-member": city.member}
    empty = {"keyids": [], "threshold": 1}
    content = {
        "network": NETWORK,
        "memorandum": "",
        "versions": ["1"],
        "members": [city.content() for city in cities],
        "witnesses": [],
        "quorum": 1,
        "policy": {"clock_skew_seconds": 300, "crl_grace_days": 7, "message_mib": 4, "loopback_endpoints": False},
        "documents": {},
    }
    signed = {
        "_type": "root",
        "spec_version": "1.0.31",
        "consistent_snapshot": True,
        "version": 1,
        "expires": "2027-05-23T03:00:00Z",
        "keys": keys,
        "roles": {
            "root": {"keyids": list(keys), "threshold": 2},
            **{role: empty for role in ("snapshot", "targets", "timestamp")},
        },
        "x-tongban": content,
    }
    pairs = zip(keys, cities, strict=True)
    signatures = [{"keyid": id, "sig": city.governance.sign(canonical(signed)).hex()} for id, city in pairs]
    return json.dumps({"signatures": signatures, "signed": signed}), digest(canonical(signed))


class Maker:
    """Makes the cases of one network."""

    def __init__(self) -> None:
        """Found the network; the peer also has a revoked certificate, and one for another purpose."""
        self.asking, self.asked = City(ASKING), City(ASKED)
        self.manifest, self.digest = manifest([self.asking, self.asked])
        self.revoked = self.asking.certify(self.asking.message_key, "message")
        self.recognition = self.asking.certify(self.asking.message_key, "recognition")
        self.unknown = self.asking.certify(self.asking.message_key, "message")
        self.asking.crl = self.asking.revoke([self.revoked.serial_number])
        self.known = [self.asking.certificate, self.asked.certificate, self.revoked, self.recognition]

    def sign(self, header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
        """Return a compact JWS by joserfc."""
        payload = json.dumps(claims, ensure_ascii=False).encode()
        registry = jws.JWSRegistry(strict_check_header=False)
        return jws.serialize_compact(header, payload, ECKey.import_key(key), algorithms=["ES256"], registry=registry)

    def claims(self, number: int, body: str) -> dict[str, Any]:
        """Return the claims of a query."""
        return {
            "net": NETWORK,
            "ver": "1",
            "iss": ASKING,
            "aud": ASKED,
            "iat": AT,
            "exp": AT + 120,
            "jti": JTI.format(number),
            "msg": "record.query",
            "man": f"1:{self.digest}",
            "why": {"item": "PEN-LUMPSUM", "basis": "STATUTORY", "case": "KS450400202611240000012"},
            "who": {"office": "窗口 2", "officer": "o-7f3c", "role": "clerk"},
            "body": {"sha256": digest(body.encode()), "size": len(body.encode()), "type": "application/json"},
        }

    def message(self, title: str, expected: str, **changes: Any) -> dict[str, Any]:
        """Return a case; changes: header, claims, certificate, key, body, content_type, peer."""
        number = int.from_bytes(hashlib.sha256(title.encode()).digest()[:5], "big")
        certificate = changes.get("certificate", self.asking.certificate)
        name = digest(certificate.public_bytes(Encoding.DER))
        header = {"alg": "ES256", "typ": "tongban+jwt", "x5t#S256": name, **changes.get("header", {})}
        claims = {**self.claims(number, BODY), **changes.get("claims", {})}
        claims = {claim: value for claim, value in claims.items() if value is not None}
        return {
            "name": title,
            "peer": changes.get("peer", ASKING),
            "statement": self.sign(header, claims, changes.get("key", self.asking.message_key)),
            "body": changes.get("body", BODY),
            "content_type": changes.get("content_type", "application/json"),
            "expected": expected,
        }

    def messages(self) -> list[dict[str, Any]]:
        """Return the cases of `unseal`, in the order of its steps."""
        make = self.message
        stranger = ec.generate_private_key(ec.SECP256R1())
        ping = {"msg": "ping", "why": None, "who": None}
        return [
            make("a query", "accepted"),
            make("a ping", "accepted", claims=ping),
            make("a delivery of thirty days", "accepted", claims={"msg": "case.open", "exp": AT + 30 * 86400}),
            make("one header member more", "malformed", header={"kid": "1"}),
            make("a reply as message", "malformed", header={"typ": "tongban-reply+jwt"}),
            make("another version", "unsupported-version", claims={"ver": "2"}),
            make("no purpose", "malformed", claims={"why": None}),
            make("a purpose in a ping", "malformed", claims={"msg": "ping"}),
            make("a query of six minutes", "malformed", claims={"exp": AT + 360}),
            make("one claim more", "malformed", claims={"sub": "admin"}),
            make("times as text", "malformed", claims={"iat": str(AT)}),
            make("another network", "wrong-network", claims={"net": "othernet"}),
            make("another receiver", "wrong-audience", claims={"aud": "440900"}),
            make("a sender that is no member", "not-a-member", claims={"iss": "440900"}, peer="440900"),
            make("another connection", "signer-mismatch", peer="440900"),
            make("a newer manifest", "manifest-behind", claims={"man": f"2:{self.digest}"}),
            make("another manifest of our version", "wrong-network", claims={"man": f"1:{digest(b'')}"}),
            make("an unknown certificate", "unknown-certificate", certificate=self.unknown),
            make("the receiver's certificate", "unknown-certificate", certificate=self.asked.certificate),
            make("a certificate for recognition", "unknown-certificate", certificate=self.recognition),
            make("a revoked certificate", "certificate-revoked", certificate=self.revoked),
            make("another key", "bad-signature", key=stranger),
            make("ahead of the clock", "stale", claims={"iat": AT + 301, "exp": AT + 400}),
            make("ahead within the skew", "accepted", claims={"iat": AT + 300, "exp": AT + 400}),
            make("over", "stale", claims={"iat": AT - 120, "exp": AT}),
            make("another body", "digest-mismatch", body=BODY + " "),
            make("another content type", "digest-mismatch", content_type="text/plain"),
        ]

    def reply(self, request: str, title: str, expected: str, **changes: Any) -> dict[str, Any]:
        """Return a case of an answer; changes: header, claims, key, body, status, server."""
        body = '{"salt":"m3Jv0C2a5v8Y0mO1nE0b9A","found":false,"withheld":[],"as_of":"2026-11-24T11:00:00+08:00"}'
        asked = json.loads(base64.urlsafe_b64decode(request.split(".")[1] + "=="))
        name = digest(self.asked.certificate.public_bytes(Encoding.DER))
        header = {"alg": "ES256", "typ": "tongban-reply+jwt", "x5t#S256": name, **changes.get("header", {})}
        leaf = {"origin": f"tongban/{NETWORK}/{ASKED}/1", "index": 41, "leaf": digest(b"entry")}
        claims = {
            **{"net": NETWORK, "ver": "1", "iss": ASKED, "aud": ASKING, "iat": AT + 1, "jti": JTI.format(1)},
            **{"msg": "record.answer", "man": f"1:{self.digest}", "status": 200, "log": leaf},
            "re": {"jti": asked["jti"], "sha256": digest(request.encode())},
            "body": {"sha256": digest(body.encode()), "size": len(body.encode()), "type": "application/json"},
            **changes.get("claims", {}),
        }
        claims = {claim: value for claim, value in claims.items() if value is not None}
        return {
            "name": title,
            "server": changes.get("server", ASKED),
            "status": changes.get("status", 200),
            "statement": self.sign(header, claims, changes.get("key", self.asked.message_key)),
            "body": changes.get("body", body),
            "content_type": "application/json",
            "expected": expected,
        }

    def replies(self, request: str) -> list[dict[str, Any]]:
        """Return the cases of `unseal_reply`."""
        foreign = {"origin": f"tongban/{NETWORK}/{ASKING}/1", "index": 41, "leaf": digest(b"entry")}
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("an answer", "accepted", {}),
            ("a refusal without log place", "accepted", {"claims": {"msg": "refusal", "log": None}}),
            ("a message as reply", "malformed", {"header": {"typ": "tongban+jwt"}}),
            ("another version", "unsupported-version", {"claims": {"ver": "2"}}),
            ("an end", "malformed", {"claims": {"exp": AT + 120}}),
            ("another network", "wrong-network", {"claims": {"net": "othernet"}}),
            ("another key", "bad-signature", {"key": self.asking.message_key}),
            ("another server", "signer-mismatch", {"server": ASKING}),
            ("to another city", "wrong-audience", {"claims": {"aud": "440900"}}),
            ("to another request", "digest-mismatch", {"claims": {"re": {"sha256": digest(b"")}}}),
            ("another status", "digest-mismatch", {"status": 201}),
            ("another body", "digest-mismatch", {"body": "{}"}),
            ("an outcome without log place", "malformed", {"claims": {"log": None}}),
            ("a place in another log", "bad-signature", {"claims": {"log": foreign}}),
        ]
        return [self.reply(request, title, expected, **changes) for title, expected, changes in cases]

    def vectors(self) -> dict[str, Any]:
        """Return everything."""
        messages = self.messages()
        cities = (self.asking, self.asked)
        return {
            "now": AT,
            "network": NETWORK,
            "manifest": self.manifest,
            "digest": self.digest,
            "crls": {city.member: base64.b64encode(city.crl).decode() for city in cities},
            "certificates": [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in self.known],
            "receiver": ASKED,
            "messages": messages,
            "asking": ASKING,
            "request": messages[0]["name"],
            "replies": self.replies(messages[0]["statement"]),
        }


if __name__ == "__main__":
    json.dump(Maker().vectors(), sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")
