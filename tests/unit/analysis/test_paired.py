"""Thresholds, Holm, what could have been found: against figures worked out by hand or by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis import paired
from harness.analysis.grouped import Grouped
from harness.analysis.paired import NoEffect, Threshold
from harness.analysis.signflip import SignFlip


def test_a_share_is_the_same_step_whatever_the_baseline() -> None:
    effects = paired.effects([100.0, 1000.0], [103.0, 1030.0], "relative")
    assert effects == pytest.approx([math.log(1.03)] * 2)
    assert paired.to_stated(effects[0], "relative") == pytest.approx(0.03)
    assert paired.effects([100.0], [103.0], "absolute") == [3.0]


def test_borders_lie_on_the_worse_side() -> None:
    lower, higher = Threshold(0.03, "relative", "lower"), Threshold(0.03, "relative", "higher")
    assert (lower.worse, lower.better) == pytest.approx((math.log(1.03), math.log(0.97)))
    assert (higher.worse, higher.better) == pytest.approx((math.log(0.97), math.log(1.03)))
    assert Threshold(5.0, "absolute", "higher").worse == -5.0


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(NoEffect, match=r"a share of 0 means nothing \(candidate\); give the threshold in the metric's"):
        paired.effects([1.0], [0.0], "relative")


def test_holm_by_hand() -> None:
    assert paired.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert paired.holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_decisions_follow_the_direction(direction: paired.Direction) -> None:
    sign = 1 if direction == "lower" else -1
    threshold = Threshold(0.03, "relative", direction)

    def verdict(effect: float) -> str:
        test = SignFlip([sign * effect + noise for noise in np.linspace(-0.005, 0.005, 12)])
        return paired.family({"m": (test, threshold)}, 0.01)["m"].verdict

    assert [verdict(effect) for effect in (0.06, 0.0, -0.06, 0.0295)] == ["regress", "pass", "improve", "inconclusive"]


def test_a_metric_that_says_nothing_still_counts_for_the_family() -> None:
    test = SignFlip([0.1] * 7)  # p = 1/128 < 0.01, and 2/128 > 0.01
    asked = {"m": (test, Threshold(0.03, "relative", "lower"))}
    assert paired.family(asked, 0.01)["m"].verdict == "regress"
    assert paired.family(asked, 0.01, silent=1)["m"].verdict == "inconclusive"


def test_the_minimum_detectable_effect_is_found_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    threshold, noise, pairs = Threshold(0.03, "relative", "lower"), 0.01, 12
    like_it = SignFlip(list(np.array([1.0, -1.0] * 6) * noise * math.sqrt((pairs - 1) / pairs)))
    assert like_it.deviation == pytest.approx(noise)
    smallest = paired.minimum_detectable(like_it, threshold, 0.01, 0.95)
    assert smallest is not None
    assert 0.03 < smallest < 0.05
    runs = 3000
    effects = generator.normal(math.log1p(smallest), noise, (runs, pairs))
    found = sum(paired.decide(SignFlip(list(row)), threshold).worse <= 0.01 for row in effects) / runs
    assert found == pytest.approx(0.95, abs=0.02)


def test_pairs_needed_grows_with_noise_and_is_unknown_at_the_border() -> None:
    threshold = Threshold(10.0, "absolute", "lower")
    quiet, loud = SignFlip([5.0, 7.0, 6.0, 6.0]), SignFlip([-4.0, 16.0, 0.0, 12.0])
    few, many = (paired.pairs_needed(test, threshold, 0.01, 0.95) for test in (quiet, loud))
    assert few is not None
    assert many is not None
    assert few < many
    assert paired.pairs_needed(SignFlip([9.0, 11.0]), threshold, 0.01, 0.95) is None


def test_groups_are_compared_by_welch() -> None:
    before, after = [10.0, 12.0, 11.0, 13.0], [15.0, 14.0, 17.0, 30.0]
    test = Grouped(before, after, "absolute")
    theirs = stats.ttest_ind(after, before, equal_var=False, alternative="greater")
    assert test.p_above(0.0) == pytest.approx(theirs.pvalue)
    low = test.lower(0.05)
    assert low is not None
    assert test.p_above(low) == pytest.approx(0.05)
    with pytest.raises(NoEffect, match="no run of one side has a value"):
        Grouped([], after, "absolute")
    single = Grouped([10.0], [12.0], "absolute")
    assert (single.mean, single.lower(0.05), single.p_above(-100.0)) == (2.0, None, 1.0)
