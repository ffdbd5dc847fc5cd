"""The manifest: the signed, versioned list of members that every node holds (protocol §3).

Format and rules are TUF *root* metadata (TUF specification §5.3), read, signed and verified with
python-tuf: versions rise by one, and version N+1 needs the threshold of N's keys and of its own. What
TUF does not do stands here: one member has one vote however many keys it holds, a public key occurs
once in the whole manifest, duplicate JSON keys are refused, the genesis is signed by all founders.

The digest of a manifest is SHA-256 over its TUF canonical *signed part*, so copies with other sets of
signatures are the same manifest; statements name it as ``man``: ``"1:pmWk…"``. A file begins::

    {"signatures":[{"keyid":"…","sig":"…"}],"signed":{"_type":"root","version":1,"x-tongban":{"network":"yizhangwang",…

Nothing here reads a clock: whether a manifest has expired is asked with `now` as an argument.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from protocol.certificates import Authority, parse_authority
from protocol.errors import Malformed, Refusal, TooLarge
from protocol.notes import NoteKey, SignatureType, parse_vkey
from protocol.suites import encode, parse_json

MANIFEST_MAX_BYTES: Final = 256 * 1024
LIFETIME: Final = timedelta(days=180)
WARNING: Final = timedelta(days=60)
EXTENSION: Final = "x-tongban"
OWNER: Final = "x-tongban-member"
Endpoint = Annotated[str, Field(pattern=r"^https://([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\])(:[1-9][0-9]{0,4})?$")]


class ManifestRefused(ValueError):
    """A manifest that may not come into force; the text names the rule that it breaks."""


class Status(StrEnum):
    """What a member may do: only an active one exchanges and votes."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


class _Signed(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class NetworkPolicy(_Signed):
    """What all members agreed for all nodes; a node's own settings may be stricter, never wider."""

    clock_skew_seconds: Annotated[int, Field(ge=30, le=900)] = 300
    crl_grace_days: Annotated[int, Field(ge=0, le=14)] = 7
    message_mib: Annotated[int, Field(ge=1, le=64)] = 4
    loopback_endpoints: bool = False
    """Demo and tests only: without it an endpoint on loopback or link-local is never called."""


class MemberContent(_Signed):
    """One member, as it stands in `x-tongban`."""

    id: Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$")]
    names: Annotated[dict[Literal["zh", "en"], Annotated[str, Field(min_length=1, max_length=80)]], Field(min_length=1)]
    status: Annotated[Status, Field(strict=False)] = Status.ACTIVE
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=4)]
    ca: Annotated[list[Annotated[str, Field(max_length=8192)]], Field(min_length=1, max_length=4)]
    log_key: Annotated[str, Field(max_length=200)]
    witness_key: Annotated[str, Field(max_length=200)]
    contact: Annotated[str, Field(max_length=200)] = ""


class OutsideWitness(_Signed):
    """A witness that is no member; it cosigns checkpoints and has no vote."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    key: Annotated[str, Field(max_length=200)]
    url: Annotated[str, Field(pattern=r"^https://[^\s?#]{1,200}$")]


class NetworkContent(_Signed):
    """The signed extension field `x-tongban`."""

    network: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
    memorandum: Annotated[str, Field(max_length=200)] = ""
    versions: Annotated[list[Literal["1"]], Field(min_length=1)] = ["1"]
    members: Annotated[list[MemberContent], Field(min_length=2, max_length=400)]
    witnesses: Annotated[list[OutsideWitness], Field(max_length=20)] = []
    quorum: Annotated[int, Field(ge=1)]
    policy: NetworkPolicy = NetworkPolicy()
    documents: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """A member with its keys parsed."""

    id: str
    names: Mapping[str, str]
    status: Status
    endpoints: tuple[str, ...]
    authorities: tuple[Authority, ...]
    log_key: NoteKey
    witness_key: NoteKey
    governance: tuple[bytes, ...]
    """raw Ed25519 public keys, main and backup; empty unless active"""
    contact: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that has been accepted; only `accept_genesis` and `accept_next` make one."""

    version: int
    digest: str
    """base64url SHA-256 of the canonical signed part"""
    expires: datetime
    network: str
    memorandum: str
    members: Mapping[str, Member]
    quorum: int
    policy: NetworkPolicy
    documents: Mapping[str, str]
    data: bytes = field(repr=False)
    _root: Root = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """Return `"<version>:<digest>"`, the claim `man`."""
        return f"{self.version}:{self.digest}"

    def active(self) -> tuple[Member, ...]:
        """Return the active members, by id."""
        return tuple(member for _, member in sorted(self.members.items()) if member.status is Status.ACTIVE)


