"""How the gate's self-test goes on, is interrupted and taken up again. Runs are faked: their heaps are drawn, not measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.experiment import pairs, selftest, selftest_resume
from harness.experiment.options import RunOptions
from harness.gate.conditions import ITEMS
from harness.record.experiments import ExperimentRecord
from harness.record.models import ExperimentRun
from harness.record.selftest import SelfTest
from tests.unit.experiment.test_gating import HEAP, Outcome, Quiet, Runs


def heaps(leaked: float = 1024.0) -> Callable[[str, int], Outcome]:
    drawn = random.Random(1)
    return lambda arm, _: (44e6 + drawn.gauss(0, 2e4) + (ITEMS * leaked if arm == "leak" else 0.0), "passed", "")


def cut_at(run: int, give: Callable[[str, int], Outcome]) -> Callable[[str, int], Outcome]:
    return lambda arm, n: (0.0, "interrupted", "Ctrl-C") if n == run else give(arm, n)


def begun(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, profile: selftest.Profile = "quick"
) -> tuple[SelfTest, ExperimentRecord]:
    monkeypatch.setattr(pairs, "measure_run", runs)
    result = selftest.run_self_test(
        RunOptions(out=runs.directory), profile, 3, Quiet()
    )  # what it does not know it ignores
    return result, ExperimentRecord(runs.directory / "experiments" / result.experiment_id)


def schedule(record: ExperimentRecord) -> list[tuple[int | None, int | None, str | None]]:
    return [(run.pair, run.seed, run.arm) for run in record.experiment.runs]


def test_a_leak_is_found_in_twelve_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path, heaps())
    result, record = begun(runs, monkeypatch)
    assert (result.ok, result.exit_code, result.runs, runs.made) == (True, 0, 36, 36)
    assert [(each.name, each.ok) for each in result.conditions] == [("same", True), ("leak", True)]
    assert record.self_test == result
    blocks = [schedule(record)[at : at + 3] for at in range(0, 36, 3)]
    assert all(len({seed for _, seed, _ in block}) == 1 for block in blocks)
    assert len({tuple(arm for _, _, arm in block) for block in blocks}) > 1, "the order is drawn"
    missed, _ = begun(Runs(tmp_path / "b", heaps(0.0)), monkeypatch)
    assert (missed.ok, missed.exit_code) == (False, 1)


def test_a_block_with_a_run_that_is_not_valid_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give = heaps()
    runs = Runs(tmp_path, lambda arm, n: (4e7, "invalid", "lost work") if n == 4 else give(arm, n))
    result, _ = begun(runs, monkeypatch)
    assert (result.ok, runs.made) == (True, 39)


def test_an_interrupted_self_test_is_taken_up_as_if_it_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, straight = begun(Runs(tmp_path / "a", heaps()), monkeypatch)
    runs = Runs(tmp_path / "b", cut_at(7, heaps()))
    result, record = begun(runs, monkeypatch)
    assert (result.exit_code, result.ok, record.interrupted) == (130, False, True)
    monkeypatch.setattr(runs, "give", heaps())
    again = ExperimentRecord(record.path)
    done = selftest_resume.resume_self_test(again, RunOptions(out=tmp_path / "elsewhere"), Quiet())  # as above
    assert (done.ok, done.exit_code, done.experiment_id) == (True, 0, result.experiment_id)
    assert runs.made == 8 + 36 - 6  # two blocks were complete, the third was begun anew
    assert schedule(ExperimentRecord(record.path)) == schedule(straight)
    assert [each.pairs for each in done.conditions] == [each.pairs for each in whole.conditions] == [12, 12]
    with pytest.raises(UsageError, match="is complete; only an interrupted one can be resumed"):
        selftest_resume.resume_self_test(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())  # as above


def test_the_trial_run_of_a_full_self_test_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(tmp_path, cut_at(10, heaps()))
    _, record = begun(runs, monkeypatch, "full")
    ballast = record.experiment.arms["memory"].sets["options.ballast"]
    assert abs(int(ballast.removesuffix("B")) - 0.05 * 44e6) < 0.001 * 44e6
    monkeypatch.setattr(runs, "give", cut_at(20, heaps()))
    selftest_resume.resume_self_test(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())  # as above
    taken_up = ExperimentRecord(record.path).experiment
    assert [run.arm for run in taken_up.runs].count("trial") == 1
    assert taken_up.arms["memory"].sets["options.ballast"] == ballast


def test_what_cannot_be_taken_up_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = begun(Runs(tmp_path, cut_at(2, heaps())), monkeypatch)
    record.save(record.experiment.model_copy(update={"asked": {**(record.experiment.asked or {}), "sha256": "x"}}))
    with pytest.raises(UsageError, match="the scenario was changed since the self-test began"):
        selftest_resume.resume_self_test(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())  # as above
    record.save(record.experiment.model_copy(update={"kind": "gate"}))
    with pytest.raises(UsageError, match="is no self-test that can be resumed"):
        selftest_resume.resume_self_test(ExperimentRecord(record.path), RunOptions(out=tmp_path), Quiet())  # as above
    assert isinstance(record.experiment.runs[0], ExperimentRun)


def test_what_is_waited_for_nothing_is_left_out_of_the_quick_profile() -> None:
    quick = selftest.options_of(RunOptions(out=Path()), "quick")
    assert (quick.sets["rate"], quick.sets["latency"], quick.sets["quiet"], quick.report) == ("max", "0s", "1s", False)
    assert selftest.options_of(RunOptions(out=Path()), "full").sets["latency"] == "500ms"
    assert selftest.conditions_of("quick")[0].metric == HEAP
