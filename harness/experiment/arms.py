"""The arms of a scenario, one run each, one after another; together they are an experiment."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core import ids, paths
from harness.core.errors import HarnessError, UsageError, worst
from harness.experiment import preflight
from harness.experiment.observe import Observation
from harness.experiment.options import Observer, RunOptions
from harness.experiment.runner import run_one
from harness.record.history import History, of_run
from harness.record.models import Experiment, ExperimentRun
from harness.record.reader import RunRecord
from harness.record.writer import write_atomically
from harness.scenario.load import ScenarioFile
from harness.scenario.resolve import resolve


@dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """The records of all arms that ran, and the worst exit code."""

    records: list[RunRecord]
    exit_code: int
    experiment: Path | None = None
    """Where the experiment is kept, of several arms."""


def run_scenario(
    file: ScenarioFile, options: RunOptions, observer: Observer, *, only: Sequence[str] | None = None
) -> ScenarioOutcome:
    """Run every arm of a scenario (or those named in `only`); stops early only when interrupted.

    Every arm is resolved before the first starts, so that a mistake in the last one costs no time.
    """
    arms = _chosen(file, only)
    scenarios = [(arm, resolve(file, profile=options.profile, sets=options.sets, arm=arm)) for arm in arms]
    preflight.check([scenario for _, scenario in scenarios], options, file.path.parent)
    experiment_id = ids.new_run_id() if len(arms) > 1 else None
    started = datetime.now(UTC)
    directory: Path | None = None
    records: list[RunRecord] = []
    runs: list[ExperimentRun] = []
    for order, (arm, scenario) in enumerate(scenarios):
        run = run_one(file, scenario, arm=arm, options=options, observer=observer, experiment_id=experiment_id)
        record = run_until_signal(run, options.observe)
        verdict = record.verdict
        assert verdict is not None
        records.append(record)
        if options.history is not None:
            remember(record, options.history, observer)
        runs.append(
            ExperimentRun(
                run_id=verdict.run_id, arm=arm, order=order, verdict=verdict.verdict, exit_code=verdict.exit_code
            )
        )
        code = worst(item.exit_code for item in runs)
        if experiment_id is not None:
            experiment = Experiment(
                experiment_id=experiment_id, scenario=file.name, started_at=started, runs=runs, exit_code=code
            )
            directory = paths.experiments_dir(options.out) / experiment_id
            _save(directory, experiment)
        if verdict.verdict == "interrupted":
            break
    return ScenarioOutcome(records, code, directory)


def remember(record: RunRecord, directory: Path, observer: Observer) -> None:
    """Add a run to the history. That it cannot be written is told: the record is complete, and can be imported later."""
    verdict = record.verdict
    assert verdict is not None
    try:
        History(directory).add([of_run(record.run, verdict)])
    except HarnessError as error:
        observer.step(f"not in the history: {error}; harness history import {record.path} adds it later")


def _chosen(file: ScenarioFile, only: Sequence[str] | None) -> list[str | None]:
    if not only:
        return list(file.arms) or [None]
    unknown = [arm for arm in only if arm not in file.arms]
    if unknown:
        known = ", ".join(file.arms) or "none"
        raise UsageError(f"scenario {file.name} has no arm {unknown[0]!r}", remedy=f"its arms: {known}")
    return [arm for arm in file.arms if arm in only]


def run_until_signal(run: Coroutine[Any, Any, RunRecord], observation: Observation | None = None) -> RunRecord:
    """Run to the end; SIGINT and SIGTERM cancel it once, and what is cleaning up is not disturbed by a second.

    The first SIGINT of an observation ends that, and the run goes on to its verdict.
    """

    async def main() -> RunRecord:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(run)

        def cancel() -> None:
            if not task.cancelling():
                task.cancel()

        def interrupt() -> None:
            if observation is None or not observation.end():
                cancel()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, cancel)
        return await task

    return asyncio.run(main())


def _save(directory: Path, experiment: Experiment) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "experiment.json", experiment.model_dump_json(by_alias=True, indent=1) + "\n")
