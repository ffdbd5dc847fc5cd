"""What each paper says, as plain typed values: the facts of a case go in, nothing is computed here.

Field names are those of the catalogue's blocks (`config/catalogue/items.json`), so that a voucher, a letter, a sheet or
an order of a case can be printed as it stands. Blocks inside (person, agency, account) may bring more than a paper
shows; what is not named here is left out, of the attached data too. Money is integer fen, rates are basis points,
months `YYYYMM`, days `YYYY-MM-DD`. Sums that the law defines must add up: a wrong sum is never printed.
"""

import unicodedata
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from protocol.amount_words import LARGEST_FEN

UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that nobody sees: never on a paper."""


def _visible(text: str) -> str:
    if any(unicodedata.category(one) in UNSEEN for one in text):
        raise PydanticCustomError("character", "control and format characters cannot be printed")
    return text


def _lines(text: str) -> str:
    _visible(text.replace("\n", ""))
    return text


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise PydanticCustomError("date", "no such day") from None


Short = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_visible)]
Seal = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_visible)]
"""digest of what a city's own seal service made"""
Line = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_visible)]
Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_lines)]
Number = Annotated[str, Field(pattern=r"^[0-9A-Z-]{6,40}$")]
Month = Annotated[str, Field(pattern=r"^[0-9]{4}(0[1-9]|1[0-2])$")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_day)]
Fen = Annotated[int, Field(ge=0, le=LARGEST_FEN)]
Months = Annotated[int, Field(ge=0, le=1200)]
Rate = Annotated[int, Field(ge=0, le=10_000)]
AccountKind = Literal["GENERAL", "TEMPORARY"]


class Value(BaseModel):
    """What a paper says; nothing unknown."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Block(Value):
    """A block of the catalogue; what a paper does not show is left out."""

    model_config = ConfigDict(extra="ignore")


class Person(Block):
    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_visible)]
    id_no: Short
    """whole, or masked where the paper goes to others than agencies"""
    gender: Literal["0", "1", "2", "9"] | None = None


class Agency(Block):
    division: Short
    name: Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_visible)]
    address: Line | None = None
    postcode: Short | None = None
    phone: Short | None = None
    contact: Short | None = None


class Account(Block):
    account_name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_visible)]
    bank_name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_visible)]
    account_no: Annotated[str, Field(pattern=r"^[0-9*]{6,32}$")]
    bank_union_no: Short | None = None


class Item(Value):
    """The service item of a case."""

    code: Short
    zh: Line
    en: Line


class Paper(Value):
    """Every paper is about a person."""

    person: Person


class CasePaper(Paper):
    """What every paper about a case says first."""

    case_number: Number
    item: Item


class Received(Value):
    name: Line
    form: Literal["original_seen", "scan", "electronic_certificate", "data_share", "commitment"]
    pages: Annotated[int, Field(ge=1, le=10_000)] | None = None


class AcceptanceSlip(CasePaper):
    """受理回执."""

    accepted_on: Day
    accepting_org: Agency
    responsible_org: Agency
    materials: Annotated[list[Received], Field(max_length=60)]
    statutory_due: Day | None = None
    promised_due: Day | None = None
    is_provisional: bool = False
    """a due day rests on a provisional calendar (暂估)"""
    progress_url: Line | None = None
    access_code: Short | None = None
    """code of the access ledger, on request"""
    clerk: Short


class Missing(Value):
    name: Line
    reason: Line | None = None
    legal_ref: Line
    where: Line
    """where to get it"""


class MissingItems(CasePaper):
    """一次性告知书."""

    missing: Annotated[list[Missing], Field(min_length=1, max_length=60)]
    stopped_since: Day
    bring_by: Day | None = None
    accepting_org: Agency
    remedy_text: Text | None = None
    clerk: Short


class ContactLetter(Paper):
    """联系函, from the transfer-in to the transfer-out place."""

    letter_no: Number
    national_case_no: Short | None = None
    case_number: Number
    from_org: Agency
    to_org: Agency
    to_org_code: Short | None = None
    old_personal_no: Short | None = None
    new_insured_since: Month
    reason: Literal["EMPLOYMENT", "AGGREGATION", "TEMPORARY"]
    receiving_account: Account
    requests: Annotated[
        list[Literal["INFO_SHEET", "FUND", "DEEMED_FILES"]],
        Field(min_length=1, max_length=3),
    ]
    operator: Short
    reviewer: Short
    seal: Seal | None = None
    issued_on: Day


class YearLine(Value):
    model_config = ConfigDict(serialize_by_alias=True)

    year: Annotated[int, Field(ge=1950, le=2200)]
    from_: Annotated[Month, Field(alias="from")]
    to: Month
    months: Months
    monthly_base_fen: Fen
    wages_fen: Fen
    unit_rate_bp: Rate
    personal_rate_bp: Rate
    record_rate_bp: Rate
    credited_fen: Fen
    credited_personal_fen: Fen | None = None
    interest_fen: Fen
    close_fen: Fen
    close_personal_fen: Fen | None = None
    kind: Literal["NORMAL", "BACK", "ONE_OFF", "DEEMED"]


class DeemedPeriod(Value):
    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[Month, Field(alias="from")]
    to: Month
    months: Months
    division: Short
    basis: Text


class OneOffPayment(Value):
    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[Month, Field(alias="from")]
    to: Month
    paid_on: Day
    months: Months
    document_kind: Literal["COMMITMENT", "COURT", "AUDIT", "INSPECTION", "ARBITRATION"] | None = None
    document_no: Line | None = None
    document_date: Day | None = None


class EarlierTransfer(Value):
    model_config = ConfigDict(serialize_by_alias=True)

    origin_division: Short
    from_: Annotated[Month, Field(alias="from")]
    to: Month
    months: Months
    account_fen: Fen
    pooled_fen: Fen


class SheetTotals(Value):
    actual_months: Months
    deemed_months: Months
    personal_before_1998_fen: Fen
    account_since_1998_fen: Fen
    pooled_fen: Fen
    total_fen: Fen

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total_fen != self.personal_before_1998_fen + self.account_since_1998_fen + self.pooled_fen:
            raise PydanticCustomError("sum", "the total is not the sum of its parts")
        return self


class InformationSheet(Paper):
    """信息表, from the transfer-out to the transfer-in place."""

    sheet_no: Number
    letter_no: Number
    case_number: Number
    from_org: Agency
    work_started_on: Day | None = None
    first_insured: Month
    account_opened: Month
    cut_off: Month
    hukou_division: Short
    account_kind: AccountKind
    yearly_lines: Annotated[list[YearLine], Field(min_length=1, max_length=120)]
    deemed_periods: Annotated[list[DeemedPeriod], Field(max_length=60)] = []
    one_off_payments: Annotated[list[OneOffPayment], Field(max_length=60)] = []
    arrears_months: Months = 0
    totals: SheetTotals
    earlier_transfers: Annotated[list[EarlierTransfer], Field(max_length=60)] = []
    check_result: Text
    """what the check of the amounts said"""
    operator: Short
    reviewer: Short
    seal: Seal | None = None
    issued_on: Day


class Period(Value):
    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[Month, Field(alias="from")]
    to: Month
    months: Months
    account_kind: AccountKind


class ContributionVoucher(Paper):
    """参保缴费凭证."""

    voucher_no: Number
    personal_no: Short | None = None
    hukou_division: Short
    insured_org: Agency
    periods: Annotated[list[Period], Field(min_length=1, max_length=120)]
    total_months: Months
    account_balance_fen: Fen
    issuing_org: Agency
    operator: Short
    phone: Short | None = None
    issue_date: Day
    valid_until: Day
    seal: Seal | None = None
    status: Literal["NOT_JOINED", "JOINED"]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total_months != sum(one.months for one in self.periods):
            raise PydanticCustomError("sum", "the months are not the sum of the periods")
        return self


class Notice(CasePaper):
    """告知书与确认书: rights and consequences, and the person's written word."""

    rights: Annotated[list[Text], Field(min_length=1, max_length=30)]
    consequences: Annotated[list[Text], Field(max_length=30)] = []
    amount_fen: Fen | None = None
    confirmation: Text
    """what the person declares by signing"""
    legal_ref: Line
    issuing_org: Agency
    clerk: Short
    scan_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """of the signed scan, once there is one"""


