"""Who else had the machine's CPUs meanwhile: a figure from a shared machine must say how shared it was."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

from harness.collectors.host import read_cpu


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares, 0 to 1, of all CPUs' time: what other processes used, and what the machine's host gave to others."""

    others: float
    stolen: float


class Surroundings:
    """From its making to `shares()`.

    What is not ours is the busy time less what this process and its ended descendants used, so everything that was
    started in between must have ended by then (supervisors reap all below them, and we reap the supervisors).
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stolen, self._busy = read_cpu()
        self._ours = _ours_s()

    def shares(self) -> Shares:
        """The shares so far."""
        stolen, busy = read_cpu()
        whole = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return shares_of(whole, busy - self._busy, stolen - self._stolen, _ours_s() - self._ours)


def shares_of(whole_s: float, busy_s: float, stolen_s: float, ours_s: float) -> Shares:
    """Shares of `whole_s`; the kernel counts in ticks, so a little less than nothing is nothing."""
    if whole_s <= 0:
        return Shares(0.0, 0.0)
    return Shares(max(0.0, busy_s - ours_s) / whole_s, max(0.0, stolen_s) / whole_s)


def _ours_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
