"""Handlers of the messages of this room (protocol §6)."""

from functools import partial

from node.exchange.service import Answer, Handler
from node.records.service import Registry, answer_query
from node.storage.unit_of_work import Transaction
from protocol.envelope import Message
from protocol.errors import InvalidBody
from protocol.messages import Body, RecordQuery


def handlers(registry: Registry) -> dict[str, Handler]:
    """Return the handlers by message type."""
    return {"record.query": partial(_record_query, registry)}


def _record_query(registry: Registry, transaction: Transaction, message: Message, body: Body) -> Answer:
    if not isinstance(body, RecordQuery):
        raise InvalidBody("a record query is expected")
    return answer_query(registry, transaction, message, body)
