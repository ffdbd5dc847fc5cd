"""Two worker processes against one, on PostgreSQL: `tongban serve --workers 2`.

Two cores hold two workers, PostgreSQL and the client together, so the client's processor time is counted apart:
the rate of a slice is its answers over the time that the client left to the servers, `seconds - client / cores`.
One worker runs on its own core as everywhere in this benchmark, two on both. Slices alternate.
"""

import os
from typing import Final

from bench.asking import Asker
from bench.measuring import Figures, Options, Tell, alternate, ratios
from bench.stage import CLIENT_CORE, SERVER_CORE, Stage

CONNECTIONS: Final = 32


def measure(made: Stage, options: Options, figures: Figures, tell: Tell) -> None:
    """Add the ratio of two workers to one."""
    if "postgresql" not in made.forms:
        return
    tell(f"two workers against one: {options.rounds} rounds")
    made.copy("unlogged_postgresql", "two_workers_postgresql")
    one = Asker("one worker", made.serve(made.forms["postgresql"]), made, options)
    command = ("node", "serve", "--no-console", "--lang", "en", "--workers", str(options.workers))
    home = made.forms["two_workers_postgresql"]
    several = Asker("two workers", made.serve(home, *command, cores=(SERVER_CORE, CLIENT_CORE)), made, options)

    def alone() -> float:
        one.measure(CONNECTIONS)
        return one.slices[-1].rate

    def together() -> float:
        os.sched_setaffinity(0, {SERVER_CORE, CLIENT_CORE})
        several.measure(CONNECTIONS)
        os.sched_setaffinity(0, {CLIENT_CORE})
        seen = several.slices[-1]
        return seen.requests / (seen.seconds - seen.client_seconds / 2)

    together()
    series = alternate(alone, {"two": together}, options.rounds)
    made.stop()
    figures.add("exchange_workers_ratio", ratios(series, "two"))
