"""The fee of an unemployment-insurance transfer (失业保险关系转移, 划转费用).

Monthly benefit x remaining months, and a half of it for medical care and training: 1,710.00 x 9 = 15,390.00, in all
23,085.00. Who is employed and moves takes relation and years along, and no money.
"""

from dataclasses import dataclass

from protocol.procedures.rules import WHOLE, Figure, Rules


@dataclass(frozen=True, slots=True)
class Fee:
    """What moves: the benefit of the remaining months, and benefit and extra together."""

    benefit_fen: int
    fee_fen: int
    rule: str


def unemployment_fee(case_kind: str, monthly_fen: int, months_unused: int, rules: Rules) -> Fee:
    """Return the fee; `case_kind` is EMPLOYED, ENTITLED or RECEIVING.

    Raises:
        ValueError: a negative amount or count.
    """
    if monthly_fen < 0 or months_unused < 0:
        raise ValueError("neither amount nor months are negative")
    if case_kind not in rules.fee_kinds:
        return Fee(0, 0, "UNEMPLOYMENT_NO_FEE")
    benefit = monthly_fen * months_unused
    return Fee(benefit, benefit + rules.rounded(benefit * rules.fee_extra_bp, WHOLE), "UNEMPLOYMENT_FEE")


def fee_figures(fee: Fee, rules: Rules) -> list[Figure]:
    """Return the figures of a fee."""
    return [
        rules.figure("benefit_fen", ("未领失业保险金", "benefit of the remaining months"), fee.benefit_fen, "fen",
                     fee.rule),
        rules.figure("fee_fen", ("划转费用", "fee"), fee.fee_fen, "fen", fee.rule),
    ]  # fmt: skip
