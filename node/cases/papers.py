"""What the papers of a case say: the facts of its transcript, put into the form that the documents room prints.

Nothing is reckoned here. A paper whose step has not been taken cannot be printed, and says which step is missing; what
goes to the person masks the document number, what goes between agencies does not.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from node.cases import store
from node.cases.arithmetic import warnings_of
from node.cases.room import Room, Rules, local_time, person_of
from node.cases.tables import CaseEventRow, CaseRow
from node.cases.transcripts import open_content, parse_event, rules_in, said_of
from node.documents.service import Asked, Documents, Printed, print_document, read_value
from node.storage.unit_of_work import Database
from node.storage.writer import Writer
from protocol.catalogue import Rule
from protocol.errors import InvalidBody, NotFound
from protocol.identifiers import mask_person_id

AGREED: Final = "金额、月数、时间核对相符"
HANDED: Final = "决定与办结告知书"
PLAIN: Final = frozenset({"string", "text", "date", "month", "integer", "division", "enum", "boolean"})


@dataclass(frozen=True, slots=True)
class Case:
    """A case as its papers need it."""

    room: Room
    session: Session
    row: CaseRow
    rules: Rules
    application: dict[str, Any]

    def last(self, event: str) -> tuple[CaseEventRow, Mapping[str, Any]]:
        """Return the last event of a name and what it says.

        Raises:
            InvalidBody: that step has not been taken.
        """
        stored = store.last_event(self.session, self.row.number, event)
        if stored is None:
            named = next((one for one in self.rules.procedure.transitions if one.event == event), None)
            zh, en = (named.zh, named.en) if named else (event, event)
            told = {"at": "kind", "rule": "step", "zh": f"尚未“{zh}”，没有可打印的内容", "en": f"{en}: not done yet"}
            raise InvalidBody("the step that this paper is about has not been taken", fields=[told])
        return stored, parse_event(said_of(self.room, stored).message.body).data

    def day_of(self, stored: CaseEventRow) -> str:
        """Return the day of an event here."""
        return local_time(stored.at).date().isoformat()

    def agency(self, member: str) -> dict[str, str]:
        """Return a city's agency by the manifest."""
        names = self.room.trust().manifest.members[member].names
        return {"division": member, "name": names.get("zh") or next(iter(names.values()))}

    def head(self, *, masked: bool) -> dict[str, Any]:
        """Return what every paper of a case says first."""
        item = self.rules.item
        return {
            "person": self.person(masked=masked),
            "case_number": self.row.number,
            "item": {"code": item.code, "zh": item.name_zh, "en": item.name_en},
        }

    def person(self, *, masked: bool) -> dict[str, str]:
        """Return the person."""
        person = self.application["person"]
        number = str(person["id_no"])
        return {"name": str(person["name"]), "id_no": mask_person_id(number) if masked else number}


def asked_paper(room: Room, session: Session, number: str, kind: str, *, size: str, actor: str) -> Asked:
    """Return a paper of a case, ready to be printed.

    Raises:
        NotFound: no such case, or no paper of this kind comes from a case.
        InvalidBody: its step has not been taken, or its facts do not fit on a paper.
    """
    row = store.case(session, number)
    says = _SAYS.get(kind)
    if row is None or says is None:
        raise NotFound("no such case, or no such paper of a case")
    case = Case(room, session, row, rules_in(room, session, row), open_content(room, row))
    facts = says(case)
    known, value = read_value(kind, {name: one for name, one in facts.items() if one is not None})
    part = str(facts.get("letter_no") or facts.get("order_no") or "")
    return Asked(
        known, value, case=number, part=part, size=size, item=row.item, person=person_of(case.application), actor=actor
    )


async def print_paper(
    room: Room, papers: Documents, database: Database, writer: Writer, number: str, kind: str, *, size: str, actor: str
) -> Printed:
    """Print a paper of a case, or hand the same bytes out again.

    Raises:
        NotFound, InvalidBody: as `asked_paper`.
        PrintingOff: no font, no key, or a character that no font draws; the field is named.
    """
    with database.reading() as session:
        asked = asked_paper(room, session, number, kind, size=size, actor=actor)
    return await print_document(papers, database, writer.submit, asyncio.to_thread, asked)


def _acceptance_slip(case: Case) -> dict[str, Any]:
    row = case.row
    materials = [
        {"name": str(one["name"]), "form": one["form"], **({"pages": one["pages"]} if one.get("pages") else {})}
        for one in case.application.get("material", [])
    ]
    return {
        **case.head(masked=True),
        "accepted_on": local_time(row.opened_at).date().isoformat(),
        "accepting_org": case.agency(row.accepting),
        "responsible_org": case.agency(row.responsible),
        "materials": materials,
        "statutory_due": row.statutory_due_on.isoformat() if row.statutory_due_on else None,
        "promised_due": row.due_on.isoformat() if row.due_on else None,
        "is_provisional": bool(row.due_provisional),
        "clerk": str(case.application.get("verification", {}).get("operator", "-")),
    }


