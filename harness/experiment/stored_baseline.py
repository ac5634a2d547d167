"""A gate whose baseline is stored: only the candidate is measured, so the result is advice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from harness.core.errors import ExitCode, UsageError
from harness.experiment import gating, machine, pairs
from harness.experiment.options import RunOptions
from harness.experiment.pairs import Schedule
from harness.experiment.specs import Arm
from harness.gate.judge import Question, judge_stored
from harness.gate.pairing import Side
from harness.gate.stored import Stored
from harness.record.gate import Gate
from harness.record.models import ExperimentArm
from harness.scenario.gating import DEFAULT_PAIRS
from harness.scenario.load import ScenarioFile
from harness.scenario.resolve import resolve


def run_stored(
    file: ScenarioFile, options: RunOptions, request: gating.Request, baseline: Stored, watcher: gating.Watcher
) -> Gate:
    """Measure the candidate alone and hold it against runs that are stored: advice, whatever comes out.

    Raises UsageError where the stored runs are of another machine, scenario or profile: they are no baseline then.
    """
    scenario = resolve(file, profile=options.profile, sets=options.sets)
    primary = gating.stated(file, scenario, request)
    sides = baseline.compared.sides
    _same_question(file, options, sides)
    number = request.pairs or (scenario.gate.pairs if scenario.gate else DEFAULT_PAIRS)
    with ExitStack() as stack:
        # an image runs in a pod and nothing else stands beside it: it is checked as its own partner
        partner = request.candidate if request.candidate.startswith("image:") else "scenario"
        both = replace(request, baseline=partner)
        arm = gating.arms_of(file, scenario, options, both, stack, watcher.step)["candidate"]
        facts = ExperimentArm(spec=baseline.compared.name, kind="stored", words=f"stored: {baseline.compared.words}")
        arms = {"baseline": Arm(facts), "candidate": arm}
        measuring = pairs.begin(file, options, arms, kind="gate", seed=request.seed or scenario.seed, pairs=number)
        watcher.plan(measuring.facts.experiment_id, {"baseline": Arm(facts), "candidate": arm}, number, primary)
        candidate: list[Side] = []
        try:
            for index in range(number):
                # the baseline's own seeds, in turn: at least the load is the same
                item = Schedule(index + 1, sides[index % len(sides)].record.run.seed, ("candidate", "candidate"))
                watcher.pair_started(item, "candidate")
                candidate.append(
                    pairs.measure_run(
                        measuring,
                        item.number,
                        item.seed,
                        "candidate",
                        file,
                        replace(options, report=False),
                        arm,
                        watcher,
                    )
                )
                if measuring.interrupted:
                    break
        except KeyboardInterrupt:
            measuring.interrupted = True
    question = Question(
        experiment_id=measuring.facts.experiment_id, scenario=file.name, profile=options.profile,
        started_at=measuring.facts.started_at, baseline=facts, candidate=arm.facts, primary=primary, pairs=number,
    )  # fmt: skip
    message = f"interrupted after {len(candidate)} of {number} runs" if measuring.interrupted else None
    gate = judge_stored(question, sides, candidate, ended_at=datetime.now(UTC), interrupted=message)
    measuring.record.save_gate(gate)
    pairs.end(measuring, ExitCode(gate.exit_code), message)
    return gate


def _same_question(file: ScenarioFile, options: RunOptions, sides: Sequence[Side]) -> None:
    here = machine.describe().fingerprint
    for run in (side.record.run for side in sides):
        for what, there, wanted in (
            ("on a machine with fingerprint", run.machine.fingerprint, here),
            ("under scenario", run.scenario.name, file.name),
            ("with profile", run.profile or "none", options.profile or "none"),
        ):
            if there != wanted:
                raise UsageError(
                    f"run {run.run_id} was measured {what} {there}, this would be {wanted}: it is no baseline for it",
                    place="--baseline", remedy="measure the baseline too: give it as a subject",
                )  # fmt: skip