def threshold(members: int) -> int:
    """Return how many of n members must sign a version: 2 for n ≤ 3, else ⌊2n/3⌋+1 (protocol §3)."""
    return 2 if members <= 3 else 2 * members // 3 + 1


def witness_quorum(peers: int) -> int:
    """Return k = ⌊(n+f)/2⌋+1 of n peers with f = ⌊(n-1)/3⌋ (protocol §7)."""
    assumed_dishonest = (peers - 1) // 3
    return (peers + assumed_dishonest) // 2 + 1


def draft(
    content: NetworkContent, *, version: int, expires: datetime, governance: Mapping[str, Iterable[Ed25519PublicKey]]
) -> bytes:
    """Return an unsigned version: TUF root metadata that holds `content`.

    Args:
        content: members, keys, policy and documents.
        version: 1 for a genesis, else the current version + 1.
        expires: aware UTC, whole seconds; `LIFETIME` from now by custom.
        governance: main and backup public keys of each active member.
    """
    root = Root(
        version=version, spec_version="1.0.31", expires=expires.replace(microsecond=0), consistent_snapshot=True
    )
    for member, keys in sorted(governance.items()):
        for key in keys:
            listed = SSlibKey.from_crypto(key)
            listed.unrecognized_fields[OWNER] = member
            root.add_key(listed, Root.type)
    active = sum(member.status is Status.ACTIVE for member in content.members)
    root.roles[Root.type].threshold = threshold(active)
    root.unrecognized_fields[EXTENSION] = content.model_dump(mode="json")
    return Metadata(root).to_bytes()


def sign(data: bytes, key: Ed25519PrivateKey, *, previous: Manifest | None = None) -> bytes:
    """Return `data` with the signature of a governance key of it, or of the version before, added.

    Raises:
        ManifestRefused: the data cannot be read, or neither version lists this key.
    """
    metadata = _read(data)
    own = SSlibKey.from_crypto(key.public_key())
    listed = metadata.signed.keys.get(own.keyid) or (previous._root.keys.get(own.keyid) if previous else None)
    if not isinstance(listed, SSlibKey) or listed.keyval != own.keyval:
        raise ManifestRefused("this key is not a governance key of the manifest, nor of the one before")
    metadata.sign(CryptoSigner(key, own), append=True)
    return metadata.to_bytes()


def digest_of(data: bytes) -> str:
    """Return the digest by which people and statements name this manifest (unverified)."""
    return encode(hashlib.sha256(_read(data).signed_bytes).digest())


def accept_genesis(data: bytes, *, digest: str) -> Manifest:
    """Return version 1, signed by all founders, with the digest that was handed over by hand.

    Raises:
        ManifestRefused: another digest, not version 1, a founder's signature missing, or a broken rule.
    """
    metadata = _read(data)
    manifest = _parsed(metadata, data)
    if manifest.version != 1:
        raise ManifestRefused(f"a genesis has version 1, this one has {manifest.version}")
    if manifest.digest != digest:
        raise ManifestRefused("the digest is not the one that was given: this is another network")
    _check_votes(metadata.signed, metadata, "own")
    unsigned = {member.id for member in manifest.active()} - _voters(metadata.signed, metadata)
    if unsigned:
        raise ManifestRefused(f"founders who have not signed: {', '.join(sorted(unsigned))}")
    return manifest


