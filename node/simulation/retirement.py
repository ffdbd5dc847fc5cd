"""The story `retirement`: one application in 梧州, three departments of 中山 at work side by side, minutes counted."""

from dataclasses import dataclass
from typing import Any, Final

from node.simulation.casework import Casework, casework, yuan
from node.simulation.telling import ASKED, ASKING, Telling, expect

ITEM: Final = "PEN-RETIRE"
PERSON: Final = {"id_type": "01", "id_no": "450400196312050027", "name": "覃桂英", "phone": "07740000001"}
SUB_MATTERS: Final = {"PEN_CALC": "officer", "MED_RETIREE": "medical", "HPF_WITHDRAW": "housing"}
DEPARTMENTS: Final = ("SOCIAL_INSURANCE", "MEDICAL_INSURANCE", "HOUSING_FUND")
PENSION_FEN, FUND_FEN = 318_642, 4_210_077


@dataclass(slots=True)
class Retiring:
    """What the steps of this story share."""

    work: Casework
    number: str = ""

    async def accept(self) -> tuple[str, str]:
        """梧州 accepts for all three departments."""
        self.number = await self.work.open(ASKING, ITEM, ASKED, self._application())
        await self.work.act(ASKED, self.number, "sign")
        due = str(self.work.page(ASKED, self.number)["due_at"])[11:16]
        return (
            f"梧州一次受理 {self.number}，三部门并联，{due} 前办结（快速通道）",
            f"{ASKING} accepted {self.number} once for three departments, due at {due} (fast track)",
        )

    async def too_early(self) -> tuple[str, str]:
        """The answer waits for every department."""
        for part in ("HPF_WITHDRAW", "MED_RETIREE"):
            await self.work.act(ASKED, self.number, "sub-decide", SUB_MATTERS[part], part=part, result="APPROVED")
        offered = [one["event"] for one in self.work.actions(ASKED, self.number)]
        expect(
            "decide" not in offered, "养老待遇未核定就能答复", "it could be answered before the pension was reckoned"
        )
        return (
            "公积金、医保各自办结；养老待遇未核定，尚不能答复",
            "housing fund and medical insurance are done; no answer before the pension is reckoned",
        )

    async def decide(self) -> tuple[str, str]:
        """The last department, the answer, the second look."""
        await self.work.act(ASKED, self.number, "sub-decide", "officer", part="PEN_CALC", result="APPROVED")
        minutes = self.work.page(ASKED, self.number)["elapsed_minutes"]
        await self.work.act(ASKED, self.number, "decide", answer=self._answer(minutes))
        await self.work.act(ASKED, self.number, "review", "reviewer")
        return (
            f"三部门办结：月养老金 {yuan(PENSION_FEN)} 元，公积金提取 {yuan(FUND_FEN)} 元，由另一人复核",
            f"all three done: pension {yuan(PENSION_FEN)} yuan a month, fund {yuan(FUND_FEN)} yuan; reviewed",
        )

    async def handover(self) -> tuple[str, str]:
        """Handed over in 梧州; the minutes are those of the transcript."""
        told = {"received_by": "person", "received_on": self.work.today()}
        await self.work.act(ASKING, self.number, "handover", "clerk", **told)
        await self.work.stands(self.number, "HANDED_OVER", ASKING, ASKED)
        used = self.work.page(ASKING, self.number)["elapsed_minutes"]
        expect(used < 30, f"用时 {used} 分钟", f"it took {used} minutes")
        return (
            f"梧州交付，用时 {used} 分钟（承诺 30 分钟）",
            f"handed over in {ASKING}, {used} minutes used of 30",
        )

    def _application(self) -> dict[str, Any]:
        names = {"ID_CARD": "居民身份证", "BANK_ACCOUNT": "银行卡"}
        return {
            **self.work.taken(ASKING, PERSON, names),
            "retire_kind": "NORMAL", "planned_retire_month": self.work.today()[:7].replace("-", ""),
            "sub_matters": list(SUB_MATTERS),
            "account": {
                "bank_name": "演示银行梧州分行", "account_no": "6200000000000000001",
                "account_name": PERSON["name"], "is_social_card_account": True,
            },
        }  # fmt: skip

    def _answer(self, minutes: int) -> dict[str, Any]:
        now, month = self.work.moment(), self.work.today()[:7].replace("-", "")
        return {
            "result": "APPROVED", "decided_at": now, "decided_by": f"officer-{ASKED}",
            "sub_results": [
                {"dept": dept, "state": "APPROVED", "decided_at": now} for dept in DEPARTMENTS
            ],
            "pension_start_month": month, "monthly_pension_fen": PENSION_FEN, "med_retiree_from": month,
            "hpf_withdrawn_fen": FUND_FEN, "elapsed_minutes": minutes,
        }  # fmt: skip


async def tell_retirement(telling: Telling) -> None:
    """Tell the story."""
    async with casework(telling, ASKED) as work:
        story = Retiring(work)
        await telling.step("accept", ASKING, story.accept)
        await telling.step("departments", ASKED, story.too_early)
        await telling.step("decide", ASKED, story.decide)
        await telling.step("handover", ASKING, story.handover)
