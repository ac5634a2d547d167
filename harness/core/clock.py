"""One monotonic clock for a run.

All processes of a run on one machine share CLOCK_MONOTONIC, so a timestamp is nanoseconds since the run's origin
whoever took it: harness, load generator or agent. Wall time is recorded once, at the origin, and never subtracted: somebody,
or NTP, may set it while a run goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

STEP_S = 1.0
"""A wall clock that moved by more than this between two looks was set (or the machine slept); NTP slews by 0.0005 of the time."""
_NOTED_S = 0.01
"""Changes from which on stamps are reckoned anew."""
_AT_ONCE_NS = 1_000_000
"""Between the two readings of one look; a process that was held up between them knows nothing."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far another machine's wall clock is ahead of ours, in seconds, give or take `uncertainty_s`."""

    offset_s: float
    uncertainty_s: float


class _Wall(NamedTuple):
    """How far the wall clock was ahead of the run's, counted from `started_at`, until the next of these."""

    ahead_s: float
    since_ns: int
    """Run time of the last look that saw it otherwise: it was set after that."""
    seen_ns: int
    """Run time of the first look that saw it so."""


@dataclass(slots=True)
class _Walls:
    """What has become of the wall clock, as looks saw it."""

    known: list[_Wall] = field(default_factory=lambda: [_Wall(0.0, 0, 0)])
    looked_ns: int = 0


@dataclass(frozen=True, slots=True)
class RunClock:
    """Nanoseconds since a run began. `origin_ns` is a `time.monotonic_ns()` value."""

    origin_ns: int = field(default_factory=time.monotonic_ns)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _walls: _Walls = field(default_factory=_Walls, compare=False, repr=False)

    def now_ns(self) -> int:
        """Nanoseconds since the origin."""
        return time.monotonic_ns() - self.origin_ns

    def from_monotonic_ns(self, value: int) -> int:
        """Convert a `time.monotonic_ns()` reading of any process on this machine to run time."""
        return value - self.origin_ns

    def wall(self) -> datetime:
        """The time of day by the wall clock of the origin, whatever has been done to it since."""
        return self.started_at + timedelta(microseconds=self.now_ns() / 1e3)

    def look(self) -> float | None:
        """Compare the clocks, twice a second, say; the seconds by which the wall clock was set since the last look, if it was."""
        before_ns = self.now_ns()
        wall_s = (datetime.now(UTC) - self.started_at).total_seconds()
        now_ns = self.now_ns()
        if now_ns - before_ns > _AT_ONCE_NS:
            return None
        walls, ahead_s = self._walls, wall_s - now_ns / 1e9
        moved_s = ahead_s - walls.known[-1].ahead_s
        if abs(moved_s) > _NOTED_S:
            walls.known.append(_Wall(ahead_s, walls.looked_ns, now_ns))
        walls.looked_ns = now_ns
        return moved_s if abs(moved_s) > STEP_S else None

    def from_wall(self, moment: datetime, offset: ClockOffset | None = None) -> int:
        """Convert a wall-clock stamp (an audit line's, say) to run time, by what `look` has seen of a clock that was set.

        The stamp is of this machine, or of one whose clock is `offset` from ours.
        """
        elapsed_s = (moment - self.started_at).total_seconds() - (0.0 if offset is None else offset.offset_s)
        until_ns = self.now_ns()
        for wall in reversed(self._walls.known):
            run_ns = round((elapsed_s - wall.ahead_s) * 1e9)
            if wall.since_ns <= run_ns <= until_ns:
                return run_ns
            until_ns = wall.seen_ns
        return round((elapsed_s - self._walls.known[-1].ahead_s) * 1e9)
