"""How a gate goes on, ends, is interrupted and taken up again. Runs are faked: what they measure is drawn, not measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.experiment import gating, pairs, resume
from harness.experiment.options import RunOptions
from harness.gate.again import judge_again
from harness.gate.pairing import Side
from harness.record.experiments import ExperimentRecord
from harness.record.models import ExperimentRun, VerdictName
from harness.scenario.load import load
from tests import records

HEAP = "memory.heap.settled"
Outcome = tuple[float, VerdictName, str]


class Quiet:
    """A watcher that keeps what it is told of pairs."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.told.append(arguments[-1]) if name == "pair_ended" else None


class Runs:
    """A fake of `measure_run`: writes a record with an outcome of `give(arm, n)`, n counting the runs from 0."""

    def __init__(self, directory: Path, give: Callable[[str, int], Outcome]) -> None:
        self.directory = directory
        self.give = give
        self.made = 0

    def __call__(self, measuring: pairs.Measuring, pair: int, seed: int, name: str, *_: Any) -> Side:
        run_id = f"20261122-{self.made:06d}-{name[0] * 5}"
        value, word, reason = self.give(name, self.made)
        self.made += 1
        record = records.RecordBuilder(self.directory / run_id, run_id=run_id, arm=name).write(seed=seed)
        verdict = records.verdict_of(record, {HEAP: value}, word, 0, reasons=[reason])
        measuring.facts.runs.append(
            ExperimentRun(run_id=run_id, arm=name, order=self.made, verdict=word, exit_code=0, pair=pair, seed=seed)
        )
        measuring.save()
        measuring.interrupted |= word == "interrupted"
        return Side(record, verdict)


def heaps(factor: float) -> Callable[[str, int], Outcome]:
    drawn = random.Random(1)
    return lambda arm, _: (1e8 * (factor if arm == "candidate" else 1.0) * drawn.uniform(0.999, 1.001), "passed", "")


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def measured(give: Callable[[str, int], Outcome], **asked: Any) -> Any:
        runs = Runs(tmp_path, give)
        monkeypatch.setattr(pairs, "measure_run", runs)
        request = gating.Request("scenario", "options:workers=5", primary=[(HEAP, "3%")], **asked)
        result = gating.run_gate(load("label-flip"), RunOptions(out=tmp_path, profile="quick"), request, Quiet())
        return result, runs, ExperimentRecord(tmp_path / "experiments" / result.experiment_id)

    return measured


def test_a_clear_gate_ends_after_nine_pairs(gate: Callable[..., Any]) -> None:
    result, runs, record = gate(heaps(1.05))
    assert (result.verdict, runs.made, result.stopped_early) == ("regress", 18, True)
    assert (record.experiment.state, record.experiment.exit_code) == ("complete", 1)
    assert record.gate == result == judge_again(record)
    assert [pair.order for pair in result.pairs][:2] != [pair.order for pair in result.pairs][1:3]


def test_a_regression_is_measured_under_memray_where_asked_for(gate: Callable[..., Any]) -> None:
    result, runs, record = gate(heaps(1.05), memray_pairs=2)
    assert (result.verdict, runs.made, len(result.pairs)) == ("regress", 18 + 4, 9)
    assert [run.arm for run in record.experiment.runs[18:]] == [
        f"{arm}-memray" for pair in result.pairs[:2] for arm in pair.order
    ]
    assert [run.seed for run in record.experiment.runs[18::2]] == [pair.seed for pair in result.pairs[:2]]
    assert result.warnings == [
        "pairs under memray without a profile of both arms: 1, 2; harness show RUN says how they ended"
    ]
    assert record.gate == result == judge_again(record)
    _, runs, _ = gate(heaps(1.0), memray_pairs=2)
    assert runs.made == 18


