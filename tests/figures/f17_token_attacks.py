"""Figure 17: token attacks that are accepted, over every token type. Target: 0.

make figure N=17
"""

import sys
from collections import Counter

from tests.figures.printing import print_figure
from tests.protocol.test_token_attacks import ANSWER, ON_MESSAGES, ON_REPLIES, RAW, outcome, receive, receive_reply


def main() -> int:
    """Print the figure; an exception other than a refusal ends the run."""
    found = Counter(outcome(receive, attack(RAW.statement)) for attack in ON_MESSAGES.values())
    found.update(outcome(receive_reply, attack(ANSWER.statement)) for attack in ON_REPLIES.values())
    accepted = found["accepted"]
    print_figure(
        17, value=accepted, target=0, passed=accepted == 0, attacks=found.total(), outcomes=dict(found.most_common())
    )
    return 0 if accepted == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
