"""The probability of a kill as a logistic function of the count, from runs that died and runs that lived.

`P(dies at N) = 1 / (1 + exp(-(N - middle) / (width * middle)))`. Near a memory limit the two kinds of runs often do not
overlap at all, and then the likelihood has no maximum. So the posterior is computed on a grid: every middle alike on a
logarithmic scale; of the width, which few runs tell, what noise of the peaks says, within a factor of three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.regression import Estimate

RARE = 0.01
"""At most this share of kills is what a count must have to be called kept."""
_WIDTHS = np.geomspace(0.001, 0.3, 48)
_MIDDLES = 400
_SPREAD = math.log(3)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run with that many objects."""

    count: float
    died: bool


@dataclass(frozen=True, slots=True)
class KillRate:
    """Medians of the posterior with 95 % intervals."""

    middle: Estimate
    """The count at which half of the runs die."""
    rare: Estimate
    """The highest count at which at most 1 % of the runs die."""
    width: float
    """Of the transition, as a share of the middle."""
    overlap: bool
    """Whether a run lived with at least as many objects as one that died had; without, the width is mostly the prior's."""

    def dies(self, count: float) -> float:
        """Probability of a kill at a count."""
        return float(1 / (1 + np.exp(-np.clip((count / self.middle.value - 1) / self.width, -50, 50))))

    def at(self, share: float) -> float:
        """The count at which that share of the runs dies."""
        return self.middle.value * (1 + self.width * math.log(share / (1 - share)))


def fit(trials: Sequence[Trial], noise: float | None = None) -> KillRate | str:
    """The logistic fit; a sentence where there is nothing between which to fit it.

    `noise` is the standard deviation of the count at which a single run dies, as a share of it, where the scatter of the peaks
    tells it.
    """
    died, lived = [t.count for t in trials if t.died], [t.count for t in trials if not t.died]
    if not died:
        return "no run died" if lived else "there are no runs"
    if not lived:
        return "no run lived"
    lowest, highest = min(*died, *lived), max(*died, *lived)
    middles = np.geomspace(lowest * 0.7, highest * 1.4, _MIDDLES)[:, None]
    widths = _WIDTHS[None, :]
    log = np.zeros((_MIDDLES, len(_WIDTHS)))
    if noise:
        expected = noise * math.sqrt(3) / math.pi  # a logistic distribution of that standard deviation
        log -= (np.log(widths / expected) / _SPREAD) ** 2 / 2
    for trial in trials:
        z = np.clip((trial.count / middles - 1) / widths, -500, 500)
        log -= np.logaddexp(0.0, -z if trial.died else z)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    rare = np.maximum(middles * (1 + widths * math.log(RARE / (1 - RARE))), 0.0)
    middle = _quantiles(np.broadcast_to(middles, weights.shape), weights)
    return KillRate(
        middle, _quantiles(rare, weights), _quantiles(np.broadcast_to(widths, weights.shape), weights).value,
        max(lived) >= min(died),
    )  # fmt: skip


def _quantiles(values: np.ndarray, weights: np.ndarray) -> Estimate:
    flat, mass = values.ravel(), weights.ravel()
    order = np.argsort(flat)
    cumulated = np.cumsum(mass[order])
    low, middle, high = (
        float(flat[order[min(int(np.searchsorted(cumulated, q)), len(flat) - 1)]]) for q in (0.025, 0.5, 0.975)
    )
    return Estimate(middle, low, high)
