"""Kill a city at one named point, start it again, send the same text again, and say what is wrong with what is left.

Every failpoint is armed when the city starts, and acts only while its own file exists; so one start serves
every point, and the process that comes after a kill is the unarmed one. The city serves with `--role peer`: it
has no scheduled work, so that the commit which a point interrupts is that of the message.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.claims import sha256
from protocol.envelope import RawMessage
from protocol.messages import Ping, format_body
from protocol.suites import parse_json, parse_statement
from tests.faults.processes import rows, run, serve, signed_and_verified
from tests.processes.cities import RunningNetwork, eventually, query, running_network, some_person
from tests.processes.wire import Cut, HttpAnswer

RECEIVER, SENDER = "442000", "450400"
CITIES = (RECEIVER, SENDER)
RECEIVING = (
    "receive.before_verify",
    "receive.before_effect",
    "group.before_log",
    "commit.before",
    "commit.after",
    "receive.before_sign",
    "receive.before_reply",
)
"""Points between receiving and replying, in their order."""
COMMITTED = frozenset({"commit.after", "receive.before_sign", "receive.before_reply"})
"""Points that lie after the commit: what comes before them is durable."""
SENDING = ("send.before_post", "send.after_reply")


@dataclass(frozen=True)
class Target:
    """A network whose receiving city can be killed, or made to fail, at any point."""

    network: RunningNetwork
    flags: Path

    def start(self, action: str = "kill") -> None:
        """Start the receiving city with every point armed, and none acting yet."""
        pairs = [f"{point}={action}@{self.flags / point}" for point in RECEIVING]
        serve(self.network, RECEIVER, "--role", "peer", TONGBAN_FAILPOINTS=";".join(pairs))

    @contextmanager
    def acting(self, point: str) -> Iterator[None]:
        """Let a point act while the block runs."""
        (self.flags / point).touch()
        try:
            yield
        finally:
            (self.flags / point).unlink()


@contextmanager
def target_network(root: Path, database: str = "") -> Iterator[Target]:
    """Make two cities that know each other, the receiving one armed and the sending one stopped."""
    flags = root / "flags"
    flags.mkdir()
    with running_network(root / "net", CITIES, database=database) as network:
        raw = network.seal(SENDER, RECEIVER, Ping(), msg="ping")
        eventually(lambda: network.post(SENDER, RECEIVER, raw.statement, raw.body).status == 200, what="they talk")
        network.stop(SENDER)
        network.stop(RECEIVER)
        target = Target(network, flags)
        target.start()
        yield target


def a_query(network: RunningNetwork) -> RawMessage:
    """Return a record query that the receiving city answers."""
    return network.seal(SENDER, RECEIVER, query(some_person(RECEIVER, CITIES)), msg="record.query")


def kill_while_receiving(target: Target, point: str) -> list[str]:
    """Kill the receiving city at `point`, start it again, and send the text again; return every violation."""
    # 1 dies by SIGKILL without an answer   2 durable exactly when the commit was reached
    # 3 the same text again: one effect, one entry, one reply for ever   4 the log is whole
    network, raw = target.network, a_query(target.network)
    with target.acting(point):
        answer = post_or_cut(network, raw)
        code = network.processes.pop(RECEIVER).wait(timeout=20)
    wrong = [] if answer is None else [f"an answer arrived although {point} was reached: HTTP {answer.status}"]
    wrong += [] if code == -signal.SIGKILL else [f"the process ended with {code}"]  # 1
    effects = traces(network, raw)
    wrong += [] if effects == ((1, 1) if point in COMMITTED else (0, 0)) else [f"left (rows, entries) {effects}"]  # 2
    target.start()
    wrong += after_repeats(network, raw)  # 3
    checked = signed_and_verified(network, RECEIVER)  # 4
    return [*wrong, *([] if checked.ok else [f"the log: {checked.finding}"])]


def after_repeats(network: RunningNetwork, raw: RawMessage) -> list[str]:
    """Send a text twice and return what is wrong: with the replies, the replay row, or the entry they name."""
    first, second = (network.post(SENDER, RECEIVER, raw.statement, raw.body) for _ in range(2))
    if (first.status, second.status) != (200, 200):
        return [f"repeats were answered HTTP {first.status} and {second.status}"]
    replies = [network.reply(SENDER, RECEIVER, raw, answer) for answer in (first, second)]
    wrong = [] if payload(first) == payload(second) and first.body == second.body else ["two different replies"]
    if traces(network, raw) != (1, 1):
        return [*wrong, f"after repeats (rows, entries) are {traces(network, raw)}"]
    (entry,) = entries_of(network, RECEIVER, raw)
    named = replies[0].claims.log
    if named is None or named.index != entry["index"] or entry["reply"] != sha256(first.body):
        wrong.append(f"the reply names {named}, the entry is {entry['index']}")
    return wrong


def post_or_cut(network: RunningNetwork, raw: RawMessage) -> HttpAnswer | None:
    """Return the answer; None when the connection was cut."""
    try:
        return network.post(SENDER, RECEIVER, raw.statement, raw.body)
    except Cut:
        return None


def payload(answer: HttpAnswer) -> dict[str, Any]:
    """Return the claims of a signed answer."""
    return parse_statement(answer.raw_reply.statement).claims


def slug(answer: HttpAnswer) -> str:
    return str(parse_json(answer.body)["slug"])


def number_of(raw: RawMessage) -> str:
    return str(parse_statement(raw.statement).claims["jti"])


def entries_of(network: RunningNetwork, code: str, raw: RawMessage) -> list[dict[str, Any]]:
    """Return the entries of an executed message in a city's log."""
    found = [one for one in network.log_entries(code) if one.get("jti") == number_of(raw)]
    return [one for one in found if one["kind"] == "message"]


