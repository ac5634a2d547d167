"""The logistic fit on synthetic runs whose kill probability is known."""

from __future__ import annotations

import math
import random

import pytest

from harness.analysis import killrate
from harness.analysis.killrate import KillRate, Trial


def _trials(counts: list[int], middle: float, width: float, seed: int) -> list[Trial]:
    drawn = random.Random(seed)
    return [Trial(n, drawn.random() < 1 / (1 + math.exp(-(n / middle - 1) / width))) for n in counts]


def _fit(trials: list[Trial], noise: float | None = None) -> KillRate:
    found = killrate.fit(trials, noise)
    assert isinstance(found, KillRate), found
    return found


def test_the_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    counts = [4000, 4400, 4700, 4900, 5000, 5100, 5300, 5600, 6000] * 2
    width = 0.04
    rare = 5000 * (1 - width * math.log(99))
    both = [0, 0]
    for seed in range(40):
        found = _fit(_trials(counts, 5000, width, seed), noise=width * math.pi / math.sqrt(3))
        both[0] += found.middle.low <= 5000 <= found.middle.high
        both[1] += found.rare.low <= rare <= found.rare.high
    assert min(both) / 40 >= 0.88


def test_runs_that_do_not_overlap_still_have_a_middle_between_them() -> None:
    found = _fit([Trial(n, n >= 5000) for n in (4000, 4500, 4900, 5000, 5500)])
    assert not found.overlap
    assert 4800 < found.middle.value < 5100
    assert found.middle.low < 4950 < found.middle.high
    assert found.rare.value < 4900
    assert found.rare.low < found.rare.value


def test_less_noise_of_the_peaks_keeps_more() -> None:
    trials = [Trial(n, n >= 5000) for n in (4000, 4500, 4900, 5000, 5500)]
    assert _fit(trials, noise=0.01).rare.value > _fit(trials, noise=0.08).rare.value + 100


def test_probability_and_count_are_each_others_inverse() -> None:
    found = _fit(_trials([4000, 4500, 5000, 5500, 6000] * 4, 5000, 0.05, 3))
    assert found.overlap
    for share in (0.05, 0.5, 0.9):
        assert found.dies(found.at(share)) == pytest.approx(share)


@pytest.mark.parametrize(("trials", "said"), [
    ([], "no runs"), ([Trial(5, True)], "no run lived"), ([Trial(5, False), Trial(9, False)], "no run died"),
])  # fmt: skip
def test_one_kind_of_run_alone_has_no_boundary(trials: list[Trial], said: str) -> None:
    assert said in str(killrate.fit(trials))
