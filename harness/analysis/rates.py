"""Rates of decisions: how often an alarm was raised, and what that says of how often it would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of experiments, and the exact binomial interval of as many independent ones as there really were."""

    share: float
    experiments: float
    """Effective number: experiments that have no pair in common, which the pairs would make."""
    drawn: int
    """Experiments that were drawn from the pairs to find the share; they overlap."""
    low: float
    high: float


def clopper_pearson(hits: float, trials: float) -> tuple[float, float]:
    """The exact two-sided interval of a binomial share (Clopper and Pearson, Biometrika 26 (1934) 404).

    Numbers need not be whole: a share found by overlapping experiments counts for as many as are independent.
    """
    if trials <= 0:
        return 0.0, 1.0
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits >= trials else float(stats.beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def resampled(items: Sequence[_T], size: int, decide: Callable[[list[_T]], bool], *, draws: int, seed: int) -> Rate:
    """How often `decide` says yes of `size` of the items, drawn without replacement and in random order.

    Where there are no more items than `size` there is one experiment to look at, as it was measured. Raises ValueError
    for fewer.
    """
    if len(items) < size:
        raise ValueError(f"{len(items)} are fewer than {size}")
    if len(items) == size:
        hit = float(decide(list(items)))
        return Rate(hit, 1, 1, *clopper_pearson(hit, 1))
    generator = np.random.default_rng(seed)
    hits = sum(decide([items[i] for i in generator.permutation(len(items))[:size]]) for _ in range(draws))
    share, independent = hits / draws, len(items) / size
    return Rate(share, independent, draws, *clopper_pearson(share * independent, independent))
