"""`harness compare` of two subjects: measures a few pairs, and says what they say."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from harness.core.errors import ExitCode, RunFault
from harness.experiment import gating, pairs
from harness.experiment.options import RunOptions
from harness.gate.compare import Compared, compare
from harness.gate.judge import Question
from harness.gate.pairing import ARMS
from harness.record.comparison import Comparison
from harness.scenario.load import ScenarioFile
from harness.scenario.resolve import resolve

DEFAULT_PAIRS = 3


def compare_subjects(
    file: ScenarioFile, options: RunOptions, request: gating.Request, watcher: gating.Watcher
) -> Comparison:
    """Measure the pairs and compare them. Raises RunFault where no pair came out valid, also after an interruption."""
    scenario = resolve(file, profile=options.profile, sets=options.sets)
    number = request.pairs or DEFAULT_PAIRS
    with ExitStack() as stack:
        arms = gating.arms_of(file, scenario, options, request, stack, watcher.step)
        seed = scenario.seed if request.seed is None else request.seed
        measuring = pairs.begin(file, options, arms, kind="compare", seed=seed, pairs=number)
        question = Question(
            experiment_id=measuring.facts.experiment_id, scenario=file.name, profile=options.profile,
            started_at=datetime.now(UTC), baseline=arms["baseline"].facts, candidate=arms["candidate"].facts,
            primary=[], pairs=number, early=False,
        )  # fmt: skip
        watcher.plan(measuring.facts.experiment_id, arms, number, [])
        gating.measure(measuring, question, file, replace(options, report=False), arms, watcher)
    valid = [pair for pair in measuring.pairs if pair.valid]
    code = ExitCode.INTERRUPTED if measuring.interrupted else ExitCode.PASSED if valid else ExitCode.INVALID
    message = f"interrupted after {len(measuring.pairs)} of {number} pairs" if measuring.interrupted else None
    pairs.end(measuring, code, message)
    if not valid:
        why = "; ".join(reason for pair in measuring.pairs for reason in pair.reasons()[:1])
        raise RunFault(message or f"no pair is a valid measurement: {why}", place=str(measuring.record.path))
    a, b = (
        Compared(arms[name].facts.spec, arms[name].facts.words, [pair.sides[name] for pair in valid]) for name in ARMS
    )
    found = compare(a, b, valid, across_machines=False, experiment_id=measuring.facts.experiment_id)
    if message is not None:
        found.warnings.insert(0, message)
    return found
