"""Figure 2: violations after a kill at each failpoint of receiving and sending, 20 times, on both databases. Target: 0.

make figure N=2
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.databases import ABSENT, binaries_of_postgresql, running_postgresql
from tests.faults.killing import (
    CITIES,
    RECEIVING,
    SENDING,
    Target,
    kill_while_receiving,
    kill_while_sending,
    target_network,
)
from tests.figures.printing import print_figure

TIMES = 20
KILLS: dict[str, Callable[[Target, str], list[str]]] = {
    **dict.fromkeys(RECEIVING, kill_while_receiving),
    **dict.fromkeys(SENDING, kill_while_sending),
}


def violations(database: str, times: int) -> list[str]:
    """Kill at each point so many times, and return everything that was wrong."""
    with tempfile.TemporaryDirectory(prefix="tongban-figure-") as root, target_network(Path(root), database) as target:
        return [
            f"{point} #{number}: {wrong}"
            for number in range(times)
            for point, kill in KILLS.items()
            for wrong in kill(target, point)
        ]


def main(times: int) -> int:
    """Print the figure; one database alone is not enough to pass."""
    started = time.perf_counter()
    found = {"sqlite": violations("", times)}
    binaries = binaries_of_postgresql()
    if binaries is not None:
        with running_postgresql(binaries) as server:
            found["postgresql"] = violations(server.pattern(CITIES), times)
    count = sum(map(len, found.values()))
    passed = count == 0 and len(found) == 2
    print_figure(
        2,
        value=count,
        target=0,
        passed=passed,
        points=len(KILLS),
        kills={database: times * len(KILLS) for database in found},
        violations=found,
        absent=[] if binaries is not None else [ABSENT],
        seconds=round(time.perf_counter() - started, 1),
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(int(os.environ.get("TIMES", TIMES))))
