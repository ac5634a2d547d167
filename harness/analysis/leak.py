"""Does a quantity come back after each cycle? Judged against a bound that was stated beforehand, from both sides. Pure.

*Grows* needs a slope that is certainly above the bound; *steady* one that is certainly below it. A slope that merely is
not significant clears nothing: what lies between is *unclear*, and needs more cycles. What rose and is certainly flat in
the last half has *filled*: a cache that found its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from harness.analysis.trend import FEWEST, Trend, trend
from harness.record.leak import Behaviour

GROWTH = 0.99
"""Confidence that a growth is above the bound before it is called one."""
CLEARING = 0.95
"""Confidence that it is below the bound before it is cleared."""
POWER = 0.95
"""Of the detection threshold: the share of runs that would find such a growth."""
_SLOWING = 0.5
"""A last half that rises by less than this share of the whole is slowing down: it may be about to stop."""
_FILLED = 5.0
"""A rise at the beginning is worth a word from so many bounds on, and so many deviations of the last half."""
_MISSING = 0.2
"""Share of points that may be missing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One series, judged."""

    behaviour: Behaviour
    whole: Trend | None = None
    why: str = ""

    @property
    def threshold(self) -> float | None:
        """The part of the detection threshold that lies above the bound: what noise adds to it."""
        if self.whole is None or not math.isfinite(self.whole.error):
            return None
        normal = NormalDist()
        return (normal.inv_cdf(GROWTH) + normal.inv_cdf(POWER)) * self.whole.error


def judge(points: Sequence[float | None], bound: float, warm_up: int) -> Judged:
    """Judge a series: the point before the first cycle and those of the warm-up are left out."""
    after = points[1 + warm_up :]
    values = [value for value in after if value is not None]
    if len(after) - len(values) > _MISSING * len(after):
        return Judged("unknown", why="no samples" if not values else "too many points without a value")
    if len(values) < FEWEST:
        return Judged("unclear", why=f"{len(values)} points after the warm-up, {FEWEST} are needed")
    whole = trend(values, growth=GROWTH, clearing=CLEARING)
    if whole.high < bound:
        return Judged("filled" if _filled(points, bound) else "steady", whole)
    tail = trend(values[-max(FEWEST, math.ceil(len(values) / 2)) :], growth=GROWTH, clearing=CLEARING)
    if tail.high < bound:
        return Judged("filled" if _filled(points, bound) else "steady", whole)
    if whole.low > bound and whole.p < 1 - GROWTH:
        if tail.slope < _SLOWING * whole.slope:
            return Judged("unclear", whole, "it slows down, and may be about to stop")
        return Judged("grows", whole)
    return Judged("unclear", whole, "its growth is neither certainly above the bound nor certainly below it")


def _filled(points: Sequence[float | None], bound: float) -> bool:
    """Whether it rose from after the first cycle to the last half, by more than its noise."""
    told = [value for value in points[1:] if value is not None]
    last = told[len(told) // 2 :]
    level = median(last)
    deviation = 1.4826 * median(abs(value - level) for value in last)
    return level - told[0] > _FILLED * max(bound, deviation)
