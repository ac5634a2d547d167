"""What a sweep recommends, on runs whose figures are made up."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from harness.analysis import sweep as analysis
from harness.record.sweep import Sweep, SweepRun
from tests.records import MIB

WORKERS = ["1", "5", "10", "20", "50", "100", "200"]
KIB = 2**10


def _run(values: dict[str, str], repeat: int, throughput: float | None, workers: float) -> SweepRun:
    figures = {
        "throughput": throughput, "writes.conflict": workers // 10, "queue.depth.max": 2000 / workers,
        "tasks.peak": 30 + workers, "memory.rss.peak": 60 * MIB + 40 * KIB * workers + repeat * KIB,
    }  # fmt: skip
    return SweepRun(run_id=f"r{repeat}-{'-'.join(values.values())}", values=values, valid=throughput is not None,
                    reason=None if throughput is not None else "broken", figures=figures)  # fmt: skip


def _sweep(vary: dict[str, list[str]], runs: list[SweepRun], by: str = "throughput") -> Sweep:
    return analysis.conclude(
        Sweep(
            experiment_id="x", scenario="s", started_at=datetime(2026, 11, 22, tzinfo=UTC), machine="m", vary=vary, repeats=3,
            by=by, unit="1/s", runs=runs, cells=[], knees=[], exit_code=3,
        )
    )  # fmt: skip


def _measured(noise: float = 0.01, seed: int = 1) -> list[SweepRun]:
    drawn = random.Random(seed)
    return [
        _run({"workers": value}, repeat, 4 * min(float(value), 25) * drawn.lognormvariate(0, noise), float(value))
        for value in WORKERS
        for repeat in (1, 2, 3)
    ]


def test_the_smallest_value_that_is_as_good_is_recommended_with_its_reasons() -> None:
    found = _sweep({"workers": WORKERS}, _measured())
    assert found.recommended == {"workers": "50"}
    (knee,) = found.knees
    assert knee.knee is not None
    assert knee.knee.low is not None
    assert knee.knee.high is not None
    assert knee.knee.low < 25 < knee.knee.high
    assert found.memory_per_task is not None
    assert found.memory_per_task.value == pytest.approx(40 * KIB, rel=0.02)
    said = " | ".join(found.reasons)
    for part in ("throughput", "the knee of workers", "conflicting writes, up to 20", "items waiting at most, up to 2,000",
                 "a task takes 40.0 KiB", "workers=200 has 150 more, 5.9 MiB"):  # fmt: skip
        assert part in said
    assert found.exit_code == 0


def test_more_reconciles_for_the_same_load_are_told() -> None:
    runs = _measured()
    for run in runs:
        run.figures["reconciles.total"] = 1000.0
    assert _sweep({"workers": WORKERS}, runs).warnings == []
    runs[-1].figures["reconciles.total"] = 1500.0
    assert "1,000 to 1,167 reconciles" in _sweep({"workers": WORKERS}, runs).warnings[0]


def test_noise_makes_more_values_count_as_the_same() -> None:
    calm, noisy = (_sweep({"workers": WORKERS}, _measured(noise)) for noise in (0.001, 0.2))
    assert calm.tolerance == 0.05
    assert noisy.tolerance is not None
    assert noisy.tolerance > 0.15


def test_where_less_is_better_the_knee_is_that_of_the_falling_line() -> None:
    runs = _measured()
    for run in runs:
        run.figures["latency.flip.p99"] = 100 / (run.figures["throughput"] or 1)
    found = _sweep({"workers": WORKERS}, runs, "latency.flip.p99")
    assert found.recommended == {"workers": "50"}
    assert found.knees[0].top == pytest.approx(1.0, rel=0.05)


def test_words_are_compared_by_memory_and_have_no_knee() -> None:
    vary = {"patch": ["always", "changed"], "workers": ["1", "10"]}
    runs = [
        _run({"patch": patch, "workers": workers}, 1, float(workers) * (2 if patch == "changed" else 1), float(workers))
        for patch in vary["patch"]
        for workers in vary["workers"]
    ]
    found = _sweep(vary, runs)
    assert found.recommended == {"patch": "changed", "workers": "10"}
    assert [(item.parameter, item.at) for item in found.knees] == [
        ("workers", {"patch": "always"}), ("workers", {"patch": "changed"}),
    ]  # fmt: skip
    assert all("at least 3 different values" in item.sentence for item in found.knees)


def test_a_combination_without_a_valid_run_leaves_it_incomplete() -> None:
    runs = [*_measured()[:-3], _run({"workers": "200"}, 1, None, 200)]
    found = _sweep({"workers": WORKERS}, runs)
    assert found.recommended == {"workers": "50"}
    assert found.exit_code == 3
    assert "no valid run with workers=200" in found.reasons[-1]
    assert found.warnings == ["workers=200: run r1-200 is not used: broken"]


def test_without_any_valid_run_nothing_is_recommended() -> None:
    found = _sweep({"workers": ["1", "2"]}, [])
    assert (found.recommended, found.exit_code, found.reasons) == (None, 3, ["no combination has a valid run"])
