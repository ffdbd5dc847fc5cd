"""What an attachment may be, told by its first bytes: a short list, and the declared type must be the one found.

=================== ==========================================================================
application/pdf     ``%PDF-`` (ISO 32000 7.5.2), at the very beginning
image/jpeg          ``FF D8 FF``
image/png           the 8 bytes of the PNG signature
image/tiff          ``II 2A 00`` or ``MM 00 2A``
application/ofd     a ZIP whose list of entries has ``OFD.xml`` (GB/T 33190); nothing is unpacked
=================== ==========================================================================

Absent on purpose: text and every office format, which may hold scripts or macros (threat T14).
"""

import struct
from collections.abc import Callable
from typing import Final

from protocol.errors import InvalidBody

TYPES: Final = ("application/pdf", "image/jpeg", "image/png", "image/tiff", "application/ofd")
_BEGINNINGS: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", "application/ofd"),
)
_ZIP_END: Final = struct.Struct("<4s4H2LH")
_ZIP_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_ZIP_LIST_MAX_BYTES: Final = 1024 * 1024

Read = Callable[[int, int], bytes]
"""Returns the bytes from a start to a stop."""


def check_declared(declared: str) -> None:
    """Check that a type is one of the list.

    Raises:
        InvalidBody: it is not.
    """
    if declared not in TYPES:
        raise _refused("not_accepted", "the declared type is not accepted")


def check_content(declared: str, read: Read, size: int) -> None:
    """Check that the bytes are of the declared type.

    Raises:
        InvalidBody: they are not, or of none that is accepted.
    """
    found = find_type(read, size)
    if not found:
        raise _refused("not_accepted", "the bytes are of no accepted type")
    if found != declared:
        raise _refused("not_its_bytes", f"declared as {declared}, but the bytes are {found}")


def find_type(read: Read, size: int) -> str:
    """Return the type that the bytes show, or nothing."""
    head = read(0, min(size, 16))
    found = next((type for beginning, type in _BEGINNINGS if head.startswith(beginning)), "")
    if found == "application/ofd" and not _lists_ofd(read, size):
        return ""
    return found


def _lists_ofd(read: Read, size: int) -> bool:
    """Say whether the ZIP's list of entries names OFD.xml (APPNOTE 4.3.12, 4.3.16)."""
    tail = read(max(0, size - 65_535 - _ZIP_END.size), size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _ZIP_END.size:
        return False
    *_, list_size, list_start, _ = _ZIP_END.unpack_from(tail, at)
    if list_size > _ZIP_LIST_MAX_BYTES or list_start + list_size > size:
        return False
    return b"OFD.xml" in _entries(read(list_start, list_start + list_size))


def _entries(listed: bytes) -> set[bytes]:
    names, at = set(), 0
    while at + _ZIP_ENTRY.size <= len(listed) and listed.startswith(b"PK\x01\x02", at):
        name, extra, comment = _ZIP_ENTRY.unpack_from(listed, at)[10:13]
        at += _ZIP_ENTRY.size
        names.add(listed[at : at + name])
        at += name + extra + comment
    return names


def _refused(rule: str, detail: str) -> InvalidBody:
    return InvalidBody(f"{detail}; accepted are {', '.join(TYPES)}", fields=[{"at": "content-type", "rule": rule}])
