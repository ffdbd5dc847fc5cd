"""Founding a network: from the join requests of all founders to a genesis manifest (protocol §3).

Nobody stands above the founders: anyone puts the requests together, every founder signs the same bytes with
the offline governance key, and the digest goes into the memorandum and by hand to every node.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from protocol.joining import JoinRequest, governance_keys
from protocol.manifest import LIFETIME, NetworkContent, NetworkPolicy, draft, witness_quorum


class FoundingRefused(ValueError):
    """These requests do not make a network; the text names what is wrong."""


def draft_genesis(
    requests: Sequence[JoinRequest],
    *,
    memorandum: str,
    documents: Mapping[str, str],
    policy: NetworkPolicy,
    now: datetime,
) -> bytes:
    """Return the unsigned genesis of a network.

    Args:
        requests: one of each founder.
        memorandum: reference of the memorandum (备忘录).
        documents: SHA-256 (hex) of each shared document, by name.
        policy: what all agreed for all.
        now: the genesis expires 180 days after.

    Raises:
        FoundingRefused: fewer than two cities, two requests of one, or different networks.
    """
    members = {one.member.id: one for one in requests}
    networks = {one.network for one in requests}
    if len(members) != len(requests) or len(members) < 2:
        raise FoundingRefused("a network is founded by at least two cities, each with one request")
    if len(networks) != 1:
        raise FoundingRefused(f"the requests name different networks: {', '.join(sorted(networks))}")
    content = NetworkContent(
        network=networks.pop(),
        memorandum=memorandum,
        members=[members[name].member for name in sorted(members)],
        quorum=witness_quorum(len(members) - 1),
        policy=policy,
        documents=dict(documents),
    )
    governance = {name: governance_keys(one) for name, one in members.items()}
    return draft(content, version=1, expires=now + LIFETIME, governance=governance)
