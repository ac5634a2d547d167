"""Where the level of a series changes: binary segmentation by rank sums, each split judged by a permutation test.

The statistic of a split is the standardised rank sum of what is before it (Mann-Whitney; over all splits: Pettitt 1979),
so that one wild value moves nothing and no distribution is assumed. Its largest value over all splits is compared with
that of random orders of the same values: one test per segment, whatever the number of splits. A series without any
change is therefore split with a probability of `ALPHA` at most, provided that its values are independent; drifting
machines make it more. ddof, penalties and window lengths, which other detectors hinge on, do not occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.01
LEAST = 3
"""Values on each side of a split at least."""
_PERMUTATIONS = 999
_FEWER_FROM, _FEWER = 2_000, 199  # values of a segment from which fewer orders must do, and how many
_BATCH = 50  # orders at a time; between batches a segment without a change is given up


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """Values before `index` have another level than those from it on; `p` is that of the permutation test."""

    index: int
    p: float


def change_points(values: Sequence[float], borders: Sequence[int] | None = None) -> list[ChangePoint]:
    """Changes of level, in order. `borders` are the only indexes at which one may be; None: all.

    The same values always give the same answer: the random orders are those of a fixed seed.
    """
    series = np.asarray(values, dtype=float)
    allowed = np.arange(1, len(series)) if borders is None else np.unique(np.asarray(borders, dtype=int))
    found: list[ChangePoint] = []
    open_ = [(0, len(series))]
    rng = np.random.default_rng(0)
    while open_:
        start, end = open_.pop()
        inside = allowed[(allowed >= start + LEAST) & (allowed <= end - LEAST)] - start
        if not len(inside):
            continue
        split, p = _best_split(series[start:end], inside, rng)
        if p <= ALPHA:
            found.append(ChangePoint(start + split, p))
            open_ += [(start, start + split), (start + split, end)]
    return sorted(found, key=lambda change: change.index)


def _best_split(values: np.ndarray, splits: np.ndarray, rng: np.random.Generator) -> tuple[int, float]:
    """The clearest of `splits`, and the share of random orders (this one included) whose clearest is as clear.

    Above `ALPHA` the share is only known to be above it: no more orders are tried than that takes.
    """
    count = len(values)
    ranks = _mid_ranks(values) - (count + 1) / 2
    scale = np.sqrt(splits * (count - splits) / count)
    clearness = np.abs(np.cumsum(ranks)[splits - 1]) / scale
    best = int(np.argmax(clearness))
    if not ranks.any():
        return int(splits[best]), 1.0
    orders = _PERMUTATIONS if count < _FEWER_FROM else _FEWER
    as_clear, done = 0, 0
    while done < orders and (as_clear + 1) / (orders + 1) <= ALPHA:
        batch = min(orders - done, _BATCH)
        sums = np.cumsum(rng.permuted(np.tile(ranks, (batch, 1)), axis=1), axis=1)[:, splits - 1]
        as_clear += int(((np.abs(sums) / scale).max(axis=1) >= clearness[best] - 1e-9).sum())
        done += batch
    return int(splits[best]), (as_clear + 1) / (orders + 1)


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values the mean of theirs; as scipy's rankdata, whose import takes longer than an answer."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[where]
