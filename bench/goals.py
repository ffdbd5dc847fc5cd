"""Every published figure: its name, what it means, its unit, and what it has to reach. The only such list.

A name may hold alternatives in braces, as in a shell: `exchange_{bare,sqlite}_{1,16}_p50_ms` are four figures.
`python -m bench.report` writes the tables of docs/performance.md and docs/operate/benchmarks.md from here.
"""

import re
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

RATIO: Final = "×"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, or a family of one meaning; `floor` must be reached, `aim` is hoped for."""

    name: str
    meaning: str
    unit: str
    floor: float | None = None
    aim: float | None = None
    at_most: bool = False
    """less is better: `floor` is the most that it may be"""

    @property
    def goal(self) -> str:
        """Return the goal as text, empty when there is none."""
        if self.floor is None:
            return ""
        text = f"{'≤' if self.at_most else '≥'} {self.floor:,g}"
        return text if self.aim is None else f"{text}, aim {self.aim:,g}"

    def verdict(self, value: float) -> str:
        """Return whether a value is `missed`, `met` or `aim met`; empty when there is no goal."""
        if self.floor is None:
            return ""
        if not self._reaches(value, self.floor):
            return "missed"
        return "aim met" if self.aim is not None and self._reaches(value, self.aim) else "met"

    def _reaches(self, value: float, goal: float) -> bool:
        return value <= goal if self.at_most else value >= goal


def expand(name: str) -> list[str]:
    """Return the names that a name with alternatives in braces stands for, in the order of reading."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    # Outside braces there is no comma: every second part is one word.
    return ["".join(words) for words in product(*parts)]


