"""What a cluster holds, in numbers: counts, sizes and labels, without a name or a value of any object."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from harness.core.kinds import Kind

_BINS_PER_DOUBLING = 8
"""Borders 9 % apart: a histogram over all sizes up to 1 MiB has at most 160 bins, however many objects there are."""

MOST_LABELS = 1000
"""Distinct label keys that are counted; the rest is counted together. Bounds memory where keys are made up by a program."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the objects: so many, of sizes from `low` to `high` whose middle is their mean."""

    count: int
    low: int
    high: int


@dataclass(slots=True)
class Sizes:
    """A histogram of sizes that keeps exact counts and sums, and the largest."""

    count: int = 0
    total: int = 0
    largest: int = 0
    bins: dict[int, list[int]] = field(default_factory=dict)

    def add(self, size: int) -> None:
        """Count one object."""
        self.count += 1
        self.total += size
        self.largest = max(self.largest, size)
        entry = self.bins.setdefault(int(math.log2(max(size, 1)) * _BINS_PER_DOUBLING), [0, 0, size, size])
        entry[0] += 1
        entry[1] += size
        entry[2], entry[3] = min(entry[2], size), max(entry[3], size)

    def slices(self, shares: tuple[float, ...] = (0.5, 0.9, 0.99, 1.0)) -> list[Slice]:
        """At most one part per share, smallest first: a heavy tail has a part of its own.

        A load draws evenly between `low` and `high`, so both lie equally far from the part's mean: count and bytes of the
        whole are kept.
        """
        parts: list[Slice] = []
        borders = iter(shares)
        border = next(borders)
        count = total = seen = 0
        low, high = 0, 0
        for _, (n, bytes_, smallest, largest) in sorted(self.bins.items()):
            low = smallest if count == 0 else low
            count, total, seen, high = count + n, total + bytes_, seen + n, largest
            if seen >= border * self.count:
                mean = round(total / count)
                reach = min(mean - low, high - mean)
                parts.append(Slice(count, mean - reach, mean + reach))
                count = total = 0
                while border < 1.0 and seen >= border * self.count:
                    border = next(borders)
        return parts


@dataclass(slots=True)
class Labels:
    """How many labels objects carry, and by key on how many; lengths of values, never values."""

    count: int = 0
    total: int = 0
    value_length: int = 0
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, labels: dict[str, str]) -> None:
        """Count the labels of one object."""
        self.count += 1
        self.total += len(labels)
        for key, value in labels.items():
            self.value_length += len(value)
            self.keys[key if key in self.keys or len(self.keys) < MOST_LABELS else "(other keys)"] += 1

    @property
    def per_object(self) -> int:
        """Labels of an object, rounded mean."""
        return round(self.total / self.count) if self.count else 0

    @property
    def mean_value(self) -> int:
        """Length of a value, rounded mean."""
        return round(self.value_length / self.total) if self.total else 0


@dataclass(slots=True)
class Held:
    """What a cluster holds of one kind."""

    kind: Kind
    count: int = 0
    sizes: Sizes = field(default_factory=Sizes)
    """Of payloads; empty for kinds that carry none."""
    labels: Labels = field(default_factory=Labels)
    owned: int = 0
    """Bundles that a GitRepo brought about."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """A whole cluster, or one namespace of it."""

    version: str
    namespace: str | None
    held: dict[str, Held]
    """By alias of the kind."""

    def count(self, alias: str) -> int:
        """Objects of a kind; 0 where the cluster does not know it."""
        return self.held[alias].count if alias in self.held else 0
