"""Checks of an information sheet before it is signed and where it arrives: nothing is corrected, each finding is told.

A *fault* refuses the sheet: sums, overlap, months per line, dates, record rates, one-off payments without their
document. A *warning* goes to the officer: the transfer-out city's interest is authoritative (one fen a month of
difference is let pass), the bases of a city may differ from its published limits. Findings name line and rule, and
never an amount::

    Finding("fault", "yearly_lines/1/credited_fen", "credited", "第 2 行“当年记账额”…", "line 2: credited …")

How the numbers hang together: `close = open + credited + interest` line by line, in order of time; what came in from
an earlier place joins the balance before the first line that begins after it; years before 1998 are a chain of their
own. A line of no months carries the interest of a year without contributions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import Final

from protocol.procedures.months import month_in
from protocol.procedures.one_off import judge_one_off
from protocol.procedures.reading import line_words
from protocol.procedures.rules import WHOLE, Rules
from protocol.procedures.sheet import LABELS, EarlierTransfer, Sheet, SheetLine
from protocol.procedures.sheet_words import WORDS
from protocol.procedures.transfer import TEMPORARY, Line

FINDINGS_MAX: Final = 200
FAULT: Final = "fault"
WARNING: Final = "warning"
Limits = Mapping[int, tuple[int, int]]
"""Least and most monthly base of a city in fen, by year."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (`fault`) or worth a look (`warning`): place, rule, a sentence in each language."""

    severity: str
    at: str
    rule: str
    zh: str
    en: str


def check_sheet(sheet: Sheet, rules: Rules, base_limits: Limits | None = None) -> list[Finding]:
    """Return what is wrong with a sheet, at most two hundred findings. Cost: linear in its lines and months."""
    checks = (
        _lines(sheet, rules),
        _overlap(sheet),
        _dates(sheet),
        _one_offs(sheet, rules),
        _balances(sheet),
        _interest(sheet, rules),
        _totals(sheet, rules),
        _base_limits(sheet, base_limits or {}),
    )
    return list(islice(chain.from_iterable(checks), FINDINGS_MAX))


