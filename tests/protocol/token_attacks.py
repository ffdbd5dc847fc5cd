"""Attacks on tokens, after the playbooks against JWT libraries (RFC 8725; figure 17; threat T01).

A row is a name and a function from a *valid* statement to what the attacker sends instead. Everything is
signed where the attacker could sign: with the sender's own key, with the attacker's, or with a public key
as if it were a secret. `attacks(victim, typ)` gives the table for one token type.
"""

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.networks import City
from tests.protocol.forging import GONE, b64, forge, header_of, unb64, with_changes

Attack = Callable[[bytes], bytes]


def attacks(victim: City, typ: str) -> dict[str, Attack]:
    """Return every attack on a statement of this city and type, by name."""
    return {
        **_no_signature(victim, typ),
        **_other_algorithms(victim, typ),
        **_injected_headers(victim, typ),
        **_changed_headers(victim, typ),
        **_changed_signatures(),
        **_changed_text(victim, typ),
        **_changed_payload(victim, typ),
        **_changed_claims(victim, typ),
    }


def _payload(token: bytes) -> bytes:
    return unb64(token.split(b".")[1])


def _unsigned(victim: City, typ: str, token: bytes, **header: Any) -> bytes:
    """The signing input under a changed header."""
    head = json.dumps(header_of(victim, typ, **header)).encode()
    return b64(head) + b"." + token.split(b".")[1]


def _no_signature(victim: City, typ: str) -> dict[str, Attack]:
    def without(algorithm: Any, signature: bytes = b"") -> Attack:
        return lambda token: _unsigned(victim, typ, token, alg=algorithm) + b"." + signature

    names: list[Any] = ["none", "None", "NONE", "nOnE", "", None, False, 0, ["ES256"], GONE]
    made = {f"alg {name if name is not GONE else 'absent'!r}": without(name) for name in names}
    return {
        **made,
        "alg none with a signature": without("none", b64(b"\x00" * 64)),
        "alg none in two parts": lambda token: _unsigned(victim, typ, token, alg="none"),
        "null signature": lambda token: token.rpartition(b".")[0] + b".",
        "two parts": lambda token: token.rpartition(b".")[0],
    }


def _other_algorithms(victim: City, typ: str) -> dict[str, Attack]:
    public = victim.message.key.public_key()
    blank = {"a blank key": b"", "a zero key": b"\x00" * 32, "the password secret": b"secret"}
    public_forms = {
        "the public key in PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "the public key in DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "the public point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "the certificate in PEM": victim.message.pem.encode(),
        "the certificate in DER": victim.message.der,
    }

    def hs256(secret: bytes, name: str = "HS256") -> Attack:
        def attack(token: bytes) -> bytes:
            signing_input = _unsigned(victim, typ, token, alg=name)
            return signing_input + b"." + b64(hmac.new(secret, signing_input, sha256).digest())

        return attack

    def signed(name: str, sign: Callable[[bytes], bytes]) -> Attack:
        def attack(token: bytes) -> bytes:
            signing_input = _unsigned(victim, typ, token, alg=name)
            return signing_input + b"." + b64(sign(signing_input))

        return attack

    rsa_key = rsa.generate_private_key(65537, 2048)
    edwards = ed25519.Ed25519PrivateKey.generate()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    made = {f"HS256 under {what}": hs256(secret) for what, secret in {**blank, **public_forms}.items()}
    for name in ("ES384", "ES512", "ES256K", "es256", "ES256 ", "ECDSA"):
        made[f"alg {name!r} over a good ES256 signature"] = _resigned_as(victim, typ, name)
    return {
        **made,
        "HMAC under the name ES256": hs256(public_forms["the public key in PEM"], "ES256"),
        "RS256": signed("RS256", lambda data: rsa_key.sign(data, padding.PKCS1v15(), hashes.SHA256())),
        "PS256": signed("PS256", lambda data: rsa_key.sign(data, pss, hashes.SHA256())),
        "EdDSA": signed("EdDSA", edwards.sign),
        "Ed25519": signed("Ed25519", edwards.sign),
        "Ed25519 under the name ES256": signed("ES256", edwards.sign),
    }


def _resigned_as(victim: City, typ: str, name: str) -> Attack:
    return lambda token: forge(victim, _payload(token), header=header_of(victim, typ, alg=name))


