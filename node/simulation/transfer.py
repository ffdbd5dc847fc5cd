"""The story `transfer`: he was insured in 中山, works in 遵义 now; 遵义 leads, 中山 sends sheet and fund, in one day.

The amount is reckoned from his contributions by the rules in force, month by month; a sheet that is wrong by one line
is refused with the line and the rule. No money moves here: order, arrival and reconciliation are what cities tell.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from node.simulation.casework import Casework, casework, yuan
from node.simulation.telling import ASKED, STOPPED, Telling, expect
from protocol.procedures.months import month_of, month_text
from protocol.procedures.rules import Rules
from protocol.procedures.transfer import Amounts, Transfer, amount_figures, pay_line, transfer_amounts

ITEM: Final = "PEN-TRANSFER"
LEAD, OUT = STOPPED, ASKED
PERSON: Final = {"id_type": "01", "id_no": "520300198802290025", "name": "陈远山", "phone": "08510000000"}
PAID: Final = (
    ("201907", "201912", 337_600), ("202001", "202012", 337_600), ("202101", "202112", 367_300),
    ("202201", "202212", 458_800), ("202301", "202312", 458_800),
)  # fmt: skip
"""Months from and to, monthly base in fen."""
UNIT_BP, PERSONAL_BP = 1_400, 800
LETTER_NO, SHEET_NO, ORDER_NO = "LX-520300-0001", "XX-442000-0001", "HB-442000-0001"


@dataclass(slots=True)
class Transferring:
    """What the steps of this story share."""

    work: Casework
    rules: Rules
    number: str = ""
    leg: str = ""
    amounts: Amounts = field(init=False)

    async def what_if(self) -> tuple[str, str]:
        """Reckon what would move, before anything is opened."""
        lines = [
            pay_line(month_of(first), month_of(last), base, self.rules, personal_rate_bp=PERSONAL_BP,
                     unit_rate_bp=UNIT_BP)
            for first, last, base in PAID
        ]  # fmt: skip
        self.amounts = transfer_amounts(Transfer("GENERAL", OUT, LEAD, lines), self.rules)
        figures = amount_figures(self.amounts, self.rules)
        source = next(one.rules[0].source for one in figures if one.name == "pooled_fen")
        total, months = yuan(self.amounts.total_fen), self.amounts.months
        account, pooled = yuan(self.amounts.account_fen), yuan(self.amounts.pooled_fen)
        expect(self.amounts.total_fen == 4_497_235, f"算得 {total} 元", f"reckoned {total} yuan")
        return (
            f"试算：{months} 个月，个人账户 {account} 元 + 统筹 {pooled} 元 = {total} 元（{source}）",
            f"what if: {months} months, account {account} + pooled {pooled} = {total} yuan ({source})",
        )

    async def accept(self) -> tuple[str, str]:
        """遵义 accepts, one application for all his transfer-out cities."""
        self.number = await self.work.open(LEAD, ITEM, LEAD, self._application())
        page = self.work.page(LEAD, self.number)
        return (
            f"遵义受理 {self.number}，应于 {page['due_on']} 前发函",
            f"{LEAD} accepted {self.number}, letter due {page['due_on']}",
        )

    async def letter(self) -> tuple[str, str]:
        """Two persons approve; the contact letter goes to 中山 as a case of its own."""
        await self.work.act(LEAD, self.number, "sign")
        await self.work.act(LEAD, self.number, "approve", letters=[self._letter()])
        await self.work.act(LEAD, self.number, "send-letters", "reviewer")
        (self.leg,) = self.work.page(LEAD, self.number)["parts"]
        await self.work.act(OUT, self.leg, "sign")
        due = self.work.page(OUT, self.leg)["due_on"]
        return (
            f"联系函 {LETTER_NO} 由另一人复核后发出，中山签收，应于 {due} 前办结",
            f"letter {LETTER_NO}, reviewed by another person; {OUT} signed for it, due {due}",
        )

    async def sheet(self) -> tuple[str, str]:
        """A wrong sheet is refused with its line; the right one goes."""
        await self.work.act(OUT, self.leg, "take-up")
        wrong = self._sheet()
        wrong["yearly_lines"][2]["wages_fen"] += 100
        told = await self.work.refused(OUT, self.leg, "sheet", sheet=wrong)
        expect(
            told["at"] == "sheet/yearly_lines/2/wages_fen", f"应指出第 3 行，实为 {told['at']}", f"named {told['at']}"
        )
        await self.work.act(OUT, self.leg, "sheet", sheet=self._sheet())
        await self.work.act(OUT, self.leg, "review", "reviewer")
        await self.work.stands(self.leg, "SHEET_SENT", LEAD, OUT)
        return (
            f"错表被拒：{told['zh']}；改正后信息表 {SHEET_NO} 发出",
            f"a wrong sheet was refused: {told['en']}; {SHEET_NO} sent",
        )

    async def fund(self) -> tuple[str, str]:
        """Order, arrival, reconciliation."""
        total = self.amounts.total_fen
        await self.work.act(OUT, self.leg, "fund-order", "finance", order=self._order())
        arrival = {
            "order_no": ORDER_NO, "sheet_no": SHEET_NO, "arrival_date": self.work.today(), "arrival_fen": total,
            "confirmed_by": f"finance-{LEAD}",
        }  # fmt: skip
        await self.work.act(LEAD, self.leg, "arrival", "finance", arrival=arrival)
        await self.work.act(LEAD, self.leg, "reconcile", "finance")
        await self.work.stands(self.leg, "RECONCILED", LEAD, OUT)
        return (
            f"基金 {yuan(total)} 元：划转、到账、对账相符",
            f"fund {yuan(total)} yuan: ordered, arrived, reconciled",
        )

    async def join(self) -> tuple[str, str]:
        """遵义 books months and account, and tells him."""
        answer = {
            "result": "APPROVED", "decided_at": self.work.moment(), "decided_by": f"officer-{LEAD}",
            "decision_in": "APPROVED", "contact_letter_no": LETTER_NO, "months_recognised": self.amounts.months,
            "account_fen": self.amounts.account_fen, "pooled_fen": self.amounts.pooled_fen,
            "total_fen": self.amounts.total_fen, "arrival_date": self.work.today(),
            "arrival_fen": self.amounts.total_fen,
        }  # fmt: skip
        await self.work.act(LEAD, self.number, "decide", answer=answer)
        await self.work.act(LEAD, self.number, "review", "reviewer")
        told = {"received_by": "person", "received_on": self.work.today()}
        await self.work.act(LEAD, self.number, "handover", "clerk", **told)
        await self.work.stands(self.number, "NOTIFIED", LEAD)
        months = self.amounts.months
        return (
            f"接续完成并告知本人：认定 {months} 个月，当日办结",
            f"joined, and he was told: {months} months, on the same day",
        )

    def _application(self) -> dict[str, Any]:
        names = {"ID_CARD": "居民身份证", "TRANSFER_FORM": "转移接续申请表"}
        return {
            **self.work.taken(LEAD, PERSON, names),
            "transfer_in_org": _org(LEAD), "transfer_out_orgs": [_org(OUT)], "transfer_kind": "GENERAL",
            "in_insured_since": "202401", "hukou_division": LEAD,
        }  # fmt: skip

    def _letter(self) -> dict[str, Any]:
        return {
            "letter_no": LETTER_NO, "from_org": _org(LEAD), "to_org": _org(OUT), "person": PERSON,
            "new_insured_since": "202401", "reason": "EMPLOYMENT", "receiving_account": _account(LEAD),
            "requests": ["INFO_SHEET", "FUND"], "operator": f"officer-{LEAD}", "reviewer": f"reviewer-{LEAD}",
            "issued_on": self.work.today(),
        }  # fmt: skip

    def _sheet(self) -> dict[str, Any]:
        lines = [
            {
                "year": year.year, "from": first, "to": last, "months": year.months, "monthly_base_fen": base,
                "wages_fen": year.wages_fen, "unit_rate_bp": UNIT_BP, "personal_rate_bp": PERSONAL_BP,
                "record_rate_bp": PERSONAL_BP, "credited_fen": year.credited_fen, "interest_fen": year.interest_fen,
                "close_fen": year.close_fen, "kind": "NORMAL",
            }
            for year, (first, last, base) in zip(self.amounts.years, PAID, strict=True)
        ]  # fmt: skip
        totals = {
            "actual_months": self.amounts.months, "deemed_months": 0, "personal_before_1998_fen": 0,
            "account_since_1998_fen": self.amounts.account_fen, "pooled_fen": self.amounts.pooled_fen,
            "total_fen": self.amounts.total_fen,
        }  # fmt: skip
        first, last = PAID[0][0], PAID[-1][1]
        return {
            "sheet_no": SHEET_NO, "letter_no": LETTER_NO, "person": PERSON, "first_insured": first,
            "account_opened": first, "cut_off": month_text(month_of(last)), "hukou_division": LEAD,
            "account_kind": "GENERAL", "yearly_lines": lines, "totals": totals, "operator": f"officer-{OUT}",
            "reviewer": f"reviewer-{OUT}", "issued_on": self.work.today(),
        }  # fmt: skip

    def _order(self) -> dict[str, Any]:
        return {
            "order_no": ORDER_NO, "sheet_no": SHEET_NO, "payer": _account(OUT), "payee": _account(LEAD),
            "account_fen": self.amounts.account_fen, "pooled_fen": self.amounts.pooled_fen,
            "total_fen": self.amounts.total_fen, "value_date": self.work.today(), "remittance_text": SHEET_NO,
        }  # fmt: skip


def _org(division: str) -> dict[str, str]:
    return {"division": division, "name": f"{division} 社会保险经办机构"}


def _account(city: str) -> dict[str, str]:
    return {"account_name": "社会保险基金财政专户", "bank_name": "演示银行", "account_no": f"{city}000001"}


async def tell_transfer(telling: Telling) -> None:
    """Tell the story."""
    async with casework(telling, LEAD, OUT) as work:
        node = work.nodes[LEAD]
        with node.node.database.reading() as session:
            rules = node.cases.room.documents.amounts_in_force(session)
        story = Transferring(work, rules)
        await telling.step("what-if", LEAD, story.what_if)
        await telling.step("accept", LEAD, story.accept)
        await telling.step("letter", LEAD, story.letter)
        await telling.step("sheet", OUT, story.sheet)
        await telling.step("fund", OUT, story.fund)
        await telling.step("join", LEAD, story.join)
