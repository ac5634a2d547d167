"""Lines through synthetic memory whose truth is known: with noise, bent, of several sizes, and too few to say anything."""

from __future__ import annotations

import random

import pytest

from harness.analysis import regression
from harness.analysis.regression import Fit, Observation

KIB, MIB = 2**10, 2**20


def _runs(
    counts: list[int], noise: float, seed: int, *, each: float = 10 * KIB, bend: float = 0.0
) -> list[Observation]:
    drawn = random.Random(seed)
    return [Observation(n, n * 3000.0, 45 * MIB + each * n - bend * n * n + drawn.gauss(0, noise)) for n in counts]


def _fit(runs: list[Observation], size: float = 3000.0) -> Fit:
    found = regression.fit(runs, size)
    assert isinstance(found, Fit), found
    return found


def test_the_interval_of_the_slope_holds_the_truth_as_often_as_it_says() -> None:
    counts = [1000, 2000, 3000, 4000, 5000] * 3
    inside = 0
    for seed in range(200):
        each = _fit(_runs(counts, 2 * MIB, seed)).each()
        inside += each.low <= 10 * KIB <= each.high
    assert 0.90 <= inside / 200 <= 0.98


def test_the_interval_of_a_prediction_holds_a_further_run_as_often_as_it_says() -> None:
    drawn = random.Random(7)
    inside = 0
    for seed in range(200):
        bounds = _fit(_runs([1000, 2000, 3000, 4000], MIB, seed)).predict(5000)
        inside += bounds.low <= 45 * MIB + 50_000 * KIB + drawn.gauss(0, MIB) <= bounds.high
    assert 0.90 <= inside / 200 <= 0.98


def test_the_count_at_which_a_limit_is_reached_is_found_with_its_interval() -> None:
    found = _fit(_runs([1000, 2000, 3000, 4000, 5000] * 2, 0.5 * MIB, 1))
    at = found.count_at(45 * MIB + 4500 * 10 * KIB)
    assert at is not None
    assert at.low < 4500 < at.high
    assert at.half < 250
    assert found.predict(at.low).high == pytest.approx(45 * MIB + 4500 * 10 * KIB)
    assert found.count_at(10 * MIB) is None


def test_count_and_bytes_are_told_apart_where_sizes_differ() -> None:
    drawn = random.Random(3)
    runs = [
        Observation(n, n * size, 40 * MIB + 2 * KIB * n + 2.5 * n * size + drawn.gauss(0, 50 * KIB))
        for n in (500, 1000, 2000, 4000)
        for size in (1000.0, 2000.0, 8000.0)
    ]
    found = _fit(runs, 2000.0)
    per_byte = found.per_byte()
    assert per_byte is not None
    assert per_byte.low < 2.5 < per_byte.high
    assert per_byte.half < 0.1
    assert found.each().value == pytest.approx(2 * KIB + 2.5 * 2000, rel=0.02)
    assert found.each(8000.0).value == pytest.approx(2 * KIB + 2.5 * 8000, rel=0.02)
    assert found.predict(3000).value == pytest.approx(40 * MIB + 3000 * (2 * KIB + 5000), rel=0.02)
    assert not _fit(_runs([1000, 2000, 3000, 4000], MIB, 1)).by_size


def test_a_straight_line_is_shown_to_be_straight_and_may_be_followed_a_little_beyond() -> None:
    found = _fit(_runs([1000, 2000, 3000, 4000, 5000] * 3, 0.3 * MIB, 5))
    assert found.straightness.shape == "straight"
    assert found.refusal(4000) is None
    assert found.refusal(6000) is None
    far = found.refusal(200_000)
    assert far is not None
    assert "beyond the 5,000" in far


def test_a_bend_is_found_and_nothing_is_said_then() -> None:
    # external-dns: 102, 38 and 29 KiB a pod, by segment
    drawn = random.Random(2)
    value, runs = 40.0 * MIB, []
    for before, count, each in ((0, 250, 102), (250, 1000, 102), (1000, 2000, 38), (2000, 3000, 29)):
        value += (count - before) * each * KIB
        runs += [Observation(count, count * 1000.0, value + drawn.gauss(0, MIB)) for _ in range(3)]
    for found in (_fit(runs, 1000.0), _fit(_runs([1000, 2000, 3000, 4000, 5000] * 2, 0.3 * MIB, 1, bend=1.5))):
        assert found.straightness.shape == "bent"
        for count in (2500, 10_000):
            assert "not a straight line" in (found.refusal(count) or "")


def test_noise_is_no_proof_of_a_straight_line() -> None:
    found = _fit(_runs([1000, 2000, 3000, 4000, 5000], 15 * MIB, 8))
    assert found.straightness.shape == "undecided"
    assert found.refusal(3000) is None
    assert "too noisy" in (found.refusal(6000) or "")


def test_three_runs_say_nothing_about_straightness() -> None:
    found = _fit(_runs([1000, 2000, 3000], 0.1 * MIB, 1))
    assert found.straightness.shape == "undecided"
    assert "so few runs" in (found.refusal(4000) or "")


def test_points_exactly_on_a_line_have_no_width() -> None:
    found = _fit(_runs([1, 2, 3, 4, 5], 0.0, 1, each=MIB))
    assert found.straightness.shape == "straight"
    assert found.each().value == pytest.approx(MIB)
    assert found.each().half < 1


def test_too_few_runs_are_told() -> None:
    for runs, said in (
        ([], "at least two counts"),
        (_runs([100, 100, 100], 1, 1), "at least two counts"),
        (_runs([100, 200], 1, 1), "too few"),
    ):
        assert said in str(regression.fit(runs, 3000.0))


def test_memory_that_does_not_grow_reaches_no_limit() -> None:
    found = _fit(_runs([1000, 2000, 3000, 4000, 5000], 0.1 * MIB, 3, each=0.0))
    assert found.straightness.shape == "undecided"
    at = found.count_at(100 * MIB)
    assert at is None or found.refusal(at.value) is not None
