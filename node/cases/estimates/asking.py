"""What a clerk may ask beforehand (what-if), read as values: an object with one section per question.

    {"transfer": {"account_kind": "GENERAL", "from_division": "442000", "to_division": "520300",
                  "lines": [{"from": "201907", "to": "202312", "monthly_base_fen": 458800}]},
     "benefit_place": {"hukou_division": "520300",
                       "history": [{"division": "442000", "kind": "GENERAL", "months": 54}]},
     "joining": {"sex": "male", "birth_month": "196803", "month": "202401", "division": "520300",
                 "hukou_division": "520300", "has_general_elsewhere": true},
     "retirement": {"birth_month": "196803", "category": "MALE"},
     "unemployment": {"case_kind": "ENTITLED", "monthly_fen": 171000, "months_unused": 9},
     "certification": {"certified_on": "2026-11-24"},
     "due": {"item": "PEN-TRANSFER", "received_on": "2026-11-24"}}

Nobody is named: a month of birth is enough, and what is not known here is refused. Nothing of it is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from protocol.procedures.benefit_place import Joining, Stay, StayKind
from protocol.procedures.facts import Fault
from protocol.procedures.months import month_in
from protocol.procedures.reading import Reading, line_words
from protocol.procedures.rules import Rules
from protocol.procedures.sheet import ACCOUNT_KINDS, BP_MAX, LABELS, MONTHS_MAX, read_one_off
from protocol.procedures.transfer import Before1998, Line, Transfer, pay_line

LINES_MAX: Final = 1_000
YEARS_MAX: Final = 80
CASE_KINDS: Final = frozenset({"EMPLOYED", "ENTITLED", "RECEIVING"})
SECTIONS: Final = frozenset(
    {"transfer", "benefit_place", "joining", "retirement", "unemployment", "certification", "due"}
)
WORDS: Final = LABELS | {
    "?": ("内容", "the question"),
    "transfer": ("转移金额", "transfer"),
    "from_division": ("转出地", "transfer-out place"),
    "to_division": ("转入地", "transfer-in place"),
    "lines": ("缴费时段", "contributions"),
    "interest_rate_bp": ("记账利率", "interest rate"),
    "before_1998": ("1998年前个人缴费", "own contributions before 1998"),
    "principal_fen": ("本金", "principal"),
    "interest_fen": ("利息", "interest"),
    "transferred_in": ("划转年月", "month of the transfer"),
    "benefit_place": ("待遇领取地", "benefit place"),
    "history": ("参保经历", "history"),
    "joining": ("新地参保", "joining"),
    "sex": ("性别", "sex"),
    "birth_month": ("出生年月", "month of birth"),
    "month": ("新地参保年月", "month of joining"),
    "insured_here_since": ("此前在该地参保起始年月", "insured here before, since"),
    "retirement": ("退休", "retirement"),
    "category": ("人员类别", "category"),
    "paid_months": ("缴费月数", "months paid"),
    "unemployment": ("失业保险划转", "unemployment fee"),
    "case_kind": ("情形", "kind of case"),
    "monthly_fen": ("月失业保险金", "monthly benefit"),
    "months_unused": ("未领月数", "months not drawn"),
    "certification": ("资格认证", "certification"),
    "certified_on": ("认证日期", "certified on"),
    "due": ("办理时限", "due days"),
    "received_on": ("受理日期", "received on"),
    "item": ("事项", "item"),
}


@dataclass(frozen=True, slots=True)
class RetirementAsked:
    """Whose retirement: month of birth as a number, and the months paid where they are known."""

    birth_month: int
    category: str
    paid_months: int | None
    deemed_months: int


@dataclass(frozen=True, slots=True)
class UnemploymentAsked:
    """What fee."""

    case_kind: str
    monthly_fen: int
    months_unused: int


@dataclass(frozen=True, slots=True)
class DueAsked:
    """Which item, received on which day."""

    item: str
    received_on: date


@dataclass(frozen=True, slots=True)
class Question:
    """All that was asked; what was not is None."""

    transfer: Transfer | None = None
    hukou: str = ""
    stays: Sequence[Stay] | None = None
    joining: Joining | None = None
    retirement: RetirementAsked | None = None
    unemployment: UnemploymentAsked | None = None
    certified_on: date | None = None
    due: DueAsked | None = None


def read_question(content: Mapping[str, Any], rules: Rules, items: frozenset[str]) -> tuple[Question, list[Fault]]:
    """Return what was asked, and what is wrong with it; with faults the question means nothing."""
    faults: list[Fault] = []
    whole = Reading(content, "", faults, WORDS)
    whole.only(SECTIONS)
    asked = {name: whole.one(name) for name in SECTIONS if whole.has(name)}
    if not asked and not faults:
        whole.fault("?", "required")
    stays = _stays(asked["benefit_place"], rules) if "benefit_place" in asked else None
    question = Question(
        transfer=_transfer(asked["transfer"], rules) if "transfer" in asked else None,
        hukou=rules.pool_of(asked["benefit_place"].division("hukou_division")) if stays is not None else "",
        stays=stays,
        joining=_joining(asked["joining"], rules) if "joining" in asked else None,
        retirement=_retirement(asked["retirement"], rules) if "retirement" in asked else None,
        unemployment=_unemployment(asked["unemployment"]) if "unemployment" in asked else None,
        certified_on=_certified(asked["certification"]) if "certification" in asked else None,
        due=_due(asked["due"], items) if "due" in asked else None,
    )
    return question, faults


def _transfer(row: Reading, rules: Rules) -> Transfer:
    row.only({"account_kind", "from_division", "to_division", "lines", "before_1998", "deemed_months",
              "one_off_payments", "transferred_in"})  # fmt: skip
    moved_in = row.month("transferred_in") if row.has("transferred_in") else None
    year = moved_in // 12 if moved_in is not None else None
    lines = _lines(row, rules)
    if lines and year is not None and not lines[-1].year <= year <= lines[0].year + YEARS_MAX:
        _tell(row, "transferred_in", "order", None)
    return Transfer(
        account_kind=row.choice("account_kind", ACCOUNT_KINDS),
        from_division=row.division("from_division"),
        to_division=row.division("to_division"),
        lines=lines,
        before_1998=_before(row.one("before_1998")) if row.has("before_1998") else Before1998(),
        deemed_months=row.whole("deemed_months", 0, MONTHS_MAX) if row.has("deemed_months") else 0,
        one_offs=[read_one_off(one) for one in row.rows("one_off_payments", LINES_MAX)],
        through_year=year,
        transfer_year=year,
    )


def _before(row: Reading) -> Before1998:
    row.only({"months", "principal_fen", "interest_fen"})
    return Before1998(row.whole("months", 0, MONTHS_MAX), row.fen("principal_fen"), row.fen("interest_fen"))


def _lines(row: Reading, rules: Rules) -> list[Line]:
    """Return the lines in order of time, each cut where a year ends; a month that stands twice is a fault."""
    found: list[tuple[int, list[Line]]] = []
    for one in row.rows("lines", LINES_MAX):
        found.append((one.line or 0, _line(one, rules)))
    found.sort(key=_begins)
    end = -1
    for number, lines in found:
        if lines and lines[0].first <= end:
            _tell(row, f"lines/{number}/from", "overlap", number)
        end = lines[-1].first + lines[-1].months - 1 if lines else end
    return [line for _, lines in found for line in lines]


def _begins(one: tuple[int, list[Line]]) -> int:
    return one[1][0].first if one[1] else 0


def _line(row: Reading, rules: Rules) -> list[Line]:
    row.only({"from", "to", "monthly_base_fen", "kind", "unit_rate_bp", "personal_rate_bp", "interest_rate_bp"})
    first, last, base = row.month("from"), row.month("to"), row.fen("monthly_base_fen")
    kind = row.choice("kind", {"NORMAL", "BACK", "ONE_OFF"}) if row.has("kind") else "NORMAL"
    rates = {name: row.whole(name, 0, BP_MAX) if row.has(name) else 0 for name in ("unit_rate_bp", "personal_rate_bp")}
    rate = row.whole("interest_rate_bp", 0, BP_MAX) if row.has("interest_rate_bp") else None
    if not first <= last < first + YEARS_MAX * 12:
        _tell(row, "to", "order", row.line)
        return []
    years = range(first // 12, last // 12 + 1)
    return [
        pay_line(
            max(first, year * 12), min(last, year * 12 + 11), base, rules, kind=kind, interest_rate_bp=rate,
            unit_rate_bp=rates["unit_rate_bp"], personal_rate_bp=rates["personal_rate_bp"],
        )
        for year in years
    ]  # fmt: skip


_ORDER: Final = {
    "order": ("早于起始年月，或相隔过长", "is before the first month, or too far from it"),
    "overlap": ("起的月份与其他行重复", "begins months that stand in another line, too"),
}


def _tell(row: Reading, name: str, rule: str, number: int | None) -> None:
    line_zh, line_en = line_words(number)
    label_zh, label_en = WORDS[name.rsplit("/", 1)[-1]]
    zh, en = _ORDER[rule]
    row.faults.append(Fault(f"{row.at}/{name}", rule, f"{line_zh}“{label_zh}”{zh}", f"{line_en}{label_en} {en}"))


def _stays(row: Reading, rules: Rules) -> list[Stay]:
    row.only({"hukou_division", "history"})
    found = []
    for one in row.rows("history", LINES_MAX):
        one.only({"division", "kind", "months", "deemed_months"})
        deemed = one.whole("deemed_months", 0, MONTHS_MAX) if one.has("deemed_months") else 0
        pool, kind = rules.pool_of(one.division("division")), StayKind(one.choice("kind", set(StayKind)))
        found.append(Stay(pool, kind, one.whole("months", 0, MONTHS_MAX), deemed))
    return found


def _joining(row: Reading, rules: Rules) -> Joining:
    flags = ("has_general_elsewhere", "is_benefit_place", "approved_relocation", "draws_pension")
    row.only({"sex", "birth_month", "month", "division", "hukou_division", "insured_here_since", *flags})
    since = row.month("insured_here_since") if row.has("insured_here_since") else None
    told = {name: row.flag(name) for name in flags}
    return Joining(
        sex=row.choice("sex", rules.temporary_age_months.keys()),
        birth_month=row.month("birth_month"),
        month=row.month("month"),
        pool=rules.pool_of(row.division("division")),
        hukou=rules.pool_of(row.division("hukou_division")),
        insured_here_since=since,
        **told,
    )


def _retirement(row: Reading, rules: Rules) -> RetirementAsked:
    row.only({"birth_month", "category", "paid_months", "deemed_months"})
    paid = row.whole("paid_months", 0, MONTHS_MAX) if row.has("paid_months") else None
    deemed = row.whole("deemed_months", 0, MONTHS_MAX) if row.has("deemed_months") else 0
    birth, latest = row.month("birth_month"), month_in(date(2100, 1, 1))
    if birth > latest:
        row.fault("birth_month", "month")
    return RetirementAsked(birth, row.choice("category", rules.ages.keys()), paid, deemed)


def _unemployment(row: Reading) -> UnemploymentAsked:
    row.only({"case_kind", "monthly_fen", "months_unused"})
    kind = row.choice("case_kind", CASE_KINDS)
    return UnemploymentAsked(kind, row.fen("monthly_fen"), row.whole("months_unused", 0, MONTHS_MAX))


def _certified(row: Reading) -> date:
    row.only({"certified_on"})
    return row.day("certified_on")


def _due(row: Reading, items: frozenset[str]) -> DueAsked:
    row.only({"item", "received_on"})
    return DueAsked(row.choice("item", items), row.day("received_on"))
