"""JSON interface of the fund ledger, on the console port: what it says; what changes it are events of cases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from node.funds import service
from node.funds.service import Ledger
from node.storage.unit_of_work import Database

City = Annotated[str, Query(pattern=r"^[1-9][0-9]{5}$")]


@dataclass(frozen=True, slots=True)
class FundsDoor:
    """What the routes need."""

    ledger: Ledger
    database: Database
    member: str
    acting: Callable[..., Any]
    """a FastAPI dependency: who acts, by token and account"""


def router(door: FundsDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1/funds", tags=["funds"], dependencies=[Depends(door.acting)])

    @routes.get("", summary="Legs by number: expected, ordered, arrived, difference")
    def list_funds(
        after: Annotated[str, Query(max_length=23)] = "",
        limit: Annotated[int, Query(ge=1, le=service.PAGE_MAX)] = 50,
    ) -> dict[str, Any]:
        with door.database.reading() as session:
            lines = service.list_funds(door.ledger, session, after=after, limit=limit)
        return {"funds": lines, "after": lines[-1]["number"] if len(lines) == limit else None}

    @routes.get("/unmatched", summary="What came and belongs to no known order")
    def unmatched() -> dict[str, Any]:
        with door.database.reading() as session:
            return {"arrivals": service.unmatched(session)}

    @routes.get("/statement", summary="Statement of a pair and month, with the digest that both cities compare")
    def statement(peer: City, month: Annotated[str, Query(pattern=r"^[0-9]{6}$")]) -> dict[str, Any]:
        with door.database.reading() as session:
            return service.statement(session, door.member, peer, month).model_dump()

    @routes.get("/{number}", summary="The money of one leg")
    def show(number: str) -> dict[str, Any]:
        with door.database.reading() as session:
            return service.fund_of(door.ledger, session, number)

    return routes
