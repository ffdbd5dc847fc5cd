"""What goes away, and what is examined again; scheduled work, also safe to run twice at the same time.

Rows go first, in a transaction that locks them: a case that is just naming an attachment either has its row already,
and the attachment stays, or comes after the commit and finds none (`attachment-missing`, so it is sent again). Files
go after the commit, each only if nobody has a row for it then: a crash between leaves a file without a row, which
every later run finds and deletes.
"""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final

from node.attachments import service, store
from node.attachments.scanning import Verdict
from node.attachments.service import COMPLETE, HELD, PARTIAL, REFUSED, Attachments, Upload
from node.storage.blobs import BlobDamaged, BlobMissing
from node.storage.unit_of_work import Database, Transaction
from protocol.errors import Busy

KEPT: Final = timedelta(days=7)
BATCH: Final = 200
EXAMINED_AT_A_TIME: Final = 20

_STATE_OF: Final = {Verdict.CLEAN: COMPLETE, Verdict.REFUSED: REFUSED, Verdict.UNKNOWN: HELD}


def clean_up(room: Attachments, database: Database) -> int:
    """Delete what came more than seven days ago and no case names, whole or not; return how many rows."""
    before, deleted = room.now() - KEPT, 0

    def delete(transaction: Transaction) -> list[tuple[str, str]]:
        session = transaction.session
        found = store.old_and_unused(session, before=before, limit=BATCH)
        return [one for one in found if store.delete_unused(session, *one)]

    while gone := database.write(delete):
        deleted += len(gone)
    files = room.blobs.names()
    while batch := list(islice(files, BATCH)):
        _delete_strays(room, database, batch)
    return deleted


def scan_again(room: Attachments, database: Database) -> int:
    """Examine attachments that are held, those that waited longest first; return how many are no longer held.

    Without an examination in the settings nothing is held any longer.
    """
    with database.reading() as session:
        waiting = [
            Upload(row.digest, row.size, row.type, row.uploader)
            for row in store.waiting(session, HELD, EXAMINED_AT_A_TIME)
        ]
    decided = 0
    for upload in waiting:
        state = examine(room, upload.digest)
        decided += state != HELD
        with suppress(Busy):  # cleaned away meanwhile
            database.write(partial(_settle, room, upload, state))
        if state == REFUSED:
            delete_file(room, database, upload.digest)
    return decided


def examine(room: Attachments, digest: str) -> str:
    """Return the state that the examination of a whole attachment gives it; blocks."""
    if room.scan is None:
        return COMPLETE
    try:
        return _STATE_OF[room.scan(room.blobs.read(digest))]
    except (BlobMissing, BlobDamaged):
        return HELD


def delete_file(room: Attachments, database: Database, digest: str) -> bool:
    """Delete the file of an attachment if nobody has it or is bringing it; return whether it was deleted; blocks."""
    return room.blobs.delete(digest, lambda: not _known(database, [digest]))


def _delete_strays(room: Attachments, database: Database, files: list[tuple[str, str]]) -> None:
    known = _known(database, [digest for digest, _ in files])
    for digest, owner in files:
        if not owner and all(digest != one for one, _, _ in known):
            delete_file(room, database, digest)
        if owner and (digest, owner, PARTIAL) not in known:
            room.blobs.delete_part(digest, owner, partial(_is_stray, database, digest, owner))


def _is_stray(database: Database, digest: str, owner: str) -> bool:
    return (digest, owner, PARTIAL) not in _known(database, [digest])


def _known(database: Database, digests: list[str]) -> set[tuple[str, str, str]]:
    with database.reading() as session:
        return store.known(session, digests, but_state=REFUSED)


def _settle(room: Attachments, upload: Upload, state: str, transaction: Transaction) -> None:
    service.settle(room, transaction, upload, state, scanned=True)
