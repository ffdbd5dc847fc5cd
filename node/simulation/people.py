"""Invented people for demo, tests and benchmarks: none of them exists, all of them come back by seed.

A person is a *life*: document, name, home city and stints in one or more cities. A life depends only on
`(seed, home city, index)` and the list of cities, never on who asks. So each city's process makes its own
registry alone, and a person who moved appears in the registries of all their cities with one number and
one name. Every eighth person of a city is a mover (the article: 12 % of the insured).

Numbers are valid (GB 11643) and carry the division of the home city, a birth date and a sequence from 200
up. They are unique for up to seven million people per city.

>>> first, *_ = people("442000", 1, 1000)
>>> first.name, first.id_number
('邓国安', '450400195708151014')
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

from node.simulation.histories import Lines, Stint, lines_of, month_of
from protocol.identifiers import person_check_character
from protocol.messages import LINES, RecordKind

AS_OF = date(2024, 12, 10)
"""The day on which the invented registries stand: the memorandum was signed on this day."""
MOVER_EVERY = 8
RESIDENT_ID = "01"

_FIRST_BIRTH = date(1950, 1, 1)
_BIRTH_DAYS = (date(2004, 12, 31) - _FIRST_BIRTH).days + 1
_DAY_STEP = 7919
"""A prime that does not divide the days, so that neighbours in the index differ in age."""
_FIRST_SEQUENCE = 200
_MOST_PEOPLE = _BIRTH_DAYS * 390
_WORKING_SINCE = 1998 * 12
_CHINESE_SHARE = 92

_SURNAMES = tuple(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈韦覃莫陆"
)
_GIVEN_MEN = (
    *("伟", "强", "磊", "军", "勇", "杰", "涛", "超", "国安", "建华", "志强", "文斌"),
    *("永福", "家明", "春生", "振兴", "德胜", "海波", "立新", "少华", "金龙", "世杰"),
)
_GIVEN_WOMEN = (
    *("芳", "娜", "敏", "静", "丽", "艳", "秀英", "秀兰", "桂花", "玉梅", "小红", "春燕"),
    *("丽华", "美玲", "雪梅", "晓燕", "凤英", "彩霞", "淑珍", "海燕", "雨欣"),
)
_OTHER_GIVEN_MEN = ("买买提", "艾力", "吐尔逊", "阿不都", "卡德尔", "扎西", "洛桑", "巴特尔", "亚森", "玉素甫")
_OTHER_GIVEN_WOMEN = (
    "阿依古丽",
    "古丽娜",
    "帕提古丽",
    "热依汗",
    "卓玛",
    "央金",
    "萨日娜",
    "祖丽菲亚",
    "迪丽",
    "阿米娜",
)


@dataclass(frozen=True, slots=True)
class Life:
    """One invented person over the whole network; `seed` feeds the person's own random source."""

    id_number: str
    name: str
    home: str
    stints: tuple[Stint, ...]
    retires: int
    seed: int


@dataclass(frozen=True, slots=True)
class SyntheticPerson:
    """One person as one city's registry knows them; `lines` holds every record kind, some empty."""

    id_type: str
    id_number: str
    name: str
    lines: Lines


def people(
    city: str, seed: int, count: int, *, cities: Sequence[str] = (), as_of: date = AS_OF
) -> Iterator[SyntheticPerson]:
    """Yield the registry of `city`: story people, `count` people at home there, movers from other `cities`.

    `cities` is the whole network, the same for all its members; `count` is per city, at most seven million.
    About 60 microseconds per person; memory does not grow.
    """
    if count > _MOST_PEOPLE:
        raise ValueError(f"at most {_MOST_PEOPLE} people per city")
    network = tuple(sorted({city, *cities}))
    source = Random()
    for life in _lives_known_to(city, seed, count, network, source, as_of):
        person = register(life, city, source, as_of=as_of)
        if person is not None:
            yield person


def population(
    cities: Sequence[str], seed: int, per_city: int, *, as_of: date = AS_OF
) -> Iterator[tuple[str, SyntheticPerson]]:
    """Yield `(city, person)` for every registry of the network; movers come once per city that knows them."""
    for city in sorted(set(cities)):
        for person in people(city, seed, per_city, cities=cities, as_of=as_of):
            yield city, person


def register(life: Life, city: str, source: Random, *, as_of: date = AS_OF) -> SyntheticPerson | None:
    """Return what `city` knows of a life, or None when it was never insured there. Reseeds `source`."""
    for stint in life.stints:
        if stint.city == city:
            source.seed(life.seed ^ int(city))
            settled = life.stints[-1] is stint
            lines = lines_of(stint, source, settled=settled, retires=life.retires, as_of=as_of)
            return SyntheticPerson(RESIDENT_ID, life.id_number, life.name, lines)
    return None


