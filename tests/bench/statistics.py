"""The arithmetic of the benchmarks: few rounds, so no more than their least, middle and greatest value."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Values of all rounds in short. With a handful of rounds a standard deviation would promise too much."""

    minimum: float
    median: float
    maximum: float

    @property
    def spread(self) -> float | None:
        """How far the rounds lie apart, as a share of the median: the noise. None where the median is 0."""
        return (self.maximum - self.minimum) / abs(self.median) if self.median else None


def summarise(values: Sequence[float]) -> Summary:
    """The summary of one value or more; raises ValueError for none."""
    if not values:
        raise ValueError("no values to summarise")
    return Summary(min(values), statistics.median(values), max(values))


def pair_ratios(ours: Sequence[float], others: Sequence[float]) -> list[float]:
    """Ours over the other's, pair by pair: what disturbed the machine in one round mostly disturbed both.

    Raises ValueError where the pairs are not whole or a divisor is not above 0: such a ratio would compare nothing.
    """
    if len(ours) != len(others):
        raise ValueError(f"{len(ours)} values cannot be paired with {len(others)}")
    if any(other <= 0 for other in others):
        raise ValueError("a ratio to nothing")
    return [one / other for one, other in zip(ours, others, strict=True)]
