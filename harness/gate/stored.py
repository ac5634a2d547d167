"""Names of stored measurements: a run, an experiment of one arm, or `EXPERIMENT:ARM`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.analysis.verdict import stored_or_judged
from harness.core.errors import UsageError
from harness.gate.compare import Compared
from harness.gate.environment import subject_words
from harness.gate.pairing import ARMS, Pair, Side
from harness.record.experiments import ExperimentRecord
from harness.record.gate import ArmName
from harness.record.reader import RunRecord


@dataclass(frozen=True, slots=True)
class Stored:
    """What a name stands for; `experiment` is None for a single run."""

    compared: Compared
    experiment: ExperimentRecord | None = None
    arm: str | None = None


def find(name: str, runs_dir: Path) -> Stored:
    """The runs that a name means. Raises UsageError where it means nothing, or an experiment of several arms."""
    record = ExperimentRecord.find(name, runs_dir)
    if record is not None:
        return _of_experiment(name, record, None)
    stem, colon, arm = name.rpartition(":")
    record = ExperimentRecord.find(stem, runs_dir) if colon else None
    if record is not None:
        return _of_experiment(name, record, arm)
    run = RunRecord.open(name, runs_dir)
    words = f"{run.run.scenario.name}, {subject_words(run.run)}"
    return Stored(Compared(name, words, [side_of(run)]))


def pairs_between(a: Stored, b: Stored) -> list[Pair] | None:
    """The valid pairs of an experiment whose two arms these are, A as the baseline; None where they are no such arms."""
    if a.experiment is None or b.experiment is None or a.arm == b.arm:
        return None
    if a.experiment.experiment.experiment_id != b.experiment.experiment.experiment_id:
        return None
    found = [pair for pair in pairs_of(a.experiment, str(a.arm), str(b.arm)) if pair.valid]
    return found or None


def pairs_of(record: ExperimentRecord, baseline: str = ARMS[0], candidate: str = ARMS[1]) -> list[Pair]:
    """The pairs of two arms of an experiment on disk, in the order of execution; empty where it has none."""
    pairs: dict[int, Pair] = {}
    names: dict[str, ArmName] = {baseline: "baseline", candidate: "candidate"}
    for item in record.experiment.runs:
        arm = names.get(str(item.arm))
        if item.pair is None or arm is None:
            continue
        known = pairs.get(item.pair)
        order = (*known.order, arm) if known else (arm,)
        sides = {**(known.sides if known else {}), arm: side_of(record.run(item.run_id))}
        pairs[item.pair] = Pair(item.pair, item.seed or 0, order, sides)
    return list(pairs.values())


def _of_experiment(name: str, record: ExperimentRecord, arm: str | None) -> Stored:
    experiment = record.experiment
    arms = list(dict.fromkeys(item.arm for item in experiment.runs))
    if arm is None and len(arms) > 1:
        choices = ", ".join(f"{name}:{each}" for each in arms)
        raise UsageError(f"experiment {name} has {len(arms)} arms", remedy=f"write {choices}")
    if arm is not None and arm not in arms:
        known = ", ".join(str(each) for each in arms) or "none"
        raise UsageError(f"experiment {experiment.experiment_id} has no arm {arm!r}", remedy=f"its arms: {known}")
    chosen = arms[0] if arm is None and arms else arm
    sides = [side_of(run) for run in record.runs(chosen)]
    if not sides:
        raise UsageError(f"experiment {experiment.experiment_id} has no runs yet")
    facts = experiment.arms.get(str(chosen))
    words = f"{experiment.scenario}, {facts.words if facts else f'arm {chosen}'}"
    return Stored(Compared(name, words, sides), record, chosen)


def side_of(run: RunRecord) -> Side:
    """A run of an experiment, judged if it is not yet."""
    return Side(run, stored_or_judged(run))
