"""Memory against objects: a straight line with its intervals, a test of whether it is straight, and how far it may be trusted.

The model is `value = base + each * count`, or, where objects of different size were measured,
`value = base + each * count + per_byte * bytes`. All intervals are Student's at 95 % unless said otherwise; noise is taken to
be alike at all counts. Values and bytes are in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

_Array = npt.NDArray[Any]
Shape = Literal["straight", "bent", "undecided"]
CONFIDENCE = 0.95
TOLERANCE = 0.05
"""Deviation from the line that still counts as straight, as a share of the growth over the measured range."""
_BEYOND = 0.10
"""Share of a value beyond the measured range by which a bend that was not seen may falsify it."""
_SAME_SIZE = 0.05
"""Objects whose sizes differ by less than this share are of one size."""
_FARTHEST = 1e3
"""Counts are sought up to this many times the largest measured one."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One run: so many objects, of so many bytes together, came to this value."""

    count: float
    bytes: float
    value: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Straightness:
    """What a parabola through the same points says. `bend` is its largest distance from its chord over the measured range,
    as a share of the growth there (positive: each further object takes less)."""

    shape: Shape
    bend: Estimate | None
    p: float | None
    """Of no bend at all."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Fit:
    """A line through observations."""

    coefficients: tuple[float, ...]
    """base, each, and per_byte where sizes differ."""
    covariance: tuple[tuple[float, ...], ...]
    residual_sd: float
    dof: int
    lowest: float
    highest: float
    size: float
    """Bytes of an object: the mean of those measured at the size that is asked about."""
    straightness: Straightness
    curvature: tuple[float, float] | None
    """Interval of the coefficient of count squared; None where it cannot be told."""

    @property
    def by_size(self) -> bool:
        """Whether count and bytes are told apart."""
        return len(self.coefficients) == 3

    def each(self, size: float | None = None) -> Estimate:
        """What one more object of that many bytes takes."""
        row = [0.0, 1.0, self.size if size is None else size][: len(self.coefficients)]
        return self._estimate(row, new=False)

    def base(self) -> Estimate:
        """Without any object."""
        return self._estimate([1.0, 0.0, 0.0][: len(self.coefficients)], new=False)

    def per_byte(self) -> Estimate | None:
        """What one more byte of an object takes; None where all objects had the same size."""
        return self._estimate([0.0, 0.0, 1.0], new=False) if self.by_size else None

    def predict(self, count: float, *, confidence: float = CONFIDENCE) -> Estimate:
        """The value of a further run with that many objects, with the interval in which such a run falls."""
        return self._estimate(self._row(count), new=True, confidence=confidence)

    def count_at(self, value: float) -> Estimate | None:
        """At which count a further run reaches a value; None where the line does not rise to it.

        The interval is where the bounds of the prediction reach it.
        """
        each = self.each().value
        if each <= 0 or value <= self.predict(0).value:
            return None
        middle = (value - self.predict(0).value) / each
        return Estimate(middle, self._reaches(value, upper=True), self._reaches(value, upper=False))

    def refusal(self, count: float) -> str | None:
        """Why nothing can be said about a count; None where it can.

        Within the measured range the points must not be bent. Beyond it a bend too weak to be seen within the range could
        grow: the most that the measurements leave room for must stay within 10 % of the predicted value.
        """
        if self.straightness.shape == "bent":
            return f"memory is not a straight line of the count: {self.straightness.sentence}"
        if count <= self.highest:
            return None
        measured = f"{count:,.0f} objects are beyond the {self.highest:,.0f} that were measured"
        if self.straightness.shape != "straight" or self.curvature is None:
            return f"{measured}, and {self.straightness.sentence}"
        room = max(abs(edge) for edge in self.curvature) * (count - self.lowest) * (count - self.highest)
        if room > _BEYOND * abs(self.predict(count).value):
            share = room / abs(self.predict(count).value)
            return f"{measured}, and a bend that could not be seen there may come to {share:.0%} of the memory by then"
        return None

    def _row(self, count: float) -> list[float]:
        return [1.0, count, count * self.size][: len(self.coefficients)]

    def _estimate(self, row: Sequence[float], *, new: bool, confidence: float = CONFIDENCE) -> Estimate:
        weights = np.array(row)
        value = float(weights @ np.array(self.coefficients))
        variance = float(weights @ np.array(self.covariance) @ weights) + (self.residual_sd**2 if new else 0.0)
        margin = float(stats.t.ppf((1 + confidence) / 2, self.dof)) * math.sqrt(max(variance, 0.0))
        return Estimate(value, value - margin, value + margin)

    def _reaches(self, value: float, *, upper: bool) -> float:
        """The count at which a bound of the prediction reaches a value, by bisection; 0 or infinity where it never does."""

        def above(count: float) -> bool:
            found = self.predict(count)
            return (found.high if upper else found.low) >= value

        low, high = 0.0, self.highest * _FARTHEST
        if above(low):
            return 0.0
        if not above(high):
            return math.inf
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (low, middle) if above(middle) else (middle, high)
        return high


def fit(observations: Sequence[Observation], size: float) -> Fit | str:
    """The line through the observations, about objects of `size` bytes; a sentence where there are too few."""
    counts = np.array([item.count for item in observations], dtype=float)
    values = np.array([item.value for item in observations], dtype=float)
    if len({item.count for item in observations}) < 2:
        return "a line needs runs with at least two counts"
    columns = [np.ones_like(counts), counts]
    sizes = [item.bytes / item.count for item in observations if item.count]
    if max(sizes) - min(sizes) > _SAME_SIZE * max(sizes) and len(observations) > 3:
        columns.append(np.array([item.bytes for item in observations], dtype=float))
    dof = len(observations) - len(columns)
    if dof < 1:
        return f"{len(observations)} runs are too few to tell the noise; at least {len(columns) + 1} are needed"
    solved = _solve(columns, values)
    if solved is None:
        return "count and bytes of the runs go together: they cannot be told apart"
    coefficients, inverse, rss = solved
    alike = [item for item in observations if item.count and abs(item.bytes / item.count - size) <= _SAME_SIZE * size]
    among = [item.count for item in alike or observations]
    lowest, highest = min(among), max(among)
    curvature, straightness = _straightness(columns, values, lowest, highest, size)
    return Fit(
        tuple(map(float, coefficients)), tuple(tuple(map(float, row)) for row in inverse * rss / dof),
        math.sqrt(rss / dof), dof, lowest, highest, size, straightness, curvature,
    )  # fmt: skip


def _solve(columns: Sequence[_Array], values: _Array) -> tuple[_Array, _Array, float] | None:
    """Least squares: coefficients, (X'X)^-1 and the sum of squares left; None where columns depend on one another."""
    matrix = np.column_stack(columns)
    scale = np.abs(matrix).max(axis=0)
    scaled = matrix / scale
    if np.linalg.matrix_rank(scaled, tol=1e-6) < matrix.shape[1]:
        return None
    inverse = np.linalg.inv(scaled.T @ scaled) / np.outer(scale, scale)
    coefficients = inverse @ matrix.T @ values
    return coefficients, inverse, float(((values - matrix @ coefficients) ** 2).sum())


def _straightness(
    columns: Sequence[_Array], values: _Array, lowest: float, highest: float, size: float
) -> tuple[tuple[float, float] | None, Straightness]:
    """The parabola's test: its bend must be shown to be small, not merely fail to be shown to be there."""
    counts = columns[1]
    dof = len(values) - len(columns) - 1
    solved = None
    if dof >= 1 and len(set(counts.tolist())) >= 3:
        solved = _solve([*columns, (counts - lowest) * (counts - highest)], values)
    if solved is None:
        words = "whether it is a straight line cannot be told from so few runs; at least 3 counts and 5 runs are needed"
        return None, Straightness("undecided", None, None, words)
    coefficients, inverse, rss = solved
    error = math.sqrt(max(rss / dof * float(inverse[-1, -1]), 0.0))
    curvature = float(coefficients[-1])
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, dof)) * error
    p = float(2 * stats.t.sf(abs(curvature) / error, dof)) if error > 0 else float(curvature == 0)
    each = coefficients[1] + (coefficients[2] * size if len(columns) == 3 else 0.0)
    growth = float(each) * (highest - lowest)
    if growth <= 0:
        words = "memory does not grow with the count"
        return (curvature - margin, curvature + margin), Straightness("undecided", None, p, words)
    # (n - lowest)(n - highest) is at most (highest - lowest)^2 / 4 below 0, half way.
    factor = -((highest - lowest) ** 2) / 4 / growth
    ends = sorted((factor * (curvature - margin), factor * (curvature + margin)))
    bend = Estimate(factor * curvature, ends[0], ends[1])
    shown = f"{bend.value:+.1%} of the growth ({bend.low:+.1%} to {bend.high:+.1%})"
    if bend.low >= -TOLERANCE and bend.high <= TOLERANCE:
        shape: Shape = "straight"
        words = f"straight: the bend half way is {shown}, within {TOLERANCE:.0%}"
    elif bend.low > 0 or bend.high < 0:
        shape, words = "bent", f"the bend half way is {shown}, and {TOLERANCE:.0%} would be the most"
    else:
        shape, words = "undecided", f"too noisy to call it straight: the bend half way is {shown}; measure more runs"
    return (curvature - margin, curvature + margin), Straightness(shape, bend, p, words)
