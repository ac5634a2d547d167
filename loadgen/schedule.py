"""When requests are due, and what rate was achieved.

An open model fixes the time of every request beforehand; a slow server makes latencies longer, never the load lighter
(no coordinated omission). A closed model sends as fast as its workers come back. What is drawn (Poisson's gaps) is drawn
from the plan's seed: the same seed, the same times.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadgen.rates import Burst, Poisson, Ramp, Rate, Steps, UntilFailure

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Times:
    """When each of `count` requests is due after the start of its phase, and how long the whole schedule is."""

    rate: float | None
    """Requests per second on average; None in a closed model. The schedule's length is count / rate."""
    count: int
    pause_every: int = 0
    """Of a churn: after this many requests the schedule rests for `pause_s`."""
    pause_s: float = 0.0
    drawn: array[int] = field(default_factory=lambda: array("q"))
    """Offsets of a schedule that is more than one rate; empty for that."""

    def offset_ns(self, index: int) -> int | None:
        """When request `index` is due after the start; None in a closed model: whenever a worker is free."""
        if self.drawn:
            return self.drawn[index]
        if self.rate is None:
            return None
        pauses = index // self.pause_every * self.pause_s if self.pause_every else 0.0
        return round(index * SECOND_NS / self.rate + pauses * SECOND_NS)

    @property
    def length_s(self) -> float:
        """How long the schedule is: until one more request would be due."""
        if self.rate is None or not self.count:
            return 0.0
        if self.pause_every:
            return self.count / self.rate + (math.ceil(self.count / self.pause_every) - 1) * self.pause_s
        return self.count / self.rate

    @property
    def requested_per_s(self) -> float | None:
        """The rate that was asked for, on average over the schedule; None in a closed model."""
        return self.count / self.length_s if self.length_s else self.rate


def times_of(rate: Rate, count: int, seed: str, *, pause_every: int = 0, pause_s: float = 0.0) -> Times:
    """The times of a phase of `count` requests. A `step_until_failure` has none: its steps begin when they may."""
    if isinstance(rate, UntilFailure):
        return Times(None, count)
    if rate is None or isinstance(rate, float):
        return Times(rate, count, pause_every, pause_s)
    seconds = _seconds(rate, seed)
    drawn = array("q", (round(next(seconds) * SECOND_NS) for _ in range(count)))
    # A burst is asked for once per interval, whether or not the last one is full.
    length_s = math.ceil(count / rate.size) * rate.every_s if isinstance(rate, Burst) else next(seconds)
    return Times(count / length_s if count else None, count, drawn=drawn)


def _seconds(rate: Poisson | Ramp | Steps | Burst, seed: str) -> Iterator[float]:
    """The due times of a schedule without end, in seconds."""
    match rate:
        case Poisson(per_s):
            return _poisson(per_s, seed)
        case Ramp(first, last, over_s):
            return _ramp(first, last, over_s)
        case Steps(rates, each_s):
            return _steps(rates, each_s)
        case Burst(size, every_s):
            return (index // size * every_s for index in _naturals())


def _naturals() -> Iterator[int]:
    index = 0
    while True:
        yield index
        index += 1


def _poisson(per_s: float, seed: str) -> Iterator[float]:
    """Independent arrivals: gaps drawn from the exponential distribution."""
    source = random.Random(f"{seed}/times")  # noqa: S311  # repeatable on purpose; keeps no secret
    at = 0.0
    while True:
        # random() is below 1, so the logarithm is of something above 0
        at -= math.log(1.0 - source.random()) / per_s
        yield at


def _ramp(first: float, last: float, over_s: float) -> Iterator[float]:
    """A rate that goes in a straight line from `first` to `last`, and stays there."""
    slope = (last - first) / over_s
    within = (first + last) / 2 * over_s
    for index in _naturals():
        if index >= within:
            yield over_s + (index - within) / last
        elif slope == 0:
            yield index / first
        else:
            yield (math.sqrt(first * first + 2 * slope * index) - first) / slope


def _steps(rates: tuple[float, ...], each_s: float) -> Iterator[float]:
    """One rate after another, the last without end. A request that is due within a step is counted from its start."""
    step, began_s, first = 0, 0.0, 0.0
    for index in _naturals():
        while step < len(rates) - 1 and index >= first + rates[step] * each_s:
            first += rates[step] * each_s
            began_s += each_s
            step += 1
        yield began_s + (index - first) / rates[step]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The intended times of a phase that began at `start_ns`."""

    start_ns: int
    times: Times

    def intended_ns(self, index: int) -> int | None:
        """When request `index` is due; None in a closed model: whenever a worker is free."""
        offset = self.times.offset_ns(index)
        return None if offset is None else self.start_ns + offset

    def achieved_per_s(self, done: int, last_sent_ns: int, last_done_ns: int) -> float:
        """Requests done per second.

        In a closed model over the time until the last answer. In an open one over the time in which they were sent, at
        least that of the whole schedule: a server that cannot keep up makes workers send late, while one slow last answer
        is a matter of latency, not of rate. What is missing makes the rate lower.
        """
        last = self.times.offset_ns(self.times.count - 1) if self.times.count else None
        if last is None:
            elapsed_s = (last_done_ns - self.start_ns) / SECOND_NS
        else:
            rest_s = self.times.length_s - last / SECOND_NS
            elapsed_s = max((last_sent_ns - self.start_ns) / SECOND_NS + rest_s, self.times.length_s)
        return done / elapsed_s if done and elapsed_s > 0 else 0.0
