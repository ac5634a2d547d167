"""The gate's error rates by simulation: 10,000 synthetic experiments each through the code that judges real ones.

Effects are drawn, not measured. Rates are held against the nominal ones with four standard errors of the simulation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analysis import paired
from harness.analysis.paired import Threshold
from harness.analysis.signflip import SignFlip
from harness.analysis.spending import ALPHA, looks
from harness.gate.judge import stand
from tests.unit.gate import gate_pairs
from tests.unit.gate.test_gate_judge import HEAP, question

EXPERIMENTS = 10_000
FOR_POWER = 2_000
"""Enough for what is far from its bound."""
PAIRS = 12
THREE_PERCENT = Threshold(0.03, "relative", "lower")
Noise = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def normal(deviation: float) -> Noise:
    return lambda generator, shape: generator.normal(0.0, deviation, shape)


def skewed_runs(deviation: float) -> Noise:
    """The difference of two runs, each with a long tail upwards, as latencies have."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return deviation * (generator.exponential(1.0, shape) - generator.exponential(1.0, shape))

    return draw


def uneven_pairs(deviation: float) -> Noise:
    """A machine that is ten times as noisy for a fifth of the pairs."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        scale = np.where(generator.random(shape) < 0.2, 10.0, 1.0)
        return deviation * scale * generator.normal(0.0, 1.0, shape)

    return draw


NOISES = {"normal": normal(0.01), "skewed": skewed_runs(0.02), "uneven": uneven_pairs(0.004)}


def run(effects: NDArray[np.float64], thresholds: list[Threshold]) -> str:
    """One experiment as `harness.gate.judge` goes through it: look by look, all primary metrics at once."""
    verdict = "inconclusive"
    for look in looks(PAIRS):
        tests = {
            str(number): (SignFlip(effects[number, : look.pairs].tolist()), threshold)
            for number, threshold in enumerate(thresholds)
        }
        words = [outcome.verdict for outcome in paired.family(tests, look.alpha).values()]
        if "regress" in words:
            return "regress"
        if "inconclusive" not in words:
            return "improve" if "improve" in words else "pass"
    return verdict


def rates(
    true_effects: list[float], thresholds: list[Threshold], noise: Noise, seed: int, experiments: int = EXPERIMENTS
) -> dict[str, float]:
    """Share of each verdict; the true effects are shares of the baseline."""
    generator = np.random.default_rng(seed)
    centres = np.log1p(np.array(true_effects))[None, :, None]
    drawn = centres + noise(generator, (experiments, len(thresholds), PAIRS))
    counted = Counter(run(effects, thresholds) for effects in drawn)
    return {verdict: counted[verdict] / experiments for verdict in ("pass", "regress", "improve", "inconclusive")}


def at_most(rate: float, nominal: float) -> bool:
    return rate <= nominal + 4 * math.sqrt(nominal * (1 - nominal) / EXPERIMENTS)


def test_what_is_simulated_is_what_a_gate_does(tmp_path: Path) -> None:
    """`run` leaves out what does not decide; `stand` judges pairs of runs. They agree on every experiment."""
    generator = np.random.default_rng(9)
    seen = Counter[str]()
    for effects in np.log1p(0.02) + generator.normal(0.0, 0.02, (60, 1, PAIRS)):
        pairs = gate_pairs.pairs(
            tmp_path, [{HEAP: 1e8}] * PAIRS, [{HEAP: 1e8 * math.exp(effect)} for effect in effects[0]]
        )
        verdict = stand(question(), pairs, ended=True).looks[-1].verdict
        assert verdict == run(effects, [THREE_PERCENT])
        seen[verdict] += 1
    assert len(seen) > 1, "else any constant would agree"


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_the_same_subject_twice_raises_no_alarm(noise: Noise) -> None:
    found = rates([0.0], [THREE_PERCENT], noise, 1)
    assert found["regress"] <= ALPHA  # the goal itself: far from the border there is room to spare
    assert found["improve"] <= ALPHA


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_at_the_very_border_neither_error_is_more_frequent_than_stated(noise: Noise) -> None:
    """The hardest case: the candidate is worse by exactly the threshold, so both verdicts would be wrong."""
    found = rates([0.03], [THREE_PERCENT], noise, 2)
    assert at_most(found["regress"], ALPHA)
    assert at_most(found["pass"] + found["improve"], ALPHA)
    assert found["inconclusive"] > 0.95


def test_two_primary_metrics_share_the_error_rate() -> None:
    found = rates([0.03, 0.03], [THREE_PERCENT] * 2, normal(0.01), 3)
    assert at_most(found["regress"], ALPHA)


def test_without_holm_two_metrics_would_err_more_often() -> None:
    """That the test above can fail: each metric at the whole level."""
    generator = np.random.default_rng(3)
    drawn = np.log1p(0.03) + generator.normal(0.0, 0.01, (EXPERIMENTS, 2, PAIRS))
    either = sum(
        any(paired.decide(SignFlip(row), THREE_PERCENT).worse <= ALPHA for row in effects) for effects in drawn
    )
    assert not at_most(either / EXPERIMENTS, ALPHA)


def test_looking_early_at_the_whole_level_would_err_more_often() -> None:
    """That spending is needed: a look after each pair from the seventh on, each at the whole level."""
    generator = np.random.default_rng(4)
    drawn = np.log1p(0.03) + generator.normal(0.0, 0.01, (2000, PAIRS))
    stopped = sum(
        any(paired.decide(SignFlip(row[:n]), THREE_PERCENT).worse <= ALPHA for n in range(7, PAIRS + 1))
        for row in drawn
    )
    assert stopped / 2000 > 2 * ALPHA


@pytest.mark.parametrize(
    ("true_effect", "noise"),
    [(0.05, 0.01), (0.05, 0.0133), (0.10, 0.04)],
    ids=["5% at 1% noise", "5% at 1.3% noise", "10% at 4% noise"],
)
def test_five_percent_more_memory_is_found(true_effect: float, noise: float) -> None:
    """Noise is that of a pair; settled heaps of the calibrated subject scatter by 0.2 % on a busy machine."""
    assert rates([true_effect], [THREE_PERCENT], normal(noise), 5, FOR_POWER)["regress"] >= 0.95


def test_one_kib_per_object_is_found() -> None:
    """500 objects leak 512,000 bytes beside a threshold of half of it; 1.7 times the noise of a busy machine."""
    threshold = Threshold(256_000.0, "absolute", "lower")
    generator = np.random.default_rng(6)
    drawn = 512_000.0 + generator.normal(0.0, 170_000.0, (FOR_POWER, 1, PAIRS))
    assert sum(run(effects, [threshold]) == "regress" for effects in drawn) / FOR_POWER >= 0.95


def test_an_equal_candidate_passes_where_noise_allows_it() -> None:
    assert rates([0.0], [THREE_PERCENT], normal(0.01), 7, FOR_POWER)["pass"] >= 0.99
    assert rates([0.0], [THREE_PERCENT], normal(0.10), 8, FOR_POWER)["pass"] <= 0.1  # noise never reads as pass


def test_the_levels_of_all_looks_add_up() -> None:
    for pairs in range(2, 101):
        plan = looks(pairs)
        assert sum(look.alpha for look in plan) == pytest.approx(ALPHA)
        assert [look.pairs for look in plan] == sorted({look.pairs for look in plan})
        assert plan[-1].pairs == pairs
    assert [look.pairs for look in looks(12)] == [9, 12]
    assert [look.pairs for look in looks(12, early=False)] == [12]
