"""Records of persons: answer a peer, ask a peer or the whole network, fill the registry, set what is released.

A record never leaves without purpose and rule (`protocol.policy`), and never with a field that the rule
does not name. Every answer, question, import and change of rules is a log entry in its own transaction.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final

from sqlmodel import Session

from node.audit.service import Entry
from node.exchange.service import Answer, Answered, Asking, Handler, Question, ReadingHandler, RefusedByPeer
from node.records import store
from node.records.connectors import AheadOf, Connector
from node.storage.encryption import Vault
from node.storage.unit_of_work import Ahead, Reading, Transaction
from node.transport.client import NoAnswer
from protocol.bodies import Body
from protocol.claims import Who, Why, sha256
from protocol.envelope import Message
from protocol.errors import InvalidBody, Refusal
from protocol.identifiers import InvalidIdentifier, format_case_number, parse_person_id
from protocol.messages import LINES, Period, RecordAnswer, RecordKind, RecordQuery, Subject, format_body
from protocol.policy import ReleaseRule, check_purpose, decide
from protocol.suites import encode

CHINA: Final = timezone(timedelta(hours=8))
CONSULTATION: Final = "ZX"


@dataclass(frozen=True, slots=True)
class Registry:
    """What answering needs, as values."""

    connector: Connector
    ahead: AheadOf
    items: Collection[str]
    random: Callable[[int], bytes]
    now: Callable[[], datetime]


def message_handlers(registry: Registry) -> dict[str, Handler]:
    """Return the handlers of this room's messages, by type."""

    def ahead(message: Message, body: Body) -> Ahead:
        if not isinstance(body, RecordQuery) or message.claims.why is None:
            return ()
        rules = _rule_keys(message.claims.iss, message.claims.why.item, body.record)
        return [*((store.RULE, key) for key in rules), *registry.ahead(body.subject, body.record)]

    def answer(reading: Reading, message: Message, body: Body) -> Answer:
        if not isinstance(body, RecordQuery):
            raise InvalidBody("a record query is expected")
        return answer_query(registry, reading, message, body)

    return {"record.query": ReadingHandler(ahead, answer)}


def answer_query(registry: Registry, reading: Reading, message: Message, query: RecordQuery) -> Answer:
    """Answer a peer's `record.query` (protocol §5.1 steps 10 and 11, §6).

    Raises:
        UnknownItem, PolicyDenied, InvalidBody: what the purpose, the rule or the person's number breaks.
    """
    # 10 purpose, rule, fields   11 look up, cut lines to period and fields
    if message.claims.why is None:
        raise InvalidBody("a record query has a purpose")
    person = _person(query.subject, registry.now())
    check_purpose(message.claims.why, registry.items)  # 10
    rule = _rule(reading, message.claims.iss, message.claims.why.item, query.record)
    decision = decide(rule, query.record, query.fields)
    found = registry.connector(reading, query.subject, query.record)  # 11
    lines = None
    if found is not None:
        lines = [_cut(line, decision.released) for line in found.lines if _touches(line, query.period)]
    answer = RecordAnswer(
        salt=new_salt(registry.random),
        found=found is not None,
        record=lines,
        withheld=list(decision.withheld),
        as_of=instant(found.as_of if found else registry.now()),
    )
    return Answer(body=format_body(answer), person=person)


def _person(subject: Subject, now: datetime) -> tuple[str, str]:
    try:
        person = parse_person_id(subject.id_type, subject.id_number, today=now.astimezone(CHINA).date())
    except InvalidIdentifier as fault:
        raise InvalidBody(
            "the person's number is not valid", fields=[{"at": "subject/id_number", "rule": fault.reason}]
        ) from None
    if person.number != subject.id_number:
        raise InvalidBody(
            "the person's number is not in canonical form", fields=[{"at": "subject/id_number", "rule": "form"}]
        )
    return subject.id_type, subject.id_number


def _rule(reading: Reading, peer: str, item: str, record: RecordKind) -> ReleaseRule | None:
    """Return the rule for this peer, else the one for any; read with every group, so it is never an old one."""
    for key in _rule_keys(peer, item, record):
        row = reading.find(store.RULE, key)
        if row is not None:
            return ReleaseRule(peer=peer, item=item, record=record, fields=frozenset(row[0].split(",")))
    return None


def _rule_keys(peer: str, item: str, record: RecordKind) -> list[tuple[str, str, str]]:
    return [(one, item, record.value) for one in (peer, store.ANY_PEER)]


def _cut(line: dict[str, Any], released: Sequence[str]) -> dict[str, Any]:
    return {name: line[name] for name in released if line.get(name) is not None}


