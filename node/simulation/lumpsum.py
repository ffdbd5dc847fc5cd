"""The story `lumpsum`: 邓先生, 67, lives in 梧州, was insured in 中山; 梧州 accepts, 中山 decides, 梧州 hands over.

中山 is stopped while 梧州 sends, and comes back. Everything goes the real way: signed messages between the serving
processes; here people act on the two node directories, as `tongban case …` does.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from node.attachments import service as attachments
from node.cases import service, viewing
from node.cases.room import local_time
from node.cases.service import Doing, Opening, Person
from node.simulation.people import story_people
from node.simulation.telling import ASKED, ASKING, NotAsExpected, Telling, expect

ITEM: Final = "PEN-LUMPSUM"
BALANCE_FEN: Final = 4_123_456
SECONDS: Final = 30.0
SEEN: Final = "sm3:" + "0" * 64
"""stands for a material whose original was seen"""
SIGNED_NOTICE: Final = b"%PDF-1.4\n% a scan of the notice that he has signed, for the demo\n%%EOF\n"


@dataclass(slots=True)
class Lumpsum:
    """What the steps of this story share."""

    telling: Telling
    ours: Any
    theirs: Any
    number: str = ""
    scanned: str = ""

    async def act(self, running: Any, account: str, role: str, event: str, data: dict[str, Any]) -> None:
        """Let somebody of a city act."""
        person = self._person(running, account, role)
        doing = Doing(self.number, event, data)
        await running.writer.submit(lambda tx: service.act(running.cases.room, tx, doing, person))

    def _person(self, running: Any, account: str, role: str) -> Person:
        settings = running.node.settings
        return Person(account, running.node.vault.pseudonym(account), settings.member.name_zh, role)

    async def notice(self) -> tuple[str, str]:
        """Tell in writing, and check the form as the clerk has filled it, before anything is signed."""
        wrong = form(self.telling.opening.now().isoformat(timespec="seconds"))
        del wrong["notice_signed_digest"]
        try:
            self._check(wrong)
        except Exception as refusal:
            fields = getattr(refusal, "facts", {}).get("fields", [])
            places = [one["at"] for one in fields]
            expect(
                places == ["notice_signed_digest"],
                f"应缺签字告知书，实为 {places}",
                f"expected the signed notice, got {places}",
            )
            told = fields[0]
            return (
                f"书面告知权利与后果；未签字不能受理：{told['zh']}",
                f"told in writing; without his signature: {told['en']}",
            )
        raise NotAsExpected("缺签字也通过了", "it passed without the signature")

    def _check(self, application: dict[str, Any]) -> None:
        with self.ours.node.database.reading() as session:
            service.check_case(self.ours.cases.room, session, Opening(ITEM, ASKED, application))

    async def scan(self) -> tuple[str, str]:
        """Scan what he has signed."""
        file = self.telling.network.city(ASKING).home / "notice.pdf"
        file.write_bytes(SIGNED_NOTICE)
        kept = await self.ours.receiving.keep_file(file, "application/pdf")
        self.scanned = f"sha256:{kept.sha256}"
        return (
            f"本人签字的告知书已扫描：{kept.sha256[:12]}…",
            f"the notice that he signed is scanned: {kept.sha256[:12]}…",
        )

    async def accept(self) -> tuple[str, str]:
        """Accept while the other city is stopped."""
        person = self._person(self.ours, f"clerk-{ASKING}", "clerk")
        filled = form(self.telling.opening.now().isoformat(timespec="seconds"), signed=self.scanned)
        wanted = Opening(ITEM, ASKED, filled)
        done = await self.ours.writer.submit(lambda tx: service.open_case(self.ours.cases.room, tx, wanted, person))
        self.number = self.telling.story.case = done.number
        page = self._page(self.ours)
        expect(page["due_on"] is not None, "没有到期日", "no due day")
        return (f"受理 {self.number}，应于 {page['due_on']} 前办结", f"accepted {self.number}, due on {page['due_on']}")

    async def undelivered(self) -> tuple[str, str]:
        """See that it is not delivered yet, and when it is tried again."""

        def is_known() -> bool:
            waiting = self._page(self.ours)["waiting"]
            return bool(waiting) and waiting[0]["slug"] is not None

        await until(is_known)
        one = self._page(self.ours)["waiting"][0]
        when = str(one["next_at"])[11:19]
        return (f"中山停机：尚未送达，下次尝试 {when}", f"{ASKED} is down: not yet delivered, next attempt at {when}")

    async def delivered(self) -> tuple[str, str]:
        """Start the other city, and see the receipt."""
        await asyncio.to_thread(self.telling.network.wait, ASKED)
        started = time.monotonic()
        await until(lambda: not self._page(self.ours)["waiting"])
        took = round((time.monotonic() - started) * 1000)
        with self.theirs.node.database.reading() as session:
            expect(bool(attachments.named_by(session, self.number)), "附件未到", "the scan did not arrive")
        return (
            f"中山恢复：{took} 毫秒后连同附件自动送达，收到回执",
            f"{ASKED} is back: delivered by itself after {took} ms, scan included, with a signed receipt",
        )

    async def sign(self) -> tuple[str, str]:
        """Sign for."""
        await self.act(self.theirs, f"officer-{ASKED}", "officer", "sign", {})
        return ("中山签收", f"{ASKED} signed for it")

    async def decide(self) -> tuple[str, str]:
        """First review: the answer with its amount."""
        await self.act(self.theirs, f"officer-{ASKED}", "officer", "decide", {"answer": answer(self.telling)})
        return (
            f"初审：同意，支付 {BALANCE_FEN / 100:,.2f} 元",
            f"first review: approved, {BALANCE_FEN / 100:,.2f} yuan",
        )

    async def review(self) -> tuple[str, str]:
        """Second review: not by the same person."""
        try:
            await self.act(self.theirs, f"officer-{ASKED}", "reviewer", "review", {})
        except Exception as refusal:
            slug = getattr(refusal, "slug", "")
            expect(
                slug == "invalid-transition",
                f"应为 invalid-transition，实为 {slug}",
                f"expected invalid-transition, got {slug}",
            )
        else:
            expect(False, "本人复核了自己的初审", "a person reviewed the own step")
        await self.act(self.theirs, f"reviewer-{ASKED}", "reviewer", "review", {})
        return ("复核：初审本人不能复核；由另一人通过", "second review: not by the same person; another agreed")

    async def handover(self) -> tuple[str, str]:
        """Hand over in the accepting city."""
        await until(lambda: self._page(self.ours)["state"] == "DECIDED")
        day = local_time(self.telling.opening.now()).date().isoformat()
        data = {"received_by": "person", "received_on": day}
        await self.act(self.ours, f"clerk-{ASKING}", "clerk", "handover", data)
        await until(lambda: self._page(self.theirs)["state"] == "HANDED_OVER")
        return ("梧州交付结果，办结", f"{ASKING} handed over the result; completed")

    async def compare(self) -> tuple[str, str]:
        """See the same transcript in both cities."""
        await until(lambda: self._page(self.ours)["head"] == self._page(self.theirs)["head"])
        seen = [self._digests(one) for one in (self.ours, self.theirs)]
        expect(seen[0] == seen[1], "两市时间线不一致", "the timelines differ")
        head = self._page(self.ours)["head"][:12]
        return (
            f"两市时间线逐字节一致：{len(seen[0])} 个事件，{head}…",
            f"one timeline in both cities: {len(seen[0])} events, {head}…",
        )

    def _page(self, running: Any) -> dict[str, Any]:
        with running.node.database.reading() as session:
            return viewing.page_of(running.cases.room, session, service.read_case(session, self.number))

    def _digests(self, running: Any) -> list[tuple[Any, Any, Any]]:
        with running.node.database.reading() as session:
            events = viewing.timeline(running.cases.room, session, service.read_case(session, self.number))
        return [(one["seq"], one["digest"], one["head"]) for one in events]


async def tell_lumpsum(telling: Telling) -> None:
    """Tell the story."""
    async with _both(telling) as story:
        await telling.step("notice", ASKING, story.notice)
        await telling.step("signed", ASKING, story.scan)
        await asyncio.to_thread(telling.network.stop, ASKED)
        await telling.step("accept", ASKING, story.accept)
        await telling.step("not-delivered", ASKING, story.undelivered)
        telling.network.start(ASKED)
        await telling.step("delivered", ASKED, story.delivered)
        await telling.step("sign", ASKED, story.sign)
        await telling.step("first-review", ASKED, story.decide)
        await telling.step("second-review", ASKED, story.review)
        await telling.step("handover", ASKING, story.handover)
        await telling.step("same-timeline", ASKED, story.compare)


@asynccontextmanager
async def _both(telling: Telling) -> AsyncIterator[Lumpsum]:
    theirs = await telling.opening.at(telling.network.city(ASKED).home).starting()
    try:
        yield Lumpsum(telling, telling.running, theirs)
    finally:
        await theirs.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; half a minute at most."""
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


