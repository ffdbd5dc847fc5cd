"""JSON interface of the cases room, on the console port; the token decides who may call, the account who acts.

    curl -H "Authorization: Bearer $(cat api.token)" -H "Tongban-Account: clerk-450400:clerk" \\
         -H "Idempotency-Key: 7f3c…" -H "Content-Type: application/json" -d @form.json \\
         http://127.0.0.1:8000/api/v1/cases

Every write takes an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same again gets the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from node.cases import service, viewing
from node.cases.room import Room
from node.cases.service import Doing, Opening, Person
from node.cases.viewing import Filter
from node.storage.unit_of_work import Database
from node.storage.writer import Writer

Number = Annotated[str, Path(pattern=r"^KS[0-9]{21}$")]
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=100, pattern=r"^[A-Za-z0-9._:-]+$")]


class OpeningBody(BaseModel):
    """What a clerk hands in: item, responsible city, the filled form."""

    model_config = ConfigDict(extra="forbid")

    item: str = Field(pattern=r"^[A-Z][A-Z0-9-]{1,39}$", examples=["PEN-LUMPSUM"])
    to: str = Field(pattern=r"^[1-9][0-9]{5}$", examples=["442000"])
    application: dict[str, Any]
    follows: str | None = Field(default=None, pattern=r"^KS[0-9]{21}$")


class EventBody(BaseModel):
    """What a person does with a case: an event of its procedure, its data, and the head that was looked at."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field(pattern=r"^[a-z][a-z-]{1,29}$", examples=["sign"])
    data: dict[str, Any] = {}
    seen: str | None = Field(default=None, max_length=43)


@dataclass(frozen=True, slots=True)
class CasesDoor:
    """What the routes need."""

    room: Room
    database: Database
    writer: Writer
    acting: Callable[..., Person]
    """a FastAPI dependency: who acts, by token and account"""


def router(door: CasesDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1/cases", tags=["cases"])
    _reading(routes, door)
    _looking(routes, door)
    _writing(routes, door)
    return routes


def _reading(routes: APIRouter, door: CasesDoor) -> None:
    acting = Annotated[Person, Depends(door.acting)]

    @routes.get("", summary="List cases by due day, overdue first")
    def list_cases(
        person: acting,
        box: Annotated[str | None, Query(pattern="^(todo|sent|done)$")] = None,
        city: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{5}$")] = None,
        item: Annotated[str | None, Query(max_length=40)] = None,
        state: Annotated[str | None, Query(max_length=30)] = None,
        due_until: date | None = None,
        after: Annotated[str | None, Query(max_length=40)] = None,
        limit: Annotated[int, Query(ge=1, le=viewing.PAGE_MAX)] = 50,
    ) -> dict[str, Any]:
        wanted = Filter(box, city, item, state, due_until, after, limit)
        with door.database.reading() as session:
            lines, more = viewing.list_cases(door.room, session, wanted)
        return {"cases": lines, "after": more}

    @routes.get("/{number}", summary="A case: where it stands, what may be done now, what is not delivered yet")
    def show(person: acting, number: Number) -> dict[str, Any]:
        with door.database.reading() as session:
            row = service.read_case(session, number)
            page = viewing.page_of(door.room, session, row)
            return {**page, "actions": viewing.actions_of(door.room, session, row, person)}

    @routes.get("/{number}/timeline", summary="Events of both cities, newest first")
    def timeline(person: acting, number: Number, below: Annotated[int | None, Query(ge=0)] = None) -> dict[str, Any]:
        with door.database.reading() as session:
            row = service.read_case(session, number)
            return {"events": viewing.timeline(door.room, session, row, below=below)}


def _looking(routes: APIRouter, door: CasesDoor) -> None:
    acting = Annotated[Person, Depends(door.acting)]

    @routes.get("/{number}/application", summary="What was applied for, unmasked; the look is logged with its reason")
    async def application(
        person: acting, number: Number, reason: Annotated[str, Query(max_length=service.REASON_MAX)]
    ) -> dict[str, Any]:
        return await door.writer.submit(
            lambda tx: service.look_at_application(door.room, tx, number, person, reason=reason)
        )


def _writing(routes: APIRouter, door: CasesDoor) -> None:
    acting = Annotated[Person, Depends(door.acting)]

    @routes.post("/check", summary="Check an application and change nothing")
    def check(person: acting, body: OpeningBody) -> dict[str, Any]:
        wanted = Opening(body.item, body.to, body.application, follows=body.follows)
        with door.database.reading() as session:
            rules, _ = service.check_case(door.room, session, wanted)
        return {"ok": True, "item": rules.item.code}

    @routes.post("", status_code=201, summary="Open a case and send it to the responsible city")
    async def open_case(person: acting, body: OpeningBody, key: Key) -> dict[str, Any]:
        wanted = Opening(body.item, body.to, body.application, follows=body.follows)
        done = await door.writer.submit(lambda tx: service.open_case(door.room, tx, wanted, person, request=key))
        return {"number": done.number, "jti": done.jti}

    @routes.post("/{number}/events", status_code=201, summary="Do what the procedure allows now")
    async def act(person: acting, number: Number, body: EventBody, key: Key) -> dict[str, Any]:
        doing = Doing(number, body.event, body.data, body.seen)
        done = await door.writer.submit(lambda tx: service.act(door.room, tx, doing, person, request=key))
        return {"number": done.number, "jti": done.jti}
