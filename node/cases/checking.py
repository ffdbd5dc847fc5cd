"""Checks of what a case says, before it is signed here and again where it arrives: fields, materials, attachments."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from node.cases.arithmetic import arithmetic_faults
from node.cases.room import Rules
from protocol.cases import AttachmentRef
from protocol.catalogue import Rule, attachments_named
from protocol.catalogue_checks import check_answer, check_application, check_field, check_materials
from protocol.errors import InvalidBody, UnknownItem
from protocol.procedures.facts import LINES_MAX, Check, Fault, check_data
from protocol.procedures.pack import EventField

FAULTS_MAX = 50


def check_opening(
    rules: Rules, application: Mapping[str, Any], attachments: Sequence[AttachmentRef], *, today: date
) -> None:
    """Refuse an application that the item's rules do not allow.

    Raises:
        InvalidBody: `fields` holds place, rule and a sentence in each language; never a value.
    """
    faults = [
        Fault(one.at, one.rule, one.zh, one.en) for one in check_application(rules.item, application, today=today)
    ]
    faults += _attached(attachments_named(application), attachments)
    refuse_faults(faults)


def check_event(
    rules: Rules, event: str, data: Mapping[str, Any], attachments: Sequence[AttachmentRef], *,
    application: Mapping[str, Any], today: date,
) -> None:  # fmt: skip
    """Refuse an event whose data its row does not allow, or whose figures are not those of the law.

    Raises:
        InvalidBody: as `check_opening`.
    """
    fields = rules.procedure.fields_of(event)
    faults = check_data(fields, data, _checks(rules, today, fields))
    named = attachments_named({"material": data.get("material") or [], "answer": data.get("answer") or {}})
    refuse_faults([*faults, *_attached(named, attachments)])
    refuse_faults(arithmetic_faults(rules, data, application))


def _checks(rules: Rules, today: date, fields: Sequence[EventField]) -> dict[str, Check]:
    def answer(value: Any) -> list[Fault]:
        return [_within("answer", one) for one in check_answer(rules.item, value, today=today)]

    def materials(value: Any) -> list[Fault]:
        return [_within("material", one) for one in check_materials(value, rules.item, today=today)]

    ruled = {one.type: _by_rule(one, rule, today) for one in fields if (rule := _rule_of(rules, one)) is not None}
    return {"answer": answer, "materials": materials, **ruled}


def _rule_of(rules: Rules, field: EventField) -> Rule | None:
    """Return what the catalogue says of a field of an event: a block, a list of blocks, a field of the answer."""
    kind, _, name = field.type.partition(":")
    if not name:
        return None
    if kind == "answer":
        rule = next((one for one in rules.item.answer_when_approved if one.name == name), None)
    else:
        rule = rules.catalogue.block(name, field.zh)
    if rule is None:
        raise UnknownItem("the catalogue of this case has no such document")
    if kind == "blocks":
        return Rule(field.name, field.zh, "list", True, of=rule, least=1, most=LINES_MAX, levels=rule.levels + 1)
    return rule


def _by_rule(field: EventField, rule: Rule, today: date) -> Check:
    def check(value: Any) -> list[Fault]:
        return [_within(field.name, one) for one in check_field(rule, value, today=today)]

    return check


def _within(place: str, fault: Any) -> Fault:
    return Fault(f"{place}/{fault.at}" if fault.at else place, fault.rule, fault.zh, fault.en)


def _attached(named: Sequence[str], attachments: Sequence[AttachmentRef]) -> list[Fault]:
    listed = [one.sha256 for one in attachments]
    faults = []
    if len(set(listed)) != len(listed):
        faults.append(Fault("attachments", "twice", "同一附件列了两次", "an attachment is listed twice"))
    if set(named) - set(listed):
        faults.append(
            Fault("attachments", "not_listed", "材料中提到的附件没有列出", "a material names an attachment not listed")
        )
    return faults


def refuse_faults(faults: Sequence[Fault]) -> None:
    """Refuse when there are faults.

    Raises:
        InvalidBody: with the first fifty.
    """
    if faults:
        fields = [{"at": one.at, "rule": one.rule, "zh": one.zh, "en": one.en} for one in faults[:FAULTS_MAX]]
        raise InvalidBody("the content does not meet the item's rules", fields=fields)
