"""An interrupted gate taken up again: its complete pairs stay, the rest of its schedule is measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cluster.choice import ClusterChoice
from harness.core.errors import UsageError
from harness.experiment import gating
from harness.experiment.options import RunOptions
from harness.experiment.pairs import Measuring
from harness.experiment.specs import Arm
from harness.gate.judge import Question
from harness.gate.pairing import ARMS
from harness.gate.stored import pairs_of
from harness.record.experiments import ExperimentRecord
from harness.record.gate import ArmName, Gate
from harness.record.models import Experiment
from harness.scenario.gating import parse_primary
from harness.scenario.load import load
from harness.scenario.resolve import resolve
from harness.subject.redact import HIDDEN


def resume_gate(record: ExperimentRecord, options: RunOptions, watcher: gating.Watcher) -> Gate:
    """Measure what is missing and judge the whole.

    Raises UsageError where the experiment is no interrupted gate, or cannot be the same any more: the scenario was
    changed since, or a secret is needed that records do not keep.
    """
    facts = record.experiment
    asked = _asked(record)
    file = load(asked["scenario"])
    if file.sha256 != asked["sha256"]:
        raise UsageError(
            "the scenario was changed since the gate began", place=str(file.path), remedy="begin a new gate"
        )
    options = replace(
        options, out=record.runs_dir(options.out), profile=facts.profile, sets=asked["sets"], cluster=_cluster(asked["cluster"]),
        subject_role=asked.get("subject_role"),
    )  # fmt: skip
    request = gating.Request(
        baseline=_spec(facts, "baseline"), candidate=_spec(facts, "candidate"), build=asked["build"],
        subject=asked["subject"], pairs=facts.pairs, seed=facts.seed, early=asked["early"],
        memray_pairs=asked.get("memray_pairs", 0),
    )  # fmt: skip
    scenario = resolve(file, profile=options.profile, sets=options.sets)
    with ExitStack() as stack:
        arms = gating.arms_of(file, scenario, options, request, stack, watcher.step)
        _same_images(facts, arms)
        measuring = taken_up(record)
        assert facts.pairs is not None
        question = Question(
            experiment_id=facts.experiment_id, scenario=facts.scenario, profile=facts.profile,
            started_at=facts.started_at, baseline=facts.arms["baseline"], candidate=facts.arms["candidate"],
            primary=[parse_primary(name, text) for name, text in asked["primary"].items()], pairs=facts.pairs,
            early=request.early,
        )  # fmt: skip
        watcher.plan(facts.experiment_id, arms, facts.pairs, question.primary)
        gating.measure(measuring, question, file, options, arms, watcher)
        memray_pairs = request.memray_pairs
        return gating.close(measuring, question, file, options, arms, watcher, memray_pairs=memray_pairs)


def _asked(record: ExperimentRecord) -> dict[str, Any]:
    facts = record.experiment
    if facts.kind != "gate" or facts.asked is None:
        raise UsageError(f"experiment {facts.experiment_id} is no gate of pairs", remedy="only those can be resumed")
    if not record.interrupted:
        still = "is still going on" if facts.state == "running" else "is complete"
        raise UsageError(f"experiment {facts.experiment_id} {still}", remedy="only an interrupted gate can be resumed")
    if HIDDEN in record.experiment.model_dump_json(include={"asked", "arms"}):
        raise UsageError(
            f"experiment {facts.experiment_id} was given a secret, which records do not keep", remedy="begin a new gate"
        )
    return facts.asked


def _cluster(asked: str | dict[str, Any]) -> ClusterChoice:
    """The choice as it was; of an experiment of an earlier version its provider alone."""
    if isinstance(asked, str):
        return ClusterChoice(asked)
    kubeconfig = asked["kubeconfig"]
    return ClusterChoice(**{**asked, "kubeconfig": None if kubeconfig is None else Path(kubeconfig)})


def _same_images(facts: Experiment, arms: Mapping[ArmName, Arm]) -> None:
    for name, arm in arms.items():
        before, now = facts.arms[name].image_id, arm.facts.image_id
        if before is not None and now != before:
            raise UsageError(
                f"{arm.image} is another image than when the gate began ({before[:19]}, now {str(now)[:19]})",
                remedy="begin a new gate",
            )


def _spec(facts: Experiment, arm: str) -> str:
    """What the arm was; of a revision the commit, for a branch may have moved."""
    stored = facts.arms[arm]
    return f"git:{stored.revision}" if stored.revision else stored.spec


def taken_up(record: ExperimentRecord) -> Measuring:
    """The experiment as it goes on: without the runs of a pair that was cut short, which will be measured anew."""
    facts = record.experiment
    complete = [
        pair
        for pair in pairs_of(record)
        if len(pair.sides) == len(ARMS) and all(side.verdict.verdict != "interrupted" for side in pair.sides.values())
    ]
    numbers = {pair.number for pair in complete}
    measuring = Measuring(record, facts, complete)
    measuring.take_up([run for run in facts.runs if run.pair in numbers])
    return measuring
