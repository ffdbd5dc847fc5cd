"""The log and the messages of a running node, read over mutual TLS and judged by software we did not write (E7).

Go's sumdb checks note, tiles, inclusion and consistency; joserfc, `openssl` and `sha256sum` check statement,
reply and body. What they are given is what a peer can fetch, and the manifest.
"""

import hashlib
import json
import shutil
import subprocess
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from protocol.checkpoints import format_vkey, parse_proof
from protocol.envelope import RawMessage
from protocol.log import Tile, prove_consistency, subtree_from_tiles, tile_path, tiles_of
from protocol.messages import Ping
from tests.oracles.go_checker import Claims, ask, build_checker, what_is_missing
from tests.processes.cities import RunningNetwork, eventually, query, running_network, some_person
from tests.processes.wire import HttpAnswer, message_bytes

RECEIVER, SENDER = "442000", "450400"
EARLY, LATE = 130, 180
"""Messages before and after the first checkpoint that is kept: together more than one full tile of 256."""
SECONDS = 30


@dataclass(frozen=True)
class Fetched:
    """What a peer has: one exchange, two checkpoints, tiles, the entry and its proof, the certificates."""

    raw: RawMessage
    answer: HttpAnswer
    claims: dict[str, Any]
    early: str
    late: str
    tiles: dict[str, bytes]
    entry: bytes
    proof: str
    pems: dict[str, str]
    ca: str
    vkey: str

    @property
    def index(self) -> int:
        return int(self.claims["log"]["index"])


def get(network: RunningNetwork, path: str) -> bytes:
    answer = network.get(SENDER, RECEIVER, path)
    assert answer.status == 200, (path, answer.body)
    return answer.body


def talk(network: RunningNetwork, times: int) -> None:
    """Send so many pings on one connection."""
    key, man = network.message_key(SENDER), network.trust(SENDER).manifest.label
    with network.connected(SENDER, RECEIVER) as wire:
        for _ in range(times):
            raw = network.seal(SENDER, RECEIVER, Ping(), msg="ping", key=key, man=man)
            wire.send(message_bytes(raw.statement, raw.body))
            assert wire.answer().status == 200


def checkpoint_of(network: RunningNetwork, least: int) -> str:
    """Return the newest checkpoint once it covers so many entries."""
    found: list[str] = []

    def covers() -> bool:
        answer = network.get(SENDER, RECEIVER, "/v1/log/checkpoint")
        found.append(answer.body.decode())
        return answer.status == 200 and size_of(found[-1]) >= least

    eventually(covers, what=f"a checkpoint over {least} entries")
    return found[-1]


def size_of(note: str) -> int:
    return int(note.split("\n")[1])


def root_of(note: str) -> bytes:
    return b64decode(note.split("\n")[2])


