"""Benchmark `memory`: what the load generator holds when its plan is of ten, and of a hundred thousand objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.core.handles import Progress
from tests.bench.creates import CONCURRENCY, Sides, sides
from tests.bench.rounds import Rounds
from tests.bench.senders import Loadgen
from tests.bench.sheet import Sheet

COUNTS = (10_000, 100_000)
SIZE = (200, 300)
TIMEOUT_S = 900.0
PEAK = f"peak RSS at {COUNTS[-1]:,} objects, load generator"
GROWTH = "of that, more than at the fewest"


class MemoryBenchmark:
    """Creates small Secrets, first few, then many."""

    name = "memory"
    title = f"create {COUNTS[0]:,} and {COUNTS[-1]:,} Secrets of {SIZE[0]}-{SIZE[1]} B: the generator's memory"
    method = (
        f"{CONCURRENCY} at a time, by harness.experiment.load.LoadGenerator on an embedded cluster of its own, a fresh process "
        "for each number; peak resident set of its process from /proc. Small payloads: what it keeps does not depend on them, "
        "and the control plane's store stays small"
    )
    rounds = 1
    share = 0.2
    headline = PEAK

    def __init__(self, *counts: int) -> None:
        """`counts`: objects of each plan, in order."""
        self._counts = counts or COUNTS

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        progress.step("memory: a cluster")
        async with sides(directory, progress, size=SIZE, timeout_s=TIMEOUT_S) as bench:
            for number in rounds:
                await measure(bench, self._counts, number, progress, sheet)


async def measure(bench: Sides, counts: Sequence[int], number: int, progress: Progress, sheet: Sheet) -> None:
    """One round: each number of objects in turn. What was created before is taken away, but for the last."""
    peaks = []
    for count in counts:
        progress.step(f"memory: round {number}, {count:,} objects")
        sent, wrong = await bench.one(Loadgen, f"memory-{number}-{count}", count, seed=number, last=count == counts[-1])
        if wrong is not None:
            sheet.problem(f"round {number}, {count:,} objects: {wrong}")
            return
        peaks.append(sent.peak_rss_bytes)
        sheet.add(f"peak RSS at {count:,} objects, load generator", "bytes", sent.peak_rss_bytes)
        sheet.add(f"rate of {count:,}", "per_second", sent.per_s)
        sheet.add(f"CPU per create of {count:,}", "seconds", sent.cpu_s / sent.done)
    if len(counts) > 1:
        sheet.add(GROWTH, "bytes", peaks[-1] - peaks[0])
