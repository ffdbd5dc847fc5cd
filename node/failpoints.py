"""Named points between durable steps, where a test may kill, raise or pause this process (assurance E4).

`TONGBAN_FAILPOINTS="receive.before_effect=kill"` arms them; without that variable, as in every real
installation, `failpoint` does nothing. `commit.before=kill@/run/armed` acts only while that file exists: a
node commits while it starts too, and a test means the commit of its message.
"""

import os
import signal
import time
from pathlib import Path
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
        "outbox.claimed",
        "outbox.answered",
        "outbox.before_settle",
        "outbox.settled",
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
    action, _, condition = _ARMED.get(name, "").partition("@")
    if condition and not Path(condition).exists():
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FailpointReached(name)
    elif action.startswith("sleep:"):
        time.sleep(float(action.removeprefix("sleep:")))