def _injected_headers(victim: City, typ: str) -> dict[str, Attack]:
    """Signed by the attacker's key, which the header offers; and by the victim's, as no member may be added."""
    attacker = ec.generate_private_key(ec.SECP256R1())
    numbers = attacker.public_key().public_numbers()
    x, y = (b64(one.to_bytes(32, "big")).decode() for one in (numbers.x, numbers.y))
    members: dict[str, Any] = {
        "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
        "jku": "https://attacker.example.test/keys",
        "x5u": "https://attacker.example.test/chain",
        "x5c": [victim.message.pem],
        "x5t": "AAAA",
        "kid": "../../../../dev/null",
        "kid of a database": "' UNION SELECT 'key' --",
        "crit": ["exp"],
        "b64": False,
        "cty": "JWT",
        "zip": "DEF",
        "typo": "x",
    }

    def with_member(name: str, value: Any, key: Any) -> Attack:
        header = {**header_of(victim, typ), name.split(" ")[0]: value}
        return lambda token: forge(victim, _payload(token), header=header, key=key)

    made = {f"{name} in the header": with_member(name, value, None) for name, value in members.items()}
    offered = {
        f"{name} offers a key": with_member(name, members[name], attacker) for name in ("jwk", "jku", "x5u", "x5c")
    }
    return {**made, **offered, "the attacker's key": _resigned(victim, header_of(victim, typ), attacker)}


def _changed_headers(victim: City, typ: str) -> dict[str, Attack]:
    """Signed by the victim's own key under a header that says something else."""
    changed: dict[str, dict[str, Any]] = {
        "typ JWT": {"typ": "JWT"},
        "typ absent": {"typ": GONE},
        "typ in capitals": {"typ": typ.upper()},
        "typ with prefix": {"typ": f"application/{typ}"},
        "typ as list": {"typ": [typ]},
        "no certificate named": {"x5t#S256": GONE},
        "empty certificate name": {"x5t#S256": ""},
        "certificate name with a lone surrogate": {"x5t#S256": "\ud800" + "A" * 42},
        "certificate name as number": {"x5t#S256": 1},
    }
    header = header_of(victim, typ)
    return {name: _resigned(victim, with_changes(header, changes)) for name, changes in changed.items()}


def _resigned(victim: City, header: Any, key: Any = None) -> Attack:
    return lambda token: forge(victim, _payload(token), header=header, key=key)


def _changed_signatures() -> dict[str, Attack]:
    def der(raw: bytes) -> bytes:
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    changes: dict[str, Callable[[bytes], bytes]] = {
        "all zeros": lambda raw: b"\x00" * 64,
        "all ones": lambda raw: b"\xff" * 64,
        "short": lambda raw: raw[:-1],
        "long": lambda raw: raw + b"\x00",
        "zero before each half": lambda raw: b"\x00" + raw[:32] + b"\x00" + raw[32:],
        "halves exchanged": lambda raw: raw[32:] + raw[:32],
        "in DER": der,
        "s negative in DER": lambda raw: der(raw[:32] + b"\x00" * 31 + b"\x01"),
        "one bit": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        "twice": lambda raw: raw + raw,
    }

    def on_signature(change: Callable[[bytes], bytes]) -> Attack:
        def attack(token: bytes) -> bytes:
            signing_input, _, signature = token.rpartition(b".")
            return signing_input + b"." + b64(change(unb64(signature)))

        return attack

    return {f"signature: {name}": on_signature(change) for name, change in changes.items()}


