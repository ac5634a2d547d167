"""A series of runs under one roof, that can be interrupted and taken up again: what capacity and sweep are made of.

Each run has a key that follows from the plan. A run whose key is there already is not made again, so that taking a series up
is going through its plan once more. Each run has a cluster of its own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from harness.core import ids, paths
from harness.core.errors import ExitCode, UsageError
from harness.experiment.arms import remember, run_until_signal
from harness.experiment.options import Observer, RunOptions
from harness.experiment.runner import run_one
from harness.record import owner
from harness.record.experiments import ExperimentRecord
from harness.record.models import Experiment, ExperimentRun, SeriesKind
from harness.record.reader import RunRecord
from harness.scenario.load import ScenarioFile, load
from harness.scenario.model import Scenario
from harness.subject.redact import HIDDEN, redact_document, redact_text


class Interrupted(Exception):
    """The user ended the series; what was measured is there."""


class Watcher(Observer, Protocol):
    """Shows a person how a series goes: an `Observer` of its runs that is told of the plan too."""

    def series_started(self, experiment_id: str, title: str, lines: list[str]) -> None:
        """The series begins; `lines` say what is planned."""

    def run_planned(self, what: str, number: int, planned: int | None) -> None:
        """The next run of the series begins: number `number` of about `planned`."""

    def run_taken(self, what: str, sentence: str, *, anew: bool) -> None:
        """A run of the series is over, or was there already (not `anew`)."""


@dataclass(slots=True)
class Series:
    """The state of a series while it goes on; experiment.json says the same at any moment."""

    record: ExperimentRecord
    facts: Experiment
    file: ScenarioFile
    options: RunOptions
    watcher: Watcher
    number: int = 0

    @property
    def asked(self) -> dict[str, Any]:
        """What the command line asked."""
        assert self.facts.asked is not None
        return self.facts.asked

    def seed(self, key: str) -> int:
        """The seed of the run of that key: drawn from the series' own, the same however often it is taken up."""
        return random.Random(f"{self.facts.seed}/{key}").randrange(1, 2**31)  # noqa: S311 # no secret

    def measure(
        self, key: str, scenario: Scenario, sets: Mapping[str, str], what: str, planned: int | None
    ) -> RunRecord:
        """The run of that key, made now unless it is there. Raises Interrupted."""
        self.number += 1
        there = next((run for run in self.facts.runs if run.arm == key), None)
        if there is not None:
            return self.record.run(there.run_id)
        self.watcher.run_planned(what, self.number, planned)
        options = replace(self.options, sets=dict(sets), report=False)
        try:
            record = run_until_signal(
                run_one(
                    self.file, scenario, arm=key, options=options, observer=self.watcher,
                    experiment_id=self.facts.experiment_id,
                )
            )  # fmt: skip
        except KeyboardInterrupt:  # before the run was there to deal with it
            raise Interrupted from None
        verdict = record.verdict
        assert verdict is not None
        if verdict.verdict == "interrupted":
            raise Interrupted
        if options.history is not None:
            remember(record, options.history, self.watcher)
        self.facts.runs.append(
            ExperimentRun(
                run_id=verdict.run_id, arm=key, order=len(self.facts.runs), verdict=verdict.verdict,
                exit_code=verdict.exit_code, seed=scenario.seed,
            )
        )  # fmt: skip
        self.record.save(self.facts)
        return RunRecord(record.path)  # afresh: what judged it keeps the tables open

    def end(self, exit_code: int, message: str | None, *, interrupted: bool) -> None:
        """Close the series: complete, or interrupted."""
        self.facts.state = "interrupted" if interrupted else "complete"
        self.facts.ended_at = datetime.now(UTC)
        self.facts.exit_code, self.facts.message = exit_code, message
        self.record.save(self.facts)


def begin(
    file: ScenarioFile, options: RunOptions, watcher: Watcher, *, kind: SeriesKind, seed: int, asked: Mapping[str, Any]
) -> Series:
    """A new series, on disk before its first run. `asked` is what taking it up again needs beside the scenario."""
    experiment_id = ids.new_run_id()
    record = ExperimentRecord(paths.experiments_dir(options.out) / experiment_id)
    facts = Experiment(
        experiment_id=experiment_id, scenario=file.name, started_at=datetime.now(UTC), runs=[],
        exit_code=int(ExitCode.INVALID), kind=kind, state="running", owner=owner.this_process(), profile=options.profile,
        seed=seed, asked={
            **asked, "scenario": str(file.path.absolute()), "sha256": file.sha256, "cluster": options.cluster.provider,
            "sets": redact_document(dict(options.sets)),
            "subject": redact_text(options.subject) if options.subject else None,
        },
    )  # fmt: skip
    record.save(facts)
    return Series(record, facts, file, options, watcher)


def take_up(record: ExperimentRecord, options: RunOptions, watcher: Watcher, *, kind: SeriesKind) -> Series:
    """An interrupted series as it goes on. Raises UsageError where it is none, or cannot be the same any more."""
    facts = record.experiment
    name = facts.experiment_id
    if facts.kind != kind or facts.asked is None:
        raise UsageError(f"experiment {name} is no {kind}", remedy=f"harness {facts.kind} takes up its own")
    if not record.interrupted:
        raise UsageError(f"experiment {name} is {facts.state}", remedy="only an interrupted one can be resumed")
    if HIDDEN in record.experiment.model_dump_json(include={"asked"}):
        raise UsageError(f"experiment {name} was given a secret, which records do not keep", remedy="begin a new one")
    asked = facts.asked
    file = load(asked["scenario"])
    if file.sha256 != asked["sha256"]:
        raise UsageError("the scenario was changed since", place=str(file.path), remedy="begin a new one")
    options = replace(
        options, out=record.runs_dir(options.out), profile=facts.profile, sets=dict(asked["sets"]), subject=asked["subject"],
        cluster=replace(options.cluster, provider=asked["cluster"]),
    )  # fmt: skip
    record.take_up()
    return Series(record, facts, file, options, watcher)
