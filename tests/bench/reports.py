"""Benchmark `report`: verdict and page of a run with five million samples, as `harness report RUN --recompute` makes them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from harness.core.errors import RunFault
from harness.core.handles import Progress
from harness.process import Exit, spawn
from harness.record import parts
from harness.record.tables import TABLES
from tests.bench.bigrecord import SAMPLES, SECONDS, Amount
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet

CHECKOUT = Path(__file__).resolve().parents[2]
TIME = "verdict and report"
PEAK = "peak RSS of that"
_SHORTEST_S = 40
_BUILD_S, _REPORT_S = 900.0, 600.0


class ReportBenchmark:
    """Builds the record once; each round is a process of its own."""

    name = "report"
    title = f"the report of a run with {SAMPLES:,} samples"
    method = (
        f"rows from formulas (tests/bench/bigrecord.py: {SECONDS} s, some 1,400 series, 100 requests a second), written by "
        "harness.record.writer, every 2 s of run time a part, and closed by it; each round `harness report RUN --recompute` in a "
        "process of its own, from its start to its end; memory as the kernel tells it at the end"
    )
    rounds = 3
    share = 0.12
    headline = TIME

    def __init__(self, samples: int = SAMPLES) -> None:
        """`samples`: of the record; its run is as much shorter as they are fewer."""
        self._amount = Amount(samples, max(_SHORTEST_S, SECONDS * samples // SAMPLES))

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        await measure(self._amount, rounds, directory, progress, sheet)


async def measure(amount: Amount, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
    """Build a record of so much, then report it, round by round."""
    progress.step(f"report: making {amount.samples:,} samples")
    run = directory / "run"
    began = time.monotonic()
    made = await _child(
        ["-m", "tests.bench.bigrecord", str(run), str(amount.samples), str(amount.seconds)], directory, _BUILD_S
    )
    sheet.add("making the record (not the report)", "seconds", time.monotonic() - began)
    sheet.add("peak RSS of what records", "bytes", made.max_rss_bytes)
    left = {table: parts.parts_of(run / table) for table in TABLES}
    sheet.add("parts", "count", sum(map(len, left.values())))
    sheet.add("size of the tables", "bytes", sum(part.stat().st_size for found in left.values() for part in found))
    sheet.add("closing the record: its parts made into one", "seconds", float((run / "closing-seconds").read_text()))
    for number in rounds:
        progress.step(f"report: round {number} of {rounds.wanted}")
        began = time.monotonic()
        ended = await _child(["-m", "harness.cli.main", "report", str(run), "--recompute"], directory, _REPORT_S)
        sheet.add(TIME, "seconds", time.monotonic() - began)
        sheet.add("CPU of that", "seconds", ended.cpu_s)
        sheet.add(PEAK, "bytes", ended.max_rss_bytes)
        page = run / "report.html"
        if "Request latency" not in await asyncio.to_thread(page.read_text):
            sheet.problem(f"round {number}: the page has no chart of the requests")
        page.unlink()


async def _child(arguments: list[str], directory: Path, timeout_s: float) -> Exit:
    log = directory / "child.log"
    child = await spawn(
        [sys.executable, *arguments], name="bench-child", env=dict(os.environ), cwd=CHECKOUT, stdout=log, stderr=log
    )
    try:
        ended = await child.wait(timeout_s)
    except TimeoutError:
        raise RunFault(f"{arguments[1]} was not over after {timeout_s:.0f} s", place=str(log)) from None
    finally:
        await child.stop(1.0)
    if ended.code != 0:
        words = log.read_text(errors="replace").strip().splitlines()
        raise RunFault(
            f"{arguments[1]} ended with {ended.code}: {words[-1] if words else 'no message'}", place=str(log)
        )
    return ended