class FundNotice(Paper):
    """划转通知. The gateway moves no money: it says what was ordered."""

    order_no: Number
    sheet_no: Number
    letter_no: Number
    case_number: Number
    from_org: Agency
    payer: Account
    payee: Account
    account_fen: Fen
    pooled_fen: Fen
    total_fen: Fen
    value_date: Day
    bank_ref: Short | None = None
    remittance_text: Annotated[str, Field(min_length=1, max_length=140), AfterValidator(_visible)]
    operator: Short
    reviewer: Short

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total_fen != self.account_fen + self.pooled_fen:
            raise PydanticCustomError("sum", "the total is not the sum of its parts")
        return self


class NamedAmount(Value):
    zh: Line
    en: Line
    amount_fen: Fen


class NamedFact(Value):
    zh: Line
    en: Line
    value: Line


class Decision(CasePaper):
    """决定与办结告知."""

    result: Literal["APPROVED", "REJECTED", "SUPPLEMENT", "FORWARDED", "WITHDRAWN"]
    facts: Annotated[list[NamedFact], Field(max_length=40)] = []
    amounts: Annotated[list[NamedAmount], Field(max_length=40)] = []
    reason_text: Text | None = None
    legal_ref: Line | None = None
    remedy_text: Text
    decided_on: Day
    decided_by: Short
    reviewed_by: Short | None = None
    responsible_org: Agency

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.result == "REJECTED" and not (self.reason_text and self.legal_ref):
            raise PydanticCustomError("reason", "who is refused is told the reason and the legal basis")
        return self


class Handed(Value):
    name: Line
    number: Line | None = None
    copies: Annotated[int, Field(ge=1, le=1000)] = 1


class HandoverReceipt(CasePaper):
    """交付回执."""

    handed: Annotated[list[Handed], Field(min_length=1, max_length=60)]
    handed_on: Day
    accepting_org: Agency
    receiver_name: Line
    receiver_is: Literal["PERSON", "AGENT"] = "PERSON"
    clerk: Short
