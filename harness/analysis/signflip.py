"""The exact sign-flip test on paired effects, and the confidence interval that belongs to it.

Under the hypothesis that effects are symmetric about `centre`, turning the sign of any of the deviations gives data that
were as likely. The p-value is the share of all 2^n turns with a mean at least as extreme as the one that was seen; nothing
is assumed about the shape of the noise. Turning the signs of a subset F moves the mean past the observed one exactly where
the mean of F lies on the other side of `centre`, so test and interval both come from the 2^n - 1 means of subsets
(Hartigan, JASA 64 (1969) 1303: "typical values").
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EXACT_PAIRS = 16
"""Up to here all 2^n turns are taken; above, `_DRAWS` random ones and the identity, which keeps the level too (Hemerik and
Goeman, TEST 27 (2018) 811)."""
_DRAWS = 2**16 - 1
_SEED = 20181117
_TOLERANCE = 1e-12  # of the largest effect: equal means must tie although they were summed in another order


class SignFlip:
    """All that the test says of one sequence of paired effects. Raises ValueError for none, or for one that is not finite."""

    def __init__(self, effects: Sequence[float]) -> None:
        values = np.asarray(effects, dtype=float)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError("the test needs at least one effect, all finite")
        self.n = len(values)
        self.mean = float(values.mean())
        self.deviation = float(values.std(ddof=1)) if self.n > 1 else None
        """Standard deviation of the effects; None of a single one."""
        self._means, self._unturned, self._total = _subset_means(values)
        self._slack = _TOLERANCE * float(np.abs(values).max())

    @property
    def least_alpha(self) -> float:
        """The smallest one-sided level at which so many pairs can refuse anything."""
        return self._unturned / self._total

    def p_above(self, centre: float) -> float:
        """One-sided p-value of "the effect is at most `centre`": small where it is above."""
        return self._p(int(np.count_nonzero(self._means <= centre + self._slack)))

    def p_below(self, centre: float) -> float:
        """One-sided p-value of "the effect is at least `centre`": small where it is below."""
        return self._p(int(np.count_nonzero(self._means >= centre - self._slack)))

    def p_difference(self, centre: float = 0.0) -> float:
        """Two-sided p-value of "the effect is `centre`"; for n pairs never below 2 / 2^n."""
        return min(1.0, 2 * min(self.p_above(centre), self.p_below(centre)))

    def lower(self, alpha: float) -> float | None:
        """The largest value that the effect is above with confidence 1 - alpha; None where so few pairs cannot say."""
        rank = self._rank(alpha)
        return None if rank < 0 else float(np.partition(self._means, rank)[rank])

    def upper(self, alpha: float) -> float | None:
        """The smallest value that the effect is below with confidence 1 - alpha; None where so few pairs cannot say."""
        rank = self._rank(alpha)
        return None if rank < 0 else float(-np.partition(-self._means, rank)[rank])

    def _p(self, beyond: int) -> float:
        return (self._unturned + beyond) / self._total

    def _rank(self, alpha: float) -> int:
        """Values before the rank-th smallest mean are those that the one-sided test refuses at this level."""
        return min(math.floor(alpha * self._total + 1e-9) - self._unturned, len(self._means) - 1)


def least_pairs(alpha: float) -> int:
    """How few pairs can reach a one-sided p-value of `alpha` at all."""
    return math.ceil(-math.log2(alpha) - 1e-9)


def _subset_means(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], int, int]:
    """Means of the subsets whose signs are turned, how many turns turn nothing, and how many turns there are."""
    if len(values) <= EXACT_PAIRS:
        weights = _subsets(len(values))
        return weights @ values, 1, len(weights) + 1
    chosen = np.random.default_rng(_SEED).random((_DRAWS, len(values))) < 0.5
    sizes = chosen.sum(axis=1)
    turned = sizes > 0
    return (chosen[turned] @ values) / sizes[turned], 1 + int((~turned).sum()), _DRAWS + 1


@functools.lru_cache(maxsize=4)
def _subsets(n: int) -> NDArray[np.float64]:
    """A row for each subset of n that is not empty: what each member weighs in its mean. 8 MB for 16."""
    members = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    weights: NDArray[np.float64] = members / members.sum(axis=1, keepdims=True)
    return weights
