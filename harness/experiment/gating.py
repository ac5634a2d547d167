"""`harness gate`: measures baseline and candidate in pairs until a look decides or all pairs are there, and judges them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from harness.core.errors import ExitCode, UsageError
from harness.experiment import images, pairs, preflight, specs, worktree
from harness.experiment.options import Observer, RunOptions
from harness.experiment.pairs import Measuring, Schedule
from harness.experiment.specs import Arm
from harness.gate.judge import Question, judge, stand
from harness.gate.pairing import ARMS, Pair
from harness.record.gate import ArmName, Gate
from harness.scenario import gating
from harness.scenario.checks import check
from harness.scenario.gating import DEFAULT_PAIRS, MAX_PRIMARY, PrimaryMetric, parse_primary
from harness.scenario.load import ScenarioFile
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve
from harness.subject.redact import redact_document, redact_text

MOST_SPOILED = 4
"""Pairs that are measured again because the machine was too busy; then the gate gives up."""
MOST_BROKEN = 3
"""Pairs that are not valid for other reasons; then nothing can pass any more, and the gate gives up."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks of a gate, beside the scenario and the options of its runs."""

    baseline: str
    candidate: str
    build: str | None = None
    subject: str | None = None
    """The command of git arms, in place of the scenario's; of image arms a command in the image."""
    pairs: int | None = None
    primary: Sequence[tuple[str, str]] = ()
    """Metric and threshold, in place of the scenario's."""
    seed: int | None = None
    early: bool = True
    memray_pairs: int = 0
    """Of a regression: pairs to measure under memray afterwards, which say which allocation sites grew."""


class Watcher(Observer, Protocol):
    """Shows a person how a gate goes: an `Observer` of its runs that is told of the pairs too."""

    def plan(self, experiment_id: str, arms: dict[ArmName, Arm], pairs: int, primary: Sequence[PrimaryMetric]) -> None:
        """Measuring begins."""

    def pair_started(self, item: Schedule, arm: ArmName) -> None:
        """One run of a pair begins."""

    def pair_ended(self, pair: Pair, seconds: float, note: str) -> None:
        """Both runs are over; `note` says how the gate stands."""


def run_gate(file: ScenarioFile, options: RunOptions, request: Request, watcher: Watcher) -> Gate:
    """Measure and judge. Raises UsageError and EnvironmentFault before the first run for what cannot work."""
    scenario = resolve(file, profile=options.profile, sets=options.sets)
    primary = stated(file, scenario, request)
    with ExitStack() as stack:
        arms = arms_of(file, scenario, options, request, stack, watcher.step)
        number = request.pairs or (scenario.gate.pairs if scenario.gate else DEFAULT_PAIRS)
        seed = scenario.seed if request.seed is None else request.seed
        asked = _asked(file, options, request, primary)
        measuring = pairs.begin(file, options, arms, kind="gate", seed=seed, pairs=number, asked=asked)
        question = Question(
            experiment_id=measuring.facts.experiment_id,
            scenario=file.name,
            profile=options.profile,
            started_at=measuring.facts.started_at,
            baseline=arms["baseline"].facts,
            candidate=arms["candidate"].facts,
            primary=primary,
            pairs=number,
            early=request.early,
        )
        watcher.plan(measuring.facts.experiment_id, arms, number, primary)
        measure(measuring, question, file, options, arms, watcher)
        return close(measuring, question, file, options, arms, watcher, memray_pairs=request.memray_pairs)


def _asked(
    file: ScenarioFile, options: RunOptions, request: Request, primary: Sequence[PrimaryMetric]
) -> dict[str, object]:
    """What `harness gate --resume` needs beside the arms, secrets redacted."""
    return {
        "scenario": str(file.path.absolute()),
        "sha256": file.sha256,
        "cluster": {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(options.cluster).items()
        },
        "subject_role": options.subject_role,
        "sets": redact_document(dict(options.sets)),
        "primary": {item.metric: item.text for item in primary},
        "build": redact_text(request.build) if request.build else None,
        "subject": redact_text(request.subject) if request.subject else None,
        "early": request.early,
        "memray_pairs": request.memray_pairs,
    }


def stated(file: ScenarioFile, scenario: Scenario, request: Request) -> list[PrimaryMetric]:
    """The primary metrics: of `--primary`, else of the scenario. Raises UsageError where there are none, or wrong ones."""
    if request.primary:
        if len(request.primary) > MAX_PRIMARY:
            raise UsageError(f"{len(request.primary)} primary metrics", remedy=f"at most {MAX_PRIMARY} may decide")
        found = []
        for name, text in request.primary:
            try:
                found.append(parse_primary(name, text))
            except ValueError as error:
                raise UsageError(str(error), place=f"--primary {name}={text}") from None
            _measurable(scenario, found[-1], f"--primary {name}={text}")
        if len({item.metric for item in found}) < len(found):
            raise UsageError(f"--primary {found[0].metric} stands twice", remedy="remove one")
        return found
    if scenario.gate is None:
        raise UsageError(
            f"scenario {file.name} does not say what decides",
            remedy="add gate: {primary: {memory.heap.settled: 3%}} to it, or --primary memory.heap.settled=3%",
        )
    return scenario.gate.metrics