def faults_of(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that refuse the sheet."""
    return [one for one in findings if one.severity == FAULT]


def _found(
    rule: str, name: str, *, block: str = "yearly_lines", line: int | None = None, severity: str = FAULT
) -> Finding:
    place = f"{block}/{line}/{name}" if line is not None else f"{block}/{name}" if block else name
    zh, en = WORDS[rule]
    line_zh, line_en = line_words(line)
    block_zh, block_en = ("", "") if block in ("", "yearly_lines", "totals") else LABELS[block]
    where_zh = f"{block_zh}{line_zh}“{LABELS[name][0]}”"
    where_en = f"{block_en}, {line_en}{LABELS[name][1]}" if block_en else f"{line_en}{LABELS[name][1]}"
    return Finding(severity, place, rule, where_zh + zh, f"{where_en} {en}")


def _lines(sheet: Sheet, rules: Rules) -> Iterator[Finding]:
    """Each line by itself: its months, wages, rate and credit."""
    for number, line in enumerate(sheet.lines):
        span = line.last - line.first + 1
        if line.first // 12 != line.year or line.last // 12 != line.year:
            yield _found("year", "year", line=number)
        if span < 1 or line.months not in (span, 0):
            yield _found("months", "months", line=number)
        elif line.months == 0 or line.kind == "DEEMED":
            yield from _without_money(number, line)
        else:
            yield from _paid_line(number, line, sheet, rules)
        parts = ((line.credited_personal_fen, line.credited_fen, "credited_personal_fen"),
                 (line.close_personal_fen, line.close_fen, "close_personal_fen"))  # fmt: skip
        for part, whole, name in parts:
            if part is not None and part > whole:
                yield _found("part", name, line=number)


def _without_money(number: int, line: SheetLine) -> Iterator[Finding]:
    rule = "deemed_money" if line.kind == "DEEMED" else "no_months"
    for name in ("wages_fen", "credited_fen"):
        if getattr(line, name):
            yield _found(rule, name, line=number)


def _paid_line(number: int, line: SheetLine, sheet: Sheet, rules: Rules) -> Iterator[Finding]:
    differ = abs(line.wages_fen - line.monthly_base_fen * line.months)
    if 2 * differ > line.months:
        yield _found("wages", "wages_fen", line=number)
    elif differ:
        yield _found("mean_base", "monthly_base_fen", line=number, severity=WARNING)
    rate = rules.record_rate(line.first)
    if sheet.account_kind != TEMPORARY and rate is not None and line.record_rate_bp != rate:
        yield _found("record_rate", "record_rate_bp", line=number)
    share = _share(line, sheet, rules)
    if line.credited_fen != rules.rounded(line.wages_fen * share, WHOLE):
        yield _found("credited", "credited_fen", line=number)


def _share(line: SheetLine, sheet: Sheet, rules: Rules) -> int:
    """Return what part of the wages the account is credited with, in basis points."""
    rate = rules.record_rate(line.first)
    return line.personal_rate_bp if sheet.account_kind == TEMPORARY or rate is None else rate


def _overlap(sheet: Sheet) -> Iterator[Finding]:
    """Lines in order of time, no month twice; deemed periods and earlier transfers beside them."""
    seen: set[int] = set()
    for number, line in enumerate(sheet.lines):
        months = set(range(line.first, line.last + 1)) if line.months else set()
        if number and line.first < sheet.lines[number - 1].first:
            yield _found("order", "from", line=number)
        if line.kind == "DEEMED":
            if not any(one.first <= line.first and line.last <= one.last for one in sheet.deemed):
                yield _found("deemed_unnamed", "kind", line=number)
            continue
        if months & seen:
            yield _found("overlap", "from", line=number)
        seen |= months
    for number, period in enumerate(sheet.deemed):
        months = set(range(period.first, period.last + 1))
        if period.months != len(months):
            yield _found("months", "months", block="deemed_periods", line=number)
        if months & seen:
            yield _found("overlap", "from", block="deemed_periods", line=number)
        seen |= months
    for number, came in enumerate(sheet.earlier):
        if came.last < came.first or came.months > came.last - came.first + 1:
            yield _found("months", "months", block="earlier_transfers", line=number)
        if any(came.first <= month <= came.last for month in seen):
            yield _found("overlap_earlier", "from", block="earlier_transfers", line=number, severity=WARNING)


def _dates(sheet: Sheet) -> Iterator[Finding]:
    """No month after the relation ended, none regular before the person was insured; papers in their order."""
    issued = month_in(sheet.issued_on)
    if sheet.cut_off > issued:
        yield _found("cut_off_later", "cut_off", block="")
    if sheet.account_opened < sheet.first_insured:
        yield _found("opened_earlier", "account_opened", block="")
    if sheet.first_insured > sheet.cut_off:
        yield _found("insured_later", "first_insured", block="")
    for number, line in enumerate(sheet.lines):
        if line.months and line.last > sheet.cut_off:
            yield _found("after_end", "to", line=number)
        if line.months and line.kind == "NORMAL" and line.first < sheet.first_insured:
            yield _found("before_insured", "from", line=number)
    for number, one in enumerate(sheet.one_offs):
        if one.payment.paid_on > sheet.issued_on:
            yield _found("paid_later", "paid_on", block="one_off_payments", line=number)
        if one.payment.document_date is not None and one.payment.document_date > sheet.issued_on:
            yield _found("document_later", "document_date", block="one_off_payments", line=number)


def _one_offs(sheet: Sheet, rules: Rules) -> Iterator[Finding]:
    """Months bought in one payment move only with their document, and each is told."""
    bought = [line for line in enumerate(sheet.lines) if line[1].kind == "ONE_OFF" and line[1].months]
    for number, one in enumerate(sheet.one_offs):
        payment = one.payment
        if one.months != payment.months:
            yield _found("months", "months", block="one_off_payments", line=number)
        moves = any(line.first <= payment.last and payment.first <= line.last for _, line in bought)
        if moves and judge_one_off(payment, rules).months_not_transferred:
            yield _found("one_off_document", "document_kind", block="one_off_payments", line=number)
    for number, line in bought:
        spans = [one.payment for one in sheet.one_offs]
        if not any(one.first <= line.first and line.last <= one.last for one in spans):
            yield _found("one_off_unnamed", "kind", line=number)


@dataclass(frozen=True, slots=True)
class _Open:
    """A line with the balance before it; `joined` is what came in from earlier places, `chain` 0 before 1998."""

    number: int
    line: SheetLine
    open_fen: int


def _chains(sheet: Sheet) -> tuple[list[_Open], int]:
    """Return the lines of the account since 1998 with their opening balances, and its end with all that came in."""
    waiting = sorted((one for one in sheet.earlier if one.last >= SINCE), key=_ended)
    balance = before = 0
    found = []
    for number, line in enumerate(sheet.lines):
        if line.last < SINCE:
            found.append(_Open(number, line, before))
            before = line.close_fen
            continue
        while waiting and waiting[0].last < line.first:
            balance += waiting.pop(0).account_fen
        found.append(_Open(number, line, balance))
        balance = line.close_fen
    return found, balance + sum(one.account_fen for one in waiting)


SINCE: Final = 1998 * 12


def _ended(one: EarlierTransfer) -> int:
    return one.last


def _balances(sheet: Sheet) -> Iterator[Finding]:
    """Close is open, credit and interest together: what is said must add up, to the fen."""
    for one in _chains(sheet)[0]:
        if one.line.close_fen != one.open_fen + one.line.credited_fen + one.line.interest_fen:
            yield _found("balance", "close_fen", line=one.number)


def _interest(sheet: Sheet, rules: Rules) -> Iterator[Finding]:
    """Interest as the published rates give it, where they are known; beyond a fen a month it is worth a look."""
    opened = [one for one in _chains(sheet)[0] if one.line.last >= SINCE]
    for year, group in groupby(opened, key=_year_of):
        rows = list(group)
        rate = rules.interest_bp.get(year)
        if rules.transfer_year_by_in and year == sheet.issued_on.year:
            rate = 0
        if rate is None:
            continue
        said = sum(one.line.interest_fen for one in rows)
        weighted = sum(line_of(one.line).weighted_fen * _share(one.line, sheet, rules) for one in rows)
        # What joins the balance within the year bears interest from its own month, which the sheet does not say.
        ours = rules.rounded((12 * WHOLE * rows[0].open_fen + weighted) * rate, 12 * WHOLE * WHOLE)
        if abs(said - ours) > max(1, sum(one.line.months for one in rows)):
            rule = "interest_transfer_year" if rate == 0 else "interest"
            yield _found(rule, "interest_fen", line=rows[-1].number, severity=WARNING)


def _year_of(one: _Open) -> int:
    return one.line.year


def line_of(line: SheetLine) -> Line:
    """Return a line of a sheet as `transfer` reckons with it."""
    early, late = line.first % 12 + 1, line.last % 12 + 1
    # Σ (12 - m) of the months, times the mean wage: exact where the wages are base x months.
    twelfths = 12 * line.months - (early + late) * line.months // 2
    weighted = line.wages_fen * twelfths // line.months if line.months else 0
    return Line(
        line.year, line.months, line.wages_fen, weighted, line.record_rate_bp, line.personal_rate_bp,
        line.unit_rate_bp, None, line.first, line.kind,
    )  # fmt: skip


def _totals(sheet: Sheet, rules: Rules) -> Iterator[Finding]:
    """The totals are those of the lines."""
    told, counted = sheet.totals, [one for one in sheet.lines if one.kind != "DEEMED"]
    _, account = _chains(sheet)
    actual = sum(one.months for one in counted) + sum(one.months for one in sheet.earlier)
    before = [one.close_fen for one in sheet.lines if one.last < SINCE][-1:]
    before += [one.account_fen for one in sheet.earlier if one.last < SINCE]
    sums = (
        (told.actual_months == actual, "actual_months", "sum_months"),
        (told.deemed_months == sum(one.months for one in sheet.deemed), "deemed_months", "sum_months"),
        (told.personal_before_1998_fen >= sum(before), "personal_before_1998_fen", "before_1998"),
        (told.account_since_1998_fen == account, "account_since_1998_fen", "sum_account"),
        (
            told.total_fen == told.personal_before_1998_fen + told.account_since_1998_fen + told.pooled_fen,
            "total_fen",
            "sum_total",
        ),
    )
    for holds, name, rule in sums:
        if not holds:
            yield _found(rule, name, block="totals")
    yield from _pooled(sheet, counted, rules)


def _pooled(sheet: Sheet, counted: Sequence[SheetLine], rules: Rules) -> Iterator[Finding]:
    temporary = sheet.account_kind == TEMPORARY
    years: dict[int, int] = {}
    for line in counted:
        rate = line.unit_rate_bp if temporary else rules.pooled_bp
        if temporary or line.first >= rules.pooled_from:
            years[line.year] = years.get(line.year, 0) + line.wages_fen * rate
    ours = sum(rules.rounded(one, WHOLE) for one in years.values()) + sum(one.pooled_fen for one in sheet.earlier)
    said = sheet.totals.pooled_fen
    # The unit's part of a temporary account has interest on top, which is the transfer-out city's.
    if said < ours or (said > ours and not temporary):
        yield _found("sum_pooled_temporary" if temporary else "sum_pooled", "pooled_fen", block="totals")


def _base_limits(sheet: Sheet, limits: Limits) -> Iterator[Finding]:
    for number, line in enumerate(sheet.lines):
        least, most = limits.get(line.year, (0, line.monthly_base_fen))
        if line.months and line.kind != "DEEMED" and not least <= line.monthly_base_fen <= most:
            yield _found("base_limits", "monthly_base_fen", line=number, severity=WARNING)
