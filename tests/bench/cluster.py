"""Benchmark `cluster`: how long a control plane takes to come up and go away, and what it weighs."""

from __future__ import annotations

import time
from pathlib import Path

from harness.cluster import embedded
from harness.core.handles import Progress
from harness.core.ids import new_run_id
from tests.bench import proc
from tests.bench.details import Details
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet

READY = "time to ready"


class ClusterBenchmark:
    """Starts and stops an embedded cluster."""

    name = "cluster"
    title = "embedded control plane"
    method = (
        "harness.cluster.embedded.start until it returns (/readyz, namespace default, controllers at work), and stop; "
        "resident sets when it is ready, without load"
    )
    rounds = 5
    share = 0.05
    headline = READY

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        for number in rounds:
            progress.step(f"cluster: round {number} of {rounds.wanted}")
            began = time.monotonic()
            cluster = await embedded.start(
                name="bench",
                work_dir=directory / f"round-{number}",
                run_id=new_run_id(),
                progress=Details(progress),
            )
            ready_s = time.monotonic() - began
            pids = dict(cluster.pids)
            try:
                rss = {program: proc.rss_bytes(pid, program) for program, pid in pids.items()}
            finally:
                stopping = time.monotonic()
                await cluster.stop()
                stop_s = time.monotonic() - stopping
            left = [program for program, pid in pids.items() if proc.lives(pid)]
            if left:
                sheet.problem(f"round {number}: {', '.join(left)} outlived the stop")
                continue
            sheet.add(READY, "seconds", ready_s)
            sheet.add("time to stop", "seconds", stop_s)
            for program, size in rss.items():
                sheet.add(f"RSS of {program}", "bytes", size)
            sheet.add("RSS of all three", "bytes", sum(rss.values()))
