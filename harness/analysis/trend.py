"""Robust trends of short series: Theil and Sen's slope with its interval, Mann and Kendall's test. Pure.

Both look at pairs of points only, so one wild point among ten changes little. The interval of the slope inverts the test (Sen
1968, "Estimates of the regression coefficient based on Kendall's tau"), ties corrected. Where points depend on those before
them, as memory does, the variance of the test is inflated (Hamed and Rao 1998, "A modified Mann-Kendall trend test for
autocorrelated data") and never deflated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

FEWEST = 6
"""Points below which nothing is said."""
_NORMAL = NormalDist()
_LAGS = 3
"""How far back the memory of what remains is looked for: a short series shows no more."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A series over its points, one apart."""

    slope: float
    """Change from one point to the next."""
    low: float
    """Lower bound, at `growth` confidence, one-sided."""
    high: float
    """Upper bound, at `clearing` confidence, one-sided."""
    error: float
    """Standard error of the slope."""
    p: float
    """One-sided: of seeing so much increase where there is none."""
    points: int


def theil_sen(values: Sequence[float]) -> float:
    """The median of the slopes of all pairs."""
    return median(_slopes(values))


def trend(values: Sequence[float], *, growth: float = 0.99, clearing: float = 0.95) -> Trend:
    """The trend of a series at equal distances. Raises ValueError for fewer than `FEWEST` points."""
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} points are too few for a trend, {FEWEST} are needed")
    slopes = sorted(_slopes(values))
    slope = median(slopes)
    spread = math.sqrt(_variance(values) * inflation(values))
    low = _ranked(slopes, -_NORMAL.inv_cdf(growth) * spread)
    high = _ranked(slopes, _NORMAL.inv_cdf(clearing) * spread)
    one = _NORMAL.inv_cdf(0.95)
    error = (_ranked(slopes, one * spread) - _ranked(slopes, -one * spread)) / (2 * one)
    return Trend(slope, low, high, error, mann_kendall(values), len(values))


def mann_kendall(values: Sequence[float]) -> float:
    """One-sided p-value of an increase."""
    score = sum(_sign(later - earlier) for i, earlier in enumerate(values) for later in values[i + 1 :])
    spread = math.sqrt(_variance(values) * inflation(values))
    if spread == 0:
        return 1.0
    return 1 - _NORMAL.cdf((score - _sign(score)) / spread)


def inflation(values: Sequence[float]) -> float:
    """By how much points that depend on one another widen the test's variance; 1 where they do not."""
    n = len(values)
    slope = theil_sen(values)
    remains = _ranks([value - slope * i for i, value in enumerate(values)])
    mean = sum(remains) / n
    power = sum((rank - mean) ** 2 for rank in remains)
    if power == 0:
        return 1.0
    reach = _NORMAL.inv_cdf(0.95) / math.sqrt(n)
    total = 0.0
    for lag in range(1, min(_LAGS, n - 3) + 1):
        shared = sum((remains[i] - mean) * (remains[i + lag] - mean) for i in range(n - lag)) / power
        if shared > reach:  # what cannot be told from chance is none
            total += (n - lag) * (n - lag - 1) * (n - lag - 2) * shared
    return 1 + 2 * total / (n * (n - 1) * (n - 2))


def _slopes(values: Sequence[float]) -> list[float]:
    return [
        (later - earlier) / distance
        for i, earlier in enumerate(values)
        for distance, later in enumerate(values[i + 1 :], start=1)
    ]


def _ranked(slopes: Sequence[float], reach: float) -> float:
    """The slope that is `reach` ranks of the test's score away from the middle; the outermost is no bound."""
    position = (len(slopes) + reach) / 2
    index = math.floor(position) - 1 if reach < 0 else math.ceil(position)
    if index < 0:
        return -math.inf
    return math.inf if index >= len(slopes) else slopes[index]


def _variance(values: Sequence[float]) -> float:
    """Of Kendall's score without a trend, corrected for ties."""
    n = len(values)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    return (n * (n - 1) * (2 * n + 5) - ties) / 18


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks, equal values sharing theirs."""
    order = sorted(values)
    first = {value: order.index(value) for value in set(values)}
    counts = Counter(values)
    return [first[value] + (counts[value] - 1) / 2 for value in values]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
