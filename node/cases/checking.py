"""Checks of what a case says, before it is signed here and again where it arrives: fields, materials, attachments."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from node.cases.room import Rules
from protocol.cases import AttachmentRef
from protocol.catalogue import attachments_named
from protocol.catalogue_checks import check_answer, check_application, check_materials
from protocol.errors import InvalidBody
from protocol.procedures.facts import Check, Fault, check_data

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
    rules: Rules, event: str, data: Mapping[str, Any], attachments: Sequence[AttachmentRef], *, today: date
) -> None:
    """Refuse an event whose data its row does not allow.

    Raises:
        InvalidBody: as `check_opening`.
    """
    faults = check_data(rules.procedure.fields_of(event), data, _checks(rules, today))
    named = attachments_named({"material": data.get("material") or [], "answer": data.get("answer") or {}})
    refuse_faults([*faults, *_attached(named, attachments)])


def _checks(rules: Rules, today: date) -> dict[str, Check]:
    def answer(value: Any) -> list[Fault]:
        return [_within("answer", one) for one in check_answer(rules.item, value, today=today)]

    def materials(value: Any) -> list[Fault]:
        return [_within("material", one) for one in check_materials(value, rules.item, today=today)]

    return {"answer": answer, "materials": materials}


def _within(place: str, fault: Any) -> Fault:
    return Fault(f"{place}/{fault.at}", fault.rule, fault.zh, fault.en)


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
