"""Where more stops helping: a bent line through throughput against a parameter, both on logarithmic scales.

Below the knee `y` grows as a power of `x`, above it it does not: `log y = top + slope * min(0, log x - log knee)`. For each knee
the rest is a linear fit, so the best is found on a grid; its interval holds every knee that fits nearly as well (F test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.analysis.regression import CONFIDENCE, Estimate

_GRID = 400
_LEAST_GAIN = 0.05
"""Growth over the whole range below this share is none."""


@dataclass(frozen=True, slots=True)
class Knee:
    """From `at` on there is nothing more to gain. `top` is the level that is reached, `slope` the power below."""

    at: Estimate
    top: float
    slope: float


def find(points: Sequence[tuple[float, float]]) -> Knee | str:
    """The knee of (x, y), all positive; a sentence where there is none to be seen."""
    usable = [(x, y) for x, y in points if x > 0 and y > 0 and math.isfinite(y)]
    values = sorted({x for x, _ in usable})
    if len(values) < 3 or len(usable) < 4:
        return "a knee needs at least 3 different values and 4 runs"
    xs, ys = (np.log([point[i] for point in usable]) for i in (0, 1))
    means = [float(np.mean(ys[xs == math.log(x)])) for x in values]
    if max(means) - means[0] < math.log1p(_LEAST_GAIN):
        return f"no knee: nothing is gained above {values[0]:g}"
    grid = np.linspace(math.log(values[0]), math.log(values[-1]), _GRID)[1:]
    left = np.array([_squares(xs, ys, knee)[0] for knee in grid])
    best = int(np.argmin(left))
    dof = len(usable) - 3
    # Points on the line leave nothing over, and then nothing but the best would be in its own interval.
    floor = max(float(left[best]), 1e-12)
    bound = floor * (1 + float(stats.f.ppf(CONFIDENCE, 1, dof)) / dof)
    inside = np.flatnonzero(left <= bound)
    if best == len(grid) - 1 or inside[-1] == len(grid) - 1:
        return f"no knee up to {values[-1]:g}: it may still be growing there; try larger values"
    _, top, slope = _squares(xs, ys, grid[best])
    if slope <= 0:
        return "no knee: it does not grow"
    low, high = math.exp(grid[inside[0]]), math.exp(grid[inside[-1]])
    return Knee(Estimate(math.exp(grid[best]), low, high), math.exp(top), slope)


def _squares(xs: np.ndarray, ys: np.ndarray, knee: float) -> tuple[float, float, float]:
    """What the best line with this knee leaves over, its level and its power below the knee."""
    matrix = np.column_stack([np.ones_like(xs), np.minimum(0.0, xs - knee)])
    (top, slope), *_ = np.linalg.lstsq(matrix, ys, rcond=None)
    rest = ys - matrix @ np.array([top, slope])
    return float((rest**2).sum()), float(top), float(slope)
