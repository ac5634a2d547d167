"""What ten and a hundred load workers would meet first: a model of measured costs, with what it assumes.

Everything that takes part has a capacity: how many creates a second it can carry when it is alone at its limit. A load of N
workers asks for N times what one worker can send at 90 % of a core (from there on a run is invalid, docs/trust.md). Whoever
has the smallest capacity below that breaks first.

Assumed: costs per request stay what they were at the rate that was measured (no queue grows, no cache stops fitting); the load
workers have cores of their own; the API server scales over the cores it is given; etcd, whose writes are applied one after
another, has one; the harness is one thread, which reads each row and sees one watch event for each create; objects are those
that were measured. Every input is a median with its least and greatest value; the interval is that of the most and the least
favourable of them together: with so few rounds a confidence interval would promise too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.statistics import Summary

GENERATOR_CORES = 0.9
"""`harness.analysis.trust.GENERATOR_CORES`: of one worker, which is one thread."""
THREAD = 0.9
"""The harness's own, for the same reason."""


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with what it may be at the least and at the most."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, summary: Summary) -> Range:
        """Of rounds."""
        return cls(summary.minimum, summary.median, summary.maximum)

    def inverse(self, scale: float) -> Range:
        """`scale` over it: costs become capacities."""
        return Range(scale / self.high, scale / self.middle, scale / self.low)


@dataclass(frozen=True, slots=True)
class Inputs:
    """CPU seconds per create, and bytes; each as measured."""

    generator: Range
    apiserver: Range
    etcd: Range
    event: Range
    """Of the harness: a watched event, with the row of its request and all else that a run costs it."""
    stored: Range
    """Bytes of etcd per object."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """One that takes part: how many creates a second it carries."""

    name: str
    capacity: Range


@dataclass(frozen=True, slots=True)
class Forecast:
    """A number of workers: what they could send, who carries how much, and what an etcd quota means."""

    workers: int
    offered: Range
    carriers: Sequence[Carrier]
    """The weakest first."""
    cores: Range
    """That the API server would need to carry what is offered."""
    quota_s: Range
    """Until 8 GiB are full, at what the weakest lets through."""

    @property
    def breaks(self) -> list[Carrier]:
        """Those that cannot carry what is offered, the weakest first."""
        return [each for each in self.carriers if each.capacity.middle < self.offered.middle]

    @property
    def certain(self) -> bool:
        """Whether the first one breaks first at any value within the ranges: its best is below the next one's worst."""
        first, second = self.carriers[:2]
        return first.capacity.high < second.capacity.low


def forecast(inputs: Inputs, workers: int, apiserver_cores: int, quota_bytes: int) -> Forecast:
    """What `workers` would meet."""
    offered = inputs.generator.inverse(GENERATOR_CORES * workers)
    carriers = [
        Carrier(f"API server with {apiserver_cores} cores", inputs.apiserver.inverse(apiserver_cores)),
        Carrier("etcd, one core", inputs.etcd.inverse(1.0)),
        Carrier("harness, one thread", inputs.event.inverse(THREAD)),
    ]
    carriers.sort(key=lambda each: each.capacity.middle)
    passed = [
        min(ends)
        for ends in zip(*((each.low, each.middle, each.high) for each in (offered, carriers[0].capacity)), strict=True)
    ]
    stored = inputs.stored
    quota = Range(
        quota_bytes / (passed[2] * stored.high),
        quota_bytes / (passed[1] * stored.middle),
        quota_bytes / (passed[0] * stored.low),
    )
    needed = Range(
        offered.low * inputs.apiserver.low,
        offered.middle * inputs.apiserver.middle,
        offered.high * inputs.apiserver.high,
    )
    return Forecast(workers, offered, carriers, needed, quota)


NAMES: Mapping[str, tuple[str, str]] = {
    "generator": ("workers", "CPU per create, generator, 1 worker"),
    "apiserver": ("workers", "CPU per create, API server, 1 worker"),
    "etcd": ("workers", "CPU per create, etcd, 1 worker"),
    "event": ("overhead", "CPU per watched event"),
    "stored": ("storage", "etcd per Secret of 3 KB"),
}
"""Where each input comes from: the benchmark, and its figure."""


def inputs_of(found: Mapping[tuple[str, str], Summary]) -> Inputs | None:
    """The inputs among figures by benchmark and name; None where one was not measured."""
    if not all(place in found for place in NAMES.values()):
        return None
    return Inputs(**{field: Range.of(found[place]) for field, place in NAMES.items()})
