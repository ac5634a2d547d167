"""How long a history of 10,000 runs takes to answer, and to take one more run in."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.analysis.history import document
from harness.core.errors import RunFault
from harness.core.handles import Progress
from harness.process import spawn
from harness.record.history import Entry, History, Value
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet

RUNS = 10_000
METRICS = 60
ASKED = "memory.rss.peak"
"""One of the catalogue: of others the verb has to ask first whether the history knows them."""
QUERY = "a metric and its changes"
RUNS_QUERY = "all runs without results"
VERB = "harness history METRIC, from its start to its end"
CHECKOUT = Path(__file__).resolve().parents[2]
_VERB_S = 120.0
_SINGLE = 100  # of them were added one by one, so that there are parts to be read besides the large one


class HistoryBenchmark:
    """See the module."""

    name = "history"
    title = f"a history of {RUNS:,} runs with {METRICS} results each"
    method = (
        f"synthetic entries, {_SINGLE} of them added one by one; each round asks for one metric with its change points, in this "
        "process and by the verb, for all runs, and adds one run. CPU is that of this process."
    )
    rounds = 5
    share = 0.06
    headline = QUERY

    def __init__(self, runs: int = RUNS) -> None:
        """`runs`: how many there are already; a hundredth of them were added one by one."""
        self._runs = runs

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        await measure(self._runs, rounds, directory, progress, sheet)


async def measure(runs: int, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
    """Make a history of so many runs, then ask it and add to it, round by round."""
    history = History(directory / "history")
    progress.step(f"making {runs} entries")
    rng = random.Random(7)
    single = runs * _SINGLE // RUNS
    await asyncio.to_thread(history.add, [_entry(number, runs, rng) for number in range(runs - single)])
    for number in range(runs - single, runs):
        await asyncio.to_thread(history.add, [_entry(number, runs, rng)])
    sheet.add("size on disk", "bytes", sum(path.stat().st_size for path in history.directory.iterdir()))
    for number in rounds:
        progress.step(f"round {number}")
        began, cpu = time.perf_counter(), _cpu_s()
        found = await asyncio.to_thread(document, history, ASKED)
        sheet.add(QUERY, "seconds", time.perf_counter() - began)
        sheet.add("CPU of that", "seconds", _cpu_s() - cpu)
        points = sum(len(series.points) for series in found.series)
        if points != runs + number - 1:
            sheet.problem(f"round {number}: {points} runs of {runs + number - 1}")
        began = time.perf_counter()
        await asyncio.to_thread(document, history, None)
        sheet.add(RUNS_QUERY, "seconds", time.perf_counter() - began)
        sheet.add(VERB, "seconds", await _verb(history.directory, directory / "verb.log"))
        began = time.perf_counter()
        await asyncio.to_thread(history.add, [_entry(runs + number, runs, rng)])
        sheet.add("adding one run", "seconds", time.perf_counter() - began)


async def _verb(store: Path, log: Path) -> float:
    """Seconds that the verb takes, as a user calls it. Raises RunFault where it does not answer."""
    command = [sys.executable, "-m", "harness.cli.main", "history", ASKED, "--limit", "3", "--history", str(store)]
    began = time.perf_counter()
    child = await spawn(command, name="bench-history", env=dict(os.environ), cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        ended = await child.wait(_VERB_S)
    except TimeoutError:
        raise RunFault(f"harness history was not over after {_VERB_S:.0f} s", place=str(log)) from None
    finally:
        await child.stop(1.0)
    if ended.code != 0:
        raise RunFault(f"harness history ended with {ended.code}", place=str(log))
    return time.perf_counter() - began


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _entry(number: int, runs: int, rng: random.Random) -> Entry:
    level = 100.0 if number < runs / 2 else 103.0
    return Entry(
        id=f"bench-{number:06d}", kind="run", started_at=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number),
        scenario=f"scenario-{number % 3}", arm="pass", verdict="passed", exit_code=0, commit=f"{number // 9:040x}",
        machine="m1", cpu_model="Synthetic CPU", cluster="embedded", subject="fleet", harness="0.1.0", load_sha256="l1",
        results={ASKED: Value(rng.gauss(level, 2), "B")}
        | {f"metric.{index}": Value(rng.gauss(level, 2), "B") for index in range(1, METRICS)},
    )  # fmt: skip
