"""How `harness capacity` climbs, finds the boundary, refuses, is interrupted and taken up again. The runs are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.experiment import capacity as experiment
from harness.experiment import series
from harness.experiment.capacity_plan import Request
from harness.experiment.options import RunOptions
from harness.record.capacity import Capacity
from harness.record.experiments import ExperimentRecord
from harness.scenario import scaling
from harness.scenario.load import load
from harness.scenario.steps import Restart
from tests.records import MIB
from tests.series_runs import EACH, IDLE, KIB, Paper, Quiet


def _measure(directory: Path, request: Request, scenario: str = "secrets-8k") -> tuple[Capacity, ExperimentRecord]:
    file = load(scenario)
    options = RunOptions(out=directory, sets={"secrets": "2000"} if scenario == "secrets-8k" else {})
    counted = scaling.counted(file, profile=None, sets=options.sets)
    asked = {
        "limit": request.limit, "count": request.count, "ladder": list(request.ladder), "objects": None,
        "quick": request.quick, "kills": request.kills,
    }  # fmt: skip
    going = series.begin(
        file, options, Quiet(), kind="capacity", seed=3, asked=asked
    )  # what it does not know it ignores
    return experiment.run_capacity(going, counted, request), going.record


def _paper(directory: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Paper:
    return Paper(directory, **more).install(monkeypatch)


LIMIT = 128 * MIB
TRUE_COUNT = (LIMIT - IDLE) / EACH


def test_a_full_experiment_finds_slope_amplification_and_both_boundaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = _paper(tmp_path, monkeypatch)
    result, record = _measure(tmp_path, Request(LIMIT, 5000))
    assert len(set(paper.keys)) == len(paper.keys)
    assert result.per_object is not None
    assert result.per_object.low is not None
    assert result.per_object.high is not None
    assert result.per_object.low < EACH < result.per_object.high
    assert result.payload_amplification is not None
    assert result.payload_amplification.value == pytest.approx(10 * KIB / 5000, rel=0.05)
    assert result.bytes_per_object == 5000
    assert result.amplification is not None
    assert result.amplification.value == pytest.approx(EACH / 5000, rel=0.05)
    growth, cold = result.boundaries
    assert (growth.what, cold.what) == ("growth", "cold")
    for boundary, truth in ((growth, TRUE_COUNT), (cold, TRUE_COUNT / 1.15)):
        assert boundary.half is not None
        assert boundary.half.value == pytest.approx(truth, rel=0.03)
        assert boundary.kept is not None
        assert boundary.kept.value < boundary.half.value
        assert boundary.within_goal
        assert min(boundary.survived, boundary.killed) >= 2
    assert {item.straight for item in result.fits} == {"straight"}
    needs = {item.what: item.limit_bytes or 0 for item in result.needs}
    assert IDLE + 5000 * EACH < needs["growth"] < IDLE + 5000 * EACH + 8 * MIB
    assert needs["cold"] > needs["growth"]
    assert "give it" in result.sentence
    assert "cold start" in result.sentence
    assert (record.experiment.state, record.experiment.kind, record.experiment.exit_code) == ("complete", "capacity", 0)
    stored = Capacity.model_validate_json((record.path / "capacity.json").read_text())
    assert stored == result


def test_the_ladder_is_restarted_and_far_from_the_limit_and_trials_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = _paper(tmp_path, monkeypatch)
    result, _ = _measure(tmp_path, Request(LIMIT, None, quick=True))
    for key, scenario in paper.made:
        restarted = any(isinstance(step, Restart) for step in scenario.load)
        under = scenario.subject.memory_limit
        assert (under, restarted) == ((LIMIT, False) if key.startswith("growth") else (result.loose_limit_bytes, True))
    tops = [run.count for run in result.ladder]
    assert 0.9 < max(tops) / TRUE_COUNT < 1.1
    assert {run.size_factor for run in result.ladder} == {0.5, 1.0, 2.0}
    assert result.boundaries[1].reason == "not tried in the quick profile"
    assert result.boundaries[1].predicted is not None


def test_a_count_alone_is_tried_under_the_limit_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch)
    result, _ = _measure(tmp_path, Request(None, 4000, quick=True))
    need, growth = result.needs[0], result.boundaries[0]
    assert growth.limit_bytes == need.limit_bytes
    assert growth.half is not None
    assert growth.half.value > 4000
    assert (result.exit_code, result.reasons) == (0, [])


def test_what_does_not_fit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch)
    result, record = _measure(tmp_path, Request(LIMIT, 9000, quick=True))
    assert result.exit_code == record.experiment.exit_code == 1
    assert "9,000 do not fit under 128 MiB" in result.reasons[0]


def test_a_bent_line_is_not_followed_but_the_boundary_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bent = lambda n, _: IDLE + 1.5 * MIB * n**0.55  # noqa: E731 # a formula
    _paper(tmp_path, monkeypatch, grown=bent)
    result, _ = _measure(tmp_path, Request(LIMIT, None))
    growth = result.boundaries[0]
    assert result.fits[0].straight == "bent"
    assert growth.predicted is None
    assert "not a straight line" in (growth.refused or "")
    assert growth.half is not None
    assert growth.half.value == pytest.approx(((LIMIT - IDLE) / 1.5 / MIB) ** (1 / 0.55), rel=0.05)


def test_nothing_is_said_far_beyond_the_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch)
    result, _ = _measure(tmp_path, Request(None, 400_000, ladder=(200, 400, 600), quick=True))
    assert result.needs[0].limit_bytes is None
    assert "beyond the 600 that were measured" in (result.needs[0].refused or "")
    assert (result.exit_code, result.boundaries) == (3, [])
    assert "is not said" in result.sentence


def test_thrashing_is_told_apart_from_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch, died="thrashing")
    result, _ = _measure(tmp_path, Request(LIMIT, None, quick=True))
    growth = result.boundaries[0]
    assert growth.killed == 0
    assert growth.thrashing >= 2
    assert growth.half is not None


def test_runs_that_are_no_measurements_leave_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch, valid=False)
    result, _ = _measure(tmp_path, Request(None, 4000, quick=True))
    assert result.exit_code == 3
    assert all(not run.valid and run.reason == "because" for run in result.ladder)
    assert len(result.warnings) == len(result.ladder)


def test_a_limit_below_the_idle_subject_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=r"--limit 32.0 MiB: idle, without any object, it already needs 45.0 MiB"):
        _measure(tmp_path, Request(32 * MIB, None))


def test_without_kills_the_limit_is_only_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = _paper(tmp_path, monkeypatch)
    result, _ = _measure(tmp_path, Request(LIMIT, None, quick=True, kills=False))
    assert not [key for key in paper.keys if key.startswith("growth")]
    assert "predicted, not tried" in result.sentence
    assert (result.exit_code, result.boundaries[0].trials) == (0, [])


def test_an_interrupted_one_says_what_there_is_and_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _paper(tmp_path / "whole", monkeypatch)
    _, _ = _measure(tmp_path / "whole", Request(LIMIT, None, quick=True))
    paper = _paper(tmp_path / "cut", monkeypatch, interrupt_at=6)
    result, record = _measure(tmp_path / "cut", Request(LIMIT, None, quick=True))
    assert (result.exit_code, result.interrupted, len(result.ladder)) == (130, True, 6)
    assert record.experiment.state == "interrupted"
    paper.interrupt_at = None
    going = series.take_up(
        ExperimentRecord.open(record.path), RunOptions(out=tmp_path / "cut"), Quiet(), kind="capacity"  # as above
    )  # fmt: skip
    counted = scaling.counted(going.file, profile=None, sets=going.options.sets)
    result = experiment.run_capacity(going, counted, Request(LIMIT, None, quick=True))
    assert result.exit_code == 0
    cut = paper.keys
    assert cut[:6] + cut[7:] == whole.keys  # the run that was cut short is made anew, and no other
    with pytest.raises(UsageError, match="only an interrupted one"):
        series.take_up(going.record, RunOptions(out=tmp_path), Quiet(), kind="capacity")  # as above
    with pytest.raises(UsageError, match="is no sweep"):
        series.take_up(going.record, RunOptions(out=tmp_path), Quiet(), kind="sweep")  # as above


def test_a_go_subject_is_told_its_gomemlimit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch, go_outside=14.0 * MIB)
    result, _ = _measure(tmp_path, Request(LIMIT, None, quick=True))
    assert result.gomemlimit.value == (int(128 * 0.95) - 14) * MIB
    assert "GOMEMLIMIT=107MiB under 128.0 MiB" in result.gomemlimit.sentence
    assert "never rest" not in result.gomemlimit.sentence


def test_gomemlimit_of_a_count_is_under_the_larger_limit_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _paper(tmp_path, monkeypatch, go_outside=14.0 * MIB)
    result, _ = _measure(tmp_path, Request(None, 4000, quick=True, kills=False))
    limits = [item.limit_bytes or 0 for item in result.needs]
    assert result.gomemlimit.limit_bytes == max(limits)
    assert limits[1] > limits[0]


def test_a_subject_in_python_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _paper(tmp_path, monkeypatch)
    result, _ = _measure(tmp_path, Request(None, 4000, quick=True, kills=False))
    assert (result.gomemlimit.value, result.gomemlimit.sentence) == (None, "the subject is no Go program")


@pytest.mark.parametrize(("request_", "said"), [
    (Request(None, None), "nothing is asked"),
    (Request(LIMIT, None, objects="size"), "'size' is not the count of a create step"),
])  # fmt: skip
def test_what_cannot_be_asked(request_: Request, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        experiment.prepare(load("secrets-8k"), RunOptions(out=tmp_path), request_)


def test_under_memray_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="memray changes"):
        experiment.prepare(load("secrets-8k"), replace(RunOptions(out=tmp_path), memray="launch"), Request(LIMIT, None))
