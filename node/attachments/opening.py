"""How the composition root opens this room."""

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from node.attachments.scanning import command_scan
from node.attachments.service import Attachments, Limits
from node.storage.blobs import Blobs
from node.storage.encryption import Vault

MIB: Final = 1024 * 1024


def open_attachments(
    directory: Path,
    vault: Vault,
    *,
    attachment_mib: int,
    unused_mib: int,
    reserve_mib: int,
    scan_command: Sequence[str],
    now: Callable[[], datetime],
) -> Attachments:
    """Return the room over the files of a folder, which need not exist yet."""

    def disk() -> tuple[int, int]:
        usage = shutil.disk_usage(directory if directory.exists() else directory.parent)
        return usage.used, usage.free

    limits = Limits(attachment_mib * MIB, unused_mib * MIB, reserve_mib * MIB)
    return Attachments(Blobs(directory, vault), limits, disk, command_scan(scan_command), now)
