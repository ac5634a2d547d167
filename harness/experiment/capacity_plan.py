"""What a capacity experiment is asked, and how many runs it makes for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How many runs are made."""

    rungs: tuple[float, ...]
    """Shares of the largest count."""
    repeats: int
    top_repeats: int
    """Of the largest count, beyond the others."""
    size_repeats: int
    kills: int
    cold_kills: int
    early: bool
    """End the search for the boundary as soon as it is known to 2.5 %."""

    @property
    def ladder(self) -> int:
        """Runs of the ladder, without pilots."""
        return len(self.rungs) * self.repeats + self.top_repeats


QUICK = Budget((0.25, 0.5, 0.75, 1.0), 1, 1, 1, 6, 0, early=True)
FULL = Budget((0.2, 0.4, 0.6, 0.8, 1.0), 3, 0, 2, 14, 10, early=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks beside the scenario and the options of its runs."""

    limit: int | None
    count: int | None
    ladder: tuple[int, ...] = ()
    """Counts in place of those that follow from limit or count."""
    objects: str | None = None
    quick: bool = False
    kills: bool = True

    @property
    def budget(self) -> Budget:
        """Runs to make."""
        return QUICK if self.quick else FULL
