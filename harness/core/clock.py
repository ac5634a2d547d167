"""One monotonic clock for a run.

All processes of a run on one machine share CLOCK_MONOTONIC, so a timestamp is nanoseconds since the run's origin
whoever took it: harness, load generator or agent. Wall time is recorded once, at the origin, and never subtracted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far another machine's wall clock is ahead of ours, in seconds, give or take `uncertainty_s`."""

    offset_s: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True)
class RunClock:
    """Nanoseconds since a run began. `origin_ns` is a `time.monotonic_ns()` value."""

    origin_ns: int = field(default_factory=time.monotonic_ns)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now_ns(self) -> int:
        """Nanoseconds since the origin."""
        return time.monotonic_ns() - self.origin_ns

    def from_monotonic_ns(self, value: int) -> int:
        """Convert a `time.monotonic_ns()` reading of any process on this machine to run time."""
        return value - self.origin_ns

    def from_wall(self, moment: datetime, offset: ClockOffset | None = None) -> int:
        """Convert a wall-clock stamp (an audit line's, say) to run time; exact only without clock steps.

        The stamp is of this machine, or of one whose clock is `offset` from ours.
        """
        ahead_s = 0.0 if offset is None else offset.offset_s
        return round(((moment - self.started_at).total_seconds() - ahead_s) * 1e9)
