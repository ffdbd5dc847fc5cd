"""The information sheet (信息表) of a transfer, as far as it is arithmetic: the catalogue's `info_sheet` as values.

    {"account_kind":"GENERAL","first_insured":"201907","cut_off":"202312", …,
     "yearly_lines":[{"year":2019,"from":"201907","to":"201912","months":6,"monthly_base_fen":337600,"wages_fen":2025600,
       "unit_rate_bp":1400,"personal_rate_bp":800,"record_rate_bp":800,"credited_fen":162048,"interest_fen":2569,
       "close_fen":164617,"kind":"NORMAL"}, …],
     "totals":{"actual_months":54, …,"total_fen":4497235}}

`parse_sheet` reads every field of the arithmetic and tells all faults at once; who the person is, who signed and the
seal are the catalogue's matter. What the transfer-out city says is kept as it says it: `sheet_checks.check_sheet`
judges it and corrects nothing. What came in from earlier places stands line by line, with its origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from protocol.procedures.facts import Fault
from protocol.procedures.one_off import OneOff
from protocol.procedures.reading import Reading

LINES_MAX: Final = 500
BP_MAX: Final = 10_000
MONTHS_MAX: Final = 1_200
KINDS: Final = frozenset({"NORMAL", "BACK", "ONE_OFF", "DEEMED"})
ACCOUNT_KINDS: Final = frozenset({"GENERAL", "TEMPORARY"})
DOCUMENTS: Final = frozenset({"COMMITMENT", "COURT", "AUDIT", "INSPECTION", "ARBITRATION"})
LABELS: Final[dict[str, tuple[str, str]]] = {
    "?": ("信息表", "the sheet"),
    "first_insured": ("首次参保时间", "first insured"),
    "account_opened": ("建账时间", "account opened"),
    "cut_off": ("本次转移截止年月", "cut-off month"),
    "hukou_division": ("户籍地", "place of household registration"),
    "account_kind": ("账户类别", "kind of account"),
    "yearly_lines": ("分年度缴费记录", "yearly lines"),
    "year": ("年度", "year"),
    "from": ("起始年月", "first month"),
    "to": ("截止年月", "last month"),
    "months": ("月数", "months"),
    "monthly_base_fen": ("月缴费基数", "monthly base"),
    "wages_fen": ("年缴费工资合计", "wages of the year"),
    "unit_rate_bp": ("单位费率", "unit's rate"),
    "personal_rate_bp": ("个人费率", "person's rate"),
    "record_rate_bp": ("记账比例", "record rate"),
    "credited_fen": ("当年记账额", "credited in the year"),
    "credited_personal_fen": ("当年记账额：个人部分", "credited, the person's part"),
    "interest_fen": ("当年记账利息", "interest of the year"),
    "close_fen": ("年末累计储存额", "balance at the end of the year"),
    "close_personal_fen": ("年末累计储存额：个人部分", "balance, the person's part"),
    "kind": ("缴费类型", "kind of contribution"),
    "deemed_periods": ("视同缴费时段", "deemed periods"),
    "division": ("当时工作地", "place of work"),
    "one_off_payments": ("一次性缴费", "one-off payments"),
    "paid_on": ("缴费日期", "paid on"),
    "document_kind": ("文书种类", "kind of document"),
    "document_date": ("文书日期", "date of the document"),
    "arrears_months": ("欠费月数", "months in arrears"),
    "totals": ("合计", "totals"),
    "actual_months": ("实际缴费月数", "months paid"),
    "deemed_months": ("视同缴费月数", "deemed months"),
    "personal_before_1998_fen": ("1998年前个人缴费本息", "own contributions before 1998 with interest"),
    "account_since_1998_fen": ("1998年后个人账户储存额", "account since 1998"),
    "pooled_fen": ("统筹基金转移额", "pooled part"),
    "total_fen": ("转移总额", "total"),
    "earlier_transfers": ("历次转入记录", "earlier transfers"),
    "origin_division": ("来源地", "origin"),
    "account_fen": ("个人账户", "account"),
    "issued_on": ("出具日期", "issued on"),
}
"""The fields that are read here, as the catalogue names them."""


class SheetInvalid(ValueError):
    """The object is no sheet; `faults` tell place, line and rule, and never a value."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(f"{len(faults)} faults in the sheet")
        self.faults = faults


@dataclass(frozen=True, slots=True)
class SheetLine:
    """One yearly line as it was said; months are numbers (`months`)."""

    year: int
    first: int
    last: int
    months: int
    monthly_base_fen: int
    wages_fen: int
    unit_rate_bp: int
    personal_rate_bp: int
    record_rate_bp: int
    credited_fen: int
    credited_personal_fen: int | None
    interest_fen: int
    close_fen: int
    close_personal_fen: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class DeemedPeriod:
    """Months that count without money, and where they were worked."""

    first: int
    last: int
    months: int
    division: str