def claims_of(statement: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a statement, read with the standard library only."""
    header, claims = (json.loads(decoded(part)) for part in statement.decode().split(".")[:2])
    return header, claims


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    loud = {"TONGBAN_LIMITS__PEER_RPS": "10000"}
    with running_network(tmp_path_factory.mktemp("live"), (RECEIVER, SENDER), environment=loud) as network:
        talk(network, EARLY)
        early = checkpoint_of(network, EARLY)
        raw = network.seal(SENDER, RECEIVER, query(some_person(RECEIVER, (RECEIVER, SENDER))), msg="record.query")
        answer = network.post(SENDER, RECEIVER, raw.statement, raw.body)
        talk(network, LATE)
        checkpoint_of(network, EARLY + LATE + 1)
        claims = claims_of(answer.raw_reply.statement)[1]
        index = claims["log"]["index"]
        proof = get(network, f"/v1/log/proof/{index}").decode()
        late = parse_proof(proof).checkpoint  # the proof is made for the newest, which may have grown since
        yield Fetched(
            raw=raw,
            answer=answer,
            claims=claims,
            early=early,
            late=late,
            tiles={path: get(network, f"/v1/log/{path}") for path in map(path_of, tiles_of(size_of(late)))},
            entry=get(network, f"/v1/log/entries/{index}"),
            proof=proof,
            pems={
                code: get_certificate(network, code, statement)
                for code, statement in ((SENDER, raw.statement), (RECEIVER, answer.raw_reply.statement))
            },
            ca="".join(network.ca_pem(code) for code in (SENDER, RECEIVER)),
            vkey=format_vkey(network.trust(SENDER).manifest.members[RECEIVER].log_key),
        )


def path_of(tile: Tile) -> str:
    return tile_path(tile.level, tile.number, tile.width)


def get_certificate(network: RunningNetwork, code: str, statement: bytes) -> str:
    """Return the certificate that a statement names, from the receiving city, which relied on it."""
    return get(network, f"/v1/certificates/{claims_of(statement)[0]['x5t#S256']}").decode()


def test_go_accepts_tiles_proofs_and_growth_of_a_running_node(
    fetched: Fetched, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checker = build_checker(tmp_path_factory.mktemp("go"))
    if checker is None:
        pytest.skip(f"{what_is_missing()}; so NOT CHECKED: that Go reads a live log (assurance E7)")
    size = size_of(fetched.late)
    read = subtree_from_tiles(lambda *place: fetched.tiles[tile_path(*place)], size)
    entries = [b""] * size  # a peer sees the entries that concern it, and of all others the hashes only
    entries[fetched.index] = fetched.entry
    claims = Claims(
        vkey=fetched.vkey,
        checkpoint=fetched.late,
        entries=entries,
        index=fetched.index,
        inclusion=parse_proof(fetched.proof).hashes,
        old_size=size_of(fetched.early),
        old_root=root_of(fetched.early),
        consistency=prove_consistency(size_of(fetched.early), size, read),
        tiles=fetched.tiles,
    )
    assert set(ask(checker, claims).values()) == {True}
    assert "tile/0/000" in fetched.tiles
    assert any(".p/" in path for path in fetched.tiles)
    entries[fetched.index] = fetched.entry.replace(b'"in"', b'"out"')
    assert ask(checker, claims)["inclusion"] is False


def test_the_reply_promises_the_leaf_that_the_entry_has(fetched: Fetched) -> None:
    leaf = hashlib.sha256(b"\x00" + fetched.entry).digest()
    assert fetched.claims["log"]["leaf"] == encoded(leaf)
    assert leaf == fetched.tiles["tile/0/000"][32 * fetched.index :][:32]
    entry = json.loads(fetched.entry)
    assert entry["request"] == encoded(sha256sum(fetched.raw.statement))
    assert entry["reply"] == encoded(sha256sum(fetched.answer.body))
    assert fetched.claims["re"]["sha256"] == entry["request"]


def sha256sum(data: bytes) -> bytes:
    """Return the digest as the program `sha256sum` computes it."""
    done = subprocess.run(["sha256sum"], input=data, capture_output=True, timeout=SECONDS, check=True)
    return bytes.fromhex(done.stdout.split()[0].decode())


@pytest.mark.parametrize("who", [SENDER, RECEIVER])
def test_joserfc_verifies_statement_and_reply(fetched: Fetched, who: str) -> None:
    statement = fetched.raw.statement if who == SENDER else fetched.answer.raw_reply.statement
    key = ECKey.import_key(public_key(fetched.pems[who]))
    found = jws.deserialize_compact(statement, key, algorithms=["ES256"])
    claims = json.loads(found.payload)
    body = fetched.raw.body if who == SENDER else fetched.answer.body
    assert claims["body"] == {"sha256": encoded(sha256sum(body)), "size": len(body), "type": "application/json"}
    assert claims["iss"] == who
    with pytest.raises(Exception, match="bad_signature"):
        jws.deserialize_compact(spoiled(statement), key, algorithms=["ES256"])


def spoiled(statement: bytes) -> bytes:
    """Return the statement with another payload under the same signature."""
    header, payload, signature = statement.decode().split(".")
    claims = json.loads(decoded(payload)) | {"iat": 1}
    return f"{header}.{encoded(json.dumps(claims).encode())}.{signature}".encode()


@pytest.mark.parametrize("who", [SENDER, RECEIVER])
def test_openssl_verifies_certificate_and_signature(fetched: Fetched, who: str, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl (Debian package openssl)")
    statement = fetched.raw.statement if who == SENDER else fetched.answer.raw_reply.statement
    signed, _, signature = statement.rpartition(b".")
    files = {
        "ca.pem": fetched.ca.encode(),
        "certificate.pem": fetched.pems[who].encode(),
        "public.pem": public_key(fetched.pems[who]).encode(),
        "signature.der": der_of(decoded(signature.decode())),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert "OK" in openssl(tmp_path, "verify", "-x509_strict", "-CAfile", "ca.pem", "certificate.pem")
    verify = ("dgst", "-sha256", "-verify", "public.pem", "-signature", "signature.der")
    assert "Verified OK" in openssl(tmp_path, *verify, data=signed)
    with pytest.raises(subprocess.CalledProcessError):
        openssl(tmp_path, *verify, data=signed + b"x")


def openssl(folder: Path, *arguments: str, data: bytes = b"") -> str:
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, input=data, capture_output=True, timeout=SECONDS, check=True
    )
    return done.stdout.decode()


def public_key(pem: str) -> str:
    """Return the public key of a certificate, as `openssl` reads it."""
    done = subprocess.run(
        ["openssl", "x509", "-pubkey", "-noout"], input=pem.encode(), capture_output=True, timeout=SECONDS, check=True
    )
    return done.stdout.decode()


def der_of(raw: bytes) -> bytes:
    """Return an ECDSA signature as DER: JWS has r and s of 32 bytes each, openssl a SEQUENCE of two INTEGERs."""
    parts = b"".join(integer(int.from_bytes(raw[at : at + 32], "big")) for at in (0, 32))
    return b"\x30" + bytes([len(parts)]) + parts


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(data)]) + data
