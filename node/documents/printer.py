"""The worker process that draws, has signed, and examines papers: `press.py` starts it and speaks with it.

One JSON object a line each way, on a pipe; bytes are base64. First the worker says with what it draws::

    -> {"form": "3f…", "families": ["Noto Sans CJK SC"], "rss_bytes": 68157440}
    <- {"task": "print", "paper": "…", "certificate": "…", "authority": "…", "now": "2024-12-12T02:00:00+00:00"}
    -> {"sign": "…"}                    what the holder of the key is to sign
    <- {"signature": "…"}
    -> {"pdf": "…", "rss_bytes": 131072000}

It has no key, no database, no environment; it limits its own memory, writes no file, and quotes no paper in a fault.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from node.documents.drawing import CannotDraw, Drawing
from node.documents.examining import examine
from node.documents.fonts import NoFont, find_typefaces
from node.documents.pipe import Pipe, pack, unpack
from node.documents.signing import sign_pdf

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def limit_self(memory_bytes: int) -> None:
    """Set what this process may take; its pages of shared files count apart."""
    for kind, most in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        own = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (own, own))


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def print_paper(drawing: Drawing | None, pipe: Pipe, asked: dict[str, Any]) -> dict[str, Any]:
    """Draw a paper and have it signed; without a certificate it stays unsigned."""
    if drawing is None:
        raise CannotDraw("no-font")
    drawn = drawing.draw(asked["paper"].encode())
    if asked["certificate"] is None:
        return {"pdf": pack(drawn)}
    authority = asked["authority"]
    signed = sign_pdf(
        drawn,
        certificate=unpack(asked["certificate"]),
        authority=unpack(authority) if authority is not None else None,
        now=datetime.fromisoformat(asked["now"]),
        sign=lambda data: _signature(pipe, data),
    )
    return {"pdf": pack(signed)}


def _signature(pipe: Pipe, data: bytes) -> bytes:
    """Return the signature that the holder of the key makes."""
    pipe.say(sign=pack(data))
    return unpack((pipe.hear() or {})["signature"])


def examine_paper(drawing: Drawing | None, _pipe: Pipe, asked: dict[str, Any]) -> dict[str, Any]:
    """Say what a PDF is, and by whom it was signed."""
    return examine(unpack(asked["pdf"]), drawing)


Task = Callable[[Drawing | None, Pipe, dict[str, Any]], dict[str, Any]]
TASKS: Final[dict[str, Task]] = {"print": print_paper, "examine": examine_paper}


def serve(pipe: Pipe, own_fonts: list[Path]) -> None:
    """Answer until the other side has gone."""
    try:
        drawing = Drawing(find_typefaces(own_fonts))
    except NoFont:
        # What others have printed can be examined all the same.
        drawing = None
    form, families = (drawing.form, drawing.typefaces.families) if drawing is not None else ("", ())
    pipe.say(form=form, families=families, rss_bytes=rss_bytes())
    while (asked := pipe.hear()) is not None:
        try:
            answer = TASKS[asked["task"]](drawing, pipe, asked)
        except CannotDraw as fault:
            answer = {"fault": fault.rule, "at": fault.at}
        except MemoryError:
            answer = {"fault": "resources", "at": []}
        except Exception:
            # Whatever a library throws may quote the paper: nothing of it leaves this process.
            answer = {"fault": "unforeseen", "at": []}
        pipe.say(**answer, rss_bytes=rss_bytes())


def main() -> None:
    """Serve on standard input and output, which nothing else may write to."""
    given = json.loads(sys.argv[1])
    pipe = Pipe(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    limit_self(given["memory_bytes"])
    serve(pipe, [Path(one) for one in given["fonts"]])
