"""The one JSON line that every figure prints: what was measured, on what, and whether it meets its target."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parents[2]
MEASURED = ("cryptography", "pydantic", "PyJWT", "tuf")


def print_figure(figure: int, *, value: Any, target: Any, passed: bool, seed: int | None = None, **raw: Any) -> None:
    """Print the line; `raw` holds the counts behind the value."""
    line = {
        "figure": figure,
        "value": value,
        "target": target,
        "pass": passed,
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in MEASURED}},
        "hardware": {"machine": platform.machine(), "processors": os.cpu_count()},
        "seed": seed,
        "raw": raw,
    }
    print(json.dumps(line, ensure_ascii=False))


def commit() -> str:
    """Return the commit that is checked out, or "unknown" outside a repository."""
    run = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HOUSE, capture_output=True, text=True)
    return run.stdout.strip() if run.returncode == 0 else "unknown"
