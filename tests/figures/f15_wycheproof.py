"""Figure 15, the part of the gate: Wycheproof vectors of ES256 that our code judges as they say. Target: all.

make figure N=15
"""

import sys

from tests.figures.printing import print_figure
from tests.protocol.test_wycheproof import TESTS, VECTORS, disagreements


def main() -> int:
    """Print the figure."""
    wrong = disagreements()
    agreed = len(TESTS) - len(wrong)
    print_figure(
        15, value=agreed, target=len(TESTS), passed=not wrong, source=VECTORS["commit"], disagreements={"ES256": wrong}
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