def accept_next(current: Manifest, data: bytes) -> Manifest:
    """Return version N+1, signed by the threshold of N's members and of its own.

    Raises:
        ManifestRefused: skipped or old version, other network, too few votes of either version, or a
            broken rule. The current manifest stays in force.
    """
    # 1 readable and well-formed  2 the next version of this network  3 votes of N  4 votes of N+1
    metadata = _read(data)  # 1
    manifest = _parsed(metadata, data)
    if manifest.version != current.version + 1:  # 2
        raise ManifestRefused(f"version {current.version + 1} is expected, this one is {manifest.version}")
    if manifest.network != current.network:
        raise ManifestRefused("this manifest belongs to another network")
    _check_votes(current._root, metadata, "previous")  # 3
    _check_votes(metadata.signed, metadata, "own")  # 4
    return manifest


def reread(data: bytes, *, digest: str) -> Manifest:
    """Return a manifest that this node accepted before and kept, checked against the digest it noted."""
    manifest = _parsed(_read(data), data)
    if manifest.digest != digest:
        raise ManifestRefused("the stored manifest differs from the digest noted when it was accepted")
    return manifest


def _read(data: bytes) -> Metadata[Root]:
    if len(data) > MANIFEST_MAX_BYTES:
        raise ManifestRefused(f"a manifest has at most {MANIFEST_MAX_BYTES} bytes")
    try:
        parse_json(data)
        metadata = Metadata.from_bytes(data)
    except (DeserializationError, Malformed, TooLarge, ValueError) as fault:
        raise ManifestRefused(f"not TUF root metadata: {_reason(fault)}") from None
    if not isinstance(metadata.signed, Root):
        raise ManifestRefused("not TUF root metadata: another role")
    return metadata


def _reason(fault: Exception) -> str:
    return fault.detail if isinstance(fault, Refusal) else type(fault).__name__


def _parsed(metadata: Metadata[Root], data: bytes) -> Manifest:
    root = metadata.signed
    if type(root.version) is not int:
        raise ManifestRefused("the version is a whole number")
    try:
        content = NetworkContent.model_validate(root.unrecognized_fields.get(EXTENSION))
    except ValidationError as fault:
        places = ["/".join(map(str, one["loc"])) for one in fault.errors(include_input=False, include_url=False)]
        raise ManifestRefused(f"{EXTENSION} breaks its form at {', '.join(places[:5])}") from None
    governance = _governance(root)
    members = {one.id: _member(one, governance.get(one.id, ())) for one in content.members}
    _check_rules(content, members, root, governance)
    return Manifest(
        version=root.version,
        digest=encode(hashlib.sha256(metadata.signed_bytes).digest()),
        expires=root.expires,
        network=content.network,
        memorandum=content.memorandum,
        members=members,
        quorum=content.quorum,
        policy=content.policy,
        documents=content.documents,
        data=data,
        _root=root,
    )


def _governance(root: Root) -> dict[str, tuple[bytes, ...]]:
    owned: dict[str, tuple[bytes, ...]] = {}
    others = [role for name, role in root.roles.items() if name != Root.type and role.keyids]
    if others or set(root.keys) != set(root.roles[Root.type].keyids):
        raise ManifestRefused("keys other than those of the root role are not allowed")
    for key in root.keys.values():
        owner = key.unrecognized_fields.get(OWNER)
        if not isinstance(owner, str) or key.keytype != "ed25519" or key.scheme != "ed25519":
            raise ManifestRefused(f"each governance key is Ed25519 and names its member in {OWNER}")
        try:
            raw = bytes.fromhex(key.keyval["public"])
            Ed25519PublicKey.from_public_bytes(raw)
        except (KeyError, TypeError, ValueError):
            raise ManifestRefused("a governance key is not an Ed25519 public key") from None
        owned[owner] = (*owned.get(owner, ()), raw)
    return owned


