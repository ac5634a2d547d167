"""When a sequence of pairs may be looked at, and how much of the error rate each look may spend.

The levels of all looks add up to the level of the whole, so that the chance of any wrong decision at any look is at most
that, whatever the looks have to do with one another (union bound). That gives away a little of what Lan and DeMets'
spending functions keep, and needs no assumption: neither normal noise nor a number of pairs that comes out as planned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.signflip import least_pairs

ALPHA = 0.01
"""Error rate, one-sided, of each kind of decision over all looks together: of calling a regression what is none by the
threshold, and of passing what is one."""
_EARLY = 0.004
"""Of that, what the look before the last spends: enough for 9 pairs with two primary metrics (1/512 <= 0.004/2)."""
_EARLIEST = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """One look: after how many valid pairs, at which one-sided level."""

    pairs: int
    alpha: float


def looks(pairs: int, *, early: bool = True) -> list[Plan]:
    """The looks at an experiment of so many pairs; the last one is at its end."""
    middle = max(_EARLIEST, math.ceil(pairs / 2))
    if not early or middle > pairs - 2:
        return [Plan(pairs, ALPHA)]
    return [Plan(middle, _EARLY), Plan(pairs, ALPHA - _EARLY)]


def fewest(primaries: int) -> int:
    """How few pairs can bring about a decision at all, with so many primary metrics."""
    return least_pairs(ALPHA / primaries)