def _measurable(scenario: Scenario, item: PrimaryMetric, place: str) -> None:
    """Through the scenario's own rules: its probes and collectors decide what can be measured."""
    trial = scenario.model_copy(update={"gate": gating.Gate(primary={item.metric: item.text})})
    for problem in check(trial):
        raise UsageError(problem.cause, place=place, remedy=problem.remedy)


def arms_of(
    file: ScenarioFile, scenario: Scenario, options: RunOptions, request: Request, stack: ExitStack, say: Step
) -> dict[ArmName, Arm]:
    """Both arms, checked, checked out and built; what they leave on the disk goes away with `stack`."""
    arms: dict[ArmName, Arm] = {}
    for name, spec in zip(ARMS, (request.baseline, request.candidate), strict=True):
        arm = specs.parse(spec, file, side=name, build=request.build, subject=request.subject)
        arms[name] = specs.checked(arm, file, profile=options.profile, sets=options.sets, side=name)
    if request.build is not None and all(arm.revision is None for arm in arms.values()):
        raise UsageError("--build is for git:REVISION, and neither arm is one", remedy="leave it out")
    for name in ARMS:
        arms[name] = worktree.prepare(arms[name], file, scenario, request.build, stack, say)
    resolved_of = {name: resolve(file, profile=options.profile, sets=arm.sets) for name, arm in arms.items()}
    images.check(arms, options, resolved_of)
    for name, resolved in resolved_of.items():
        arms[name] = images.identified(arms[name], say)
        pairs.check_fixed_work(resolved, file.name)
        profiled = (options.memray or resolved.memray) != "off", resolved.profiling.on_demand
        for heavy, off in zip(profiled, ("memray=off", "profile=continuous"), strict=True):
            if heavy:
                raise UsageError(
                    "memray changes what is measured, so nothing can be judged under it", place=file.name,
                    remedy=f"switch it off for the gate: --set {off}",
                )  # fmt: skip
        preflight.check([resolved], pairs.options_of(arms[name], options), file.path.parent)
    return arms


class Step(Protocol):
    """Tells what goes on before the first run."""

    def __call__(self, text: str) -> None:
        """`text` begins."""


def measure(
    measuring: Measuring, question: Question, file: ScenarioFile, options: RunOptions, arms: dict[ArmName, Arm],
    watcher: Watcher,
) -> None:  # fmt: skip
    """Measure pairs until a look decides, all are there, or nothing can come of it any more."""
    assert measuring.facts.seed is not None
    quiet = replace(options, report=False)
    try:
        for item in pairs.schedule(measuring.facts.seed):
            if item.number <= len(measuring.pairs):
                continue  # measured before an interruption
            started = time.monotonic()
            pair = pairs.measure_pair(measuring, item, file, quiet, arms, watcher, watcher.pair_started)
            if measuring.interrupted:
                return
            over, note = _over(question, measuring.pairs)
            watcher.pair_ended(pair, time.monotonic() - started, note)
            if over:
                return
    except KeyboardInterrupt:  # between two runs; a run deals with its own
        measuring.interrupted = True


def _over(question: Question, measured: Sequence[Pair]) -> tuple[bool, str]:
    """Whether nothing more need be measured, and how the gate stands in words."""
    valid = sum(pair.valid for pair in measured)
    spoiled = sum(pair.spoiled_by_machine for pair in measured)
    broken = len(measured) - valid - spoiled
    note = f"{valid} of {question.pairs} pairs"
    if spoiled > MOST_SPOILED or broken >= MOST_BROKEN:
        return True, f"{note}; {spoiled + broken} not valid: given up"
    # a broken pair is not made up for: the gate cannot pass with it, and may still show a regression
    if valid + broken >= question.pairs:
        return True, note
    standing = stand(question, measured, ended=False)
    if standing.decided:
        return True, f"{note}; decided"
    return False, note


def close(
    measuring: Measuring, question: Question, file: ScenarioFile, options: RunOptions, arms: dict[ArmName, Arm],
    watcher: Watcher, *, memray_pairs: int,
) -> Gate:  # fmt: skip
    """Judge what there is, look for allocation sites where that was asked for, and store it with the experiment."""
    message = None
    if measuring.interrupted:
        message = f"interrupted after {len(measuring.pairs)} of {question.pairs} pairs"
    gate = judge(question, measuring.pairs, ended_at=datetime.now(UTC), interrupted=message)
    measuring.record.save_gate(gate)
    if gate.verdict == "regress" and memray_pairs:
        profiled = pairs.under_memray(measuring, memray_pairs, file, options, arms, watcher)
        cut, measuring.interrupted = measuring.interrupted, False  # the verdict stands, whatever was still to come
        gate = judge(question, measuring.pairs, ended_at=datetime.now(UTC), profiled=profiled)
        if cut:
            gate.warnings.append(f"interrupted after {len(profiled)} of {memray_pairs} pairs under memray")
        measuring.record.save_gate(gate)
    pairs.end(measuring, ExitCode(gate.exit_code), message)
    return gate
