"""The seam to a city's own systems: a connector finds one record of one person.

Built in now: the registry that imports fill (`builtin.py`). SQL views and REST services of the core system
implement the same function later. A connector only reads, and knows nothing of policy: what may leave the
city is decided after it has answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from node.storage.unit_of_work import Ahead, Reading
from protocol.messages import RecordKind, Subject


@dataclass(frozen=True, slots=True)
class Found:
    """A record as the city holds it: all fields of all lines, and how fresh it is."""

    lines: list[dict[str, Any]] = field(repr=False)
    as_of: datetime


Connector = Callable[[Reading, Subject, RecordKind], Found | None]
"""Returns None when the city has no such record of a person with this document *and* this name."""
AheadOf = Callable[[Subject, RecordKind], Ahead]
"""What a connector will look up in our own database, so that a group of questions is looked up at once."""
