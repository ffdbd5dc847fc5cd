"""Twice the load that one process can serve: what is refused with `busy`, and what those who are served see.

A process works on `IN_FLIGHT_MAX` messages at a time. Twice as many connections ask at once, each again as soon
as it is answered; whoever is told `busy` waits the second that `Retry-After` says, as our own client does.
"""

import statistics
from typing import Final

from bench.asking import Asker
from bench.load import run_slice
from bench.measuring import Figures, Options, Tell
from bench.stage import Stage
from node.exchange.limits import IN_FLIGHT_MAX

BEST: Final = 64
"""Connections at which a process is at its best."""
SECONDS: Final = 4.0
ROUNDS: Final = 3


def measure(made: Stage, options: Options, figures: Figures, tell: Tell) -> None:
    """Add throughput under twice the load against the best, and the latency of those who were served."""
    tell(f"overload: {2 * IN_FLIGHT_MAX} connections")
    asker = Asker("sqlite", made.serve(made.forms["sqlite"]), made, options)
    asker.measure(BEST)
    ratios, latencies, refused = [], [], []
    for _ in range(ROUNDS):
        before = asker.measure(BEST)
        questions = made.questions(int(asker.rate * SECONDS * 1.5) + 8 * IN_FLIGHT_MAX)
        seen = run_slice(asker.target, questions, connections=2 * IN_FLIGHT_MAX, seconds=SECONDS)
        after = asker.measure(BEST)
        if set(seen.statuses) - {200, 503}:
            raise RuntimeError(f"under twice the load: {seen.statuses}")
        ratios.append(seen.rate / statistics.mean((before, after)))
        latencies.append(seen.p99_ms)
        refused.append(float(seen.statuses.get(503, 0)))
    made.stop()
    figures.add("overload_throughput_ratio", ratios)
    figures.add("overload_p99_ms", latencies)
    figures.add("overload_refused", refused)
