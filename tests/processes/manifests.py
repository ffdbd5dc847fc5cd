"""The next version of a running network's manifest, as its cities would sign it."""

import json
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.membership.managed import governance_key
from node.membership.service import accept_version
from protocol.manifest import LIFETIME, NetworkContent, Status, draft, sign, witness_quorum
from tests.processes.cities import RunningNetwork, now


def next_version(
    network: RunningNetwork, statuses: dict[str, Status] | None = None, documents: dict[str, str] | None = None
) -> bytes:
    """Return version N+1 with these statuses, and documents added or replaced, signed by every city of N."""
    code = network.cities[0].code
    current = network.trust(code).manifest
    content = NetworkContent.model_validate(json.loads(current.data)["signed"]["x-tongban"])
    changes = statuses or {}
    members = [one.model_copy(update={"status": changes.get(one.id, one.status)}) for one in content.members]
    active = [one.id for one in members if one.status is Status.ACTIVE]
    update = {"members": members, "quorum": witness_quorum(len(active) - 1)}
    changed = content.model_copy(update={**update, "documents": {**content.documents, **(documents or {})}})
    keys = {id: [Ed25519PublicKey.from_public_bytes(raw) for raw in current.members[id].governance] for id in active}
    data = draft(changed, version=current.version + 1, expires=now() + LIFETIME - timedelta(days=1), governance=keys)
    for city in network.cities:
        key = governance_key(city.home / "certs" / "governance.key", network.passphrase(city.code))
        data = sign(data, key, previous=current)
    return data


def bring_into_force(network: RunningNetwork, code: str, data: bytes) -> None:
    """Bring a version into force at one city, as a command there would."""
    network.node(code).database.write(lambda transaction: accept_version(transaction, data, now=now()))