def story_people(as_of: date = AS_OF) -> tuple[Life, ...]:
    """Return the people of the demo's stories, the same under every seed.

    邓国安 is 67 in December 2024, lives in 梧州 and was insured in 中山 for 88 months: too short for a
    pension, with a balance (domain R13). 韦秀兰 worked in three cities; 阿依古丽·艾力 in 喀什 and 中山.
    """
    until = month_of(as_of) - 1
    wei = (Stint("450400", _month(200607), _month(201206)), Stint("442000", _month(201207), _month(202003)))
    kashgar = Stint("653100", _month(201108), _month(201806))
    return (
        Life(
            "450400195708151014",
            "邓国安",
            "450400",
            (Stint("442000", _month(200403), _month(201106)),),
            _month(201708),
            1,
        ),
        Life(
            _number("450400", date(1985, 3, 12), 102),
            "韦秀兰",
            "450400",
            (*wei, Stint("520300", _month(202004), until)),
            _month(204003),
            2,
        ),
        Life(
            _number("653100", date(1990, 5, 20), 104),
            "阿依古丽·艾力",
            "653100",
            (kashgar, Stint("442000", _month(201807), until)),
            _month(204505),
            3,
        ),
    )


def _lives_known_to(
    city: str, seed: int, count: int, network: tuple[str, ...], source: Random, as_of: date
) -> Iterator[Life]:
    yield from story_people(as_of)
    for home in network:
        step = 1 if home == city else MOVER_EVERY
        for index in range(0, count, step):
            yield _life(home, seed, index, network, source, as_of)


def _life(home: str, seed: int, index: int, network: tuple[str, ...], source: Random, as_of: date) -> Life:
    own_seed = (seed * 1_000_000 + int(home)) * 10_000_000 + index
    source.seed(own_seed)
    woman = source.random() < 0.5
    born = _FIRST_BIRTH + timedelta(days=index * _DAY_STEP % _BIRTH_DAYS)
    sequence = _FIRST_SEQUENCE + 2 * (index // _BIRTH_DAYS) + (0 if woman else 1)
    retires = (born.year + (55 if woman else 60)) * 12 + born.month - 1
    away = [one for one in network if one != home] if index % MOVER_EVERY == 0 else []
    places = [*source.sample(away, min(len(away), source.randrange(1, 3))), home]
    if len(places) > 1 and source.random() < 0.5:
        places.reverse()
    stints = _stints(places, home, born, retires, woman, index % 4 == 0, source, month_of(as_of))
    return Life(_number(home, born, sequence), _name(woman, source), home, stints, retires, own_seed)


def _stints(
    places: Sequence[str],
    home: str,
    born: date,
    retires: int,
    woman: bool,
    with_unemployment: bool,
    source: Random,
    now: int,
) -> tuple[Stint, ...]:
    """Return consecutive spans, one per place, with short gaps; the last may still run."""
    start = max((born.year + 19) * 12 + born.month, _WORKING_SINCE) + source.randrange(120)
    end = min(now - 1, retires)
    start = min(start, end - 6 * len(places))
    temporary_from = (born.year + (40 if woman else 50)) * 12 + born.month - 1
    share = (end - start) // len(places)
    stints: list[Stint] = []
    for place in places:
        last_place = len(stints) == len(places) - 1
        stop = end if last_place else start + max(share - source.randrange(6), 3)
        if last_place and source.random() < 0.15:
            stop = max(start, stop - source.randrange(1, 36))
        temporary = place != home and start >= temporary_from
        stints.append(Stint(place, start, stop, temporary, with_unemployment))
        start = stop + 1 + source.randrange(3)
    return tuple(stints)


def _number(division: str, born: date, sequence: int) -> str:
    first17 = f"{division}{born.year:04d}{born.month:02d}{born.day:02d}{sequence:03d}"
    return first17 + person_check_character(first17)


def _name(woman: bool, source: Random) -> str:
    if source.randrange(100) >= _CHINESE_SHARE:
        given = _pick(_OTHER_GIVEN_WOMEN if woman else _OTHER_GIVEN_MEN, source)
        return f"{given}·{_pick(_OTHER_GIVEN_MEN, source)}"
    return _pick(_SURNAMES, source) + _pick(_GIVEN_WOMEN if woman else _GIVEN_MEN, source)


def _pick(choices: Sequence[str], source: Random) -> str:
    return choices[int(source.random() * len(choices))]


def _month(text: int) -> int:
    return text // 100 * 12 + text % 100 - 1


def columns(kind: RecordKind) -> tuple[str, ...]:
    """Return the columns of an import file of that kind."""
    return ("id_type", "id_number", "name", *LINES[kind].model_fields)


def rows(person: SyntheticPerson, kind: RecordKind) -> Iterator[list[str]]:
    """Yield the person's lines of one kind as rows of an import file."""
    fields = tuple(LINES[kind].model_fields)
    for line in person.lines[kind]:
        values = (line.get(field) for field in fields)
        yield [person.id_type, person.id_number, person.name, *("" if one is None else str(one) for one in values)]


def write_csv(folder: Path, registry: Iterable[SyntheticPerson]) -> dict[RecordKind, Path]:
    """Write one CSV per record kind into `folder` (UTF-8 with BOM, as spreadsheet programs want) in one pass.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = {kind: folder / f"{kind.value}.csv" for kind in RecordKind}
    files = {kind: path.open("w", encoding="utf-8-sig", newline="") for kind, path in paths.items()}
    try:
        writers = {kind: csv.writer(file) for kind, file in files.items()}
        for kind, writer in writers.items():
            writer.writerow(columns(kind))
        for person in registry:
            for kind, writer in writers.items():
                writer.writerows(rows(person, kind))
    finally:
        for file in files.values():
            file.close()
    return paths