def _member(content: MemberContent, governance: tuple[bytes, ...]) -> Member:
    try:
        return Member(
            id=content.id,
            names={str(language): name for language, name in content.names.items()},
            status=content.status,
            endpoints=tuple(content.endpoints),
            authorities=tuple(parse_authority(pem, content.id) for pem in content.ca),
            log_key=_note_key(content.log_key, SignatureType.ED25519),
            witness_key=_note_key(content.witness_key, SignatureType.COSIGNATURE),
            governance=governance,
            contact=content.contact,
        )
    except (Refusal, ValueError):
        raise ManifestRefused(f"a CA certificate, log key or witness key of {content.id} cannot be read") from None


def _note_key(text: str, type: SignatureType) -> NoteKey:
    key = parse_vkey(text)
    if key.type is not type:
        raise ManifestRefused("a log key is of type 0x01, a witness key of type 0x04")
    return key


def _check_rules(
    content: NetworkContent, members: Mapping[str, Member], root: Root, governance: Mapping[str, tuple[bytes, ...]]
) -> None:
    # 1 one entry per member  2 two active at least  3 only they hold governance keys  4 threshold and quorum
    # 5 no public key twice, for whatever use  6 log keys are named after the first epoch of their log
    if len(members) != len(content.members):  # 1
        raise ManifestRefused("a member is listed twice")
    active = {member.id for member in members.values() if member.status is Status.ACTIVE}
    if len(active) < 2:  # 2
        raise ManifestRefused("a network has at least two active members")
    if set(governance) != active or any(len(keys) > 2 for keys in governance.values()):  # 3
        raise ManifestRefused("each active member, and nobody else, holds one governance key and at most one backup")
    if root.roles[Root.type].threshold != threshold(len(active)):  # 4
        raise ManifestRefused(f"the threshold for {len(active)} members is {threshold(len(active))}")
    if content.quorum != witness_quorum(len(active) - 1 + len(content.witnesses)):
        raise ManifestRefused("the witness quorum does not follow from the number of witnesses")
    keys = [key for owned in governance.values() for key in owned]  # 5
    keys += [raw for member in members.values() for raw in _published_keys(member)]
    keys += [_outside_key(witness).public for witness in content.witnesses]
    if len(set(keys)) != len(keys):
        raise ManifestRefused("a public key occurs twice")
    for member in members.values():  # 6
        if member.log_key.name != f"tongban/{content.network}/{member.id}/1":
            raise ManifestRefused(f"the log key of {member.id} is not named tongban/<network>/<member>/1")


def _outside_key(witness: OutsideWitness) -> NoteKey:
    try:
        return _note_key(witness.key, SignatureType.COSIGNATURE)
    except ValueError:
        raise ManifestRefused("the key of an outside witness cannot be read") from None


def _published_keys(member: Member) -> list[bytes]:
    der = [one.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in member.authorities]
    return [member.log_key.public, member.witness_key.public, *der]


def _voters(root: Root, metadata: Metadata[Root]) -> set[str]:
    """Return the members of `root` with at least one valid signature: backup keys never count twice."""
    voters: set[str] = set()
    payload = metadata.signed_bytes
    for key_id, signature in metadata.signatures.items():
        key: Any = root.keys.get(key_id)
        if key is None:
            continue
        try:
            key.verify_signature(signature, payload)
        except UnverifiedSignatureError:
            continue
        voters.add(key.unrecognized_fields[OWNER])
    return voters


def _check_votes(root: Root, metadata: Metadata[Root], whose: str) -> None:
    try:
        root.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError:
        raise ManifestRefused(f"too few signatures of the {whose} version's keys") from None
    votes, needed = len(_voters(root, metadata)), root.roles[Root.type].threshold
    if votes < needed:
        raise ManifestRefused(f"{votes} members of the {whose} version have signed, {needed} are needed")
