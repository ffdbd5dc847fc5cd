"""Body models of every message type (protocol §6).

A body is parsed only after the statement over its bytes is verified (§5.1 step 9). Unknown fields are
refused, types are strict, texts and lists are bounded. One real query, as it travels::

    {"salt": "m3Jv0C2a5v8Y0mO1nE0b9A", "record": "balance",
     "subject": {"id_type": "01", "id_number": "442000199003070018", "name": "邓某"}}

A record is a list of *lines*; what a member may see is decided per field of a line, and the answer
names the fields that were withheld. Money is integer fen, months are `YYYYMM`, dates `YYYY-MM-DD`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from protocol.bodies import Body, Day, Fen, FieldName, Instant, Month, Months, Name, Salt
from protocol.cases import CaseEvent, CaseOpen, Receipt
from protocol.errors import InvalidBody, UnknownMessageType

Insurance = Literal["110", "120", "170", "210", "310", "410"]


class RecordKind(StrEnum):
    """The kinds of record that a city keeps of a person (protocol §6)."""

    ENROLMENT = "enrolment"
    CONTRIBUTIONS = "contributions"
    BALANCE = "balance"
    BENEFIT = "benefit"
    VOUCHER = "voucher"
    ELIGIBILITY = "eligibility"


class EnrolmentLine(Body):
    """参保状态: one relation of one insurance in this city."""

    insurance: Insurance
    status: Literal["ACTIVE", "PAUSED", "ENDED"]
    account_kind: Literal["GENERAL", "TEMPORARY"]
    started: Month
    ended: Month | None = None
    employer: Name | None = None


class ContributionLine(Body):
    """缴费历史: consecutive months with one base."""

    insurance: Insurance
    kind: Literal["NORMAL", "BACK_PAYMENT", "DEEMED"]
    started: Month
    ended: Month
    months: Months
    monthly_base_fen: Fen
    employer_fen: Fen
    personal_fen: Fen


class BalanceLine(Body):
    """个人账户储存额 at the end of a month."""

    insurance: Insurance
    until: Month
    balance_fen: Fen
    principal_fen: Fen
    interest_fen: Fen


class BenefitLine(Body):
    """待遇状态: one benefit."""

    insurance: Insurance
    benefit: Literal["PENSION", "UNEMPLOYMENT", "SURVIVOR", "DISABILITY", "WORK_INJURY"]
    status: Literal["PAYING", "SUSPENDED", "ENDED"]
    since: Month
    monthly_fen: Fen


class VoucherLine(Body):
    """参保缴费凭证: valid 90 days, 未接续 or 已接续."""

    number: Annotated[str, Field(pattern=r"^[A-Z0-9]{8,32}$")]
    insurance: Insurance
    started: Month
    ended: Month
    months: Months
    balance_fen: Fen
    status: Literal["UNCONNECTED", "CONNECTED"]
    issued_on: Day
    valid_until: Day


class EligibilityLine(Body):
    """待遇资格认证: the newest certification; the next is due 12 months later (递延)."""

    insurance: Insurance
    method: Literal["SELF", "COUNTER", "HOME_VISIT", "AGENT", "DATA_MATCH"]
    certified_on: Day
    due_on: Day


LINES: dict[RecordKind, type[Body]] = {
    RecordKind.ENROLMENT: EnrolmentLine,
    RecordKind.CONTRIBUTIONS: ContributionLine,
    RecordKind.BALANCE: BalanceLine,
    RecordKind.BENEFIT: BenefitLine,
    RecordKind.VOUCHER: VoucherLine,
    RecordKind.ELIGIBILITY: EligibilityLine,
}
"""The line model of each kind; its field names are what policy and `withheld` speak of."""


class Subject(Body):
    """The person asked about: type and number of the document, and the name, which must match."""

    id_type: Literal["01", "02", "03", "04", "05", "06", "07"]
    id_number: Annotated[str, Field(min_length=1, max_length=32)]
    name: Name


class Period(Body):
    """Only lines that touch these months, both included."""

    started: Month
    ended: Month


class RecordQuery(Body):
    """`record.query`: one kind of record of one person."""

    salt: Salt
    record: Annotated[RecordKind, Field(strict=False)]
    subject: Subject
    period: Period | None = None
    fields: Annotated[list[FieldName], Field(min_length=1, max_length=40)] | None = None


class RecordAnswer(Body):
    """`record.answer`: `record` holds lines without the withheld fields; absent when nothing was found."""

    salt: Salt
    found: bool
    record: Annotated[list[dict[str, Any]], Field(max_length=2000)] | None = None
    withheld: Annotated[list[FieldName], Field(max_length=40)]
    as_of: Instant


class Ping(Body):
    """`ping`: nothing but the statement."""


class Pong(Body):
    """`pong`: what the other side runs; the clock offset follows from the statement's `iat`."""

    software: Annotated[str, Field(max_length=64)]
    versions: Annotated[list[str], Field(min_length=1, max_length=8)]
    manifest: Annotated[int, Field(ge=1)]
    time: Instant


REQUESTS: dict[str, type[Body]] = {
    "ping": Ping,
    "record.query": RecordQuery,
    "case.open": CaseOpen,
    "case.event": CaseEvent,
}
REPLIES: dict[str, type[Body]] = {"pong": Pong, "record.answer": RecordAnswer, "receipt": Receipt}
REPLY_OF: dict[str, str] = {
    "ping": "pong",
    "record.query": "record.answer",
    "case.open": "receipt",
    "case.event": "receipt",
}
"""Which reply answers which message."""
QUERIES = frozenset({"ping", "record.query"})
"""Types that ask and change nothing: `exp - iat` ≤ 300 s, and their replay rows end with `exp`."""
WITHOUT_PURPOSE = frozenset({"ping", "library.publish"})
"""Types whose statement carries neither `why` nor `who`."""


def parse_body(models: dict[str, type[Body]], message_type: str, body: bytes) -> Body:
    """Return the typed body of a verified message.

    Raises:
        UnknownMessageType: this version does not know the type.
        InvalidBody: not JSON, or against the model; `fields` names places and rules, never values.
    """
    model = models.get(message_type)
    if model is None:
        raise UnknownMessageType(f"types known here: {', '.join(sorted(models))}")
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        raise InvalidBody("the body does not match its type", fields=explain(fault)) from None


def format_body(body: Body) -> bytes:
    """Return the bytes that are digested, signed for and sent, exactly once."""
    return body.model_dump_json(exclude_none=True).encode()


def explain(fault: ValidationError) -> list[dict[str, str]]:
    """Return place and rule of each fault, without input: an unknown key is named `?`."""
    faults = fault.errors(include_url=False, include_context=False, include_input=False)
    return [
        {
            "at": "/".join(
                "?" if one["type"] == "extra_forbidden" and part == one["loc"][-1] else str(part) for part in one["loc"]
            ),
            "rule": one["type"],
        }
        for one in faults[:20]
    ]
