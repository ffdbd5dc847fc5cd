"""Makers of a city that answers: a registry with one person, release rules, and questions of a peer."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from node.audit.service import Log, entries
from node.exchange.service import Answer
from node.records.connectors.builtin import builtin_ahead, builtin_registry
from node.records.filling import Filling, fill
from node.records.importing import ParsedRow
from node.records.service import Registry, answer_query, new_salt, set_release_rules
from node.storage.encryption import open_vault
from node.storage.unit_of_work import Database, Transaction
from protocol.envelope import Message, unseal
from protocol.identifiers import parse_person_id
from protocol.messages import RecordAnswer, RecordKind, RecordQuery, Subject
from tests.networks import TestNetwork, make_network

NOW = datetime(2026, 11, 24, 3, 12, 44, tzinfo=UTC)
ME, PEER, OTHER = "442000", "450400", "440900"
VAULT = open_vault(bytes(32), os.urandom)
LOG = Log("tongban/yizhangwang/442000/1", VAULT, os.urandom)
ITEMS = frozenset({"PEN-LUMPSUM", "PEN-TRANSFER"})
REGISTRY = Registry(builtin_registry(VAULT), builtin_ahead(VAULT), ITEMS, os.urandom, lambda: NOW)
PERSON, NAME = ("01", "442000199003070018"), "邓某"
SUBJECT = Subject(id_type="01", id_number=PERSON[1], name=NAME)
BALANCE = {
    "insurance": "110",
    "until": "202412",
    "balance_fen": 1917763,
    "principal_fen": 1719648,
    "interest_fen": 198115,
}


def months(started: str, ended: str) -> dict[str, Any]:
    """Return a line of contributions."""
    amounts = {"monthly_base_fen": 500_000, "employer_fen": 80_000, "personal_fen": 40_000}
    return {"insurance": "110", "kind": "NORMAL", "started": started, "ended": ended, "months": 12, **amounts}


def a_row(line: dict[str, Any], *, kind: str = "balance", number: str = PERSON[1], name: str = NAME) -> ParsedRow:
    return ParsedRow(RecordKind(kind), 2, parse_person_id("01", number, today=NOW.date()), name, line)


def a_filling(database: Database, import_id: str = "import-1", **changes: Any) -> Filling:
    return Filling(
        **{"database": database, "vault": VAULT, "import_id": import_id, "actor": "o-1", "now": NOW, **changes}
    )


def a_rule(**changes: Any) -> dict[str, Any]:
    given = {"peer": PEER, "item": "PEN-LUMPSUM", "record": "balance", "fields": ["insurance", "until", "balance_fen"]}
    return {**given, **changes}


@dataclass
class AnsweringCity:
    """The city 442000, asked by 450400 (or another) over sealed messages that are unsealed for real."""

    database: Database
    network: TestNetwork

    def release(self, *rules: dict[str, Any]) -> int:
        return self.database.write(lambda tx: set_release_rules(tx, rules, items=ITEMS, actor="o-1", now=NOW))

    def fill(self, *rows: ParsedRow, import_id: str = "import-1") -> None:
        fill(a_filling(self.database, import_id), rows, "digest")

    def message(self, query: RecordQuery, sender: str = PEER, **claims: Any) -> Message:
        raw = self.network.seal(sender, ME, query, msg="record.query", **claims)
        return unseal(raw, self.network.trust_of(ME), peer=sender, now=NOW)

    def ask(self, record: str = "balance", *, sender: str = PEER, **changes: Any) -> RecordAnswer:
        """Ask, and return the answer's body. Changes: `why`, or any field of the query."""
        claims = {"why": changes.pop("why")} if "why" in changes else {}
        query = a_query(record, **changes)
        message = self.message(query, sender, **claims)

        def work(transaction: Transaction) -> Answer:
            return answer_query(REGISTRY, transaction, message, query)

        answered = self.database.write(work)
        assert answered.person == (query.subject.id_type, query.subject.id_number)
        return RecordAnswer.model_validate_json(answered.body)

    def log(self, kind: str | None = None) -> list[dict[str, Any]]:
        with self.database.reading() as session:
            return list(entries(session, kind=kind))


def a_query(record: str = "balance", **changes: Any) -> RecordQuery:
    given = {"salt": new_salt(os.urandom), "record": RecordKind(record), "subject": SUBJECT, **changes}
    return RecordQuery(**given)


def make_city_that_answers(database: Database) -> AnsweringCity:
    """Return the city with the person's balance, released to 450400 for one item."""
    city = AnsweringCity(database, NETWORK)
    city.fill(a_row(BALANCE))
    city.release(a_rule())
    return city


NETWORK = make_network([ME, PEER, OTHER], NOW)
