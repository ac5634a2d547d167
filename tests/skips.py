"""Which tests may be skipped in CI, and why. Any other skip there is a failure: what was not run was not seen to work.

CI is where the variable CI is set; `.ci/run` sets it. Elsewhere a skip is a skip.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import TypeVar

import pytest

ALLOWED = {
    r"this machine does not see the node's cgroups": (
        "kind's nodes may be in a virtual machine; the test is of what is seen where they are not"
    ),
    r"no Pyroscope server: PYROSCOPE_URL is not set": (
        "no package registry has the server; our own endpoint takes what is sent in other tests, and types and labels are held "
        "against the panels"
    ),
    r"no Python 3\.14: no python3\.14 on the PATH": (
        "it comes with no system yet that this runs on; what asks it is held against a program in its place, and other versions "
        "are attached to in other tests"
    ),
}
"""Reasons, as patterns for the whole reason, and why each is no loss."""

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def in_ci() -> bool:
    """Whether this is CI."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why something was skipped."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def refused(reason: str) -> bool:
    """Whether CI may not skip for this reason."""
    return not any(re.fullmatch(pattern, reason) for pattern in ALLOWED)


def _judged(report: _Report) -> _Report:
    expected = hasattr(report, "wasxfail")
    if report.outcome == "skipped" and not expected and in_ci() and refused(reason := reason_of(report)):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason}\nCI may skip only what tests/skips.py lists"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that was skipped, by a mark, a fixture or itself."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file that was skipped."""
    return _judged((yield))