def _missing_items(case: Case) -> dict[str, Any]:
    stored, said = case.last("supplement")
    grounds = {one.name_zh: one.legal_ref for one in case.rules.item.materials}
    default = case.rules.item.basis[0]
    missing = [{"name": name, "legal_ref": grounds.get(name, default), "where": "受理窗口"} for name in said["missing"]]
    return {
        **case.head(masked=True),
        "missing": missing,
        "stopped_since": case.day_of(stored),
        "accepting_org": case.agency(case.row.accepting),
        "clerk": stored.iss,
    }


def _contact_letter(case: Case) -> dict[str, Any]:
    letter = case.application.get("letter")
    if not isinstance(letter, Mapping):
        raise NotFound("only a leg of a transfer has a contact letter")
    known = {name: one for name, one in letter.items() if name not in ("person", "reply")}
    return {**known, "person": case.person(masked=False), "case_number": case.row.number}


def _information_sheet(case: Case) -> dict[str, Any]:
    _stored, said = case.last("sheet")
    warnings = warnings_of(case.rules, said)
    told = "；".join([AGREED, *(one.zh for one in warnings)])
    sheet = {name: one for name, one in said["sheet"].items() if name != "person"}
    return {
        **sheet,
        "person": case.person(masked=False),
        "case_number": case.row.number,
        "from_org": case.agency(case.row.responsible),
        "check_result": told[:2000],
    }


def _fund_notice(case: Case) -> dict[str, Any]:
    _stored, said = case.last("fund-order")
    _sheet, sheet = case.last("sheet")
    return {
        **said["order"],
        "letter_no": case.application["letter"]["letter_no"],
        "case_number": case.row.number,
        "person": case.person(masked=False),
        "from_org": case.agency(case.row.responsible),
        "operator": sheet["sheet"]["operator"],
        "reviewer": sheet["sheet"]["reviewer"],
    }


def _notice(case: Case) -> dict[str, Any]:
    told = case.rules.pack.items.get(case.rules.item.code, {}).get("notice")
    if told is None:
        raise NotFound("the rules of this item know no notice of rights")
    digest = str(case.application.get("notice_signed_digest", ""))
    return {
        **case.head(masked=True),
        "rights": told["rights"],
        "consequences": told["consequences"],
        "confirmation": told["confirmation"],
        "legal_ref": told["source"],
        "issuing_org": case.agency(case.row.accepting),
        "clerk": str(case.application.get("verification", {}).get("operator", "-")),
        "scan_digest": digest.removeprefix("sha256:") if digest.startswith("sha256:") else None,
    }


def _decision(case: Case) -> dict[str, Any]:
    _stored, said = case.last("decide")
    answer: Mapping[str, Any] = said["answer"]
    told = [one for one in case.rules.item.answer_when_approved if answer.get(one.name) not in (None, "", [])]
    facts = [_fact(one, answer[one.name]) for one in told if one.type in PLAIN]
    amounts = [
        {"zh": one.label, "en": one.name, "amount_fen": answer[one.name]} for one in told if one.type == "money_fen"
    ]
    remedy = answer.get("remedy_text") or case.rules.pack.remedy
    return {
        **case.head(masked=True),
        "result": answer["result"],
        "facts": facts,
        "amounts": amounts,
        "reason_text": answer.get("reason_text"),
        "legal_ref": answer.get("legal_ref"),
        "remedy_text": remedy,
        "decided_on": str(answer["decided_at"])[:10],
        "decided_by": str(answer["decided_by"]),
        "reviewed_by": answer.get("reviewed_by"),
        "responsible_org": case.agency(case.row.responsible),
    }


def _fact(rule: Rule, value: Any) -> dict[str, str]:
    shown = {True: "是", False: "否"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    named = next((one.zh for one in rule.choices if one.value == value), shown)
    return {"zh": rule.label, "en": rule.name, "value": named.replace("\n", " ")[:300]}


def _handover_receipt(case: Case) -> dict[str, Any]:
    stored, said = case.last("handover")
    by_agent = said["received_by"] == "agent"
    receiver = case.application.get("agent", {}) if by_agent else case.application["person"]
    return {
        **case.head(masked=True),
        "handed": [{"name": HANDED}],
        "handed_on": said["received_on"],
        "accepting_org": case.agency(case.row.accepting),
        "receiver_name": str(receiver.get("name", "-")),
        "receiver_is": "AGENT" if by_agent else "PERSON",
        "clerk": stored.iss,
    }


_SAYS: Final[Mapping[str, Callable[[Case], dict[str, Any]]]] = {
    "acceptance-slip": _acceptance_slip,
    "missing-items": _missing_items,
    "contact-letter": _contact_letter,
    "information-sheet": _information_sheet,
    "fund-notice": _fund_notice,
    "notice": _notice,
    "decision": _decision,
    "handover-receipt": _handover_receipt,
}
KINDS: Final = tuple(_SAYS)
