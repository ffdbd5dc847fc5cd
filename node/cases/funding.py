"""What cases tell the fund ledger, and ask it: orders and arrivals of legs, and whether a transfer is carried already.

The ledger follows the transcript, in the transaction that applies an event, so both cities of a leg keep the same one.
Where it could not follow at the city that only receives a place, the transcript stands and people see the difference.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import structlog
from sqlmodel import Session

from node.cases import store
from node.cases.room import FUND, Room, Rules, Step, person_of
from node.cases.transcripts import open_content, parse_event, said_of
from node.funds import service as funds
from node.funds.service import Arrival, Bank, Claim, Instruction, Ledger, Order
from node.storage.unit_of_work import Transaction
from protocol.catalogue_legs import LETTER, cities_of
from protocol.errors import EditConflict, InvalidBody

NATIONAL: Final = "national_case_no"

logger = structlog.get_logger("cases")


def claim_transfers(
    room: Room, transaction: Transaction, number: str, rules: Rules, application: Mapping[str, Any]
) -> None:
    """Let a case carry the transfers that it asks for, one per transfer-out city; only the lead city keeps them.

    Raises:
        TransferStands: another case or the national system carries one of them; its number is named.
    """
    for claim in _claims(room, number, rules, application):
        funds.claim_transfer(_ledger(room), transaction, claim)


def check_transfers(room: Room, session: Session, rules: Rules, application: Mapping[str, Any]) -> None:
    """Refuse what `claim_transfers` would refuse, and change nothing.

    Raises:
        TransferStands: as there.
    """
    for claim in _claims(room, None, rules, application):
        stands = funds.standing_of(session, claim)
        if stands is not None:
            raise stands


def _claims(room: Room, number: str | None, rules: Rules, application: Mapping[str, Any]) -> list[Claim]:
    legs = rules.pack.handling_of(rules.item.code).legs if not rules.leg else {}
    if not legs or all(one.name != NATIONAL for one in rules.item.application):
        return []
    national, subject = application.get(NATIONAL), room.vault.blind_index(*person_of(application))
    cities = cities_of(next(iter(legs.values())), application)
    return [Claim(subject, city, number, str(national) if national else None) for city in cities]


def follow_funds(room: Room, transaction: Transaction, step: Step) -> None:
    """Write what an event of a leg says of money, and give up what a closed case carried."""
    stage = step.rules.procedure.stage(step.after.name)
    if not step.rules.leg and stage.closed and step.event is not None and step.responsible == room.member:
        funds.release_transfer(transaction, step.number)
    if not step.rules.leg or FUND not in step.after.flags or step.event is None:
        return
    try:
        _follow(room, transaction, step)
    except (EditConflict, InvalidBody) as refusal:
        # The sequencer refuses the event; a city that only learns of its place cannot.
        if step.responsible == room.member:
            raise
        logger.exception("funds.differ", reason=refusal.detail)


def _follow(room: Room, transaction: Transaction, step: Step) -> None:
    ledger, said = _ledger(room), step.data
    if step.event in ("fund-order", "review"):
        _instruct(room, ledger, transaction, step)
    if step.event == "fund-order":
        order, day = said["order"], date.fromisoformat(said["order"]["value_date"])
        told = Order(step.responsible, order["order_no"], step.accepting, step.number, order["total_fen"], day)
        funds.ordered(ledger, transaction, told)
    elif step.event == "arrival":
        arrival = said["arrival"]
        reference = arrival.get("bank_ref") or f"{arrival['order_no']}#{step.seq}"
        day = date.fromisoformat(arrival["arrival_date"])
        told_of = Arrival(
            step.responsible, reference, step.accepting, arrival["order_no"], arrival["arrival_fen"], day, step.number
        )
        funds.arrived(ledger, transaction, told_of)
    elif step.event in ("reconcile", "mismatch"):
        funds.reconcile(ledger, transaction, step.number)


def _instruct(room: Room, ledger: Ledger, transaction: Transaction, step: Step) -> None:
    """Write what is to be paid: by the newest sheet, to the accounts of the newest order; nothing before the first."""
    order, sheet = (_last(room, transaction, step.number, one) for one in ("fund-order", "sheet"))
    row = store.case(transaction.session, step.number)
    if order is None or row is None:
        return
    ordered, totals = order["order"], (sheet or {}).get("sheet", {}).get("totals")
    account, pooled = ordered["account_fen"], ordered["pooled_fen"]
    if totals is not None:
        account, pooled = totals["personal_before_1998_fen"] + totals["account_since_1998_fen"], totals["pooled_fen"]
    instruction = Instruction(
        number=step.number,
        payer=step.responsible,
        payee=step.accepting,
        letter_no=open_content(room, row)[LETTER]["letter_no"],
        sheet_no=ordered["sheet_no"],
        account_fen=account,
        pooled_fen=pooled,
        total_fen=account + pooled,
        value_on=date.fromisoformat(ordered["value_date"]),
        payer_bank=_bank(ordered["payer"]),
        payee_bank=_bank(ordered["payee"]),
    )
    funds.instruct(ledger, transaction, instruction)


def _last(room: Room, transaction: Transaction, number: str, event: str) -> Mapping[str, Any] | None:
    stored = store.last_event(transaction.session, number, event)
    return parse_event(said_of(room, stored).message.body).data if stored is not None else None


def _bank(account: Mapping[str, Any]) -> Bank:
    return Bank(str(account["account_name"]), str(account["bank_name"]), str(account["account_no"]))


def _ledger(room: Room) -> Ledger:
    return Ledger(room.vault, room.now)
