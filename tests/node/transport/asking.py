"""Ask an application one GET without a socket: ASGI messages in, status and JSON out."""

import asyncio
import json
from typing import Any

from fastapi import FastAPI


def asked(app: FastAPI, target: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of a GET."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    body = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    told: dict[str, Any] = json.loads(body)
    return int(sent[0]["status"]), told
