"""Benchmark `memory`: what the load generator holds when its plan is of a hundred thousand objects."""

from __future__ import annotations

from pathlib import Path

from harness.core.handles import Progress
from tests.bench.creates import CONCURRENCY, sides
from tests.bench.rounds import Rounds
from tests.bench.senders import Loadgen
from tests.bench.sheet import Sheet

COUNT = 100_000
SIZE = (200, 300)
TIMEOUT_S = 900.0
PEAK = "peak RSS at 100,000 objects, load generator"


class MemoryBenchmark:
    """Creates 100,000 small Secrets once."""

    name = "memory"
    title = f"create {COUNT:,} Secrets of {SIZE[0]}-{SIZE[1]} B, {CONCURRENCY} at a time: the generator's memory"
    method = (
        "harness.experiment.load.LoadGenerator on an embedded cluster of its own; peak resident set of its process from /proc. "
        "Small payloads: what it keeps does not depend on them, and the control plane's store stays small"
    )
    rounds = 1
    share = 0.3
    headline = PEAK

    def __init__(self, count: int = COUNT) -> None:
        """`count`: objects of the plan."""
        self._count = count

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        progress.step("memory: a cluster")
        async with sides(directory, progress, size=SIZE, timeout_s=TIMEOUT_S) as bench:
            for number in rounds:
                progress.step(f"memory: round {number} of {rounds.wanted}")
                sent, wrong = await bench.one(Loadgen, f"memory-{number}", self._count, seed=number, last=True)
                if wrong is not None:
                    sheet.problem(f"round {number}: {wrong}")
                    return
                sheet.add(PEAK, "bytes", sent.peak_rss_bytes)
                sheet.add("rate", "per_second", sent.per_s)
                sheet.add("CPU per create", "seconds", sent.cpu_s / sent.done)