EXCHANGE: Final = (
    Figure(
        "exchange_postgresql_ratio", "full exchange ÷ bare mTLS echo, 16 connections, PostgreSQL", RATIO, 0.18, 0.25
    ),
    Figure("exchange_sqlite_ratio", "the same, SQLite `synchronous=FULL`", RATIO, 0.15, 0.22),
    Figure(
        "exchange_over_naive_ratio",
        "full exchange ÷ naive server (FastAPI, PyJWT, commit each), SQLite, 16",
        RATIO,
        2.2,
        3,
    ),
    Figure(
        "exchange_logged_postgresql_ratio", "full exchange ÷ the same path unlogged, PostgreSQL, 16", RATIO, 0.85, 0.95
    ),
    Figure("exchange_logged_sqlite_ratio", "the same, SQLite", RATIO, 0.7, 0.85),
    Figure(
        "exchange_workers_ratio",
        "two workers ÷ one, PostgreSQL, client's processor time counted apart",
        RATIO,
        1.5,
        1.8,
    ),
    Figure(
        "overload_throughput_ratio", "throughput at twice the load that one process can serve ÷ its best", RATIO, 0.9
    ),
    Figure("overload_p99_ms", "p99 of the requests that are served at that load", "ms", 500, at_most=True),
    Figure("overload_refused", "requests of four seconds that were answered `busy` at that load", "requests"),
    Figure(
        "exchange_{sqlite,postgresql}_{1,64}_ratio", "full exchange ÷ bare mTLS echo at 1 and at 64 connections", RATIO
    ),
    Figure("exchange_naive{,_1,_64}_ratio", "naive server ÷ bare mTLS echo", RATIO),
    Figure("exchange_ceiling_ratio", "echo with one ES256 verification and one signature ÷ bare mTLS echo, 16", RATIO),
    Figure("exchange_{sqlite,postgresql}_of_ceiling_ratio", "full exchange ÷ that echo", RATIO),
    Figure("exchange_unlogged_{sqlite,postgresql}_ratio", "full exchange without its log ÷ bare mTLS echo, 16", RATIO),
    Figure(
        "exchange_{bare,sqlite,postgresql,naive}_{1,16,64}_per_second",
        "answered requests at so many connections",
        "req/s",
    ),
    Figure("exchange_{bare,sqlite,postgresql,naive}_{1,16,64}_p50_ms", "half of them took at most", "ms"),
    Figure("exchange_{bare,sqlite,postgresql,naive}_{1,16,64}_p99_ms", "99 of 100 took at most", "ms"),
    Figure("exchange_{bare,sqlite,postgresql,naive}_{1,16,64}_cpu_us", "server's processor time per request", "µs"),
    Figure("exchange_{ceiling,unlogged_sqlite,unlogged_postgresql}_16_per_second", "answered requests", "req/s"),
    Figure(
        "exchange_{ceiling,unlogged_sqlite,unlogged_postgresql}_16_{p50,p99}_ms", "50 and 99 of 100 took at most", "ms"
    ),
    Figure("exchange_{ceiling,unlogged_sqlite,unlogged_postgresql}_16_cpu_us", "processor time per request", "µs"),
)
PEER_CLIENT: Final = (
    Figure("outbound_16_ratio", "16 messages in flight to one peer ÷ one shared plain httpx client", RATIO, 5, 15),
    Figure("outbound_1_ratio", "the same, one at a time", RATIO),
    Figure("outbound_{1,16}_per_second", "answered messages, so many in flight", "req/s"),
    Figure("outbound_plain_{1,16}_per_second", "the same, plain httpx", "req/s"),
    Figure("outbound_{1,16}_cpu_us", "our client's processor time per message", "µs"),
    Figure("outbound_plain_{1,16}_cpu_us", "plain httpx's", "µs"),
)
QUERY: Final = (
    Figure("query_1_p50_ms", "one question to one live city, client included", "ms", 4, at_most=True),
    Figure(
        "query_15_ratio",
        "network query of 15 live cities ÷ the same with one shared plain httpx client",
        RATIO,
        0.5,
        0.25,
        at_most=True,
    ),
    Figure("query_15_p50_ms", "network query of 15 live cities, until the last has answered", "ms"),
    Figure("query_15_plain_p50_ms", "the same with one shared plain httpx client", "ms"),
    Figure(
        "query_15_light_p50_ms",
        "network query of 15 cities that answer at once, so that the asking side alone is seen",
        "ms",
    ),
    Figure("query_15_light_plain_p50_ms", "the same with one shared plain httpx client", "ms"),
    Figure("query_15_light_ratio", "ours ÷ plain there", RATIO),
    Figure("query_15_over_1", "15 cities ÷ one", RATIO),
)
LOG: Final = (
    Figure(
        "log_verify_sqlite_per_second",
        "entries read, hashed and folded; tiles and checkpoints compared",
        "entries/s",
        200_000,
    ),
    Figure("log_verify_postgresql_per_second", "the same", "entries/s", 150_000),
    Figure(
        "log_append_{sqlite,postgresql}_per_second",
        "entries appended in groups of 16, each group committed",
        "entries/s",
    ),
    Figure(
        "log_append_group_of_1_{sqlite,postgresql}_per_second", "entries appended and committed one by one", "entries/s"
    ),
    Figure(
        "log_checkpoint_{sqlite,postgresql}_per_second",
        "entries hashed and folded for a checkpoint, signed and kept",
        "entries/s",
    ),
)
GROWTH: Final = (
    Figure(
        "growth_{sqlite,postgresql}_ratio", "cost per exchange at 1 M log entries ÷ at 10 k", RATIO, 1.2, at_most=True
    ),
    Figure("growth_{sqlite,postgresql}_small_per_second", "answered requests at 10 k entries, 16 connections", "req/s"),
    Figure("growth_{sqlite,postgresql}_large_per_second", "answered requests at 1 M entries", "req/s"),
    Figure("growth_{sqlite,postgresql}_bytes", "database per exchange of ordinary length, indexes included", "bytes"),
    Figure(
        "growth_fill_{sqlite,postgresql}_per_second", "exchanges written while the large log is filled", "exchanges/s"
    ),
)
CASES: Final = (
    Figure(
        "cases_per_second_sqlite", "cases opened and receipted between two live nodes, one process each", "cases/s", 300
    ),
    Figure("cases_per_second_postgresql", "the same", "cases/s", 250),
    Figure(
        "cases_latency_p50_ms", "from the outbox row to the stored receipt, 50 cases a second", "ms", 50, at_most=True
    ),
    Figure("cases_latency_p99_ms", "the same", "ms", 500, at_most=True),
    Figure("cases_backlog_seconds", "10,000 messages after a peer has come back", "s", 60, at_most=True),
    Figure("cases_beside_backlog_ratio", "p99 of new cases to another city meanwhile ÷ before", RATIO, 2, at_most=True),
    Figure("cases_attachment_mb_per_second", "100 MB from the store of one node to that of another", "MB/s", 100),
    Figure(
        "cases_attachment_{sender,receiver}_mib", "by how much that process grows meanwhile", "MiB", 20, at_most=True
    ),
    Figure("cases_list_{sqlite,postgresql}_ms", "slowest page of any list of a million cases", "ms", 50, at_most=True),
)
STATISTICS: Final = (
    Figure(
        "statistics_answer_{sqlite,postgresql}_ms",
        "slowest answer of any filter and range over a million cases, through the local interface's route",
        "ms",
        300,
        at_most=True,
    ),
    Figure(
        "statistics_age_seconds",
        "oldest numbers that an answer may give: the time between two folds, and a fold of what came meanwhile",
        "s",
        60,
        at_most=True,
    ),
    Figure("statistics_fold_{sqlite,postgresql}_per_second", "told events added to the sums", "events/s"),
)
AMOUNTS: Final = (
    Figure(
        "amounts_persons_per_second",
        "transfer amounts of a person with 30 years of monthly lines, one core",
        "persons/s",
        2_000,
    ),
    Figure("amounts_sheets_per_second", "information sheets of 30 yearly lines read and checked, one core", "sheets/s"),
)
DOCUMENTS: Final = (
    Figure("document_p50_ms", "a paper from its data to the signed PDF/A, warm worker", "ms", 400, at_most=True),
    Figure("document_p99_ms", "the same", "ms"),
    Figure("document_worker_rss_mib", "resident memory of the worker, at most", "MiB", 300, at_most=True),
    Figure("document_cold_ms", "the first paper, with the start of the worker", "ms"),
    Figure("document_kib", "a signed paper, on average", "KiB"),
)
BATCH: Final = (
    Figure(
        "batch_10000_seconds_{sqlite,postgresql}",
        "10,000 applications of one workbook, validated, opened and in the outbox",
        "s",
        90,
        at_most=True,
    ),
    Figure("batch_10000_again_seconds_{sqlite,postgresql}", "the same file once more", "s"),
    Figure(
        "batch_10000_mended_seconds_{sqlite,postgresql}", "another file that says the same in every row but one", "s"
    ),
)
FOOTPRINT: Final = (
    Figure(
        "serve_ready_seconds",
        "from the start of the process to the line `ready`, self-test included",
        "s",
        2.5,
        at_most=True,
    ),
    Figure("serve_rss_mib", "resident memory two seconds later", "MiB", 130, at_most=True),
    Figure("network_16_ready_seconds", "16 nodes started together, until the last is ready", "s"),
    Figure("network_16_rss_mib_per_node", "resident memory of each of them two seconds later, on average", "MiB"),
    Figure(
        "demo_3_first_answer_seconds",
        "from `tongban demo` to the first answered query, interpreter included",
        "s",
        15,
        at_most=True,
    ),
    Figure("demo_16_first_answer_seconds", "the same with 16 cities", "s", 75, at_most=True),
)
FAMILIES: Final[dict[str, tuple[Figure, ...]]] = {
    "exchange": EXCHANGE,
    "peer_client": PEER_CLIENT,
    "query": QUERY,
    "log": LOG,
    "growth": GROWTH,
    "cases": CASES,
    "statistics": STATISTICS,
    "amounts": AMOUNTS,
    "documents": DOCUMENTS,
    "batch": BATCH,
    "footprint": FOOTPRINT,
}
"""By benchmark, in the order in which pages list them."""


def figures_of(benchmark: str) -> dict[str, Figure]:
    """Return the figures of a benchmark by name, families expanded.

    Raises:
        KeyError: there is no such benchmark.
    """
    return {name: replace(family, name=name) for family in FAMILIES[benchmark] for name in expand(family.name)}
