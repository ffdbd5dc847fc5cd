"""What every test run shares: a printed seed, and skips that nobody can overlook.

`STRICT=1` in the environment turns any skip into a failure: CI installs what is absent and has no
excuse. Workers of pytest-xdist inherit the seed from the process that started them.
"""

import os
import random
from collections import Counter

import pytest
from hypothesis import settings

pytest_plugins = ["tests.databases"]

settings.register_profile("tongban", deadline=None, print_blob=True)
settings.load_profile("tongban")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed that Hypothesis uses, unless one was given with --hypothesis-seed."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = random.randrange(2**32)


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed: the same run again is `pytest --hypothesis-seed=N`."""
    return f"hypothesis seed: {config.getoption('hypothesis_seed')}"


def skip_reasons(config: pytest.Config) -> Counter[str]:
    """Return how often each reason was given for a skip in this run, in workers too."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    texts = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in reports)
    return Counter(text.removeprefix("Skipped: ") for text in texts)


def is_strict() -> bool:
    """Return whether this run may skip nothing."""
    return os.environ.get("STRICT", "") not in ("", "0")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a strict run that skipped anything."""
    if is_strict() and skip_reasons(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say last, and loudly, what this machine could not check; and the seed, also with -q."""
    terminalreporter.write_line(pytest_report_header(config))
    reasons = skip_reasons(config)
    if not reasons:
        return
    terminalreporter.section("NOT EVERYTHING WAS CHECKED", sep="!", yellow=True, bold=True)
    for reason, times in sorted(reasons.items()):
        terminalreporter.write_line(f"SKIPPED ({reason}) x {times}", yellow=True)
    if is_strict():
        terminalreporter.write_line("STRICT=1: a skip is a failure", red=True, bold=True)
