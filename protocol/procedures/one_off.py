"""One-off payments (一次性缴费) of three years or more: which document they need, and what stays without it.

人社厅发〔2019〕94号: paid before 2016-11-28, a written commitment is enough; later, a legal document of court, audit,
labour inspection or arbitration, made before the payment. Without it these months and their money stay, the rest
moves, and the person is told within ten working days of the contact letter. Dates and numbers stand in the pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from protocol.procedures.rules import Rules

NONE_NEEDED = "UNDER_THREE_YEARS"
ENOUGH = "DOCUMENT_ENOUGH"
MISSING = "DOCUMENT_MISSING"
MADE_AFTER = "DOCUMENT_MADE_AFTER_PAYMENT"


@dataclass(frozen=True, slots=True)
class OneOff:
    """A payment for months `first` to `last`, made at once, and the document that stands behind it."""

    first: int
    last: int
    paid_on: date
    document_kind: str | None = None
    document_date: date | None = None

    @property
    def months(self) -> int:
        """Return how many months were bought."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class OneOffJudgement:
    """`document_required` is LEGAL_DOCUMENT, COMMITMENT or None; `why` is one of the words above."""

    document_required: str | None
    months_not_transferred: int
    why: str


def judge_one_off(payment: OneOff, rules: Rules) -> OneOffJudgement:
    """Return whether the months of a one-off payment move."""
    rule = rules.one_off
    if payment.months < rule.months:
        return OneOffJudgement(None, 0, NONE_NEEDED)
    early = payment.paid_on < rule.commitment_before
    required = "COMMITMENT" if early else "LEGAL_DOCUMENT"
    if early and payment.document_kind in rule.commitment:
        return OneOffJudgement(required, 0, ENOUGH)
    if payment.document_kind not in rule.legal or payment.document_date is None:
        return OneOffJudgement(required, payment.months, MISSING)
    if payment.document_date >= payment.paid_on:
        return OneOffJudgement(required, payment.months, MADE_AFTER)
    return OneOffJudgement(required, 0, ENOUGH)


def untransferable(payments: Sequence[OneOff], rules: Rules) -> list[OneOff]:
    """Return the payments whose months stay with their money."""
    return [one for one in payments if judge_one_off(one, rules).months_not_transferred]
