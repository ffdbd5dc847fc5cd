"""What an exchange costs when the log holds a million entries, against ten thousand: `python -m bench.growth`.

Two copies of one city are filled to 10,000 and to `--size` exchanges (a log entry, its opening and a replay row of
ordinary length each, in groups of a thousand, by the node's own unit of work), then both answer new questions by
turns. The figure is the cost per exchange, so 1.2 means that the large one is a fifth slower. Goal: at most 1.2;
`make bench-nightly` takes ten million.
"""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import text

from bench.asking import Asker
from bench.measuring import Figures, Options, Tell, alternate, main, on_cores, ratios
from bench.stage import CLIENT_CORE, Stage, opening_at, stage
from node.app import new_id
from node.audit.service import Entry
from node.exchange import store
from node.storage.encryption import shard_key
from node.storage.unit_of_work import Transaction
from protocol.suites import encode

SMALL: Final = 10_000
GROUP: Final = 1_000
CONNECTIONS: Final = 16
PEERS: Final = ("450400", "520300", "440900")


def run(options: Options, figures: Figures, tell: Tell) -> None:
    """Measure both databases."""
    with stage(options, tell) as made, on_cores(CLIENT_CORE):
        for database in ("sqlite", "postgresql"):
            if database in made.forms:
                _compare(made, database, options, figures, tell)


def _compare(made: Stage, database: str, options: Options, figures: Figures, tell: Tell) -> None:
    small, large = made.form_of(database, "small"), made.form_of(database, "large")
    fill(small, SMALL)
    tell(f"{database}: filling to {options.size} exchanges")
    begun = time.monotonic()
    fill(large, options.size)
    figures.add(f"growth_fill_{database}_per_second", [options.size / (time.monotonic() - begun)])
    figures.add(f"growth_{database}_bytes", [(_stored(large) - _stored(small)) / (options.size - SMALL)])
    askers = [Asker(name, made.serve(home), made, options) for name, home in (("small", small), ("large", large))]
    for asker in askers:
        asker.measure(CONNECTIONS)
    base, other = (partial(asker.measure, CONNECTIONS) for asker in askers)
    tell(f"{database}: {options.rounds} rounds")
    series = alternate(base, {"large": other}, options.rounds)
    made.stop()
    figures.add(f"growth_{database}_ratio", [1 / one for one in ratios(series, "large")])
    figures.add(f"growth_{database}_small_per_second", series[""])
    figures.add(f"growth_{database}_large_per_second", [rate for _, rate in series["large"]])
    _drop(made, database, large)


def _stored(home: Path) -> int:
    """Return the bytes of a city's database, indexes included."""
    engine = opening_at(home).node().database.engine
    postgresql = engine.dialect.name == "postgresql"
    size = "pg_database_size(current_database())" if postgresql else "page_count * page_size"
    source = "" if postgresql else " FROM pragma_page_count(), pragma_page_size()"
    with engine.connect() as connection:
        stored = connection.execute(text(f"SELECT {size}{source}")).scalar_one()
    engine.dispose()
    return int(stored)


def _drop(made: Stage, database: str, home: Path) -> None:
    """Make room for the other database: ten million exchanges take 30 GB."""
    if database == "sqlite":
        for file in (home / "data").glob("tongban.db*"):
            file.unlink()


def fill(home: Path, count: int) -> None:
    """Fill a city with exchanges of the past year."""
    node = opening_at(home).node()
    start = datetime.now(UTC) - timedelta(days=365)
    for first in range(0, count, GROUP):
        numbers = range(first, min(first + GROUP, count))
        node.database.write(partial(_exchanges, numbers=numbers, start=start, count=count))
    node.database.engine.dispose()


def _exchanges(transaction: Transaction, numbers: Sequence[int], start: datetime, count: int) -> None:
    for number in numbers:
        peer, jti = PEERS[number % len(PEERS)], new_id()
        when = start + timedelta(days=364) * (number / count)
        digest = encode(os.urandom(32))
        transaction.append(
            Entry(
                kind="message", dir="in", time=when, peer=peer, jti=jti, msg="record.query", request=digest,
                reply=digest, status=200, item="PEN-LUMPSUM", case="KS450400202611240000012", basis="STATUTORY",
                officer="o-7f3c", person=("01", f"{440000000000000000 + number}"),
            )
        )  # fmt: skip
        row = (shard_key(jti), peer, jti, digest, os.urandom(900), os.urandom(600), None, "application/json", 200)
        transaction.add(store.ADD_RECEIVED, (*row, when, None))


if __name__ == "__main__":
    main("growth", run)
