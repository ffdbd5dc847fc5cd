"""The shared documents that come with the software agree with each other and with the protocol."""

import json
import re
from datetime import date, timedelta

from config.data import (
    calendar_bytes,
    catalogue_bytes,
    demo_policy_bytes,
    read_calendars,
    read_catalogue,
    read_demo_network,
    read_demo_policy,
)
from protocol.messages import LINES, RecordKind


def test_the_catalogue_has_eighteen_items_each_once() -> None:
    codes = [item["code"] for item in read_catalogue()["items"]]
    assert len(codes) == len(set(codes)) == 18
    assert json.loads(catalogue_bytes())["catalogue"] == "tongban-items"


def test_each_calendar_counts_the_working_days_it_states() -> None:
    calendars = read_calendars()
    assert list(calendars) == list(calendar_bytes()) == [2024, 2025, 2026, 2027]
    for year, calendar in calendars.items():
        off, work = set(calendar["off"]), set(calendar["work"])
        days = [date(year, 1, 1) + timedelta(n) for n in range(366) if (date(year, 1, 1) + timedelta(n)).year == year]
        working = [day for day in days if str(day) in work or (str(day) not in off and day.weekday() < 5)]
        assert calendar["year"] == year
        assert len(working) == calendar["working_days"], year


def test_the_demo_network_has_sixteen_members_and_says_which_are_examples() -> None:
    network = read_demo_network()
    codes = [member["division"] for member in network["members"]]
    assert len(set(codes)) == 16
    assert codes[:3] == ["442000", "450400", "520300"]
    assert all(re.fullmatch(r"[1-9]\d{5}", code) for code in codes)
    assert [member["status"] for member in network["members"]].count("example") == 10
    assert all(member[name] for member in network["members"] for name in ("name_zh", "name_en", "agency_zh"))


def test_the_demo_policy_speaks_only_of_items_records_and_fields_that_exist() -> None:
    items = {item["code"] for item in read_catalogue()["items"]}
    for rule in read_demo_policy()["rules"]:
        assert set(rule) == {"peer", "item", "record", "fields"}
        assert rule["item"] in items
        known = list(LINES[RecordKind(rule["record"])].model_fields)
        assert rule["fields"] == [field for field in known if field in rule["fields"]], rule


def test_the_demo_policy_has_one_rule_per_peer_item_and_record() -> None:
    rules = [(rule["peer"], rule["item"], rule["record"]) for rule in read_demo_policy()["rules"]]
    assert len(rules) == len(set(rules))
    assert json.loads(demo_policy_bytes())["default"] == "deny"


def test_the_demo_policy_gives_away_no_more_than_the_item_needs() -> None:
    rules = {(rule["item"], rule["record"]): set(rule["fields"]) for rule in read_demo_policy()["rules"]}
    assert all("employer" not in fields for fields in rules.values())
    assert "CARD-SERVICE" not in {item for item, _ in rules}
    assert not rules["INS-CERT", "contributions"] & {"monthly_base_fen", "employer_fen", "personal_fen"}
    assert rules["ELIG-PENSION", "benefit"] == {"insurance", "benefit", "status"}
    wages = {
        item for (item, record), fields in rules.items() if record == "contributions" and "monthly_base_fen" in fields
    }
    assert wages == {"PEN-TRANSFER", "PEN-RETIRE", "PEN-PUBSEC", "PEN-DISABILITY"}
