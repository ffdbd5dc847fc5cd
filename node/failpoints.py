"""Named points between durable steps, where a test may kill, raise or pause this process (assurance E4).

`TONGBAN_FAILPOINTS="receive.before_commit=kill"` arms them; without that variable, as in every real
installation, `failpoint` does nothing. An architecture test holds the list of names against the code.
"""

import os
import signal
import time
from typing import Final

NAMES: Final = frozenset(
    {
        "receive.before_verify",
        "receive.before_effect",
        "group.before_log",
        "commit.before",
        "commit.after",
        "receive.before_sign",
        "receive.before_reply",
        "send.before_post",
        "send.after_reply",
        "checkpoint.before_commit",
        "checkpoint.after_commit",
    }
)


class FailpointReached(RuntimeError):
    """Raised by an armed failpoint with the action `raise`."""


def _armed(setting: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in setting.split(";") if part)
    armed = {name.strip(): action.strip() for name, _, action in pairs}
    unknown = set(armed) - NAMES
    if unknown:
        raise ValueError(f"unknown failpoints: {', '.join(sorted(unknown))}")
    return armed


_ARMED: Final = _armed(os.environ.get("TONGBAN_FAILPOINTS", ""))


def failpoint(name: str) -> None:
    """Do what was armed for this point: `kill`, `raise`, `sleep:SECONDS`, or nothing."""
    if not _ARMED:
        return
    action = _ARMED.get(name, "")
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FailpointReached(name)
    elif action.startswith("sleep:"):
        time.sleep(float(action.removeprefix("sleep:")))
