"""Measures two arms in pairs: interleaved, the order within a pair drawn by seed, the same load in both runs of a pair.

Each run has a cluster of its own, so that no state of one arm is met by the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from harness.core import ids, paths
from harness.core.errors import ExitCode, UsageError
from harness.experiment.arms import run_until_signal
from harness.experiment.options import Observer, RunOptions
from harness.experiment.runner import run_one
from harness.experiment.specs import Arm
from harness.gate.pairing import ARMS, PROFILED, Pair, Side
from harness.record import owner
from harness.record.experiments import ExperimentRecord
from harness.record.gate import ArmName
from harness.record.models import Experiment, ExperimentRun
from harness.record.reader import RunRecord
from harness.scenario.load import ScenarioFile
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.scenario.rates import Changing
from harness.scenario.resolve import resolve


@dataclass(frozen=True, slots=True)
class Schedule:
    """What one pair will be. Drawn beforehand from the experiment's seed alone, so that nothing seen can change it."""

    number: int
    seed: int
    order: tuple[ArmName, ArmName]


def schedule(seed: int) -> Iterator[Schedule]:
    """Pairs without end: each with a seed of its own, the order drawn in blocks of two, so that it is balanced."""
    drawn = random.Random(seed)  # noqa: S311 # an order, no secret
    number = 0
    while True:
        first = [ARMS, ARMS[::-1]]
        drawn.shuffle(first)
        for order in first:
            number += 1
            yield Schedule(number, drawn.randrange(1, 2**31), (order[0], order[1]))


def check_fixed_work(scenario: Scenario, name: str) -> None:
    """Raises UsageError for a load whose amount depends on how fast it goes: then two runs measure different things."""
    for phase in phases(scenario):
        rate = getattr(phase.step, "rate", None)
        if isinstance(rate, Changing) and rate.until_failure:
            raise UsageError(
                f"step {phase.name} sends as much as is kept (step_until_failure): two runs would not do the same work",
                place=name,
                remedy="give it a fixed rate or rate: max",
            )


@dataclass(slots=True)
class Measuring:
    """The state of a paired experiment while it goes on; experiment.json says the same at any moment."""

    record: ExperimentRecord
    facts: Experiment
    pairs: list[Pair]
    interrupted: bool = False

    def save(self) -> None:
        """Write experiment.json."""
        self.record.save(self.facts)

    def take_up(self, runs: list[ExperimentRun]) -> None:
        """Go on after an interruption, with these of its runs; the others will be measured anew."""
        self.facts.runs = runs
        self.record.take_up()


def begin(
    file: ScenarioFile,
    options: RunOptions,
    arms: Mapping[ArmName, Arm] | Mapping[str, Arm],
    *,
    kind: str,
    seed: int,
    pairs: int,
    asked: dict[str, object] | None = None,
) -> Measuring:
    """A new experiment, on disk before its first run."""
    experiment_id = ids.new_run_id()
    record = ExperimentRecord(paths.experiments_dir(options.out) / experiment_id)
    facts = Experiment.model_validate(
        {
            "experiment_id": experiment_id,
            "scenario": file.name,
            "started_at": datetime.now(UTC),
            "runs": [],
            "exit_code": int(ExitCode.INVALID),
            "kind": kind,
            "state": "running",
            "owner": owner.this_process(),
            "profile": options.profile,
            "seed": seed,
            "pairs": pairs,
            "asked": asked,
            "arms": {name: arm.facts for name, arm in arms.items()},
        }
    )
    measuring = Measuring(record, facts, [])
    measuring.save()
    return measuring


def options_of(arm: Arm, options: RunOptions) -> RunOptions:
    """The options of the arm's runs: those of all, with its subject in place of the scenario's."""
    return replace(
        options,
        sets={**options.sets, **arm.sets},
        subject=arm.subject or options.subject,
        subject_image=arm.image or options.subject_image,
        subject_env={**options.subject_env, **arm.env},
        commit=arm.facts.revision or options.commit,
        # a checkout is on this machine; in a pod both arms would run the image of the present tree
        subject_as="process" if arm.facts.kind == "git" else options.subject_as,
    )


def measure_pair(
    measuring: Measuring,
    item: Schedule,
    file: ScenarioFile,
    options: RunOptions,
    arms: Mapping[ArmName, Arm],
    observer: Observer,
    announce: Callable[[Schedule, ArmName], None],
) -> Pair:
    """Measure one pair and add it to the experiment. After an interruption its second side may be missing."""
    sides: dict[ArmName, Side] = {}
    for name in item.order:
        announce(item, name)
        sides[name] = measure_run(measuring, item.number, item.seed, name, file, options, arms[name], observer)
        if measuring.interrupted:
            break
    pair = Pair(item.number, item.seed, item.order, sides)
    measuring.pairs.append(pair)
    return pair


def measure_run(
    measuring: Measuring,
    pair: int,
    seed: int,
    name: str,
    file: ScenarioFile,
    options: RunOptions,
    arm: Arm,
    observer: Observer,
) -> Side:
    """Measure one run of one arm, on a cluster of its own, and add it to the experiment."""
    its_options = options_of(arm, options)
    its_options.sets["seed"] = str(seed)
    scenario = resolve(file, profile=options.profile, sets=its_options.sets)
    run = run_one(
        file, scenario, arm=name, options=its_options, observer=observer, experiment_id=measuring.facts.experiment_id
    )
    record = run_until_signal(run)
    verdict = record.verdict
    assert verdict is not None
    measuring.facts.runs.append(
        ExperimentRun(
            run_id=verdict.run_id, arm=name, order=len(measuring.facts.runs), verdict=verdict.verdict,
            exit_code=verdict.exit_code, pair=pair, seed=seed,
        )
    )  # fmt: skip
    measuring.save()
    measuring.interrupted |= verdict.verdict == "interrupted"
    return Side(RunRecord(record.path), verdict)  # afresh: what judged it keeps the tables open


def under_memray(
    measuring: Measuring,
    number: int,
    file: ScenarioFile,
    options: RunOptions,
    arms: Mapping[ArmName, Arm],
    observer: Observer,
) -> list[Pair]:
    """Pairs whose subjects run under memray, with the seeds and orders of the first pairs; they are compared in profiles only.

    Fewer after an interruption.
    """
    assert measuring.facts.seed is not None
    profiled = replace(options, memray="launch", report=False)
    found: list[Pair] = []
    try:
        for item in islice(schedule(measuring.facts.seed), number):
            sides: dict[ArmName, Side] = {}
            for name in item.order:
                observer.step(f"under memray, pair {item.number} of {number}: {name}")
                sides[name] = measure_run(
                    measuring, item.number, item.seed, PROFILED[name], file, profiled, arms[name], observer
                )
                if measuring.interrupted:
                    return found
            found.append(Pair(item.number, item.seed, item.order, sides))
    except KeyboardInterrupt:  # between two runs
        measuring.interrupted = True
    return found


def end(measuring: Measuring, exit_code: int, message: str | None = None) -> None:
    """Close the experiment: complete, or interrupted."""
    measuring.facts.state = "interrupted" if measuring.interrupted else "complete"
    measuring.facts.ended_at = datetime.now(UTC)
    measuring.facts.exit_code = exit_code
    measuring.facts.message = message
    measuring.save()
