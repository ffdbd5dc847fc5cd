"""The demo: set up a network, tell its stories, verify its logs, keep serving (experience B.2)."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.audit.service import Verification, verify
from node.simulation.network import DemoNetwork, fill_registries, free_base, make_network, set_demo_policy
from node.simulation.stories import STORIES
from node.simulation.telling import ASKING, Step, Story, Telling
from node.terminal import Opening
from protocol.notes import SignatureType, key_of

SIGNED_WITHIN_SECONDS: Final = 15


@dataclass(frozen=True, slots=True)
class Plan:
    """What to show."""

    members: Sequence[dict[str, Any]]
    rules: Sequence[dict[str, Any]]
    stories: Sequence[str]
    port_base: int
    seed: int
    people: int
    slow: bool
    console: bool
    network: str


@dataclass(slots=True)
class Report:
    """What happened."""

    cities: list[str]
    seconds: float = 0.0
    first_answer_seconds: float | None = None
    stories: list[Story] = field(default_factory=list)
    logs: list[tuple[str, Verification]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    port_base: int = 0

    @property
    def ok(self) -> bool:
        """Say whether everything came out as it must."""
        return not self.failures and all(one.ok for one in self.stories) and all(done.ok for _, done in self.logs)

    def data(self) -> dict[str, Any]:
        """Return the JSON object of experience B.2, as far as its stories exist."""
        return {
            "ok": self.ok,
            "cities": self.cities,
            "seconds": round(self.seconds, 2),
            "first_answer_seconds": self.first_answer_seconds,
            "stories": [
                {
                    "id": story.id,
                    "ok": story.ok,
                    **({"case": story.case} if story.case else {}),
                    "steps": [{"name": s.name, "city": s.city, "ok": s.ok, "ms": s.ms} for s in story.steps],
                }
                for story in self.stories
            ],
            "logs": [{"city": code, "entries": done.entries, "verified": done.ok} for code, done in self.logs],
            "failures": self.failures,
        }


@dataclass(slots=True)
class Demo:
    """A demo that runs: where, with which processes, and whom it tells."""

    plan: Plan
    root: Path
    opening: Opening
    tell: Callable[[str, str], None]
    network: DemoNetwork = field(default_factory=lambda: DemoNetwork(()))
    started: float = field(default_factory=time.monotonic)

    def run(self) -> Report:
        """Set up, tell the stories, verify the logs; cities go on serving until `close`.

        Raises:
            PortsBusy, CityFailed: nothing can be shown.
        """
        report = Report([one["division"] for one in self.plan.members])
        self._set_up(report)
        asking = self.opening.at(self.network.city(ASKING).home)
        report.stories = [Story(name) for name in STORIES if name in self.plan.stories]
        asking.run(lambda running: self._tell_stories(running, asking, report))
        self._verify(report)
        report.seconds = time.monotonic() - self.started
        return report

    def _set_up(self, report: Report) -> None:
        plan = self.plan
        report.port_base = free_base(plan.port_base, len(plan.members))
        if report.port_base != plan.port_base:
            self.tell(
                f"端口 {plan.port_base} 被占用，改用 {report.port_base}",
                f"port {plan.port_base} is busy, using {report.port_base}",
            )
        cities = make_network(self.root, plan.members, report.port_base, network=plan.network, opening=self.opening)
        self.network = DemoNetwork(cities)
        self.tell(
            f"✔ {len(cities)} 城：密钥、证书、全体签名的创始名册",
            f"✔ {len(cities)} cities: keys, certificates, a genesis manifest signed by all",
        )
        set_demo_policy(cities, self.opening, plan.rules)
        for city in cities:
            self.network.start(city.code, console=plan.console)
        fill_registries(cities, self.opening, seed=plan.seed, count=plan.people, progress=lambda *_: None)
        self.tell(f"✔ 每城导入 {plan.people} 名虚拟参保人", f"✔ {plan.people} synthetic people imported per city")
        for city in cities:
            self.network.wait(city.code)
        self.tell("✔ 节点就绪", "✔ nodes are ready")

    async def _tell_stories(self, running: Any, asking: Opening, report: Report) -> None:
        await running.catch_up.poll()
        for story in report.stories:
            self.tell(f"── {story.id}", f"── {story.id}")
            telling = Telling(self.network, running, asking, lambda step: self._told(step, report), story)
            await STORIES[story.id](telling)

    def _told(self, step: Step, report: Report) -> None:
        if step.name == "ask-one-city" and step.ok:
            report.first_answer_seconds = round(time.monotonic() - self.started, 2)
        if not step.ok:
            report.failures.append(f"{step.name} ({step.city}): {step.en}")
        mark = "✔" if step.ok else "✘"
        self.tell(f"  {mark} {step.zh}  {step.ms} ms", f"  {mark} {step.en}  {step.ms} ms")
        if self.plan.slow:
            time.sleep(1)

    def _verify(self, report: Report) -> None:
        for city in self.network.cities:
            done = self._verify_one(self.opening.at(city.home))
            report.logs.append((city.code, done))
            if done.finding is not None:
                report.failures.append(f"log of {city.code}: entry {done.finding.index}")
        counted = sum(done.entries for _, done in report.logs)
        self.tell(
            f"✔ {len(report.logs)} 本日志核验一致，共 {counted} 条",
            f"✔ {len(report.logs)} logs verified, {counted} entries",
        )

    def _verify_one(self, here: Opening) -> Verification:
        node = here.node()
        key = key_of(node.log.origin, SignatureType.ED25519, here.log_key())
        deadline = time.monotonic() + SIGNED_WITHIN_SECONDS
        while True:
            with node.database.reading() as session:
                done = verify(session, node.log, key)
            if not done.ok or done.checkpoints or time.monotonic() > deadline:
                return done
            time.sleep(0.2)

    def close(self, *, keep: bool) -> None:
        """Stop every city, and remove the run unless it is to be kept."""
        self.network.stop_all()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


def new_root() -> Path:
    """Return a fresh run directory, readable by us only."""
    return Path(tempfile.mkdtemp(prefix="tongban-demo-"))
