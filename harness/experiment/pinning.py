"""Which CPUs the subject and the load generator get, so that neither takes time from the other.

From four CPUs on: the load generator, a single thread, has the last one for itself (each of several load workers has one,
while there are any beyond the subject's), the subject the first half, and the rest is left for the control plane and the
harness (which are not pinned: the kernel moves them to where it is idle). With fewer there is nothing to separate: whoever is
pinned then only waits longer.
"""

from __future__ import annotations

import os

from harness.record.models import Pinning

ENOUGH_CPUS = 4


def plan(*, wanted: bool, load_workers: int = 1, available: frozenset[int] | None = None) -> Pinning:
    """How this run is pinned, and where not, why. `available` is what this process may use, unless a test says."""
    cpus = sorted(os.sched_getaffinity(0) if available is None else available)
    if not wanted:
        return Pinning(reason="switched off by --no-pin")
    if len(cpus) < ENOUGH_CPUS:
        return Pinning(
            reason=f"{len(cpus)} CPUs are too few to separate subject and load; from {ENOUGH_CPUS} on they are"
        )
    half = len(cpus) // 2
    return Pinning(subject=cpus[:half], load=cpus[-min(load_workers, len(cpus) - half - 1) :])
