"""All eighteen items between running nodes, by the local interface: opened, handled, closed, and once refused.

What was applied for is read back at the responsible city, every field and material of the catalogue; what was answered
is read back at the accepting one.
"""

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from node.simulation.demo import new_root
from node.simulation.network import DemoNetwork, free_base, make_network
from node.terminal import Terminal
from tests.node.documents.conftest import press  # noqa: F401 - a worker, and the skip without a font
from tests.node.documents.reading import pdfa_faults, text_of
from tests.processes.cities import QuietOpening
from tests.protocol import filling
from tests.protocol.sheets import a_sheet

ACCEPTING, RESPONSIBLE, OUT = "450400", "442000", "520300"
TRANSFERS = ("PEN-TRANSFER", "PEN-BRIDGE", "PEN-PUBSEC", "RES-TRANSFER", "UI-TRANSFER")
DECIDED = {"result": "APPROVED", "decided_at": "2026-11-24T16:00:00+08:00", "decided_by": "officer"}
GROUNDS = {"reason_text": "不符合条件", "legal_ref": "社会保险法第十六条", "remedy_text": "六十日内可申请行政复议"}
UNEMPLOYED = {"months_paid": 80, "months_unused": 9, "standard_fen": 171_000}
SUB_MATTERS = {"PEN_CALC": "officer", "MED_RETIREE": "medical", "HPF_SEAL": "housing"}


