"""How a story is told: its steps, whom it tells, and what happens when one does not come out as it must."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from node.simulation.network import DemoNetwork
from node.terminal import Opening

ASKING: Final = "450400"
ASKED: Final = "442000"
STOPPED: Final = "520300"
SECONDS: Final = 10.0


class NotAsExpected(Exception):
    """A step came out differently than it must; zh and en."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(slots=True)
class Step:
    """One line of a story."""

    name: str
    city: str
    ok: bool
    ms: int
    zh: str
    en: str


@dataclass(slots=True)
class Story:
    """A story and its steps so far."""

    id: str
    steps: list[Step] = field(default_factory=list)
    case: str | None = None
    """number of the case that it is about"""

    @property
    def ok(self) -> bool:
        """Say whether every step came out as it must."""
        return bool(self.steps) and all(step.ok for step in self.steps)


@dataclass(slots=True)
class Telling:
    """What a story needs: the network, the asking city's node, and whom to tell of each step."""

    network: DemoNetwork
    running: Any
    opening: Opening
    tell: Callable[[Step], None]
    story: Story

    async def step(self, name: str, city: str, run: Callable[[], Awaitable[tuple[str, str]]]) -> None:
        """Run one step; what it returns, or why it failed, is told in both languages."""
        started = time.monotonic()
        try:
            zh, en = await run()
            ok = True
        except NotAsExpected as fault:
            zh, en, ok = fault.zh, fault.en, False
        done = Step(name, city, ok, round((time.monotonic() - started) * 1000), zh, en)
        self.story.steps.append(done)
        self.tell(done)


def expect(condition: bool, zh: str, en: str) -> None:
    """Go on only if a condition holds.

    Raises:
        NotAsExpected: it does not.
    """
    if not condition:
        raise NotAsExpected(zh, en)
