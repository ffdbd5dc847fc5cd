"""People of several cities at work on a case of a story: they act on the node directories, as `tongban case …` does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from node.cases import service, viewing
from node.cases.room import local_time
from node.cases.service import Doing, Opening, Person
from node.simulation.telling import ASKING, Telling, expect
from protocol.errors import NotFound

SECONDS: Final = 30.0
SEEN: Final = "sm3:" + "0" * 64
"""stands for a material whose original was seen"""


@dataclass(slots=True)
class Casework:
    """The nodes of the cities of a story, by code."""

    telling: Telling
    nodes: dict[str, Any]

    def moment(self) -> str:
        """Return now, as forms say it."""
        return local_time(self.telling.opening.now()).isoformat(timespec="seconds")

    def today(self) -> str:
        """Return today."""
        return local_time(self.telling.opening.now()).date().isoformat()

    def taken(self, city: str, person: dict[str, str], materials: dict[str, str]) -> dict[str, Any]:
        """Return what a clerk takes in for every item: person, materials seen in the original, identity checked."""
        return {
            "person": person,
            "material": [
                {"material_code": code, "name": name, "form": "original_seen", "digest": SEEN}
                for code, name in materials.items()
            ],
            "verification": {
                "method": "counter_card_read", "verified_at": self.moment(), "operator": f"clerk-{city}",
            },
        }  # fmt: skip

    async def open(self, city: str, item: str, to: str, application: dict[str, Any]) -> str:
        """Let a clerk open a case; return its number."""
        running, person = self.nodes[city], self._person(city, "clerk")
        wanted = Opening(item, to, application)
        done = await running.writer.submit(lambda tx: service.open_case(running.cases.room, tx, wanted, person))
        self.telling.story.case = done.number
        return str(done.number)

    async def act(self, city: str, number: str, event: str, role: str = "officer", **data: Any) -> None:
        """Let somebody of a city act, when the case has come there and may."""
        await self.until(lambda: event in [one["event"] for one in self.actions(city, number)])
        running, person = self.nodes[city], self._person(city, role)
        doing = Doing(number, event, data)
        await running.writer.submit(lambda tx: service.act(running.cases.room, tx, doing, person))

    async def refused(self, city: str, number: str, event: str, role: str = "officer", **data: Any) -> dict[str, Any]:
        """Let somebody try what must be refused; return the first fault of a field, or the slug."""
        try:
            await self.act(city, number, event, role, **data)
        except Exception as refusal:
            fields = getattr(refusal, "facts", {}).get("fields") or [{"at": getattr(refusal, "slug", "?")}]
            return dict(fields[0])
        expect(False, f"{event} 未被拒绝", f"{event} was not refused")
        return {}

    def _person(self, city: str, role: str) -> Person:
        running, account = self.nodes[city], f"{role}-{city}"
        office = running.node.settings.member.name_zh
        return Person(account, running.node.vault.pseudonym(account), office, role)

    def page(self, city: str, number: str) -> dict[str, Any]:
        """Return the page of a case at a city."""
        running = self.nodes[city]
        with running.node.database.reading() as session:
            return viewing.page_of(running.cases.room, session, service.read_case(session, number))

    def actions(self, city: str, number: str) -> list[dict[str, Any]]:
        """Return what may be done with a case at a city; nothing while it has not come there."""
        running = self.nodes[city]
        with running.node.database.reading() as session:
            try:
                row = service.read_case(session, number)
            except NotFound:
                return []
            return viewing.actions_of(running.cases.room, session, row)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; half a minute at most."""
        async with asyncio.timeout(SECONDS):
            while not holds():
                await asyncio.sleep(0.02)

    async def stands(self, number: str, state: str, *cities: str) -> None:
        """Wait until a case stands somewhere at all of these cities, byte for byte the same."""
        await self.until(lambda: all(self.page(city, number)["state"] == state for city in cities))
        heads = {self.page(city, number)["head"] for city in cities}
        expect(len(heads) == 1, "两市时间线不一致", "the timelines differ")


@asynccontextmanager
async def casework(telling: Telling, *cities: str) -> AsyncIterator[Casework]:
    """Open the node directories of these cities beside their serving processes; ours is open."""
    async with AsyncExitStack() as stack:
        nodes = {ASKING: telling.running}
        for city in cities:
            if city != ASKING:
                nodes[city] = await telling.opening.at(telling.network.city(city).home).starting()
                stack.push_async_callback(nodes[city].stop)
        yield Casework(telling, nodes)


def yuan(fen: int) -> str:
    """Return an amount as people read it."""
    return f"{fen / 100:,.2f}"
