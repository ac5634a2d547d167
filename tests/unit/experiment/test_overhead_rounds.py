"""`harness overhead` where runs do not count: told at once, and not gone on with for ever. Its runs are fakes here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.core.errors import RunFault
from harness.experiment import overhead
from harness.experiment.overhead_arms import OverheadArm, chosen


class _Told:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def detail(self, text: str) -> None:
        raise AssertionError("nothing of these runs has details")


def test_a_round_without_a_run_that_counts_is_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(plan: overhead.Plan, arm: OverheadArm, place: Path) -> overhead.Reading:
        raise RunFault("the work was not measured", place=arm.name)

    monkeypatch.setattr(overhead, "_run", failing)
    told = _Told()
    plan = overhead.Plan(chosen(["latency"]), pairs=3)
    found = asyncio.run(overhead.measure(plan, told, asyncio.Event()))
    assert (found.runs, found.costs) == (0, [])
    assert sorted(found.problems) == [
        "nothing was measured in round 1: the others would be no better",
        "round 1, latency: the work was not measured",
        "round 1, nothing: the work was not measured",
    ]
    assert told.steps.count("it does not count: latency: the work was not measured") == 1
