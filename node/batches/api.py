"""JSON interface of the batches room, on the console port; token and account as for cases.

    curl -H "Authorization: Bearer $(cat api.token)" -H "Tongban-Account: clerk-450400:clerk" \\
         --data-binary @transfers.xlsx "http://127.0.0.1:8000/api/v1/batches?item=PEN-TRANSFER"

The answer names the batch; its rows are looked at by the scheduled work. The same file for the same item is the same
batch, so that a repeat needs no idempotency key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from node.batches import service
from node.batches.room import Batches, HandedIn

Number = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class BatchesDoor:
    """What the routes need."""

    batches: Batches
    acting: Callable[..., Any]
    """a FastAPI dependency: who acts, by token and account"""


def router(door: BatchesDoor) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1/batches", tags=["batches"])
    _handing_in(routes, door)
    _reading(routes, door)
    return routes


def _handing_in(routes: APIRouter, door: BatchesDoor) -> None:
    acting = Annotated[Any, Depends(door.acting)]
    batches = door.batches

    @routes.post("", status_code=202, summary="Hand in a workbook with applications for one item")
    async def hand_in(
        person: acting,
        request: Request,
        item: Annotated[str, Query(pattern=r"^[A-Z][A-Z0-9-]{1,39}$")],
        dry_run: bool = False,
    ) -> dict[str, Any]:
        handed = HandedIn(item, await service.collect(request.stream()), dry_run)
        number = await batches.writer.submit(lambda tx: service.hand_in(batches, tx, handed, person, keep=True))
        with batches.writer.database.reading() as session:
            return service.progress(session, number)


def _reading(routes: APIRouter, door: BatchesDoor) -> None:
    acting = Annotated[Any, Depends(door.acting)]
    database = door.batches.writer.database

    @routes.get("", summary="The newest batches")
    def newest(person: acting) -> dict[str, Any]:
        with database.reading() as session:
            return {"batches": service.newest(session)}

    @routes.get("/{number}", summary="How far a batch is")
    def progress(person: acting, number: Number) -> dict[str, Any]:
        with database.reading() as session:
            return service.progress(session, number)

    @routes.get("/{number}/report", summary="What became of each row: its case, or its faults by cell")
    def report(
        person: acting,
        number: Number,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=service.PAGE_MAX)] = service.PAGE_MAX,
        faulty: bool = False,
    ) -> dict[str, Any]:
        with database.reading() as session:
            rows, more = service.report(session, number, after=after, limit=limit, faulty=faulty)
            return {**service.progress(session, number), "report": rows, "after": more}

    @routes.get("/{number}/report.xlsx", summary="The same as one workbook")
    def workbook(person: acting, number: Number) -> Response:
        with database.reading() as session:
            return Response(service.report_workbook(session, number), media_type=XLSX)