def _touches(line: dict[str, Any], period: Period | None) -> bool:
    if period is None or "started" not in line:
        return True
    return bool(line["started"] <= period.ended and (line.get("ended") or "999912") >= period.started)


def new_salt(random: Callable[[int], bytes]) -> str:
    """Return the `salt` of a body about a person."""
    return encode(random(16))


def instant(moment: datetime) -> str:
    """Return an instant as bodies carry it: RFC 3339 at +08:00."""
    return moment.astimezone(CHINA).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Enquiry:
    """A question of this city: what of whom, why, on whose behalf."""

    record: RecordKind
    subject: Subject = field(repr=False)
    why: Why
    who: Who
    fields: tuple[str, ...] | None = None
    period: Period | None = None


@dataclass(frozen=True, slots=True)
class CityAnswer:
    """What one city said. `outcome`: answer | none | refused | no-answer."""

    member: str
    outcome: str
    milliseconds: int
    lines: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    withheld: tuple[str, ...] = ()
    as_of: str = ""
    jti: str = ""
    log_index: int | None = None
    slug: str = ""
    detail: str = ""
    signed: bool = True


async def ask_city(
    asking: Asking, enquiry: Enquiry, member: str, *, random: Callable[[int], bytes], seconds: float
) -> CityAnswer:
    """Ask one city; every outcome is a value, none an exception."""
    question = _question(enquiry, member, random)
    return await _outcome(asking, member, lambda: asking.ask(question, seconds=seconds), seconds)


def _question(enquiry: Enquiry, member: str, random: Callable[[int], bytes]) -> Question:
    query = RecordQuery(
        salt=new_salt(random),
        record=enquiry.record,
        subject=enquiry.subject,
        period=enquiry.period,
        fields=list(enquiry.fields) if enquiry.fields else None,
    )
    person = (enquiry.subject.id_type, enquiry.subject.id_number)
    return Question(member, "record.query", format_body(query), enquiry.why, enquiry.who, person)


async def _outcome(asking: Asking, member: str, ask: Callable[[], Awaitable[Answered]], seconds: float) -> CityAnswer:
    started = asking.monotonic()

    def took() -> int:
        return round((asking.monotonic() - started) * 1000)

    try:
        async with asyncio.timeout(seconds + 1):
            answered = await ask()
    except RefusedByPeer as refused:
        problem = refused.problem
        return CityAnswer(member, "refused", took(), slug=problem.slug, detail=problem.detail, signed=refused.signed)
    except Refusal as refusal:
        return CityAnswer(member, "refused", took(), slug=refusal.slug, detail=refusal.detail)
    except NoAnswer as missing:
        slug = missing.refusal.slug if missing.refusal else missing.reason
        return CityAnswer(member, "no-answer", took(), slug=slug, detail=missing.detail)
    except TimeoutError:
        return CityAnswer(member, "no-answer", took(), slug="timeout", detail=f"no answer within {seconds:g} s")
    return _read_answer(member, answered)


def _read_answer(member: str, answered: Answered) -> CityAnswer:
    body, claims = answered.body, answered.reply.claims
    if not isinstance(body, RecordAnswer):
        took = answered.milliseconds
        return CityAnswer(member, "no-answer", took, slug="unreadable", detail="the answer is of another type")
    return CityAnswer(
        member=member,
        outcome="answer" if body.found else "none",
        milliseconds=answered.milliseconds,
        lines=tuple(body.record or ()),
        withheld=tuple(body.withheld),
        as_of=body.as_of,
        jti=claims.re.jti or "",
        log_index=claims.log.index if claims.log else None,
    )


async def ask_network(
    asking: Asking, enquiry: Enquiry, members: Iterable[str], *, random: Callable[[int], bytes], seconds: float
) -> AsyncIterator[CityAnswer]:
    """Ask cities in parallel and yield each answer as it arrives; one dead city delays nobody.

    All questions are committed together before the first is sent: one wait for the disk, not one per city.
    """
    questions = [_question(enquiry, member, random) for member in members]
    booking = asyncio.ensure_future(asking.book(questions))

    async def ask(place: int) -> Answered:
        booked = (await asyncio.shield(booking))[place]
        if isinstance(booked, Refusal):
            raise booked
        return await asking.send(booked, seconds=seconds)

    tasks = [
        asyncio.create_task(_outcome(asking, one.member, partial(ask, place), seconds))
        for place, one in enumerate(questions)
    ]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in [booking, *tasks]:
            task.cancel()


