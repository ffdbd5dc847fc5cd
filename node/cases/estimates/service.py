"""The what-if of clerks: figures without a case, each with the rules that gave it, their sources and their marks.

Nothing is stored and nobody is named. The rules are those in force (`amounts` of the manifest), limits those of the
catalogue, days those of the calendars. A rule with a weak mark makes its figure `uncertain`, and whoever shows it
says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Final

from sqlmodel import Session

from node.cases.checking import refuse_faults
from node.cases.estimates.asking import DueAsked, Question, RetirementAsked, read_question
from node.cases.estimates.showing import shown
from node.cases.room import Room, local_time
from protocol.catalogue import Catalogue, Leg
from protocol.deadlines import CalendarMissing, Calendars, Limit, due
from protocol.errors import InvalidBody
from protocol.procedures.benefit_place import benefit_place, place_figures, taking_figures, who_takes
from protocol.procedures.eligibility import certification_figures
from protocol.procedures.months import month_in
from protocol.procedures.retirement import may_take_fast_track, retirement, retirement_figures
from protocol.procedures.rules import Figure, Rule, Rules
from protocol.procedures.transfer import Transfer, amount_figures, transfer_amounts
from protocol.procedures.unemployment import fee_figures, unemployment_fee

NAMES: Final = {
    "transfer": ("转移金额", "amounts of the transfer"),
    "benefit_place": ("待遇领取地", "benefit place"),
    "joining": ("由谁接续", "who takes the relation"),
    "retirement": ("退休时间", "retirement"),
    "unemployment": ("失业保险划转费用", "unemployment fee"),
    "certification": ("资格认证", "certification"),
    "due": ("办理时限", "due days"),
}
FOLLOWS: Final = {"OUT": "IN_REVIEW", "IN_JOIN": "OUT", "UNTRANSFERABLE_NOTICE": "IN_REVIEW", "FUND": "OUT"}
"""A leg begins when the one before it is over; at the latest on its due day."""
LEGS: Final = {
    "TOTAL": ("全部", "whole case"),
    "IN_REVIEW": ("转入地审核发函", "transfer-in city reviews"),
    "OUT": ("转出地办理", "transfer-out city"),
    "IN_JOIN": ("转入地接续", "transfer-in city joins"),
    "UNTRANSFERABLE_NOTICE": ("不予转移告知本人", "notice of months that stay"),
    "FUND": ("资金划转", "fund"),
    "PENSION": ("养老金核定", "pension"),
    "TOTAL_FAST_PAIR": ("报道的最快值，非承诺", "fastest reported, no commitment"),
    "FAST_TRACK": ("快速通道", "fast track"),
    "LOSS_TEMP": ("临时挂失", "loss report"),
}
Answered = dict[str, Any]


def estimate(room: Room, session: Session, content: Any) -> Answered:
    """Return `{"rules": {version, digest}, "sections": [{name, zh, en, figures: […]}]}`.

    Raises:
        InvalidBody: `fields` tells place and rule; never a value.
        UnknownItem: a document that the network names is not here.
    """
    rules, catalogue = room.documents.amounts_in_force(session), room.documents.catalogue_in_force(session)
    if not isinstance(content, Mapping):
        raise InvalidBody("a question is an object")
    asked, faults = read_question(content, rules, frozenset(catalogue.items))
    refuse_faults(faults)
    today = local_time(room.now()).date()
    given: dict[str, Callable[[], Sequence[Answered]]] = {
        "transfer": lambda: _figures(_transfer(asked.transfer, rules)),
        "benefit_place": lambda: _figures(_place(asked, rules)),
        "joining": lambda: _figures(taking_figures(who_takes(asked.joining, rules), rules)) if asked.joining else [],
        "retirement": lambda: _figures(_retirement(asked.retirement, rules, today)),
        "unemployment": lambda: _figures(_fee(asked, rules)),
        "certification": lambda: _figures(_certification(asked, rules)),
        "due": lambda: _due_days(asked.due, catalogue, room.documents.calendars(session)),
    }
    sections = [
        {"name": name, "zh": words[0], "en": words[1], "figures": figures, **_years(name, asked, rules)}
        for name, words in NAMES.items()
        if (figures := list(given[name]()))
    ]
    return {"rules": {"version": rules.version, "digest": rules.digest}, "sections": sections}


def rules_in_force(room: Room, session: Session) -> Answered:
    """Return the rules that estimates rest on, those that are uncertain marked."""
    rules = room.documents.amounts_in_force(session)
    return {
        "version": rules.version,
        "digest": rules.digest,
        "valid_from": rules.valid_from.isoformat(),
        "rules": [_rule(one) for one in rules.by_code.values()],
    }


def _transfer(asked: Transfer | None, rules: Rules) -> Sequence[Figure]:
    return amount_figures(transfer_amounts(asked, rules), rules) if asked is not None else ()


def _years(name: str, asked: Question, rules: Rules) -> Answered:
    if name != "transfer" or asked.transfer is None:
        return {}
    return {"years": [one._asdict() for one in transfer_amounts(asked.transfer, rules).years]}


def _place(asked: Question, rules: Rules) -> Sequence[Figure]:
    return place_figures(benefit_place(asked.hukou, asked.stays, rules), rules) if asked.stays is not None else ()


def _retirement(asked: RetirementAsked | None, rules: Rules, today: date) -> Sequence[Figure]:
    if asked is None:
        return ()
    retiring = retirement(asked.birth_month, asked.category, rules)
    figures = retirement_figures(retiring, rules)
    if asked.paid_months is not None:
        fast = may_take_fast_track(
            retiring, month_in(today), paid_months=asked.paid_months, deemed_months=asked.deemed_months, rules=rules
        )
        words = ("今天即可免审档案办理", "no review of the paper file, today")
        figures.append(rules.figure("fast_track", words, fast, "boolean", "FAST_TRACK", "MINIMUM_MONTHS"))
    return figures


def _fee(asked: Question, rules: Rules) -> Sequence[Figure]:
    one = asked.unemployment
    return fee_figures(unemployment_fee(one.case_kind, one.monthly_fen, one.months_unused, rules), rules) if one else ()


def _certification(asked: Question, rules: Rules) -> Sequence[Figure]:
    return certification_figures(asked.certified_on, rules) if asked.certified_on is not None else ()


def _due_days(asked: DueAsked | None, catalogue: Catalogue, calendars: Calendars) -> list[Answered]:
    """Return the last day of each leg, every one of them taking all its time; of limits in minutes there is none."""
    if asked is None:
        return []
    item, found = catalogue.items[asked.item], []
    for kind, legs in (("statutory", item.statutory_legs), ("promised", item.promised_legs)):
        ends: dict[str, date | None] = {}
        for leg in legs:
            if leg.limit.unit == "minute":
                continue
            begun = ends.get(FOLLOWS.get(leg.leg, ""), asked.received_on)
            on, note = _day(begun, leg.limit, calendars)
            ends.setdefault(leg.leg, on)
            figure = _leg(kind, leg, on, catalogue)
            found.append({**_figure(figure), **({"note": {"zh": note[0], "en": note[1]}} if note else {})})
    return found


KINDS: Final = {"statutory": ("法定", "statutory"), "promised": ("承诺", "promised")}


def _leg(kind: str, leg: Leg, on: date | None, catalogue: Catalogue) -> Figure:
    zh, en = KINDS[kind]
    leg_zh, leg_en = LEGS.get(leg.leg, (leg.leg, leg.leg))
    unit_zh, unit_en = UNITS[leg.limit.unit]
    rule = Rule(
        f"{kind}_{leg.leg}".upper(),
        f"{zh}时限 {leg.limit.value} 个{unit_zh}",
        f"{en} limit of {leg.limit.value} {unit_en}",
        leg.source or f"事项目录 {catalogue.version}",
        leg.mark,
    )
    name = f"{kind}_{leg.leg.lower()}"
    return Figure(name, f"{zh}：{leg_zh}", f"{en}: {leg_en}", on.isoformat() if on else None, "date", (rule,))


UNITS: Final = {"working_day": ("工作日", "working days"), "calendar_day": ("自然日", "calendar days")}


def _day(begun: date | None, limit: Limit, calendars: Calendars) -> tuple[date | None, tuple[str, str] | None]:
    if begun is None:
        return None, ("前一环节没有到期日", "the leg before it has no due day")
    try:
        found = due(begun, limit, calendars)
    except CalendarMissing as fault:
        return None, (f"缺少 {fault.year} 年工作日历", f"there is no calendar for {fault.year}")
    return found.on, ("暂估", "provisional") if found.provisional else None


def _figures(figures: Sequence[Figure]) -> list[Answered]:
    return [_figure(one) for one in figures]


def _figure(figure: Figure) -> Answered:
    zh, en = shown(figure.value, figure.unit)
    return {
        "name": figure.name,
        "zh": figure.zh,
        "en": figure.en,
        "value": figure.value,
        "unit": figure.unit,
        "shown": {"zh": zh, "en": en},
        "uncertain": figure.is_uncertain,
        "rules": [_rule(one) for one in figure.rules],
    }


def _rule(rule: Rule) -> Answered:
    since = rule.valid_from.isoformat() if rule.valid_from else None
    return {**asdict(rule), "valid_from": since, "uncertain": rule.is_uncertain}
