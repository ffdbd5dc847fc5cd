"""Invented people: valid, the same by seed, the same person in every city that knows them."""

import csv
from collections import defaultdict
from datetime import date
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import pytest

from node.simulation.histories import Stint, account, base_fen, contributions
from node.simulation.people import (
    AS_OF,
    SyntheticPerson,
    columns,
    people,
    population,
    register,
    rows,
    story_people,
    write_csv,
)
from protocol.identifiers import normalise_name, parse_person_id
from protocol.messages import LINES, BalanceLine, RecordKind

CITIES = ("442000", "450400", "520300")


def registries(per_city: int) -> dict[str, list[SyntheticPerson]]:
    found: dict[str, list[SyntheticPerson]] = defaultdict(list)
    for city, person in population(CITIES, 7, per_city):
        found[city].append(person)
    return found


def test_a_city_makes_the_same_registry_alone_as_within_the_network() -> None:
    whole = registries(200)
    for city in CITIES:
        assert list(people(city, 7, 200, cities=CITIES)) == whole[city]


def test_the_order_in_which_cities_are_named_changes_nothing() -> None:
    assert list(people("442000", 7, 50, cities=CITIES)) == list(people("442000", 7, 50, cities=CITIES[::-1]))


def test_another_seed_makes_other_people() -> None:
    first, second = (list(islice(people("442000", seed, 50), 3, None)) for seed in (1, 2))
    assert first != second


def test_every_number_name_and_line_is_valid_and_every_kind_is_present() -> None:
    seen: set[RecordKind] = set()
    for _, person in population(CITIES, 7, 300):
        assert parse_person_id(person.id_type, person.id_number, today=AS_OF).number == person.id_number
        assert normalise_name(person.name) == person.name
        assert set(person.lines) == set(RecordKind)
        for kind, lines in person.lines.items():
            for line in lines:
                assert LINES[kind].model_validate(line).model_dump(exclude_none=True) == line
                seen.add(kind)
    assert seen == set(RecordKind)


def test_no_two_people_of_a_network_share_a_number() -> None:
    for city, registry in registries(3000).items():
        numbers = [person.id_number for person in registry]
        assert len(numbers) == len(set(numbers)), city


def test_a_mover_has_one_name_in_all_cities_and_months_that_do_not_overlap() -> None:
    spans: dict[str, list[tuple[str, str]]] = defaultdict(list)
    names: dict[str, set[str]] = defaultdict(set)
    for _, person in population(CITIES, 7, 400):
        names[person.id_number].add(person.name)
        paid = [line for line in person.lines[RecordKind.CONTRIBUTIONS] if line["insurance"] == "110"]
        spans[person.id_number] += [(line["started"], line["ended"]) for line in paid]
        assert all(line["started"] <= line["ended"] <= "202411" for line in paid)
    assert all(len(of_one) == 1 for of_one in names.values())
    for of_one in spans.values():
        of_one.sort()
        assert all(earlier[1] < later[0] for earlier, later in pairwise(of_one))


def test_movers_are_about_an_eighth_and_some_are_known_to_three_cities() -> None:
    known: dict[str, int] = defaultdict(int)
    for _, person in population(CITIES, 7, 800):
        known[person.id_number] += 1
    movers = [count for count in known.values() if count > 1]
    assert 0.12 <= len(movers) / len(known) <= 0.13
    assert 3 in movers


def test_dengs_contributions_in_zhongshan_are_too_short_for_a_pension() -> None:
    deng = next(people("442000", 99, 0))
    assert (deng.id_number, deng.name) == ("450400195708151014", "邓国安")
    assert sum(line["months"] for line in deng.lines[RecordKind.CONTRIBUTIONS]) == 88
    assert deng.lines[RecordKind.BENEFIT] == []
    assert deng.lines[RecordKind.BALANCE][0]["balance_fen"] > 0
    born = parse_person_id("01", deng.id_number, today=AS_OF).birth_date
    assert born is not None
    assert (AS_OF.year - born.year, born.month < AS_OF.month) == (67, True)


def test_the_story_people_are_in_the_registries_of_their_cities_under_every_seed() -> None:
    in_three = [life for life in story_people() if {stint.city for stint in life.stints} == set(CITIES)]
    assert [life.name for life in in_three] == ["韦秀兰"]
    for seed in (1, 2):
        for city in CITIES:
            assert in_three[0].id_number in {person.id_number for person in people(city, seed, 5, cities=CITIES)}
    assert register(in_three[0], "653100", Random(1)) is None
    assert any("·" in life.name for life in story_people())


def test_an_account_follows_the_worked_example_of_the_transfer_rules() -> None:
    bases = {2019: 337600, 2020: 337600, 2021: 367300, 2022: 458800, 2023: 458800}
    lines = contributions(Stint("442000", 2019 * 12 + 6, 2023 * 12 + 11), 100)
    for line in lines:
        line["monthly_base_fen"] = bases[int(line["started"][:4])]
    assert account(lines, 2023 * 12 + 11) == (1719648, 1917763 - 1719648)
    assert account(lines, 2023 * 12 + 10) == (1719648, 1917763 - 1719648 - 64118)


def test_the_balance_is_what_the_contribution_lines_make() -> None:
    for person in people("442000", 3, 100):
        paid = [line for line in person.lines[RecordKind.CONTRIBUTIONS] if line["insurance"] == "110"]
        balance = BalanceLine.model_validate(person.lines[RecordKind.BALANCE][0])
        until = int(balance.until[:4]) * 12 + int(balance.until[4:]) - 1
        assert account(paid, until) == (balance.principal_fen, balance.interest_fen)
        assert balance.balance_fen == balance.principal_fen + balance.interest_fen


def test_bases_grow_and_are_whole_yuan() -> None:
    assert all(base_fen(year, 137) % 100 == 0 for year in range(1998, 2030))
    assert base_fen(2010, 100) < base_fen(2024, 100)


def test_a_later_day_of_the_registry_makes_later_lines_that_are_valid() -> None:
    for person in people("442000", 3, 60, cities=CITIES, as_of=date(2026, 3, 1)):
        for kind, lines in person.lines.items():
            for line in lines:
                LINES[kind].model_validate(line)
    assert any(
        line["ended"] == "202602"
        for person in people("442000", 3, 60, as_of=date(2026, 3, 1))
        for line in person.lines[RecordKind.CONTRIBUTIONS]
    )


def test_more_people_than_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        next(people("442000", 1, 10_000_000))


def test_csv_files_hold_one_row_per_line(tmp_path: Path) -> None:
    registry = list(people("442000", 3, 20))
    paths = write_csv(tmp_path, registry)
    assert set(paths) == set(RecordKind)
    for kind, path in paths.items():
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
        assert tuple(header) == columns(kind)
        assert lines == [row for person in registry for row in rows(person, kind)]
