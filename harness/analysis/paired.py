"""Paired effects of one metric: on which scale, how large, how sure, and what could have been found at all.

A threshold that is a share works on the logarithm of candidate / baseline, where "3 % more" is the same step whatever the
baseline of the pair was; one in the metric's own unit works on the difference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from scipy import optimize, stats

from harness.record.gate import GateVerdict, Scale

Direction = Literal["lower", "higher"]


class Test(Protocol):
    """What decides: the sign-flip test on pairs, or Welch's on groups."""

    @property
    def n(self) -> int:
        """Pairs, or runs of the smaller group."""

    @property
    def least_alpha(self) -> float:
        """The smallest one-sided level at which anything can be refused."""

    @property
    def mean(self) -> float:
        """Mean effect on the working scale."""

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the effects; None where there are too few."""

    def p_above(self, centre: float) -> float:
        """One-sided p-value of "the effect is at most `centre`"."""

    def p_below(self, centre: float) -> float:
        """One-sided p-value of "the effect is at least `centre`"."""


class NoEffect(ValueError):
    """The values have no effect on this scale; the message says why."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """How much worse is too much: a share of the baseline (0.03), or an amount in the metric's unit."""

    value: float
    scale: Scale
    direction: Direction
    """Which way is better."""

    @property
    def worse(self) -> float:
        """The border of "too much worse" on the working scale, on the side where it is worse."""
        return self._step(self.value if self.direction == "lower" else -self.value)

    @property
    def better(self) -> float:
        """The border of "better by more than the threshold" on the working scale."""
        return self._step(-self.value if self.direction == "lower" else self.value)

    def _step(self, signed: float) -> float:
        return to_working(signed, self.scale)


def to_working(effect: float, scale: Scale) -> float:
    """An effect as people state it, on the scale that the tests work on."""
    return math.log1p(effect) if scale == "relative" else effect


def to_stated(value: float, scale: Scale) -> float:
    """The other way round."""
    return math.expm1(value) if scale == "relative" else value


def effects(baseline: Sequence[float], candidate: Sequence[float], scale: Scale) -> list[float]:
    """Effect of each pair on the working scale. Raises NoEffect where a share has nothing to be a share of."""
    before, after = working(baseline, scale, "baseline"), working(candidate, scale, "candidate")
    return [b - a for a, b in zip(before, after, strict=True)]


def working(values: Sequence[float], scale: Scale, arm: str) -> list[float]:
    """Values of which differences are effects: logarithms for shares. Raises NoEffect where there are none."""
    if scale == "absolute":
        return list(values)
    if any(value <= 0 for value in values):
        raise NoEffect(f"a share of {min(values):g} means nothing ({arm}); give the threshold in the metric's unit")
    return [math.log(value) for value in values]


def centre(values: Sequence[float], scale: Scale) -> float:
    """The mean that belongs to the scale: geometric for shares, so that it agrees with the mean effect."""
    if scale == "relative" and all(value > 0 for value in values):
        return math.exp(math.fsum(math.log(value) for value in values) / len(values))
    return math.fsum(values) / len(values)


@dataclass(frozen=True, slots=True)
class Decision:
    """The three one-sided p-values about one threshold: each is small where its sentence is false."""

    worse: float
    """That it is worse by no more than the threshold. Small: a regression."""
    within: float
    """That it is worse by the threshold or more. Small: no regression."""
    better: float
    """That it is better by no more than the threshold. Small: an improvement."""


def decide(test: Test, threshold: Threshold) -> Decision:
    """What the pairs say of the threshold."""
    worse, better = threshold.worse, threshold.better
    if threshold.direction == "lower":
        return Decision(test.p_above(worse), test.p_below(worse), test.p_below(better))
    return Decision(test.p_below(worse), test.p_above(worse), test.p_above(better))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One metric of a family, decided."""

    decision: Decision
    worse: float
    """`decision.worse`, adjusted over the family."""
    better: float
    verdict: GateVerdict


def family(tests: Mapping[str, tuple[Test, Threshold]], alpha: float, *, silent: int = 0) -> dict[str, Outcome]:
    """Decide all metrics of a family at the one-sided level `alpha`.

    That any of them is called worse without being so, or better, has at most that chance (Holm). All of them must be
    shown to be within their thresholds for the family to pass, so for that each is held against `alpha` by itself.
    `silent` are metrics of the family that have no test: leaving them out would lower the bar of the others.
    """
    decisions = {name: decide(test, threshold) for name, (test, threshold) in tests.items()}
    none = {f"silent {number}": 1.0 for number in range(silent)}
    worse = holm({name: decision.worse for name, decision in decisions.items()} | none)
    better = holm({name: decision.better for name, decision in decisions.items()} | none)
    return {
        name: Outcome(decision, worse[name], better[name], _word(worse[name], better[name], decision.within, alpha))
        for name, decision in decisions.items()
    }


def _word(worse: float, better: float, within: float, alpha: float) -> GateVerdict:
    if worse <= alpha:
        return "regress"
    if better <= alpha:
        return "improve"
    return "pass" if within <= alpha else "inconclusive"


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted by Holm's step-down procedure: each may be held against the level of the whole family."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}


def minimum_detectable(test: Test, threshold: Threshold, alpha: float, power: float) -> float | None:
    """The smallest true worsening, as people state it and always positive, that so many pairs of this noise would have
    shown with the given power. By Student's t, whose power the sign-flip test has in the limit (tests/unit/analysis
    hold it against simulation). None for fewer than three pairs.
    """
    deviation = test.deviation
    if deviation is None or test.n < 3:
        return None
    step = _needed(test.n, alpha, power) * deviation / math.sqrt(test.n)
    worse = threshold.worse
    return abs(to_stated(worse + math.copysign(step, worse), threshold.scale))


@functools.cache
def _needed(n: int, alpha: float, power: float) -> float:
    """How many standard errors off the border an effect must be for that power."""
    critical = stats.t.ppf(1 - alpha, n - 1)
    return float(optimize.brentq(lambda shift: stats.nct.sf(critical, n - 1, shift) - power, 0.0, critical * 3 + 20.0))


def pairs_needed(test: Test, threshold: Threshold, alpha: float, power: float) -> int | None:
    """About how many pairs of this noise would decide, if the effect is what it seems; None where nobody can tell."""
    distance = abs(test.mean - threshold.worse)
    if not test.deviation or not distance:
        return None
    shift = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))
    return max(math.ceil((shift * test.deviation / distance) ** 2) + 2, test.n + 1)
