"""Two groups of runs that were not made in pairs: what can be said of their difference, and with less right.

Welch's t on the working scale. It assumes about normal noise, and above all that nothing but the arm differs between the
groups: an hour, a kernel, a neighbour on the machine. Nobody can test that afterwards, so a verdict from it is advisory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from harness.analysis.paired import NoEffect, working
from harness.record.gate import Scale


class Grouped:
    """The difference of two groups, with the questions that `SignFlip` answers for pairs."""

    least_alpha = 0.0

    def __init__(self, baseline: Sequence[float], candidate: Sequence[float], scale: Scale) -> None:
        """Raises NoEffect where a group is empty or a share has nothing to be a share of."""
        if not baseline or not candidate:
            raise NoEffect("no run of one side has a value")
        before, after = (np.asarray(working(values, scale, arm)) for values, arm in (
            (baseline, "baseline"), (candidate, "candidate"),
        ))  # fmt: skip
        self.n = min(len(before), len(after))
        self.mean = float(after.mean() - before.mean())
        self.deviation: float | None = None
        self._error = math.nan
        if self.n < 2:
            return
        parts = before.var(ddof=1) / len(before), after.var(ddof=1) / len(after)
        self._error = math.sqrt(sum(parts))
        # as the paired effects of as many pairs would scatter
        self.deviation = self._error * math.sqrt(self.n)
        spread = parts[0] ** 2 / (len(before) - 1) + parts[1] ** 2 / (len(after) - 1)
        self._freedom = sum(parts) ** 2 / spread if spread else math.inf

    def p_above(self, centre: float) -> float:
        """One-sided p-value of "the effect is at most `centre`"."""
        return self._p(self.mean - centre)

    def p_below(self, centre: float) -> float:
        """One-sided p-value of "the effect is at least `centre`"."""
        return self._p(centre - self.mean)

    def p_difference(self, centre: float = 0.0) -> float:
        """Two-sided p-value of "the effect is `centre`"."""
        return min(1.0, 2 * min(self.p_above(centre), self.p_below(centre)))

    def lower(self, alpha: float) -> float | None:
        """Border below the effect with confidence 1 - alpha; None for fewer than two runs on a side."""
        return None if self.n < 2 else self.mean - self._margin(alpha)

    def upper(self, alpha: float) -> float | None:
        """Border above the effect."""
        return None if self.n < 2 else self.mean + self._margin(alpha)

    def _margin(self, alpha: float) -> float:
        return float(stats.t.ppf(1 - alpha, self._freedom)) * self._error if self._error else 0.0

    def _p(self, beyond: float) -> float:
        if self.n < 2:
            return 1.0
        if self._error == 0:
            return 0.0 if beyond > 0 else 1.0
        return float(stats.t.sf(beyond / self._error, self._freedom))
