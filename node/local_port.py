"""The application of the console port: discovery, readiness, and the JSON interface of every room."""

from collections.abc import Awaitable
from typing import Any

from node.app import SOFTWARE, Running
from node.batches import api as batches_api
from node.cases import api as cases_api
from node.cases.api import CasesDoor
from node.cases.estimates import api as estimates_api
from node.cases.papers import print_paper
from node.cases.service import Person
from node.funds import api as funds_api
from node.funds.api import FundsDoor
from node.funds.service import Ledger
from node.statistics import api as statistics_api
from node.statistics.api import StatisticsDoor
from node.transport.local import acting_by_token, token_of
from node.transport.problems import bare_app
from protocol.claims import VERSION


def console_app(running: Running) -> Any:
    """Return the application of the console port: the discovery document, and readiness."""
    app = bare_app()
    settings = running.node.settings

    @app.get("/.well-known/tongban")
    def discovery() -> dict[str, Any]:
        return {
            "versions": [VERSION],
            "network": settings.member.network,
            "member": settings.member.code,
            "peer": settings.peer.public_url,
        }

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"ready": True, "member": settings.member.code, "software": SOFTWARE}

    def person(account: str, role: str) -> Person:
        return Person(f"api:{account}", running.node.vault.pseudonym(account), settings.member.name_zh, role)

    acting = acting_by_token(token_of(settings.dirs.data), person)
    room, database, writer = running.cases.room, running.node.database, running.writer

    def prints(number: str, kind: str, size: str, acting: Person) -> Awaitable[Any]:
        return print_paper(room, running.documents, database, writer, number, kind, size=size, actor=acting.account)

    app.include_router(cases_api.router(CasesDoor(room, database, writer, acting, prints)))
    app.include_router(estimates_api.router(running.cases.room, running.node.database, acting))
    app.include_router(batches_api.router(batches_api.BatchesDoor(running.batches, acting)))
    node, database = running.node, running.node.database
    app.include_router(statistics_api.router(StatisticsDoor(running.statistics.room, database, acting)))
    ledger = Ledger(node.vault, running.now)
    app.include_router(funds_api.router(FundsDoor(ledger, database, node.member, acting)))
    app.openapi_url = "/api/openapi.json"
    app.setup()
    return app