def test_an_interruption_under_memray_leaves_the_verdict(gate: Callable[..., Any]) -> None:
    give = heaps(1.05)
    result, runs, record = gate(
        lambda arm, n: (0.0, "interrupted", "Ctrl-C") if n == 20 else give(arm, n), memray_pairs=2
    )
    assert (result.verdict, result.exit_code, runs.made) == ("regress", 1, 21)
    assert result.warnings[-1] == "interrupted after 1 of 2 pairs under memray"
    assert (record.experiment.state, record.gate) == ("complete", result)


def test_all_pairs_are_measured_where_asked_for(gate: Callable[..., Any]) -> None:
    result, runs, _ = gate(heaps(1.0), early=False)
    assert (result.verdict, runs.made, [look.pairs for look in result.looks]) == ("pass", 24, [12])


def test_a_busy_machine_is_given_up_after_four_more_pairs(gate: Callable[..., Any]) -> None:
    busy: Outcome = (1e8, "invalid", "the machine was too busy to judge latency.flip.p99")
    result, runs, _ = gate(lambda arm, _: busy if arm == "candidate" else (1e8, "passed", ""))
    assert (result.verdict, runs.made, result.exit_code) == ("inconclusive", 2 * (gating.MOST_SPOILED + 1), 3)
    once, runs, _ = gate(lambda _, n: busy if n == 1 else (1e8, "passed", ""), early=False)
    assert (once.verdict, runs.made) == ("pass", 26)


def test_lost_work_is_not_measured_again(gate: Callable[..., Any]) -> None:
    lost: Outcome = (1e7, "invalid", "incomplete: 3 of 9 BundleDeployment exist")
    result, runs, _ = gate(lambda _, n: lost if n == 1 else (1e8, "passed", ""))
    assert (result.verdict, runs.made, result.pairs_valid) == ("inconclusive", 24, 11)
    always, runs, _ = gate(lambda arm, _: lost if arm == "candidate" else (1e8, "passed", ""))
    assert (always.verdict, runs.made) == ("inconclusive", 2 * gating.MOST_BROKEN)


def test_an_interrupted_gate_is_taken_up_again(
    gate: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = heaps(1.05)
    result, runs, record = gate(lambda arm, n: (0.0, "interrupted", "Ctrl-C") if n == 7 else give(arm, n))
    assert (result.exit_code, runs.made, record.interrupted) == (130, 8, True)
    cut = result.pairs[3]
    monkeypatch.setattr(runs, "give", give)
    again = ExperimentRecord(record.path)
    whole = resume.resume_gate(again, RunOptions(out=tmp_path / "elsewhere"), Quiet())
    assert (whole.verdict, whole.experiment_id, runs.made) == ("regress", result.experiment_id, 8 + 2 * 6)
    assert (whole.pairs[3].seed, whole.pairs[3].order) == (cut.seed, cut.order)
    assert whole.pairs[:3] == result.pairs[:3]
    assert whole.profile == "quick"
    with pytest.raises(UsageError, match="is complete; only an interrupted gate can be resumed"):
        resume.resume_gate(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())


def test_a_changed_scenario_is_not_taken_up(gate: Callable[..., Any], tmp_path: Path) -> None:
    _, _, record = gate(lambda _, n: (1e8, "interrupted" if n else "passed", ""))
    asked = {**record.experiment.asked, "sha256": "other"}
    record.save(record.experiment.model_copy(update={"asked": asked}))
    with pytest.raises(UsageError, match="the scenario was changed since the gate began"):
        resume.resume_gate(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())


def test_ctrl_c_between_two_runs_leaves_a_readable_experiment(gate: Callable[..., Any]) -> None:
    def give(_: str, number: int) -> Outcome:
        if number == 4:
            raise KeyboardInterrupt
        return 1e8, "passed", ""

    result, _, record = gate(give)
    assert (result.exit_code, result.reasons[0]) == (130, "interrupted after 2 of 12 pairs")
    assert record.interrupted
    assert record.experiment.message == "interrupted after 2 of 12 pairs"