@dataclass(frozen=True, slots=True)
class EarlierTransfer:
    """What had come in from an earlier place."""

    origin_division: str
    first: int
    last: int
    months: int
    account_fen: int
    pooled_fen: int


@dataclass(frozen=True, slots=True)
class Bought:
    """A one-off payment, and the months that the sheet says for it."""

    payment: OneOff
    months: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals as they were said."""

    actual_months: int
    deemed_months: int
    personal_before_1998_fen: int
    account_since_1998_fen: int
    pooled_fen: int
    total_fen: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as it was said."""

    first_insured: int
    account_opened: int
    cut_off: int
    hukou_division: str
    account_kind: str
    lines: tuple[SheetLine, ...]
    deemed: tuple[DeemedPeriod, ...]
    one_offs: tuple[Bought, ...]
    arrears_months: int
    totals: Totals
    earlier: tuple[EarlierTransfer, ...]
    issued_on: date


def parse_sheet(content: Any) -> Sheet:
    """Return a sheet. Cost: linear in its lines.

    Raises:
        SheetInvalid: every field of the arithmetic that is missing or has not its form.
    """
    faults: list[Fault] = []
    whole = Reading(content if isinstance(content, Mapping) else {}, "", faults, LABELS)
    sheet = Sheet(
        first_insured=whole.month("first_insured"),
        account_opened=whole.month("account_opened"),
        cut_off=whole.month("cut_off"),
        hukou_division=whole.division("hukou_division"),
        account_kind=whole.choice("account_kind", ACCOUNT_KINDS),
        lines=tuple(_line(one) for one in whole.rows("yearly_lines", LINES_MAX)),
        deemed=tuple(_deemed(one) for one in whole.rows("deemed_periods", LINES_MAX)),
        one_offs=tuple(_bought(one) for one in whole.rows("one_off_payments", LINES_MAX)),
        arrears_months=whole.whole("arrears_months", 0, MONTHS_MAX) if whole.has("arrears_months") else 0,
        totals=_totals(whole.one("totals")),
        earlier=tuple(_earlier(one) for one in whole.rows("earlier_transfers", LINES_MAX)),
        issued_on=whole.day("issued_on"),
    )
    if not whole.has("yearly_lines") and not any(one.at.startswith("yearly_lines") for one in faults):
        whole.fault("yearly_lines", "required")
    if faults:
        raise SheetInvalid(tuple(faults))
    return sheet


def _line(row: Reading) -> SheetLine:
    return SheetLine(
        year=row.whole("year", 1950, 2199),
        first=row.month("from"),
        last=row.month("to"),
        months=row.whole("months", 0, 12),
        monthly_base_fen=row.fen("monthly_base_fen"),
        wages_fen=row.fen("wages_fen"),
        unit_rate_bp=row.whole("unit_rate_bp", 0, BP_MAX),
        personal_rate_bp=row.whole("personal_rate_bp", 0, BP_MAX),
        record_rate_bp=row.whole("record_rate_bp", 0, BP_MAX),
        credited_fen=row.fen("credited_fen"),
        credited_personal_fen=row.fen("credited_personal_fen") if row.has("credited_personal_fen") else None,
        interest_fen=row.fen("interest_fen"),
        close_fen=row.fen("close_fen"),
        close_personal_fen=row.fen("close_personal_fen") if row.has("close_personal_fen") else None,
        kind=row.choice("kind", KINDS),
    )


def _deemed(row: Reading) -> DeemedPeriod:
    return DeemedPeriod(
        row.month("from"), row.month("to"), row.whole("months", 0, MONTHS_MAX), row.division("division")
    )


def _bought(row: Reading) -> Bought:
    return Bought(read_one_off(row), row.whole("months", 0, MONTHS_MAX))


def read_one_off(row: Reading) -> OneOff:
    """Return a one-off payment from a row that has the catalogue's fields."""
    kind = row.choice("document_kind", DOCUMENTS) if row.has("document_kind") else None
    made = row.day("document_date") if row.has("document_date") else None
    return OneOff(row.month("from"), row.month("to"), row.day("paid_on"), kind, made)


def _earlier(row: Reading) -> EarlierTransfer:
    return EarlierTransfer(
        origin_division=row.division("origin_division"),
        first=row.month("from"),
        last=row.month("to"),
        months=row.whole("months", 0, MONTHS_MAX),
        account_fen=row.fen("account_fen"),
        pooled_fen=row.fen("pooled_fen"),
    )


def _totals(row: Reading) -> Totals:
    return Totals(
        actual_months=row.whole("actual_months", 0, MONTHS_MAX),
        deemed_months=row.whole("deemed_months", 0, MONTHS_MAX),
        personal_before_1998_fen=row.fen("personal_before_1998_fen"),
        account_since_1998_fen=row.fen("account_since_1998_fen"),
        pooled_fen=row.fen("pooled_fen"),
        total_fen=row.fen("total_fen"),
    )
