"""Where the pension will be drawn (待遇领取地), and who takes a relation that moves.

国办发〔2009〕66号 art. 5 and 6, 人社部发〔2010〕70号, 人社部规〔2016〕5号. A place is a pool: a province-level unit
(`Rules.pool_of`). The benefit place is total and unique::

    no general relation            -> place of hukou
    the last one lies at hukou     -> there
    the last one has ten years     -> there
    an earlier pool has ten years  -> the newest of them, periods of one pool added up, deemed months counted
    else                           -> place of hukou, even if never insured there

The hukou is that of the age point (`hukou_at`). Months of temporary accounts count in the total and make no place.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from protocol.procedures.months import month_text
from protocol.procedures.rules import Figure, Rules


class StayKind(StrEnum):
    """What a stay was; deemed time without a relation of its own counts for the pool where it was worked."""

    GENERAL = "GENERAL"
    TEMPORARY = "TEMPORARY"
    DEEMED = "DEEMED"


@dataclass(frozen=True, slots=True)
class Stay:
    """Months in one pool, in order of time."""

    pool: str
    kind: StayKind
    months: int
    deemed_months: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """The benefit place and the rule that gave it; where temporary accounts move, if there are any."""

    pool: str
    rule: str
    temporary_to: str | None = None


def benefit_place(hukou: str, stays: Sequence[Stay], rules: Rules) -> Place:
    """Return the benefit place of a person; `hukou` is the pool of household registration at the age point."""
    general = [one.pool for one in stays if one.kind is StayKind.GENERAL]
    pool, rule = _place(hukou, general, _months(stays), rules.benefit_months)
    has_temporary = any(one.kind is StayKind.TEMPORARY for one in stays)
    # Whoever keeps the general relation takes the temporary accounts in; with none, the place of hukou.
    return Place(pool, rule, pool if has_temporary else None)


def _months(stays: Sequence[Stay]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in stays:
        # Deemed time belongs to the place of work at that time, wherever the person was insured (151号).
        found[one.pool] += one.deemed_months + (one.months if one.kind is StayKind.GENERAL else 0)
    return found


def _place(hukou: str, general: Sequence[str], months: Counter[str], enough: int) -> tuple[str, str]:
    if not general:
        return hukou, "ONLY_TEMPORARY"
    current = general[-1]
    if current == hukou:
        return current, "CURRENT_IS_HUKOU"
    if months[current] >= enough:
        return current, "CURRENT_TEN_YEARS"
    for pool in reversed(general[:-1]):
        if months[pool] >= enough:
            return pool, "LAST_PLACE_WITH_TEN_YEARS"
    return hukou, "CONSOLIDATE_AT_HUKOU"


def hukou_at(moves: Sequence[tuple[int, str]], age_month: int) -> str:
    """Return the pool of household registration in a month: (month since, pool) in order of time, at least one.

    A change between reaching the age and applying changes nothing (70号).
    """
    return next((pool for since, pool in reversed(moves) if since <= age_month), moves[0][1])


@dataclass(frozen=True, slots=True)
class Joining:
    """A person who takes part in a new place: months are numbers (`months`), places are pools."""

    sex: str
    birth_month: int
    month: int
    pool: str
    hukou: str
    has_general_elsewhere: bool
    insured_here_since: int | None = None
    """first month of an earlier general relation in this place"""
    is_benefit_place: bool = False
    """the benefit rule gives this place: ten years here, and the last such"""
    approved_relocation: bool = False
    draws_pension: bool = False


@dataclass(frozen=True, slots=True)
class Taking:
    """Who keeps the general relation (`NEW`, `OLD`, `HUKOU`, None: nobody), the account here, and the rules."""

    holder: str | None
    account_kind: str | None
    rules: tuple[str, ...]


def who_takes(joining: Joining, rules: Rules) -> Taking:
    """Return who takes the relation: 66号 art. 5 and the rules of temporary accounts, first that fits."""
    if joining.draws_pension:
        return Taking(None, None, ("PENSION_DRAWN",))
    limit = joining.birth_month + rules.temporary_age_months[joining.sex]
    reasons = (
        (joining.pool == joining.hukou, ("TAKEN_AT_HUKOU",)),
        (joining.approved_relocation, ("APPROVED_RELOCATION",)),
        (joining.month < limit, ("TAKEN_AT_NEW_PLACE", "AGE_AT_JOINING")),
        (joining.insured_here_since is not None and joining.insured_here_since < limit, ("INSURED_BEFORE_AGE",)),
        (joining.is_benefit_place, ("TAKEN_AT_BENEFIT_PLACE",)),
    )
    for holds, codes in reasons:
        if holds:
            return Taking("NEW", "GENERAL", codes)
    if joining.has_general_elsewhere:
        return Taking("OLD", "TEMPORARY", ("TEMPORARY_AGE", "AGE_AT_JOINING"))
    return Taking("HUKOU", "TEMPORARY", ("FIRST_EVER_TEMPORARY", "AGE_AT_JOINING"))


class TemporaryEvent(StrEnum):
    """What may happen to a temporary account."""

    HUKOU_MOVED_IN = "HUKOU_MOVED_IN"
    MOVES_ON = "MOVES_ON"
    ARREARS_PAID = "ARREARS_PAID"
    BENEFIT_AGE = "BENEFIT_AGE"


@dataclass(frozen=True, slots=True)
class TemporaryFate:
    """What becomes of it: GENERAL, SEALED, TEMPORARY or CONSOLIDATED; from which month; who takes it in."""

    becomes: str
    from_month: int
    taken_by: str | None
    rule: str


def temporary_fate(event: TemporaryEvent, month: int, *, has_general: bool) -> TemporaryFate:
    """Return what becomes of a temporary account when something happens in a month."""
    if event is TemporaryEvent.HUKOU_MOVED_IN:
        return TemporaryFate("GENERAL", month + 1, None, "HUKOU_MOVED_IN")
    if event is TemporaryEvent.MOVES_ON:
        return TemporaryFate("SEALED", month, None, "TEMPORARY_SEALED")
    if event is TemporaryEvent.ARREARS_PAID:
        return TemporaryFate("TEMPORARY", month, None, "ARREARS_STAY_TEMPORARY")
    if has_general:
        return TemporaryFate("CONSOLIDATED", month, "GENERAL_PLACE", "TEMPORARY_TO_GENERAL_PLACE")
    return TemporaryFate("CONSOLIDATED", month, "HUKOU", "TEMPORARY_TO_HUKOU")


def place_figures(place: Place, rules: Rules) -> list[Figure]:
    """Return the figures of a benefit place."""
    found = [
        rules.figure("benefit_place", ("待遇领取地", "benefit place"), place.pool, "division", place.rule, "POOLS")
    ]
    if place.temporary_to is not None:
        code = "TEMPORARY_TO_HUKOU" if place.rule == "ONLY_TEMPORARY" else "TEMPORARY_TO_GENERAL_PLACE"
        words = ("临时账户归集地", "temporary accounts move to")
        found.append(rules.figure("temporary_to", words, place.temporary_to, "division", code))
    return found


def taking_figures(taking: Taking, rules: Rules) -> list[Figure]:
    """Return the figures of a joining."""
    return [
        rules.figure("holder", ("保留一般关系的一方", "who keeps the general relation"), taking.holder, "choice",
                     *taking.rules),
        rules.figure("account_kind", ("在新地的账户", "account in the new place"), taking.account_kind, "choice",
                     *taking.rules),
    ]  # fmt: skip


def fate_figures(fate: TemporaryFate, rules: Rules) -> list[Figure]:
    """Return the figures of what becomes of a temporary account."""
    return [
        rules.figure("becomes", ("临时账户变为", "temporary account becomes"), fate.becomes, "choice", fate.rule),
        rules.figure("from_month", ("自", "from"), month_text(fate.from_month), "YYYYMM", fate.rule),
    ]
