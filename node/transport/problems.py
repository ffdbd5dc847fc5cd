"""Refusals over HTTP outside messages: RFC 9457 `application/problem+json`, unsigned; nothing of a fault leaks out."""

import secrets

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from node.transport.callers import ENDING
from protocol.claims import PROBLEM_TYPE
from protocol.errors import Internal, InvalidBody, NotFound, Refusal, format_problem

logger = structlog.get_logger("node")


def bare_app() -> FastAPI:
    """Return an application whose every refusal is a problem document, and that documents nothing by itself."""
    app = FastAPI(title="Tongban", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return problem_response(refusal)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, fault: RequestValidationError) -> Response:
        places = [{"at": "/".join(map(str, one["loc"])), "rule": one["type"]} for one in fault.errors()]
        return problem_response(InvalidBody("the request does not have the form it must have", fields=places[:20]))

    @app.exception_handler(HTTPException)
    async def unknown(_request: Request, fault: HTTPException) -> Response:
        if fault.status_code == 405:
            return Response(status_code=405, headers=fault.headers)
        return problem_response(NotFound())

    @app.exception_handler(Exception)
    async def failed(_request: Request, _fault: Exception) -> Response:
        logger.error("request.failed")
        return problem_response(Internal())

    return app


def problem_response(refusal: Refusal) -> JSONResponse:
    """Return a refusal as RFC 9457 problem+json; unsigned, as all but messages are."""
    trace = secrets.token_hex(4)
    headers = {"retry-after": str(refusal.retry_after_seconds)} if refusal.retry_after_seconds is not None else {}
    if isinstance(refusal, ENDING):
        headers["connection"] = "close"
    return JSONResponse(
        format_problem(refusal, trace=f"{trace[:4]}-{trace[4:]}"),
        status_code=refusal.status,
        headers=headers,
        media_type=PROBLEM_TYPE,
    )
