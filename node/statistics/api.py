"""JSON interface of statistics: `GET /api/v1/statistics`, on the console port."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from node.statistics import service
from node.statistics.service import Room
from node.storage.unit_of_work import Database


@dataclass(frozen=True, slots=True)
class StatisticsDoor:
    """What the routes need."""

    room: Room
    database: Database
    acting: Callable[..., Any]
    """a FastAPI dependency: who acts, by token and account"""


def router(door: StatisticsDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1/statistics", tags=["statistics"], dependencies=[Depends(door.acting)])

    @routes.get("", summary="Days against promise, volumes, open and overdue, refusals, funds; and how old that is")
    def statistics(
        item: Annotated[str | None, Query(max_length=40)] = None,
        pair: Annotated[str | None, Query(max_length=13, description="accepting-responsible, 442000-520300")] = None,
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
        leg: Annotated[str | None, Query(max_length=64)] = None,
    ) -> dict[str, Any]:
        with door.database.reading() as session:
            asked = service.ask(door.room, session, first=first, last=last, item=item, pair=pair, leg=leg)
            return service.answer(door.room, session, asked)

    return routes
