"""A pack of amount rules: the document as `rules.Rules`.

    {"amounts":"tongban-amounts","version":"1.0.0","valid_from":"2025-01-01","rules":[
      {"code":"POOLED_SHARE","zh":…,"en":…,"source":"国办发〔2009〕66号第四条","mark":"W","valid_from":"2010-01-01",
       "value":{"from":"199801","bp":1200}}, …]}

Every rule that is reckoned by stands there once, with its source and mark; a member that is not known is refused: a
rule that is not understood would not be kept.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import date
from types import MappingProxyType
from typing import Final, TypeVar

from protocol.catalogue_place import CatalogueInvalid, Place
from protocol.errors import Malformed
from protocol.procedures.months import month_of
from protocol.procedures.rules import CODES, ROUNDINGS, AgeSteps, MinimumRule, OneOffRule, RatePeriod, Rule, Rules
from protocol.suites import parse_json

RULES_MAX_BYTES: Final = 256 * 1024
BP_MAX: Final = 10_000
MONTHS_MAX: Final = 1_200
SEXES: Final = {"male": "men_months", "female": "women_months"}
CATEGORIES: Final = frozenset({"MALE", "FEMALE_55", "FEMALE_50"})
_MARK: Final = re.compile(r"[SLWTKD?]")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_DIGITS: Final = re.compile(r"[0-9]{2,6}")
_KNOWN: Final = frozenset({"code", "zh", "en", "source", "mark", "valid_from", "value"})
T = TypeVar("T")


class RulesInvalid(ValueError):
    """The document is no pack of amount rules that this version can use; the text names the place."""


def parse_rules(data: bytes) -> Rules:
    """Return a pack of rules.

    Raises:
        RulesInvalid: too large, not strict JSON, a rule missing or unknown, or a value that cannot be.
    """
    if len(data) > RULES_MAX_BYTES:
        raise RulesInvalid(f"a pack of rules has at most {RULES_MAX_BYTES} bytes")
    try:
        content = Place(parse_json(data), "")
        if content.text("amounts") != "tongban-amounts":
            raise content.wrong("amounts", "is another one")
        rows = {one.text("code", _CODE): one for one in content.rows("rules", len(CODES))}
        if rows.keys() != CODES:
            raise content.wrong("rules", "lacks a rule, or has one that this version does not know")
        return _rules(hashlib.sha256(data).hexdigest(), content, rows)
    except Malformed as fault:
        raise RulesInvalid(fault.detail) from None
    except CatalogueInvalid as fault:
        raise RulesInvalid(str(fault)) from None


def _rules(digest: str, content: Place, rows: dict[str, Place]) -> Rules:
    values = {code: place.one("value") if place.has("value") else Place({}, place.at) for code, place in rows.items()}
    age, pooled, rounding = values["TEMPORARY_AGE"], values["POOLED_SHARE"], values["ROUNDING"]
    transfer_year, reform, fee = (
        values["INTEREST_OF_TRANSFER_YEAR"],
        values["RETIREMENT_AGE"],
        values["UNEMPLOYMENT_FEE"],
    )
    if rounding.text("of") != "year" or rounding.text("mode") not in ROUNDINGS:
        raise rounding.wrong("mode", "is no rounding of a year that this version knows")
    if transfer_year.text("credited_by") not in ("IN", "OUT"):
        raise transfer_year.wrong("credited_by", "is IN or OUT")
    return Rules(
        digest=digest,
        version=content.text("version"),
        valid_from=_date(content, "valid_from"),
        by_code=MappingProxyType({code: _rule(code, place) for code, place in rows.items()}),
        record_rates=_record_rates(values["RECORD_RATE"]),
        pooled_from=_month(pooled, "from"),
        pooled_bp=pooled.number("bp", 0, BP_MAX),
        rounding=rounding.text("mode"),
        interest_bp=_interest(values["ACCOUNT_INTEREST"]),
        transfer_year_by_in=transfer_year.text("credited_by") == "IN",
        pools=tuple(
            (one.text("prefix", _DIGITS), one.text("pool", _DIGITS)) for one in values["POOLS"].rows("exceptions")
        ),
        one_off=_one_off(values["ONE_OFF_PAYMENT"]),
        temporary_age_months=MappingProxyType({sex: age.number(name, 1, MONTHS_MAX) for sex, name in SEXES.items()}),
        benefit_months=values["CURRENT_TEN_YEARS"].number("months", 1, MONTHS_MAX),
        fee_extra_bp=fee.number("extra_bp", 0, BP_MAX),
        fee_kinds=frozenset(fee.texts("kinds")),
        reform_from=_month(reform, "from"),
        ages=_ages(reform),
        flexible_months=values["FLEXIBLE_RETIREMENT"].number("months", 0, MONTHS_MAX),
        minimum=_minimum(values["MINIMUM_MONTHS"]),
        cycle_months=values["CERTIFICATION_CYCLE"].number("months", 1, MONTHS_MAX),
    )


def _rule(code: str, place: Place) -> Rule:
    place.only(_KNOWN)
    return Rule(
        code, place.text("zh"), place.text("en"), place.text("source"), place.text("mark", _MARK),
        _date(place, "valid_from"),
    )  # fmt: skip


def _record_rates(place: Place) -> tuple[RatePeriod, ...]:
    found = []
    for one in place.rows("periods"):
        last = _month(one, "to") if one.has("to") else None
        found.append(RatePeriod(_month(one, "from"), last, one.number("bp", 0, BP_MAX)))
    ends = [one.last for one in found]
    starts = [one.first for one in found]
    follow = all(end is not None and end + 1 == start for end, start in zip(ends[:-1], starts[1:], strict=True))
    if not found or ends[-1] is not None or not follow:
        raise place.wrong("periods", "do not follow one another without a gap to an open end")
    return tuple(found)


def _interest(place: Place) -> MappingProxyType[int, int]:
    rows = [(one.number("year", 1990, 2200), one.number("bp", 0, BP_MAX)) for one in place.rows("years")]
    if len(dict(rows)) != len(rows):
        raise place.wrong("years", "has a year twice")
    return MappingProxyType(dict(rows))


def _one_off(place: Place) -> OneOffRule:
    return OneOffRule(
        months=place.number("months", 1, MONTHS_MAX),
        commitment_before=_date(place, "commitment_before"),
        commitment=frozenset(place.texts("commitment")),
        legal=frozenset(place.texts("legal")),
        notice_working_days=place.number("notice_working_days", 0, 366),
    )


def _ages(place: Place) -> MappingProxyType[str, AgeSteps]:
    found = {one.text("category"): _steps(one) for one in place.rows("categories")}
    if found.keys() != CATEGORIES:
        raise place.wrong("categories", f"are not {', '.join(sorted(CATEGORIES))}")
    return MappingProxyType(found)


def _steps(place: Place) -> AgeSteps:
    age = place.number("age_months", 1, MONTHS_MAX)
    return AgeSteps(age, place.number("most_months", age, MONTHS_MAX), place.number("step_months", 1, MONTHS_MAX))


def _minimum(place: Place) -> MinimumRule:
    months = place.number("months", 0, MONTHS_MAX)
    return MinimumRule(
        months=months,
        from_year=place.number("from_year", 1990, 2200),
        step_months=place.number("step_months", 0, MONTHS_MAX),
        most_months=place.number("most_months", months, MONTHS_MAX),
    )


def _month(place: Place, name: str) -> int:
    return _read(place, name, month_of, "is no month YYYYMM")


def _date(place: Place, name: str) -> date:
    return _read(place, name, _day, "is no date YYYY-MM-DD")


def _day(text: str) -> date:
    if len(text) != 10:
        raise ValueError
    return date.fromisoformat(text)


def _read(place: Place, name: str, read: Callable[[str], T], what: str) -> T:
    text = place.text(name)
    try:
        return read(text)
    except ValueError:
        raise place.wrong(name, what) from None
