"""`python -m tests.soak.recorder DIRECTORY [LEAK]`: the recorder of a run, driven faster than time, in a process of its own.

Its witness is the one that every run has, the collector `host`, in the same process; so `overhead.rss.growth` and its like of the
record say what the recorder holds after many times the rows of a short run. A leak can be put into it, to see that they tell.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.collectors.host import HostCollector
from harness.core.clock import RunClock
from harness.core.sinks import PropagationRow, RequestRow
from harness.record.models import Phase, Run
from harness.record.writer import RecordWriter
from tests.bench.bigrecord import facts_of
from tests.collecting import ListSink, ProcessSubject, context

SECONDS = 120
"""Of run time, in each of which so many rows are recorded."""
SAMPLES, REQUESTS, EFFECTS = 1500, 200, 20
_LEAKED_BYTES = 400_000  # a second of run time
LEAKS = ("rows", "descriptors", "threads")


class FastClock(RunClock):
    """Run time that passes when it is told to."""

    second = 0

    def now_ns(self) -> int:
        """Nanoseconds of run time."""
        return FastClock.second * 1_000_000_000


def main(directory: Path, leak: str | None) -> None:
    """Record `SECONDS` of run time into `directory`."""
    asyncio.run(_record(directory, leak))


async def _record(directory: Path, leak: str | None) -> None:
    # One thread from the beginning: a pool that has not grown to its size grows when its threads are late.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    clock = FastClock()
    writer = RecordWriter(directory, clock)
    collector = HostCollector()
    collector._context = dataclasses.replace(context(ListSink(), ProcessSubject()), sink=writer, clock=clock)
    hold = _holding(leak)
    writer.phase = "churn-Secret"
    for second in range(SECONDS):
        FastClock.second = second
        _rows(writer, second)
        await asyncio.to_thread(writer.flush)  # as the flusher does, in a thread of the pool
        writer.event("phase", name=f"cycle-{second}", state="started")
        hold(second)
        await collector._take()
    await writer.close()
    phases = [
        Phase(
            name="churn-Secret", action="churn", kind="Secret", started_ns=0, ended_ns=SECONDS * 1_000_000_000,
            requested=SECONDS * REQUESTS, done=SECONDS * REQUESTS, failed=0,
        )
    ]  # fmt: skip
    run: Run = facts_of(phases, SECONDS)
    writer.save_run(run)


def _rows(writer: RecordWriter, second: int) -> None:
    at = second * 1_000_000_000
    for index in range(SAMPLES):
        labels = {"le": str(index % 12), "name": f"controller-{index // 12}"}
        writer.sample("metrics", "workqueue_bucket", float(second * index), labels, at + index)
    writer.requests(
        [
            RequestRow("churn-Secret", 0, 1, at, at + 1, at + 2, "create", "Secret", f"s-{second}-{each}", 201, None, 4000)
            for each in range(REQUESTS)
        ]
    )  # fmt: skip
    writer.propagation(
        [PropagationRow("flip", f"c-{second}", at, at + 1, at + 2, at + 3, "n", f"b-{each}") for each in range(EFFECTS)]
    )


def _holding(leak: str | None) -> Callable[[int], None]:
    """What is not given back, each second of run time."""
    held: list[Any] = []

    def rows(second: int) -> None:
        held.append([second] * (_LEAKED_BYTES // 8))

    def descriptors(_: int) -> None:
        held.append(os.open(os.devnull, os.O_RDONLY))

    def threads(second: int) -> None:
        if second % 10 == 0:
            thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
            thread.start()
            held.append(thread)

    return {None: lambda _: None, "rows": rows, "descriptors": descriptors, "threads": threads}[leak]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None)
