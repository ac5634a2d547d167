"""What a process has and does, by its own account, against the collectors memory, tasks and host."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.collectors.host import HostCollector
from harness.collectors.memory import MemoryCollector
from harness.collectors.tasks import TasksCollector
from harness.core.handles import Launch, PythonRuntime
from harness.core.ids import new_run_id
from harness.subject.process import ProcessSubject, start
from harness.subject.readiness import Ready
from tests.accuracy import known
from tests.accuracy.sheet import Row
from tests.collecting import ListSink, context

LIMIT = 256 << 20
_TIMEOUT_S = 60.0
_REST_S = 1.5
"""Longer than any collector's interval."""
_JUDGED = ("memory.anon", "memory.rss", "memory.cgroup", "threads", "fds", "tasks", "cpu.seconds")
_SAMPLES = 4


async def measure(detail: Callable[[str], None]) -> list[Row]:
    """One process; before and after it got what it is known to have."""
    detail("process: memory, threads, descriptors, CPU, tasks, a blocked loop")
    with tempfile.TemporaryDirectory(prefix="harness-accuracy-") as name:
        sink = ListSink()
        order = Launch(
            run_id=new_run_id(), run_dir=Path(name), clock=sink.clock, sink=sink,
            command=[sys.executable, str(Path(known.__file__))], env=dict(os.environ), runtime="python",
            python=PythonRuntime(Path(sys.executable), (sys.version_info[0], sys.version_info[1])),
        )  # fmt: skip
        tasks, memory, host = TasksCollector(), MemoryCollector(), HostCollector()
        await tasks.prepare(order)
        async with asyncio.timeout(_TIMEOUT_S):
            subject = await start(
                order, kubeconfig=Path(name) / "kubeconfig", user="u", namespace="n", memory_limit=LIMIT,
                ready=Ready(log="^ready$"),
            )  # fmt: skip
            try:
                for collector in (tasks, memory, host):
                    await collector.attach(context(sink, subject))
                before, after, truth, blocked_s = await _watch(subject, sink)
            finally:
                for collector in (tasks, memory, host):
                    await collector.detach()
                await subject.stop(0)
    return _rows(sink, before, after, truth, blocked_s)


async def _watch(
    subject: ProcessSubject, sink: ListSink
) -> tuple[dict[str, float], dict[str, float], dict[str, Any], float]:
    """Samples at rest before and after, the truth, and how long the harness's own loop was blocked on purpose."""
    before = await _at_rest(sink)
    os.kill(subject.pid, signal.SIGUSR1)
    said: list[str] = []
    while not said:
        await asyncio.sleep(0.05)
        said = [line for line in subject.log.read_text().splitlines() if line.startswith("{")]
    after = await _at_rest(sink)
    began = time.monotonic()
    time.sleep(known.BLOCK_S)  # noqa: ASYNC251  # the harness's loop, for the host collector to see
    blocked_s = time.monotonic() - began
    await asyncio.sleep(_REST_S)
    return before, after, json.loads(said[0]), blocked_s


async def _at_rest(sink: ListSink) -> dict[str, float]:
    """The least of some samples from now on: more is what looks cost the process, as a descriptor while they are counted."""
    begin = len(sink.samples)
    while True:
        values: dict[str, list[float]] = {metric: [] for metric in _JUDGED}
        for sample in sink.samples[begin:]:
            if not sample.labels and sample.metric in values:
                values[sample.metric].append(sample.value)
        if min(map(len, values.values())) >= _SAMPLES:
            return {metric: min(each) for metric, each in values.items()}
        await asyncio.sleep(0.05)


def _rows(
    sink: ListSink, before: dict[str, float], after: dict[str, float], truth: dict[str, Any], blocked_s: float
) -> list[Row]:
    how = "a process that says what it has; samples after minus samples before"

    def grown(collector: str, metric: str, true: int) -> Row:
        measured = after[metric] - before[metric]
        return Row(collector, f"{metric}, growth", 1, "count", true, measured, abs(measured - true), "count", 0, how)

    def held(metric: str) -> Row:
        measured, true = after[metric] - before[metric], truth["bytes"]
        return Row(
            "memory", f"{metric}, growth", 1, "bytes", true, measured, abs(measured / true - 1), "ratio", 0.03, how
        )

    def seconds(collector: str, metric: str, true: float, measured: float, goal: float, what: str) -> Row:
        return Row(collector, metric, 1, "seconds", true, measured, abs(measured - true), "seconds", goal, what)

    return [
        *(held(metric) for metric in ("memory.anon", "memory.rss", "memory.cgroup")),
        grown("memory", "threads", known.THREADS),
        grown("memory", "fds", truth["fds"]),
        grown("tasks", "tasks", truth["tasks"]),
        seconds("memory", "cpu.seconds", truth["cpu_s"], after["cpu.seconds"], 0.05,
                "CLOCK_PROCESS_CPUTIME_ID of the process against /proc, which counts in ticks of 10 ms"),
        seconds("tasks", "loop.lag, highest", truth["blocked_s"], max(sink.values("loop.lag")), 0.12,
                "its loop was blocked once; a probe is sent every 100 ms"),
        seconds("host", "overhead.loop_lag, highest", blocked_s, max(sink.values("overhead.loop_lag")), 0.05,
                "the harness's loop was blocked once; its timer comes every 50 ms"),
    ]  # fmt: skip
