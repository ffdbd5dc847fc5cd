"""The monthly statement of a pair of cities (对账单), as arithmetic: lines, sums, digest, and the comparison of two.

Both cities make it from their own ledgers. A line is an order (by its value day) or an arrival (by its day); a leg sums
up the lines of one case and month. Lines are sorted, so equal ledgers give equal bytes and one digest: SHA-256 over
JSON with sorted keys and no spaces. What came and is not matched stands apart: only the city that got it can know it.

    {"pair":["442000","520300"],"month":"202412","lines":[…],"legs":[…],"totals":[…]}    -> sha256:…
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import InvalidBody, Malformed, TooLarge
from protocol.suites import parse_json

FILE_MAX_BYTES: Final = 64 * 1024 * 1024
COLUMNS: Final = ("kind", "payer", "payee", "case", "order_no", "bank_ref", "day", "amount_fen")
LEG_COLUMNS: Final = ("payer", "case", "sheet_no", "expected_fen", "ordered_fen", "arrived_fen")
City = Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$")]
Text = Annotated[str, Field(max_length=64)]


class Line(NamedTuple):
    """One movement."""

    kind: str
    payer: str
    payee: str
    case: str
    order_no: str
    bank_ref: str
    day: date
    amount_fen: int


class LineFound(BaseModel):
    """One movement, as a file has it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Literal["ORDER", "ARRIVAL"]
    payer: City
    payee: City
    case: Text
    order_no: Text
    bank_ref: Text
    day: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    amount_fen: int


class Leg(BaseModel):
    """What a month says of one case; `expected_fen` is None where nothing was instructed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payer: City
    case: Text
    sheet_no: Text
    expected_fen: int | None
    ordered_fen: int
    arrived_fen: int


class Total(BaseModel):
    """The sums of one direction."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payer: City
    orders: int
    ordered_fen: int
    arrivals: int
    arrived_fen: int


class Statement(BaseModel):
    """A statement; `own` made it, `unmatched` is known to it alone and no part of the digest."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    pair: list[City]
    month: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    own: City
    lines: list[LineFound]
    legs: list[Leg]
    totals: list[Total]
    unmatched: list[LineFound]
    digest: Annotated[str, Field(max_length=80)]


class Difference(NamedTuple):
    """One place at which two statements are not the same; a side that lacks the line has None."""

    what: str
    key: str
    field: str
    ours: Any
    theirs: Any


def make_statement(
    own: str,
    peer: str,
    month: str,
    lines: Iterable[Line],
    unmatched: Iterable[Line],
    expected: Mapping[str, tuple[str, int]],
) -> Statement:
    """Return the statement of these lines; `expected` is sheet and amount by case."""
    sorted_lines = [_found(one) for one in sorted(lines)]
    content: dict[str, Any] = {
        "pair": sorted((own, peer)),
        "month": month,
        "lines": sorted_lines,
        "legs": _legs(sorted_lines, expected),
        "totals": [_total(payer, sorted_lines) for payer in sorted((own, peer))],
    }
    bare = Statement(**content, own=own, unmatched=[_found(one) for one in sorted(unmatched)], digest="")
    return bare.model_copy(update={"digest": digest_of(bare)})


def digest_of(statement: Statement) -> str:
    """Return the digest of what both cities must agree on."""
    content = statement.model_dump(include={"pair", "month", "lines", "legs", "totals"})
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _found(line: Line) -> LineFound:
    return LineFound(**{**line._asdict(), "day": line.day.isoformat()})


def _legs(lines: Sequence[LineFound], expected: Mapping[str, tuple[str, int]]) -> list[Leg]:
    cases = sorted({(one.payer, one.case) for one in lines})
    sums: dict[tuple[str, str, str], int] = {}
    for one in lines:
        key = (one.payer, one.case, one.kind)
        sums[key] = sums.get(key, 0) + one.amount_fen
    legs = []
    for payer, case in cases:
        sheet_no, amount = expected.get(case, ("", None))
        came = {
            "ordered_fen": sums.get((payer, case, "ORDER"), 0),
            "arrived_fen": sums.get((payer, case, "ARRIVAL"), 0),
        }
        legs.append(Leg(payer=payer, case=case, sheet_no=sheet_no, expected_fen=amount, **came))
    return legs


def _total(payer: str, lines: Sequence[LineFound]) -> Total:
    orders = [one.amount_fen for one in lines if (one.payer, one.kind) == (payer, "ORDER")]
    came = [one.amount_fen for one in lines if (one.payer, one.kind) == (payer, "ARRIVAL")]
    return Total(payer=payer, orders=len(orders), ordered_fen=sum(orders), arrivals=len(came), arrived_fen=sum(came))


def parse_statement(data: bytes) -> Statement:
    """Return a statement that the other city exported: the object itself, or what `--json` prints around it.

    Raises:
        TooLarge, InvalidBody: it is no statement, or its digest is not that of its lines.
    """
    if len(data) > FILE_MAX_BYTES:
        raise TooLarge("a statement is too large", limit_bytes=FILE_MAX_BYTES)
    try:
        content = parse_json(data)
        inner = content.get("data")
        read = Statement.model_validate_json(json.dumps(inner if isinstance(inner, dict) else content))
    except (Malformed, ValidationError, AttributeError, RecursionError):
        raise _refused("form", "不是对账单文件", "this is no statement") from None
    if digest_of(read) != read.digest:
        raise _refused("digest", "文件内容与摘要不一致", "its digest is not that of its lines")
    return read


def compare(ours: Statement, theirs: Statement) -> list[Difference]:
    """Return where two statements of one pair and month differ, line by line; empty when they are the same.

    Raises:
        InvalidBody: they are of another pair or month, or of the same city.
    """
    if (ours.pair, ours.month) != (theirs.pair, theirs.month) or ours.own == theirs.own:
        raise _refused("pair", "不是同一对城市、同一月份的对方对账单", "not the other city's, of this pair and month")
    differences = _differences("line", _by_key(ours), _by_key(theirs), COLUMNS)
    return differences + _differences("leg", _legs_by_key(ours), _legs_by_key(theirs), LEG_COLUMNS)


def _differences(
    what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], columns: Sequence[str]
) -> list[Difference]:
    found = []
    for key in sorted({*ours, *theirs}):
        one, other = ours.get(key), theirs.get(key)
        if one is None or other is None:
            only = one or other
            amount = getattr(only, "amount_fen", None) or getattr(only, "arrived_fen", None)
            found.append(Difference(what, key, "", amount if one else None, amount if other else None))
            continue
        pairs = [(name, getattr(one, name), getattr(other, name)) for name in columns]
        found += [Difference(what, key, name, a, b) for name, a, b in pairs if a != b]
    return found


def _by_key(statement: Statement) -> dict[str, LineFound]:
    return {f"{one.kind} {one.payer} {one.bank_ref or one.order_no}": one for one in statement.lines}


def _legs_by_key(statement: Statement) -> dict[str, Leg]:
    return {f"{one.payer} {one.case}": one for one in statement.legs}


def as_csv(statement: Statement) -> str:
    """Return the lines as CSV with a header; a cell that a spreadsheet would take for a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow((*COLUMNS, "matched"))
    for matched, lines in (("yes", statement.lines), ("no", statement.unmatched)):
        for one in lines:
            writer.writerow([*(_cell(getattr(one, name)) for name in COLUMNS), matched])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _refused(rule: str, zh: str, en: str) -> InvalidBody:
    return InvalidBody(en, fields=[{"at": "file", "rule": rule, "zh": zh, "en": en}])