def form(now: str, *, signed: str = SEEN) -> dict[str, Any]:
    """Return the form that the clerk fills for him: materials seen in the original; `signed` is the scanned notice."""
    life = story_people()[0]
    moment = local_time(datetime.fromisoformat(now)).isoformat(timespec="seconds")
    names = {
        "ID_CARD": "居民身份证",
        "TERMINATION_REQUEST": "终止关系书面申请",
        "RIGHTS_NOTICE": "权利与后果告知书",
        "BANK_ACCOUNT": "银行卡",
    }
    return {
        "person": {"id_type": "01", "id_no": life.id_number, "name": life.name, "phone": "07740000000"},
        "material": [
            {"material_code": code, "name": name, "form": "original_seen", "digest": SEEN}
            for code, name in names.items()
        ],
        "verification": {"method": "counter_card_read", "verified_at": moment, "operator": f"clerk-{ASKING}"},
        "reason": "AGE_LT15",
        "retire_age_reached_on": "2017-08-15",
        "months_total": 88,
        "notice_given_at": moment,
        "notice_signed_digest": signed,
        "account": {
            "bank_name": "演示银行梧州分行",
            "account_no": "6200000000000000000",
            "account_name": life.name,
            "is_social_card_account": True,
        },
    }


def answer(telling: Telling) -> dict[str, Any]:
    """Return the answer of the first review."""
    now = local_time(telling.opening.now())
    day = now.date().isoformat()
    return {
        "result": "APPROVED",
        "decided_at": now.isoformat(timespec="seconds"),
        "decided_by": f"officer-{ASKED}",
        "relation_terminated_on": day,
        "account_balance_fen": BALANCE_FEN,
        "paid_fen": BALANCE_FEN,
        "payment_date": day,
    }
