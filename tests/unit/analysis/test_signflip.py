"""The exact sign-flip test against enumeration by hand, and its interval against the test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from harness.analysis import signflip
from harness.analysis.signflip import SignFlip, least_pairs


def by_hand(effects: list[float], centre: float) -> float:
    """P-value of "at most centre" by turning every sign in turn."""
    deviations = [effect - centre for effect in effects]
    turns = list(itertools.product((1, -1), repeat=len(effects)))
    seen = math.fsum(deviations)
    as_large = sum(math.fsum(s * d for s, d in zip(turn, deviations, strict=True)) >= seen - 1e-12 for turn in turns)
    return as_large / len(turns)


@pytest.mark.parametrize("centre", [-1.0, 0.0, 0.3, 0.7, 2.0])
def test_p_values_are_those_of_all_turns(centre: float) -> None:
    effects = [0.4, -0.2, 0.9, 1.1, 0.05, 0.4]
    test = SignFlip(effects)
    assert test.p_above(centre) == by_hand(effects, centre)
    assert test.p_below(centre) == by_hand([-e for e in effects], -centre)


def test_five_pairs_never_reach_five_percent_two_sided() -> None:
    assert SignFlip([1, 2, 3, 4, 5]).p_difference() == 2 / 2**5


def test_equal_effects_tie_whatever_the_order_of_summing() -> None:
    test = SignFlip([0.1] * 7)
    assert test.p_above(0.1) == test.p_below(0.1) == 1.0
    assert test.p_above(0.1 - 1e-6) == 1 / 2**7
    assert test.lower(0.01) == pytest.approx(0.1)
    assert test.upper(0.01) == pytest.approx(0.1)


def test_no_difference_at_all_is_no_evidence_of_one() -> None:
    test = SignFlip([0.0] * 12)
    assert test.p_difference() == 1.0
    assert test.p_below(0.03) == 1 / 2**12


@pytest.mark.parametrize("alpha", [0.01, 0.004, 0.05])
def test_the_interval_holds_what_the_test_does_not_refuse(alpha: float) -> None:
    test = SignFlip(list(np.random.default_rng(3).normal(0.2, 1.0, 10)))
    low, high = test.lower(alpha), test.upper(alpha)
    assert low is not None
    assert high is not None
    assert test.p_above(low - 1e-6) <= alpha < test.p_above(low + 1e-6)
    assert test.p_below(high + 1e-6) <= alpha < test.p_below(high - 1e-6)


def test_too_few_pairs_have_no_bounds() -> None:
    test = SignFlip([1.0, 2.0, 3.0])
    assert test.lower(0.01) is None
    assert test.upper(0.01) is None
    assert test.lower(1 / 8) == 1.0
    assert test.least_alpha == 1 / 8


def test_the_interval_covers_as_often_as_it_says_also_of_skewed_pairs() -> None:
    """Differences of two draws of the same skewed distribution are symmetric, which is all that the test asks for."""
    generator = np.random.default_rng(5)
    runs = 4000
    missed = 0
    for _ in range(runs):
        pairs = generator.lognormal(0.0, 0.8, (2, 8))
        low = SignFlip(list(1.0 + pairs[0] - pairs[1])).lower(0.05)
        missed += low is not None and low > 1.0
    expected = math.floor(0.05 * 2**8) / 2**8
    assert missed / runs == pytest.approx(expected, abs=4 * math.sqrt(expected / runs))


def test_many_pairs_are_drawn_and_agree_with_all_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    effects = list(np.random.default_rng(1).normal(0.5, 1.0, 18))
    drawn = SignFlip(effects)
    monkeypatch.setattr(signflip, "EXACT_PAIRS", 18)
    exact = SignFlip(effects)
    assert drawn.p_above(0.0) == pytest.approx(exact.p_above(0.0), abs=0.003)
    assert drawn.lower(0.01) == pytest.approx(exact.lower(0.01), abs=0.03)
    assert drawn.p_above(-100.0) > 0


def test_least_pairs() -> None:
    assert [least_pairs(alpha) for alpha in (0.01, 0.005, 0.5, 1 / 128)] == [7, 8, 1, 7]


@pytest.mark.parametrize("effects", [[], [math.inf], [math.nan, 1.0]])
def test_what_is_no_effect_is_refused(effects: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one effect, all finite"):
        SignFlip(effects)
