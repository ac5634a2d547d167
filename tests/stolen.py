"""A test that failed while the host withheld this machine's CPU is tried once more, and the summary says so.

The tests run real controllers under real loads at real rates. Where the host gives a third of the CPU to others (CI's did so: 10
to 64 %), a load falls short and a deadline passes, as they should, and nobody has learned anything. A gate measures such a pair
again for the same reason. What fails on a machine that had its CPU, or twice, has failed.
"""

from __future__ import annotations

import psutil
import pytest
from _pytest.runner import runtestprotocol
from pytest_timeout import _get_item_settings  # type: ignore[import-untyped]

SHARE = 0.1
"""Of the machine's CPU time while the test ran: what makes a run's times worthless (docs/trust.md)."""
_PROPERTY = "tried again"


def stolen(before: tuple[float, float], after: tuple[float, float]) -> float:
    """The share of CPU time that the host withheld between two readings of `reading`; 0 where no time has passed."""
    passed_s = after[1] - before[1]
    return (after[0] - before[0]) / passed_s if passed_s > 0 else 0.0


def reading() -> tuple[float, float]:
    """Seconds withheld, and seconds in all, of all CPUs since the machine started; 0 withheld where nothing tells."""
    times = psutil.cpu_times()
    counted = (
        sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    )  # those are in user and nice
    return getattr(times, "steal", 0.0), counted


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """The protocol of one test, once or twice."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    before = reading()
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    share = stolen(before, reading())
    if any(report.failed for report in reports) and share > SHARE:
        first = next(report for report in reports if report.failed)
        words = str(first.longrepr).strip().splitlines()[-1:] or ["no words"]
        item.user_properties.append((_PROPERTY, f"host took {share:.0%}; first it said: {words[0][:200]}"))
        if hasattr(item, "_initrequest"):
            item._initrequest()  # fixtures are made anew
        _time_anew(item)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        if report.failed:
            report.sections.append(("CPU", f"the host withheld {share:.0%} of it while the test ran"))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _time_anew(item: pytest.Item) -> None:
    """The timer of pytest-timeout was set for both tries, and has run out where that is how the first ended."""
    settings = _get_item_settings(item)
    if settings.timeout:
        hooks = item.config.pluginmanager.hook
        hooks.pytest_timeout_cancel_timer(item=item)
        hooks.pytest_timeout_set_timer(item=item, settings=settings)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which tests were tried again, and why: nobody shall take a pass for a first one."""
    told = {
        report.nodeid: value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY
    }
    if told:
        terminalreporter.section("tried again, for the host withheld the CPU")
        for nodeid, value in told.items():
            terminalreporter.write_line(f"{nodeid}: {value}")
