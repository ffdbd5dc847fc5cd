"""The benchmark of the log measures what it names, and no figure comes from a log that is not proven."""

import pytest
from sqlalchemy import text

from bench import goals, log
from bench.measuring import Figures, Options

QUICK = Options(seconds=0.01, rounds=2, size=500)
KINDS = ("verify", "checkpoint", "append", "append_group_of_1")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "STEP", 300)


def told(_line: str) -> None:
    """Tell nobody."""


def test_every_figure_with_a_goal_is_measured_on_both_databases() -> None:
    figures = Figures()
    log.run(QUICK, figures, told)
    named = {name for figure in goals.LOG for name in goals.expand(figure.name)}
    assert set(figures.values) == named == {f"log_{k}_{d}_per_second" for k in KINDS for d in ("sqlite", "postgresql")}
    assert not figures.void
    assert all(len(runs) == 2 and min(runs) > 0 for runs in figures.runs.values())
    assert figures.tables["log"]["entries"] == 500
    assert all(600 <= length <= 950 for length in figures.tables["log"]["bytes_per_entry"].values())


def test_without_postgresql_its_figures_are_void_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "binaries_of_postgresql", lambda: None)
    figures = Figures()
    log.run(QUICK, figures, told)
    assert set(figures.void) == {f"log_{kind}_postgresql_per_second" for kind in KINDS}
    assert all(figures.values[f"log_{kind}_sqlite_per_second"] for kind in KINDS)


def test_a_log_that_is_not_proven_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "binaries_of_postgresql", lambda: None)
    real = log._append_single

    def damaging(subject: log.Subject, seconds: float) -> tuple[str, float]:
        with subject.database.engine.begin() as connection:
            connection.execute(text('UPDATE log_entry SET data = leaf WHERE "index" = 77'))
        return real(subject, seconds)

    monkeypatch.setattr(log, "_append_single", damaging)
    figures = Figures()
    with pytest.raises(RuntimeError, match="77"):
        log.run(QUICK, figures, told)
    assert not figures.values.keys() - figures.void.keys()
