"""Rates of the plan: how many requests a second, and how that changes over a phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from loadgen.fields import Fields


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals, `per_s` of them on average."""

    per_s: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """From `first` to `last` requests per second in a straight line over `over_s` seconds; then `last`."""

    first: float
    last: float
    over_s: float


@dataclass(frozen=True, slots=True)
class Steps:
    """Each of `rates` for `each_s` seconds; the last until all requests are sent."""

    rates: tuple[float, ...]
    each_s: float


@dataclass(frozen=True, slots=True)
class Burst:
    """`size` requests at once, every `every_s` seconds."""

    size: int
    every_s: float


@dataclass(frozen=True, slots=True)
class UntilFailure:
    """`first` requests per second, then `by` more, each for `each_s` seconds, up to `last`, until one cannot be kept."""

    first: float
    by: float
    last: float
    each_s: float

    def rates(self) -> list[float]:
        """The rates of its steps."""
        steps = int((self.last - self.first) / self.by + 1e-9)
        return [self.first + number * self.by for number in range(steps + 1)]


Rate: TypeAlias = float | Poisson | Ramp | Steps | Burst | UntilFailure | None
"""A number is a constant rate, None as fast as the concurrency allows."""


def parse_rate(fields: Fields) -> Rate:
    """The `rate` of a phase. Raises PlanError."""
    value = fields.raw("rate")
    if value is None:
        return None
    if not isinstance(value, dict):
        return fields.positive("rate")
    inner = Fields(value, f"{fields.place}.rate")
    rate = _pattern(inner, value)
    inner.done()
    return rate


def _pattern(inner: Fields, value: dict[str, object]) -> Rate:
    if "poisson" in value:
        return Poisson(inner.positive("poisson"))
    if "ramp" in value:
        ends = inner.positives("ramp")
        if len(ends) != 2:
            raise inner.error("ramp", "must be two rates, [first, last]")
        return Ramp(ends[0], ends[1], inner.positive("over_s"))
    if "steps" in value:
        return Steps(inner.positives("steps"), inner.positive("each_s"))
    if "burst" in value:
        return Burst(inner.integer("burst", minimum=1), inner.positive("every_s"))
    return UntilFailure(
        inner.positive("until_failure"), inner.positive("by"), inner.positive("to"), inner.positive("each_s")
    )
