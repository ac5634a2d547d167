"""Quantiles of what was measured, by no code of the harness."""

from __future__ import annotations

import math
from collections.abc import Sequence


def nearest_rank(values: Sequence[float], q: float) -> float:
    """The smallest value with at least a share `q` of all values at or below it.

    Nearest rank needs no interpolation, so a missing effect, counted as infinity, stays infinity and is never averaged
    away. Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