def _stray_bits(token: bytes) -> bytes:
    """Another last letter for the same 64 bytes: the last of 86 letters carries four unused bits."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes([alphabet[alphabet.index(token[-1]) + 1]])


def _as_json(token: bytes, flat: bool) -> bytes:
    header, payload, signature = (part.decode() for part in token.split(b"."))
    if flat:
        return json.dumps({"protected": header, "payload": payload, "signature": signature}).encode()
    signatures = [{"protected": header, "signature": signature}]
    return json.dumps({"payload": payload, "signatures": signatures}).encode()


def _changed_text(victim: City, typ: str) -> dict[str, Attack]:
    def header_bytes(change: Callable[[bytes], bytes]) -> Attack:
        changed = change(json.dumps(header_of(victim, typ)).encode())
        return lambda token: forge(victim, _payload(token), header=changed)

    return {
        "padding on the signature": lambda token: token + b"==",
        "padding on the payload": lambda token: token.replace(b".", b"=.", 2),
        "stray bits after the signature": _stray_bits,
        "space before": lambda token: b" " + token,
        "space after": lambda token: token + b" ",
        "newline after": lambda token: token + b"\n",
        "newline inside": lambda token: token[:40] + b"\n" + token[40:],
        "nul after": lambda token: token + b"\x00",
        "byte-order mark before": lambda token: b"\xef\xbb\xbf" + token,
        "bearer before": lambda token: b"Bearer " + token,
        "four parts": lambda token: token + b"." + token.rpartition(b".")[2],
        "five parts, as encrypted": lambda token: token + b".AAAA.AAAA",
        "empty": lambda token: b"",
        "dots alone": lambda token: b"..",
        "twice": lambda token: token + token,
        "standard base64": lambda token: token.replace(b"-", b"+").replace(b"_", b"/") + b"+",
        "flattened JSON": lambda token: _as_json(token, flat=True),
        "general JSON": lambda token: _as_json(token, flat=False),
        "detached payload": lambda token: token.split(b".")[0] + b".." + token.split(b".")[2],
        "header with a byte-order mark": header_bytes(lambda header: b"\xef\xbb\xbf" + header),
        "header in UTF-16": header_bytes(lambda header: header.decode().encode("utf-16")),
        "header with a key twice": header_bytes(lambda header: header[:-1] + b',"alg":"none"}'),
        "header with a key twice, equal": header_bytes(lambda header: header[:-1] + b',"alg":"ES256"}'),
        "header with a key twice, escaped": header_bytes(lambda header: header[:-1] + b',"\\u0061lg":"none"}'),
        "header as list": header_bytes(lambda header: b"[" + header + b"]"),
        "header empty": header_bytes(lambda header: b"{}"),
    }


def _changed_payload(victim: City, typ: str) -> dict[str, Attack]:
    """Signed by the victim's own key: not even its owner may write it like this."""
    header, deep = header_of(victim, typ), b"[" * 1500 + b"]" * 1500

    def payload(change: Callable[[bytes], bytes]) -> Attack:
        return lambda token: forge(victim, change(_payload(token)), header=header)

    return {
        "claims with a key twice": payload(lambda text: text[:-1] + b',"aud":"442000"}'),
        "claims with a key twice, escaped": payload(lambda text: text[:-1] + b',"\\u0069at":1}'),
        "claims with an inner key twice": payload(lambda text: text.replace(b'"size":', b'"size":1,"size":')),
        "claims with a byte-order mark": payload(lambda text: b"\xef\xbb\xbf" + text),
        "claims in UTF-16": payload(lambda text: text.decode().encode("utf-16")),
        "claims not UTF-8": payload(lambda text: text[:-1] + b',"x":"\xff"}'),
        "claims with more behind": payload(lambda text: text + b"{}"),
        "claims as list": payload(lambda text: b"[" + text + b"]"),
        "claims empty": payload(lambda text: b""),
        "claims nested 1,500 deep": payload(lambda text: text[:-1] + b',"x":' + deep + b"}"),
        "claims within a token": lambda token: forge(victim, token, header=header),
    }


def _changed_claims(victim: City, typ: str) -> dict[str, Attack]:
    """Signed by the victim's own key: not even its owner may say this."""
    header = header_of(victim, typ)

    def claims(**changes: Any) -> Attack:
        return lambda token: forge(victim, with_changes(json.loads(_payload(token)), changes), header=header)

    return {
        "iat NaN": claims(iat=float("nan")),
        "iat infinite": claims(iat=float("inf")),
        "iat as float": claims(iat=1795489200.0),
        "iat as text": claims(iat="1795489200"),
        "iat true": claims(iat=True),
        "iat null": claims(iat=None),
        "iat absent": claims(iat=GONE),
        "iat negative": claims(iat=-1),
        "iat beyond the calendar": claims(iat=2**62),
        "exp as text": claims(exp="1795489320"),
        "exp as float": claims(exp=1795489320.5),
        "exp null": claims(exp=None),
        "exp far away": claims(exp=2**39),
        "nbf added": claims(nbf=0),
        "sub added": claims(sub="admin"),
        "aud as list": claims(aud=["442000", "450400"]),
        "aud as number": claims(aud=442000),
        "aud in full-width digits": claims(aud="４４２０００"),
        "aud with a newline": claims(aud="442000\n"),
        "iss as list": claims(iss=["442000", "450400"]),
        "iss absent": claims(iss=GONE),
        "jti absent": claims(jti=GONE),
        "jti of version 4": claims(jti="01a20bc0-ea80-45c6-a16a-6988a1929929"),
        "jti in capitals": claims(jti="01A20BC0-EA80-75C6-A16A-6988A1929929"),
        "net with a lone surrogate": claims(net="\ud800"),
        "ver as number": claims(ver=1),
        "man of no version": claims(man="0:" + "A" * 43),
        "body as text": claims(body="e30"),
        "why as text": claims(why="because"),
    }
