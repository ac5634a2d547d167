"""For all tests."""

from __future__ import annotations

import os
import signal

import pytest

from tests.skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.stolen import pytest_runtest_protocol, pytest_terminal_summary

__all__ = [
    "pytest_make_collect_report", "pytest_runtest_makereport", "pytest_runtest_protocol", "pytest_terminal_summary",
]  # fmt: skip

os.environ["HARNESS_ON_BUSY"] = "warn"
"""Tests ask what the harness does, not how fast this machine is; tests of the rule itself say `invalid`."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests on a real control plane wait for a good part of their time."""
    return len(os.sched_getaffinity(0)) + 1


# What runs in the background, or under nohup, ignores these, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)
