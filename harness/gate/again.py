"""Judges a stored experiment again: what the gate says is derived from its runs, here or on another machine."""

from __future__ import annotations

from harness.core.errors import UsageError
from harness.gate.judge import Question, judge
from harness.gate.pairing import PROFILED
from harness.gate.stored import pairs_of
from harness.record.experiments import ExperimentRecord
from harness.record.gate import Gate
from harness.scenario.gating import parse_primary


def judge_again(record: ExperimentRecord) -> Gate:
    """The result from the runs on disk, by the thresholds that were stated then; not stored.

    Raises UsageError for an experiment that was no gate of pairs, or that has no result to take the thresholds from.
    """
    before, facts = record.gate, record.experiment
    if before is None:
        raise UsageError(
            f"experiment {facts.experiment_id} has no gate.json: it is no gate, or was killed before its end",
            remedy="compare its arms: harness compare EXPERIMENT:baseline EXPERIMENT:candidate",
        )
    if before.advisory:
        raise UsageError(f"the baseline of {facts.experiment_id} is stored elsewhere", remedy="measure it again")
    question = Question(
        experiment_id=before.experiment_id, scenario=before.scenario, profile=before.profile,
        started_at=before.started_at, baseline=before.baseline, candidate=before.candidate,
        primary=[parse_primary(line.metric, line.threshold_text) for line in before.primary],
        pairs=before.pairs_planned, early=before.early,
    )  # fmt: skip
    profiled = pairs_of(record, *PROFILED.values())
    return judge(question, pairs_of(record), ended_at=before.ended_at, interrupted=facts.message, profiled=profiled)
