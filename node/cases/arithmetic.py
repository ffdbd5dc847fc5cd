"""Where law is arithmetic: what a case says is reckoned anew under its rules, and refused where it differs.

Nothing is corrected: the fault names line and rule, and who wrote it mends it. Interest of the transfer-out city is
authoritative; what only differs from the published rates is a warning, which `warnings_of` shows to the officer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from node.cases.room import CHINA, Rules
from protocol.procedures.eligibility import next_certification
from protocol.procedures.facts import Fault
from protocol.procedures.rules import Rules as AmountRules
from protocol.procedures.sheet import SheetInvalid, parse_sheet
from protocol.procedures.sheet_checks import WARNING, Finding, check_sheet, faults_of
from protocol.procedures.unemployment import unemployment_fee

SHEET: Final = "info_sheet"
LINES: Final = "yearly_lines"


def arithmetic_faults(rules: Rules, data: Mapping[str, Any], application: Mapping[str, Any]) -> list[Fault]:
    """Find where an event's figures are not those of the law; its form has been checked before."""
    if rules.amounts is None:
        return []
    faults = []
    for at, sheet in _sheets(rules, data):
        faults += [Fault(f"{at}/{one.at}", one.rule, one.zh, one.en) for one in _sheet_faults(rules.amounts, sheet)]
    answer = data.get("answer")
    if isinstance(answer, Mapping):
        faults += [*_fee_faults(rules, answer, application), *_cycle_faults(rules, answer, application)]
    return faults


def warnings_of(rules: Rules, data: Mapping[str, Any]) -> list[Finding]:
    """Return what an officer should look at in the sheets of an event."""
    if rules.amounts is None:
        return []
    found = [check_sheet(parse_sheet(sheet), rules.amounts) for _at, sheet in _sheets(rules, data)]
    return [one for findings in found for one in findings if one.severity == WARNING]


def _sheets(rules: Rules, data: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the information sheets of an event: of a leg's own step, and of an answer."""
    rule = next((one for one in rules.item.answer_when_approved if one.name == SHEET), None)
    if rule is None or all(one.name != LINES for one in rule.fields):
        return []
    answer = data.get("answer")
    places = [("sheet", data.get("sheet"))]
    if isinstance(answer, Mapping):
        places.append((f"answer/{SHEET}", answer.get(SHEET)))
    return [(at, sheet) for at, sheet in places if isinstance(sheet, Mapping)]


def _sheet_faults(amounts: AmountRules, sheet: Mapping[str, Any]) -> list[Fault]:
    try:
        found = faults_of(check_sheet(parse_sheet(sheet), amounts))
    except SheetInvalid as invalid:
        return list(invalid.faults)
    return [Fault(one.at, one.rule, one.zh, one.en) for one in found]


def _fee_faults(rules: Rules, answer: Mapping[str, Any], application: Mapping[str, Any]) -> list[Fault]:
    """Compare the fee of an unemployment transfer with benefit and months of its sheet."""
    sheet, kind, fee = answer.get(SHEET), application.get("case_kind"), answer.get("fee_fen")
    if rules.amounts is None or not isinstance(sheet, Mapping) or not isinstance(kind, str) or fee is None:
        return []
    monthly, months = sheet.get("standard_fen"), sheet.get("months_unused")
    if type(monthly) is not int or type(months) is not int or monthly < 0 or months < 0:
        return []
    if unemployment_fee(kind, monthly, months, rules.amounts).fee_fen == fee:
        return []
    return [
        Fault(
            "answer/fee_fen", "fee", "划转费用应为月标准×剩余月数，另加其一半；在职转移为零",
            "the fee is the monthly benefit for the remaining months and a half of it; none for the employed",
        )
    ]  # fmt: skip


def _cycle_faults(rules: Rules, answer: Mapping[str, Any], application: Mapping[str, Any]) -> list[Fault]:
    """Compare the next certification with the cycle, for the items whose pack says that it rolls."""
    cycle = rules.pack.items.get(rules.item.code, {}).get("cycle")
    if rules.amounts is None or not cycle or answer.get(cycle["to"]) is None:
        return []
    certified = datetime.fromisoformat(str(application[cycle["from"]])).astimezone(CHINA).date()
    if answer[cycle["to"]] == next_certification(certified, rules.amounts).isoformat():
        return []
    return [
        Fault(
            f"answer/{cycle['to']}", "cycle", f"下次认证应在认证日之后 {rules.amounts.cycle_months} 个月",
            f"the next certification is due {rules.amounts.cycle_months} months after this one",
        )
    ]  # fmt: skip
