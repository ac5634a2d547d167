"""Effects of single metrics: the numbers of all pairs, or of two groups of runs, as one line of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.analysis import paired
from harness.analysis.grouped import Grouped
from harness.analysis.paired import NoEffect
from harness.analysis.signflip import SignFlip
from harness.analysis.spending import ALPHA
from harness.core import metrics
from harness.gate.pairing import Pair, Side
from harness.record.gate import Effect, PairValue, Scale

Test = SignFlip | Grouped


def pair_values(pairs: Sequence[Pair], metric: str) -> list[PairValue]:
    """The values of a metric in the valid pairs, null where a run has none."""
    return [
        PairValue(
            pair=pair.number,
            baseline=value_of(pair.sides["baseline"], metric),
            candidate=value_of(pair.sides["candidate"], metric),
        )
        for pair in pairs
        if pair.valid
    ]


def group_values(baseline: Sequence[Side], candidate: Sequence[Side], metric: str) -> list[PairValue]:
    """The values of two groups of runs that have nothing to do with one another, one row for each run."""
    rows = [
        PairValue(pair=number, baseline=value_of(side, metric), candidate=None)
        for number, side in enumerate(baseline, 1)
    ]
    rows += [
        PairValue(pair=number, baseline=None, candidate=value_of(side, metric))
        for number, side in enumerate(candidate, len(rows) + 1)
    ]
    return rows


def value_of(side: Side, metric: str) -> float | None:
    """One result of one run; None where it has none."""
    result = side.results.get(metric)
    return None if result is None else result.value


def test_of(values: Sequence[PairValue], scale: Scale, *, in_pairs: bool) -> Test:
    """The test on these values. Raises NoEffect, with the reason, where there is nothing to be tested."""
    if in_pairs:
        both = [
            (row.baseline, row.candidate) for row in values if row.baseline is not None and row.candidate is not None
        ]
        if not both:
            raise NoEffect("no pair has a value on both sides")
        return SignFlip(paired.effects([a for a, _ in both], [b for _, b in both], scale))
    before = [row.baseline for row in values if row.baseline is not None]
    after = [row.candidate for row in values if row.candidate is not None]
    return Grouped(before, after, scale)


def effect_of(
    metric: str, values: Sequence[PairValue], *, scale: Scale | None, in_pairs: bool, alpha: float = ALPHA
) -> Effect:
    """One metric with its effect and interval, at the confidence asked for or the highest that so few pairs allow.

    `scale` None: a share of the baseline where all values are above 0, else the difference.
    """
    found = metrics.resolve(metric).metric
    scale = scale or _natural(values)
    line = Effect(
        metric=metric, unit=found.unit, direction=found.direction, scale=scale, values=list(values),
        baseline=_centre([row.baseline for row in values], scale),
        candidate=_centre([row.candidate for row in values], scale),
    )  # fmt: skip
    try:
        test = test_of(values, scale, in_pairs=in_pairs)
    except NoEffect as error:
        return line.model_copy(update={"reason": str(error)})
    level = max(alpha, test.least_alpha)
    line.effect = paired.to_stated(test.mean, scale)
    low, high = test.lower(level), test.upper(level)
    if test.n > 1 and low is not None and high is not None:
        line.low, line.high = paired.to_stated(low, scale), paired.to_stated(high, scale)
        line.confidence = 1 - 2 * level
    line.noise = test.deviation
    line.p_difference = test.p_difference()
    return line


def _natural(values: Sequence[PairValue]) -> Literal["relative", "absolute"]:
    numbers = [value for row in values for value in (row.baseline, row.candidate) if value is not None]
    return "relative" if numbers and all(value > 0 for value in numbers) else "absolute"


def _centre(values: Sequence[float | None], scale: Scale) -> float | None:
    numbers = [value for value in values if value is not None]
    return paired.centre(numbers, scale) if numbers else None
