"""Runs of a series that are drawn, not made: a subject whose memory is a formula. Nothing was measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.experiment import capacity, series
from harness.record.capacity import LadderRun, Trial, TrialOutcome
from harness.record.models import Outcome, Run, ScenarioFacts
from harness.record.reader import RunRecord
from harness.scenario.model import Scenario
from harness.scenario.names import creates
from tests import records
from tests.records import MIB

KIB = 2**10
EACH, IDLE = 12 * KIB, 45 * MIB
BODY = 5000


class Quiet:
    """A watcher that keeps what it is told of runs."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **_: self.told.append(arguments[1]) if name == "run_taken" else None


@dataclass
class Paper:
    """The subject: its peak of a count and a size, with noise; restarted it needs `cold` times as much beyond idle."""

    directory: Path
    noise: float = 0.4 * MIB
    grown: Callable[[float, float], float] = lambda n, size: IDLE + n * (2 * KIB + 10 * KIB * size)
    cold: float = 1.15
    died: TrialOutcome = "killed"
    interrupt_at: int | None = None
    valid: bool = True
    go_outside: float | None = None
    made: list[tuple[str, Scenario]] = field(default_factory=list)
    scenarios: dict[str, Scenario] = field(default_factory=dict)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Paper:
        """In the place of real runs and of what reads their records."""
        monkeypatch.setattr(series, "run_one", lambda _file, scenario, **more: (scenario, more))
        monkeypatch.setattr(series, "run_until_signal", self._run)
        monkeypatch.setattr(capacity, "rung", self._rung)
        monkeypatch.setattr(capacity, "trial_of", self._trial)
        return self

    @property
    def keys(self) -> list[str]:
        """Of the runs that were made, in order."""
        return [key for key, _ in self.made]

    def _run(self, job: tuple[Scenario, dict[str, Any]]) -> RunRecord:
        scenario, more = job
        number = len(self.made)
        self.made.append((more["arm"], scenario))
        run_id = f"20261122-{number:06d}-paper"
        self.scenarios[run_id] = scenario
        directory = self.directory / run_id
        directory.mkdir(parents=True)
        subject = records.SUBJECT.model_copy(update={"runtime": "python" if self.go_outside is None else "go"})
        facts = Run(
            run_id=run_id, state="sealed", owner=records.owner.this_process(), started_at=records.STARTED,
            scenario=ScenarioFacts(name="s", path="s", sha256="0", resolved={}), seed=scenario.seed, namespace="n",
            subject=subject, machine=records.MACHINE, versions={}, outcome=Outcome(state="completed"),
        )  # fmt: skip
        (directory / "run.json").write_text(facts.model_dump_json(by_alias=True))
        record = RunRecord(directory)
        records.verdict_of(record, {}, "interrupted" if number == self.interrupt_at else "passed", 0)
        return record

    def _peaks(self, record: RunRecord) -> tuple[float, float]:
        scenario = self.scenarios[record.run.run_id]
        drawn = random.Random(scenario.seed)
        step = next(phase.step for phase in creates(scenario))
        size = step.payload[1] / 5000 if isinstance(step.payload, tuple) else 1.0
        peak = self.grown(step.count, size) + drawn.gauss(0, self.noise)
        return peak, IDLE + (peak - IDLE) * self.cold + drawn.gauss(0, self.noise)

    def _rung(self, record: RunRecord, _phase: str, count: int, factor: float) -> LadderRun:
        peak, again = self._peaks(record)
        go = {} if self.go_outside is None else {"outside_go": self.go_outside, "go_live": (peak - IDLE) / 2}
        return LadderRun(
            run_id=record.run.run_id, count=count, size_factor=factor, valid=self.valid,
            reason=None if self.valid else "because", bytes_per_object=BODY * factor, idle=IDLE, growth_peak=peak,
            growth_settled=peak - MIB, cold_peak=again, cold_settled=peak, **go,
        )  # fmt: skip

    def _trial(self, record: RunRecord, count: int, what: str) -> Trial:
        limit = self.scenarios[record.run.run_id].subject.memory_limit or 0
        peak, again = self._peaks(record)
        needed = peak if what == "growth" else again
        return Trial(run_id=record.run.run_id, count=count, outcome=self.died if needed > limit else "survived")
