"""What a shared document would do to the cases of a node: where the rooms of membership and of cases meet.

`packs import` asks it before anything is taken in.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from node.cases import foreseeing
from node.cases.documents import documents_of
from node.cases.room import Documents
from node.membership import service as membership
from node.membership.packs import Effects, Examined, Kind, Moved
from protocol.manifest import Manifest

_WOULD: Final = {Kind.PROCEDURES: foreseeing.procedures_would, Kind.CATALOGUE: foreseeing.catalogue_would}


def case_documents(manifest: Callable[[], Manifest], documents: Mapping[str, tuple[str, bytes]]) -> Documents:
    """Return the shared documents as cases read them, by the manifest in force.

    Args:
        documents: those that came with the software: (name, bytes) by digest.
    """
    builtin = {digest: data for digest, (_, data) in documents.items()}
    return documents_of(
        lambda session, digest: membership.stored_document(session, builtin, digest),
        lambda session: membership.calendars_in_force(session, manifest(), builtin),
        manifest,
        {name: digest for digest, (name, _) in documents.items()},
    )


def affected(node: Any, found: Examined, data: bytes, documents: Mapping[str, tuple[str, bytes]]) -> Effects:
    """Return what a shared document would do to the cases of a node."""
    with node.database.reading() as session:
        manifest = membership.manifest_in_force(session)
        read = case_documents(lambda: manifest, documents)
        if found.calendars is not None:
            moved = foreseeing.moved_days(session, read, found.calendars)
            return Effects(moved=[Moved(number, before, after) for number, before, after in moved])
        would = _WOULD.get(found.described.kind)
        told = would(session, read, data) if would is not None else []
        return Effects(differs=[(one.at, one.zh, one.en) for one in told], staying=foreseeing.staying(session))
