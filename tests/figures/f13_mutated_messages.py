"""Figure 13: mutated messages that `unseal` accepts, of 100,000 in process. Target: 0, and nothing but refusals.

make figure N=13
"""

import sys
import time

from tests.figures.printing import print_figure
from tests.protocol.mutations import run

TIMES = 100_000
SEED = 13


def main(times: int = TIMES, seed: int = SEED) -> int:
    """Print the figure; an exception other than a refusal ends the run, as it would be a 5xx."""
    started = time.perf_counter()
    counted, accepted = run(times, seed)
    spent = time.perf_counter() - started
    passed = not accepted and counted.total() == times
    print_figure(
        13,
        value=len(accepted),
        target=0,
        passed=passed,
        seed=seed,
        messages=times,
        seconds=round(spent, 1),
        outcomes=dict(counted.most_common()),
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
