"""Who asks a server slice by slice: new signed questions for ours, the same bytes over and over for the echo."""

from dataclasses import dataclass, field
from typing import Final

from bench.load import Slice, Target, run_slice
from bench.measuring import Options
from bench.stage import Stage

FIRST_RATE: Final = 3_000
"""Questions signed for a second of the first slice; later ones follow what the server answered."""


@dataclass(slots=True)
class Asker:
    """Asks one form of the asked city, slice by slice, and keeps what was seen."""

    name: str
    target: Target
    stage: Stage
    options: Options
    rate: float = FIRST_RATE
    slices: list[Slice] = field(default_factory=list)

    def measure(self, connections: int) -> float:
        """Return the answered requests per second of one slice of new questions."""
        count = int(self.rate * self.options.seconds * 1.4) + 4 * connections
        seen = run_slice(
            self.target, self.stage.questions(count), connections=connections, seconds=self.options.seconds
        )
        if set(seen.statuses) != {200}:
            raise RuntimeError(f"{self.name}: {seen.statuses} {seen.answers[0][:600]!r}")
        self.rate = seen.rate
        self.slices.append(seen)
        return seen.rate


@dataclass(slots=True)
class Echo:
    """The baseline: the same requests as the last questions, over and over, for it does not read them."""

    target: Target
    stage: Stage
    options: Options
    requests: list[bytes] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)

    def measure(self, connections: int) -> float:
        """Return the answered requests per second of one slice."""
        self.requests = self.requests or self.stage.questions(500)
        seen = run_slice(
            self.target, self.requests, connections=connections, seconds=self.options.seconds, endless=True
        )
        self.slices.append(seen)
        return seen.rate