@dataclass
class Cities:
    """Three serving cities with consoles."""

    network: DemoNetwork

    def call(self, code: str, role: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        city = self.network.city(code)
        token = (city.home / "data" / "api.token").read_text().strip()
        headers = {
            "authorization": f"Bearer {token}", "tongban-account": f"{role}-{code}:{role}",
            "content-type": "application/json", "idempotency-key": str(uuid4()),
        }  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", city.console_port, timeout=30)
        connection.request(method, f"/api/v1/cases{path}", json.dumps(body) if body is not None else None, headers)
        answered = connection.getresponse()
        told = json.loads(answered.read())
        connection.close()
        return answered.status, told

    def paper(self, code: str, case: str, kind: str) -> str:
        """Print a paper of a case; return its text without white space."""
        city = self.network.city(code)
        token = (city.home / "data" / "api.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "tongban-account": f"clerk-{code}:clerk"}
        connection = http.client.HTTPConnection("127.0.0.1", city.console_port, timeout=60)
        connection.request("POST", f"/api/v1/cases/{case}/papers/{kind}", headers=headers)
        answered = connection.getresponse()
        data = answered.read()
        connection.close()
        assert answered.status == 200, data.decode()
        assert answered.headers["content-type"] == "application/pdf"
        assert pdfa_faults(data) == []
        return text_of(data)

    def get(self, code: str, path: str) -> Any:
        status, told = self.call(code, "officer", "GET", path)
        return told if status == 200 else None

    def do(self, code: str, case: str, event: str, role: str = "officer", /, **data: Any) -> None:
        status, told = self.call(code, role, "POST", f"/{case}/events", {"event": event, "data": data})
        assert status == 201, told

    def until(self, code: str, number: str, *states: str) -> Any:
        """Wait until a case stands somewhere at a city; return its page."""
        ends = time.monotonic() + 30
        while True:
            page = self.get(code, f"/{number}")
            if page is not None and page["state"] in states:
                return page
            assert time.monotonic() < ends, (number, states, page and page["state"])
            time.sleep(0.05)

    def said(self, code: str, number: str, event: str) -> Any:
        """Return what the last event of a name says, as a city has it."""
        events = self.get(code, f"/{number}/timeline")["events"]
        return next(one["data"] for one in events if one["event"] == event)


@pytest.fixture(scope="module")
def cities() -> Iterator[Cities]:
    opening = QuietOpening(Terminal(lang="en"))
    members = [one for one in opening.demo_members() if one["division"] in (ACCEPTING, RESPONSIBLE, OUT)]
    root = new_root()
    network = DemoNetwork(make_network(root, members, free_base(27_000, 3), network="items", opening=opening))
    try:
        for city in network.cities:
            network.start(city.code)
        for city in network.cities:
            network.wait(city.code)
        yield Cities(network)
    finally:
        network.stop_all()
        opening.close()
        shutil.rmtree(root, ignore_errors=True)


def seen(content: Any) -> Any:
    """Return content whose digests name originals that were seen, not attachments."""
    return json.loads(json.dumps(content).replace("sha256:", "sm3:"))


def org(division: str) -> dict[str, Any]:
    return {"division": division, "name": f"{division} 社会保险事业局"}


def application(item: str) -> dict[str, Any]:
    """Return an application with every field and material of the catalogue."""
    changes: dict[str, Any] = {
        "PEN-TRANSFER": {"transfer_in_org": org(RESPONSIBLE), "transfer_out_orgs": [org(OUT)]},
        "PEN-BRIDGE": {"out_org": org(OUT)},
        "PEN-PUBSEC": {"out_org": org(OUT)},
        "RES-TRANSFER": {"old_hukou": OUT},
        "UI-TRANSFER": {"out_org": org(OUT), "case_kind": "ENTITLED"},
        "PEN-RETIRE": {"sub_matters": list(SUB_MATTERS), "retire_kind": "NORMAL"},
    }
    return dict(seen(filling.application(filling.ITEMS[item], full=True))) | changes.get(item, {})


def answer(item: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "PEN-TRANSFER": {"info_sheet": a_full_sheet()},
        "PEN-BRIDGE": {"info_sheet": a_full_sheet()},
        "PEN-PUBSEC": {"info_sheet": a_full_sheet()},
        "RES-TRANSFER": {"info_sheet": a_full_sheet()},
        "UI-TRANSFER": {"info_sheet": UNEMPLOYED, "fee_fen": 2_308_500},
        "ELIG-PENSION": {"next_due": "2027-11-24"},
    }
    return dict(seen(filling.answer(filling.ITEMS[item], full=True))) | DECIDED | changes.get(item, {})


def a_full_sheet() -> dict[str, Any]:
    """Return a sheet without a fault in which every optional field of the catalogue stands that adds no months."""
    filled = seen(filling.fill_all(filling.CATALOGUE.blocks["info_sheet"], full=True))
    added = {name: filled[name] for name in ("work_started_on", "seal", "person")}
    return a_sheet(**added, deemed_periods=[], one_off_payments=[], earlier_transfers=[], arrears_months=0)


def opened(cities: Cities, item: str, content: dict[str, Any]) -> str:
    body = {"item": item, "to": RESPONSIBLE, "application": content}
    status, told = cities.call(ACCEPTING, "clerk", "POST", "", body)
    assert status == 201, told
    cities.until(RESPONSIBLE, told["number"], "ACCEPTED", "SENT")
    return str(told["number"])


def test_every_item_is_opened_handled_and_closed(cities: Cities) -> None:
    # One test for all, so that each of the eighteen is surely among them.
    assert len(filling.ITEMS) == 18
    for item in filling.ITEMS:
        _from_the_form_to_the_handover(cities, item)


def _from_the_form_to_the_handover(cities: Cities, item: str) -> None:
    content = application(item)
    materials = {one["material_code"] for one in content["material"]}
    assert materials >= {one.code for one in filling.ITEMS[item].materials}, item
    assert set(content) == {one.name for one in filling.ITEMS[item].application}, item
    number = opened(cities, item, content)
    assert cities.get(RESPONSIBLE, f"/{number}/application?reason=initial+review") == content, item
    cities.do(RESPONSIBLE, number, "sign")
    if item in TRANSFERS:
        _legs(cities, number, item)
    if item == "PEN-RETIRE":
        for part, role in SUB_MATTERS.items():
            cities.do(RESPONSIBLE, number, "sub-decide", role, part=part, result="APPROVED")
    given = answer(item)
    cities.do(RESPONSIBLE, number, "decide", answer=given)
    if item == "PAY-ACCOUNT":
        cities.do(RESPONSIBLE, number, "call-back", spoke_to="person", number="records", confirmed="yes")
    if filling.ITEMS[item].reviewers == 2:
        cities.do(RESPONSIBLE, number, "review", "reviewer")
    page = cities.until(ACCEPTING, number, "DECIDED")
    assert page["result"] == "APPROVED"
    answered = cities.said(ACCEPTING, number, "decide")["answer"]
    assert answered == given, item
    assert set(answered) == {
        one.name for one in (*filling.ITEMS[item].answer, *filling.ITEMS[item].answer_when_approved)
    }, item
    cities.do(ACCEPTING, number, "handover", "clerk", received_by="person", received_on="2026-11-24")
    cities.until(RESPONSIBLE, number, "HANDED_OVER", "NOTIFIED")


def _legs(cities: Cities, number: str, item: str, *, order: str = "") -> None:
    """Send the letter, and take sheet and fund through the other city."""
    block = seen(filling.fill_all(filling.CATALOGUE.blocks["contact_letter"], full=True))
    letter = block | {"from_org": org(RESPONSIBLE), "to_org": org(OUT)}
    cities.do(RESPONSIBLE, number, "approve", letters=[letter])
    cities.do(RESPONSIBLE, number, "send-letters", "reviewer")
    (leg,) = cities.get(RESPONSIBLE, f"/{number}")["parts"]
    cities.until(OUT, leg, "LETTER_SENT")
    brought = cities.get(OUT, f"/{leg}/application?reason=initial+review")
    assert brought["letter"] == letter
    assert "material" not in brought
    for event in ("sign", "take-up"):
        cities.do(OUT, leg, event)
    sheet: dict[str, Any] = UNEMPLOYED if item == "UI-TRANSFER" else a_full_sheet()
    total = sheet.get("totals", {}).get("total_fen", 2_308_500)
    cities.do(OUT, leg, "sheet", sheet=sheet)
    cities.do(OUT, leg, "review", "reviewer")
    for event, name, amount in (("fund-order", "order", "total_fen"), ("arrival", "arrival", "arrival_fen")):
        block = seen(filling.fill_all(filling.CATALOGUE.blocks[f"fund_{name}"], full=True))
        city, ready = (OUT, "SHEET_SENT") if name == "order" else (RESPONSIBLE, "FUND_ORDERED")
        cities.until(city, leg, ready)
        own = {"order_no": order or f"HB-{item}", amount: total, "bank_ref": f"YH-{order or item}"}
        own |= {"account_fen": total, "pooled_fen": 0} if name == "order" else {}
        cities.do(city, leg, event, "finance", **{name: block | own})
    cities.until(RESPONSIBLE, leg, "FUND_ARRIVED")
    assert cities.said(RESPONSIBLE, leg, "sheet")["sheet"] == sheet
    cities.do(RESPONSIBLE, leg, "reconcile", "finance")
    cities.until(OUT, leg, "RECONCILED")
    cities.until(ACCEPTING, number, "TO_JOIN")
    cities.until(RESPONSIBLE, number, "TO_JOIN")


def test_every_item_can_be_refused_with_reason_ground_and_remedy(cities: Cities) -> None:
    for item in filling.ITEMS:
        number = opened(cities, item, application(item))
        cities.do(RESPONSIBLE, number, "sign")
        if item == "PEN-RETIRE":
            for part, role in SUB_MATTERS.items():
                cities.do(RESPONSIBLE, number, "sub-decide", role, part=part, result="REJECTED", reason="不符合条件")
        refusal = DECIDED | {"result": "REJECTED"}
        told = {"event": "decide", "data": {"answer": refusal}}
        status, told = cities.call(RESPONSIBLE, "officer", "POST", f"/{number}/events", told)
        assert status == 422, (item, told)
        assert {one["at"] for one in told["fields"]} >= {f"answer/{name}" for name in GROUNDS}, item
        cities.do(RESPONSIBLE, number, "decide", answer=refusal | GROUNDS)
        if item == "PAY-ACCOUNT":
            cities.do(RESPONSIBLE, number, "call-back", spoke_to="person", number="records", confirmed="yes")
        if filling.ITEMS[item].reviewers == 2:
            cities.do(RESPONSIBLE, number, "review", "reviewer")
        assert cities.until(ACCEPTING, number, "DECIDED")["result"] == "REJECTED"
        assert cities.said(ACCEPTING, number, "decide")["answer"] == refusal | GROUNDS
        cities.do(ACCEPTING, number, "handover", "clerk", received_by="person", received_on="2026-11-24")
        cities.until(RESPONSIBLE, number, "HANDED_OVER", "NOTIFIED")


@pytest.mark.usefixtures("press")
def test_the_papers_of_cases_say_what_the_transcripts_say(cities: Cities) -> None:
    number = opened(cities, "PEN-LUMPSUM", application("PEN-LUMPSUM"))
    assert number in cities.paper(ACCEPTING, number, "acceptance-slip")
    assert cities.call(RESPONSIBLE, "officer", "POST", f"/{number}/papers/decision")[0] == 422
    assert cities.call(RESPONSIBLE, "officer", "POST", f"/{number}/papers/contact-letter")[0] == 404
    assert "一次性领取个人账户储存额" in cities.paper(ACCEPTING, number, "notice")
    cities.do(RESPONSIBLE, number, "sign")
    cities.do(RESPONSIBLE, number, "supplement", missing=["银行账户（卡/折）"])
    assert "社会保险经办条例第九条" in cities.paper(RESPONSIBLE, number, "missing-items")
    cities.until(ACCEPTING, number, "SUPPLEMENT")
    cities.do(ACCEPTING, number, "supplemented", "clerk")
    cities.until(RESPONSIBLE, number, "IN_REVIEW")
    amounts = {"account_balance_fen": 4_123_456, "overpaid_offset_fen": 0, "paid_fen": 4_123_456, "remedy_text": None}
    cities.do(RESPONSIBLE, number, "decide", answer=answer("PEN-LUMPSUM") | amounts)
    cities.do(RESPONSIBLE, number, "review", "reviewer")
    cities.until(ACCEPTING, number, "DECIDED")
    for city in (ACCEPTING, RESPONSIBLE):
        told = cities.paper(city, number, "decision")
        assert "41,234.56" in told
        assert "肆万壹仟贰佰叁拾肆元伍角陆分" in told
        assert "行政复议" in told
    cities.do(ACCEPTING, number, "handover", "clerk", received_by="person", received_on="2026-11-24")
    cities.until(ACCEPTING, number, "HANDED_OVER")
    assert number in cities.paper(ACCEPTING, number, "handover-receipt")
    transfer = opened(cities, "PEN-TRANSFER", application("PEN-TRANSFER"))
    cities.do(RESPONSIBLE, transfer, "sign")
    _legs(cities, transfer, "PEN-TRANSFER", order="HB-PAPERS")
    (leg,) = cities.get(RESPONSIBLE, f"/{transfer}")["parts"]
    assert "450400195708151014" in cities.paper(OUT, leg, "contact-letter")
    sheet = cities.paper(OUT, leg, "information-sheet")
    assert "44,972.35" in sheet
    assert "核对相符" in sheet
    assert "HB-PAPERS" in cities.paper(OUT, leg, "fund-notice")
    assert cities.paper(RESPONSIBLE, leg, "contact-letter")


def test_nobody_acts_as_the_node_itself_and_nobody_looks_without_a_reason(cities: Cities) -> None:
    number = opened(cities, "PEN-BRIDGE", application("PEN-BRIDGE"))
    forged = {"event": "leg-opened", "data": {"part": "KS442000202611240000019", "to": OUT}}
    assert cities.call(RESPONSIBLE, "system", "POST", f"/{number}/events", forged)[0] == 403
    assert cities.call(RESPONSIBLE, "officer", "POST", f"/{number}/events", forged)[0] == 409
    for query in ("", "?reason=", "?reason=+", f"?reason={'x' * 201}"):
        assert cities.call(RESPONSIBLE, "officer", "GET", f"/{number}/application{query}")[0] == 422
