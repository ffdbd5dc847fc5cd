"""The operating log: structured, one line per event, control characters escaped, no personal data.

Events carry a fixed set of fields (peer, slug, trace, job, counts). Bodies, numbers of persons, query
strings and headers never become fields; what a traceback holds is kept to file, line and function, because
values in frames may be personal data (threat T21).
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

FIELDS: Final = frozenset(
    {
        "event", "level", "logger", "timestamp", "peer", "member", "slug", "trace", "job", "reason", "fault", "epoch",
        "slot", "code", "finding", "exception", "version", "size",
    }
)  # fmt: skip


def set_up_logging(level: str, form: str) -> None:
    """Send all logging of the process to stderr, as JSON lines or as text."""
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=True) if form == "json" else _text
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _safe_exception,
            _allowed_fields,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log request lines, statements and bodies; what we need of them we log ourselves.
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr, force=True)


def _safe_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.pop("exc_info", None):
        fault = sys.exc_info()[1]
        if fault is not None:
            event["exception"] = place_of(fault)
    return event


def place_of(fault: BaseException) -> str:
    """Return kind and place of a fault, without what it says: values in texts may be personal data."""
    frames = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)
    ]
    return f"{type(fault).__name__} at {' < '.join(reversed(frames[-6:]))}"


def _allowed_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in FIELDS}


def _text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    facts = " ".join(
        f"{name}={value!r}" for name, value in event.items() if name not in ("event", "timestamp", "level")
    )
    return f"{event.get('timestamp')} {event.get('level'):7} {event.get('event')} {facts}".rstrip()
