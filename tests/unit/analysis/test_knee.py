"""Knees of synthetic throughput."""

from __future__ import annotations

import random

import pytest

from harness.analysis import knee
from harness.analysis.knee import Knee

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def _points(
    at: float, *, slope: float = 1.0, noise: float = 0.03, seed: int = 1, repeats: int = 2
) -> list[tuple[float, float]]:
    drawn = random.Random(seed)
    return [
        (x, 100 * min(1.0, x / at) ** slope * drawn.lognormvariate(0, noise)) for x in WORKERS for _ in range(repeats)
    ]


@pytest.mark.parametrize(("at", "slope"), [(40, 1.0), (15, 1.0), (80, 0.6)])
def test_the_interval_holds_the_knee_about_as_often_as_it_says(at: float, slope: float) -> None:
    inside, near = 0, 0
    for seed in range(30):
        found = knee.find(_points(at, slope=slope, seed=seed))
        assert isinstance(found, Knee), found
        inside += found.at.low <= at <= found.at.high
        near += abs(found.at.value / at - 1) < 0.25
        assert found.top == pytest.approx(100, rel=0.1)
        assert found.slope == pytest.approx(slope, rel=0.15)
    assert inside >= 26
    assert near >= 27


def test_what_does_not_grow_has_no_knee() -> None:
    assert "nothing is gained" in str(knee.find([(x, 100.0 + x / 500) for x in WORKERS]))


def test_what_still_grows_at_the_end_has_none_yet() -> None:
    assert "still be growing" in str(knee.find([(x, 2.0 * x) for x in WORKERS]))


def test_three_runs_are_too_few() -> None:
    assert "at least 3" in str(knee.find([(1, 1.0), (2, 2.0), (3, 2.0)]))
    assert "at least 3" in str(knee.find([(1, 0.0), (2, float("nan")), (0, 2.0), (5, 1.0), (6, 1.0)]))