def traces(network: RunningNetwork, raw: RawMessage) -> tuple[int, int]:
    """Return how many replay rows and entries the receiving city has of a message."""
    number = number_of(raw)
    kept = sum(row["jti"] == number for row in network.received_rows(RECEIVER))
    return kept, len(entries_of(network, RECEIVER, raw))


def kill_while_sending(target: Target, point: str) -> list[str]:
    """Kill a sender at `point`, send what it had signed again, and return every violation."""
    # 1 dies by SIGKILL    2 what it signed is kept and logged, no reply is    3 the same text again    4 both logs
    network = target.network
    before = set(sent(network))
    ended = run(network, SENDER, "ping", RECEIVER, TONGBAN_FAILPOINTS=f"{point}=kill")
    wrong = [] if ended.returncode == -signal.SIGKILL else [f"the sender ended with {ended.returncode}: {ended.stderr}"]
    new = set(sent(network)) - before
    if len(new) != 1:
        return [*wrong, f"{len(new)} messages were kept by the sender"]  # 2
    ((statement, reply),) = new
    raw = RawMessage(statement, format_body(Ping()), "application/json")
    wrong += [] if reply is None else ["a reply is kept that nobody has verified"]
    logged = [one["dir"] for one in entries_of(network, SENDER, raw)]
    wrong += [] if logged == ["out"] else [f"the sender's entries are {logged}"]
    effects = traces(network, raw)
    wrong += [] if effects == ((1, 1) if point == "send.after_reply" else (0, 0)) else [f"receiver has {effects}"]
    wrong += after_repeats(network, raw)  # 3
    logs = {code: signed_and_verified(network, code) for code in CITIES}  # 4
    return [*wrong, *(f"the log of {code}: {done.finding}" for code, done in logs.items() if not done.ok)]


def sent(network: RunningNetwork) -> Sequence[tuple[bytes, bytes | None]]:
    """Return what the sending city has signed, and the replies it has kept."""
    found = rows(network, SENDER, "SELECT statement, reply FROM sent")
    return [(bytes(statement), reply and bytes(reply)) for statement, reply in found]
