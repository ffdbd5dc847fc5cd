"""The columns of an import file, and the rule of each column in words (registry import).

One sheet or one CSV holds one record kind: the person (`id_type`, `id_number`, `name`), then the fields of
that kind's line in `protocol/messages.py`. Header names are taken in English or Chinese::

    id_type,id_number,name,insurance,until,balance_fen,principal_fen,interest_fen
    证件类型,证件号码,姓名,险种,截至年月,储存额（分）,本金（分）,利息（分）

All columns of the kind must be there, no other may be; the order is free. Amounts are whole fen.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from protocol.messages import LINES, RecordKind

PERSON_FIELDS = ("id_type", "id_number", "name")

KINDS_ZH: dict[RecordKind, str] = {
    RecordKind.ENROLMENT: "参保状态",
    RecordKind.CONTRIBUTIONS: "缴费历史",
    RecordKind.BALANCE: "个人账户",
    RecordKind.BENEFIT: "待遇状态",
    RecordKind.VOUCHER: "缴费凭证",
    RecordKind.ELIGIBILITY: "资格认证",
}

HEADERS_ZH: dict[str, str] = {
    "id_type": "证件类型",
    "id_number": "证件号码",
    "name": "姓名",
    "insurance": "险种",
    "status": "状态",
    "account_kind": "账户类型",
    "started": "开始年月",
    "ended": "终止年月",
    "employer": "单位名称",
    "kind": "缴费类型",
    "months": "月数",
    "monthly_base_fen": "月缴费基数（分）",
    "employer_fen": "单位缴费（分）",
    "personal_fen": "个人缴费（分）",
    "until": "截至年月",
    "balance_fen": "储存额（分）",
    "principal_fen": "本金（分）",
    "interest_fen": "利息（分）",
    "benefit": "待遇类型",
    "since": "起始年月",
    "monthly_fen": "月待遇（分）",
    "number": "凭证编号",
    "issued_on": "开具日期",
    "valid_until": "有效期至",
    "method": "认证方式",
    "certified_on": "认证日期",
    "due_on": "下次认证日期",
}

_MONTHS = frozenset({"started", "ended", "until", "since"})
_DAYS = frozenset({"issued_on", "valid_until", "certified_on", "due_on"})
_FIELDS_BY_HEADER = {zh: field for field, zh in HEADERS_ZH.items()} | {field: field for field in HEADERS_ZH}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the field, whether its cell holds a whole number, whether it may be empty, its rule."""

    field: str
    is_integer: bool
    is_optional: bool
    expects_zh: str
    expects_en: str


def fields_of(kind: RecordKind) -> tuple[str, ...]:
    """Return the columns of a kind, in the order in which files are written."""
    return (*PERSON_FIELDS, *LINES[kind].model_fields)


def columns_of(kind: RecordKind) -> dict[str, Column]:
    """Return the columns of the line of a kind, by field."""
    return {field: _column(kind, field) for field in LINES[kind].model_fields}


def field_of_header(text: str) -> str | None:
    """Return the field that a header cell names, or None; brackets may be half-width."""
    return _FIELDS_BY_HEADER.get(text.strip().replace("(", "（").replace(")", "）"))


def kind_of_sheet(name: str) -> RecordKind | None:
    """Return the kind that a sheet's name tells, in English or Chinese."""
    return next((kind for kind in RecordKind if name.strip().lower() in (kind.value, KINDS_ZH[kind])), None)


def kind_of_fields(fields: set[str]) -> RecordKind | None:
    """Return the kind whose columns are nearest to these; None when not even half of one kind's are there."""
    nearest = max(
        RecordKind, key=lambda kind: len(fields & set(LINES[kind].model_fields)) / len(LINES[kind].model_fields)
    )
    own = set(LINES[nearest].model_fields)
    return nearest if 2 * len(fields & own) >= len(own) else None


def _column(kind: RecordKind, field: str) -> Column:
    info = LINES[kind].model_fields[field]
    is_integer = field.endswith("_fen") or field == "months"
    choices = [str(one) for one in get_args(info.annotation)] if _is_choice(info.annotation) else []
    zh, en = _expectation(field, choices)
    return Column(field, is_integer, not info.is_required(), zh, en)


def _is_choice(annotation: object) -> bool:
    return getattr(annotation, "__origin__", None) is Literal


def _expectation(field: str, choices: list[str]) -> tuple[str, str]:
    if choices:
        return f"应为以下之一：{'、'.join(choices)}", f"must be one of: {', '.join(choices)}"
    if field in _MONTHS:
        return "应为六位年月，如 202412", "must be a month as YYYYMM, such as 202412"
    if field in _DAYS:
        return "应为日期，如 2024-12-10", "must be a date as YYYY-MM-DD, such as 2024-12-10"
    if field == "months":
        return "应为 0 至 1200 的整数", "must be a whole number from 0 to 1200"
    if field.endswith("_fen"):
        return "应为以分计的整数金额", "must be an amount in whole fen"
    if field == "number":
        return "应为 8 至 32 位大写字母或数字", "must be 8 to 32 capital letters or digits"
    return "应为 1 至 200 个字符", "must have 1 to 200 characters"