def look_up(registry: Registry, transaction: Transaction, enquiry: Enquiry, *, member: str) -> CityAnswer:
    """Look a person up in our own registry: same purpose, same entry in the log, all fields."""
    person = _person(enquiry.subject, registry.now())
    check_purpose(enquiry.why, registry.items)
    found = registry.connector(transaction, enquiry.subject, enquiry.record)
    wanted = enquiry.fields or tuple(LINES[enquiry.record].model_fields)
    lines = [_cut(line, wanted) for line in found.lines if _touches(line, enquiry.period)] if found else []
    transaction.append(
        Entry(
            kind="look-up",
            dir="local",
            time=registry.now(),
            msg="record.query",
            item=enquiry.why.item,
            case=enquiry.why.case,
            basis=enquiry.why.basis,
            officer=enquiry.who.officer,
            person=person,
        )
    )
    as_of = instant(found.as_of) if found else ""
    return CityAnswer(member, "answer" if found else "none", 0, lines=tuple(lines), as_of=as_of)


def open_consultation(
    transaction: Transaction, vault: Vault, text: str, *, member: str, actor: str, now: datetime
) -> str:
    """Register the reason of a question that belongs to no case (咨询登记) and return its number.

    Raises:
        InvalidBody: the reason is empty or longer than 500 characters.
    """
    if not 1 <= len(text.strip()) <= 500:
        raise InvalidBody("the reason of a consultation has 1 to 500 characters")
    day = now.astimezone(CHINA).date()
    prefix = f"{CONSULTATION}{member}{day:%Y%m%d}"
    sequence = store.consultations_of_day(transaction.session, prefix) + 1
    number = CONSULTATION + format_case_number(member, day, sequence)[2:]
    stored = vault.encrypt(text.strip().encode(), b"consultation:" + number.encode())
    store.insert_consultation(transaction.session, {"number": number, "text": stored, "actor": actor, "opened_at": now})
    transaction.append(Entry(kind="consultation", dir="local", time=now, request=sha256(number.encode()), actor=actor))
    return number


def set_release_rules(
    transaction: Transaction, rules: Iterable[dict[str, Any]], *, items: Collection[str], actor: str, now: datetime
) -> int:
    """Replace what this city releases to whom; in force for the next message. Returns the number of rules.

    Raises:
        InvalidBody: an unknown item, kind or field, or two rules for one cell; nothing was changed.
    """
    rows = {key: {**row, "changed_at": now, "actor": actor} for key, row in _checked_rules(rules, items).items()}
    ordered = [rows[key] for key in sorted(rows)]
    store.replace_release_rules(transaction.session, ordered)
    digest = sha256(json.dumps([[*key, rows[key]["fields"]] for key in sorted(rows)]).encode())
    transaction.append(Entry(kind="policy", dir="local", time=now, request=digest, actor=actor))
    return len(ordered)


def check_release_rules(rules: Iterable[dict[str, Any]], *, items: Collection[str]) -> int:
    """Return how many rules these are, without changing anything.

    Raises:
        InvalidBody: as `set_release_rules`.
    """
    return len(_checked_rules(rules, items))


def _checked_rules(
    rules: Iterable[dict[str, Any]], items: Collection[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for number, rule in enumerate(rules, start=1):
        row = _checked_rule(rule, items, number)
        key = (row["peer"], row["item"], row["record"])
        if key in rows:
            raise InvalidBody(f"rule {number}: a second rule for the same peer, item and kind")
        rows[key] = row
    return rows


def _checked_rule(rule: dict[str, Any], items: Collection[str], number: int) -> dict[str, Any]:
    try:
        kind, fields = RecordKind(rule["record"]), list(rule["fields"])
        peer, item = str(rule["peer"]), str(rule["item"])
    except (KeyError, TypeError, ValueError):
        raise InvalidBody(f"rule {number}: peer, item, record and fields are expected") from None
    if set(rule) != {"peer", "item", "record", "fields"}:
        raise InvalidBody(f"rule {number}: exactly peer, item, record and fields are expected")
    if peer != store.ANY_PEER and not (len(peer) == 6 and peer.isascii() and peer.isdigit()):
        raise InvalidBody(f"rule {number}: peer is a member id, or * for any")
    if item not in items:
        raise InvalidBody(f"rule {number}: the item is not in the catalogue")
    unknown = [name for name in fields if name not in LINES[kind].model_fields]
    if unknown:
        raise InvalidBody(f"rule {number}: {kind.value} has the fields {', '.join(LINES[kind].model_fields)}")
    return {"peer": peer, "item": item, "record": kind.value, "fields": ",".join(fields)}


def release_rules(session: Session) -> list[dict[str, Any]]:
    """Return the rules in force."""
    return [
        {
            "peer": row.peer,
            "item": row.item,
            "record": row.record,
            "fields": row.fields.split(",") if row.fields else [],
        }
        for row in store.release_rules(session)
    ]
