"""One run of `harness overhead` on a real control plane: the work is done, metered, and its record is read."""

from __future__ import annotations

import asyncio
import logging

import pytest

from harness.core.handles import Progress
from harness.experiment.overhead import Plan, measure
from harness.experiment.overhead_arms import ARMS
from harness.subject import limits

CAPABILITY = limits.probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}"),
]


class _Log(Progress):
    def step(self, text: str) -> None:
        logging.info(text)

    def detail(self, text: str) -> None:
        logging.info(text)


def test_a_run_does_its_work_and_is_metered() -> None:
    plan = Plan([arm for arm in ARMS if arm.name == "latency"], pairs=1, repos=2, bundles=2)
    found = asyncio.run(measure(plan, _Log(), asyncio.Event()))
    assert (found.runs, found.problems) == (1, [])
