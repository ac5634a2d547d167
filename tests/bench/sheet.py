"""What a benchmark writes down: figures round by round, and whatever of its work was not complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.units import Dimension
from tests.bench.statistics import Summary, summarise


@dataclass(slots=True)
class Figure:
    """One measured quantity; `values` in base units of `dimension`, one a round."""

    name: str
    dimension: Dimension
    values: list[float] = field(default_factory=list)

    @property
    def summary(self) -> Summary:
        """Least, middle and greatest value."""
        return summarise(self.values)


@dataclass(slots=True)
class Sheet:
    """The record of one benchmark. It is filled while measuring, so that an end half-way loses nothing."""

    figures: dict[str, Figure] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What was not complete, a sentence each; figures of such a round must not be added."""
    skipped: str | None = None
    """Why there was nothing to measure, which is no problem."""

    def add(self, name: str, dimension: Dimension, value: float) -> None:
        """The value of one round."""
        self.extend(name, dimension, [value])

    def extend(self, name: str, dimension: Dimension, values: Sequence[float]) -> None:
        """Values of further rounds."""
        self.figures.setdefault(name, Figure(name, dimension)).values.extend(values)

    def problem(self, sentence: str) -> None:
        """Some work was not complete."""
        self.problems.append(sentence)

    def skip(self, reason: str) -> None:
        """There is nothing to measure here."""
        self.skipped = reason
