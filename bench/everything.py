"""All of it in one go: `make bench`, the same as `python -m bench.everything`.

Every benchmark runs, its raw data are kept in bench/results/NAME.json as soon as it has ended, and the pages are
written from what lies there (`bench/report.py`). `--only NAME` (or `flame`) runs one and leaves the others' data;
every other option goes to the benchmarks.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from bench.report import RESULTS, as_text, read_results, write
from node.simulation.bench import NAMES, BenchmarkFailed, measure

ROOT: Final = Path(__file__).absolute().parents[1]
ALL: Final = (*NAMES, "flame")


def main() -> None:
    """Run, keep, write, print; exit 1 when a benchmark fails or is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.everything", description=__doc__)
    parser.add_argument("--only", choices=ALL)
    asked, arguments = parser.parse_known_args()
    try:
        measure(ROOT, [asked.only] if asked.only else ALL, arguments, _tell, _keep)
    except BenchmarkFailed as fault:
        sys.exit(f"benchmark {fault.name} failed:\n{fault.said}")
    except KeyboardInterrupt:
        sys.exit("interrupted: what had ended is kept")
    write(ROOT)
    print(as_text(read_results(ROOT)))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _keep(name: str, raw: bytes) -> None:
    folder = ROOT / RESULTS
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_bytes(raw)


if __name__ == "__main__":
    main()
