"""How long a history of 10,000 runs takes to answer, and to take one more run in."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.analysis.history import document
from harness.core.handles import Progress
from harness.record.history import Entry, History, Value
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet

RUNS = 10_000
METRICS = 60
_SINGLE = 100  # of them were added one by one, so that there are parts to be read besides the large one


class HistoryBenchmark:
    """See the module."""

    name = "history"
    title = f"a history of {RUNS:,} runs with {METRICS} results each"
    method = (
        f"synthetic entries, {_SINGLE} of them added one by one; each round asks for one metric with its change points, "
        "for all runs, and adds one run. CPU is that of this process and what it waited for."
    )
    rounds = 5
    share = 0.2
    headline = "a metric and its changes"

    def __init__(self, runs: int = RUNS) -> None:
        """`runs`: how many there are already; a hundredth of them were added one by one."""
        self._runs = runs

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        history = History(directory / "history")
        runs, single = self._runs, self._runs * _SINGLE // RUNS
        progress.step(f"making {runs} entries")
        rng = random.Random(7)
        await asyncio.to_thread(history.add, [_entry(number, rng) for number in range(runs - single)])
        for number in range(runs - single, runs):
            await asyncio.to_thread(history.add, [_entry(number, rng)])
        sheet.add("size on disk", "bytes", sum(path.stat().st_size for path in history.directory.iterdir()))
        for number in rounds:
            progress.step(f"round {number}")
            began, cpu = time.perf_counter(), _cpu_s()
            found = await asyncio.to_thread(document, history, "metric.7")
            sheet.add("a metric and its changes", "seconds", time.perf_counter() - began)
            sheet.add("CPU of that", "seconds", _cpu_s() - cpu)
            points = sum(len(series.points) for series in found.series)
            if points != runs + number - 1:
                sheet.problem(f"round {number}: {points} runs of {runs + number - 1}")
            began = time.perf_counter()
            await asyncio.to_thread(document, history, None)
            sheet.add("all runs without results", "seconds", time.perf_counter() - began)
            began = time.perf_counter()
            await asyncio.to_thread(history.add, [_entry(runs + number, rng)])
            sheet.add("adding one run", "seconds", time.perf_counter() - began)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _entry(number: int, rng: random.Random) -> Entry:
    level = 100.0 if number < RUNS / 2 else 103.0
    return Entry(
        id=f"bench-{number:06d}", kind="run", started_at=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number),
        scenario=f"scenario-{number % 3}", arm="pass", verdict="passed", exit_code=0, commit=f"{number // 9:040x}",
        machine="m1", cpu_model="Synthetic CPU", cluster="embedded", subject="fleet", harness="0.1.0", load_sha256="l1",
        results={f"metric.{index}": Value(rng.gauss(level, 2), "B") for index in range(METRICS)},
    )  # fmt: skip
