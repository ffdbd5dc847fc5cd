"""What-if over the local interface: the same answers as `tongban case estimate`.

    curl -H "Authorization: Bearer $(cat api.token)" -H "Tongban-Account: clerk-450400:clerk" \\
         -H "Content-Type: application/json" -d '{"certification": {"certified_on": "2026-11-24"}}' \\
         http://127.0.0.1:8000/api/v1/estimates

Nothing is changed, so there is no idempotency key.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from node.cases.estimates import service
from node.cases.room import Room
from node.cases.service import Person
from node.storage.unit_of_work import Database


def router(room: Room, database: Database, acting: Callable[..., Person]) -> APIRouter:
    """Return the routes; `acting` is a FastAPI dependency: who asks."""
    routes = APIRouter(prefix="/api/v1/estimates", tags=["estimates"])
    asking = Annotated[Person, Depends(acting)]

    @routes.get("/rules", summary="The rules that estimates rest on, those that are uncertain marked")
    def rules(person: asking) -> dict[str, Any]:
        with database.reading() as session:
            return service.rules_in_force(room, session)

    @routes.post("", summary="Amounts, places, ages, fee and due days, without a case")
    def estimate(person: asking, question: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        with database.reading() as session:
            return service.estimate(room, session, question)

    return routes
