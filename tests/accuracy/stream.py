"""Latency at 5,000 watch events a second: the collector's stamps against the times at which the replay sent."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

from harness.cluster.pki import Authority
from harness.collectors.host import HostCollector
from harness.collectors.latency import LatencyCollector
from harness.core import kinds
from harness.core.clock import RunClock
from harness.core.handles import Expected, ProbeSpec, RunContext, Target
from harness.process import PIPE, spawn
from harness.record.reader import RunRecord
from harness.record.writer import RecordWriter
from tests.accuracy import replay
from tests.accuracy.quantiles import nearest_rank
from tests.accuracy.sheet import Row
from tests.collecting import NAMESPACE, RUN_ID, ProcessSubject

KIND = kinds.find("BundleDeployment")
PROBE, PHASE = "effect", "flip"
GOAL_S = 0.010
RATE = 5000.0
_DEADLINE_S = 120.0
_REPORT_EVERY_S = 0.1
"""As the load generator tells of its requests."""


async def measure(rate: float = RATE, seconds: float = 10.0, *, content: bool = False) -> list[Row]:
    """The error of each stamp (`seen_ns` minus the time of sending) over one replay."""
    count = int(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="harness-accuracy-") as name:
        sent, seen, lag_s = await _collect(Path(name), count, rate, content=content)
    errors = sorted((at - then) / 1e9 for at, then in zip(seen, sent, strict=True))
    spent = (sent[-1] - sent[0]) / 1e9
    what = "whole objects" if content else "metadata"
    how = f"seen_ns of the propagation rows minus the replay's own clock at sending; {count / spent:,.0f} events/s sent"

    def row(quantity: str, value: float, goal: float | None) -> Row:
        return Row(
            "latency", f"{quantity}, {what}, {rate:,.0f}/s", count, "seconds", None, None, value, "seconds", goal, how
        )

    return [
        row("stamp error p99", nearest_rank([abs(error) for error in errors], 0.99), GOAL_S),
        row("stamp error p50", nearest_rank([abs(error) for error in errors], 0.5), None),
        row("stamp error max", abs(errors[-1]), None),
        row("too early, most", max(0.0, -errors[0]), 0.0),
        row("overhead.loop_lag, highest", lag_s, None),
    ]


async def _collect(
    directory: Path, count: int, rate: float, *, content: bool
) -> tuple[Sequence[int], Sequence[int], float]:
    """When each event was sent and seen, both as monotonic ns, and the worst lag of the loop that the host collector saw."""
    authority = Authority(directory / "pki")
    authority.server("127.0.0.1")
    command = [sys.executable, "-m", "tests.accuracy.replay", str(directory / "pki")]
    command += ["--count", str(count), "--rate", str(rate), *(["--content"] if content else [])]
    child = await spawn(
        command, name="replay", env=dict(os.environ), cwd=Path(__file__).parents[2], stdin=PIPE, stdout=PIPE,
        stderr=directory / "replay.log",
    )  # fmt: skip
    clock = RunClock()
    record = directory / "record"
    writer = RecordWriter(record, clock)
    latency, host = LatencyCollector(), HostCollector()
    try:
        assert child.stdout is not None
        async with asyncio.timeout(_DEADLINE_S + 2 * count / rate):
            port = int(await child.stdout.readline())
            context = _context(
                writer, clock, authority.kubeconfig(f"https://127.0.0.1:{port}", "replay", "w"), count, content
            )
            writer.start()
            await host.attach(context)
            causing = asyncio.create_task(_cause(latency, clock, count, rate))
            await latency.attach(context)
            assert await child.stdout.readline() == b"sent\n"
            await causing
            while latency.missing():  # noqa: ASYNC110  # a plain value
                await asyncio.sleep(0.05)
            await host.detach()
            await latency.detach()
    finally:
        await child.stop(1.0)
        await writer.close()
    sent = array("q")
    sent.frombytes((directory / "pki" / replay.SENT).read_bytes())
    found = RunRecord(record)
    seen = dict(found.sql("SELECT name, seen_ns FROM propagation"))
    lag_s = found.sql("SELECT max(value) FROM samples WHERE metric = 'overhead.loop_lag'")[0][0]
    return sent, [seen[replay.NAME.format(index)] + clock.origin_ns for index in range(count)], float(lag_s)


def _context(writer: RecordWriter, clock: RunClock, kubeconfig: Path, count: int, content: bool) -> RunContext:
    names = [replay.NAME.format(index) for index in range(count)]
    targets = [Target(name, {"fleet.cattle.io/bundle-name": name}) for name in names]
    return RunContext(
        run_id=RUN_ID, namespace=NAMESPACE, run_dir=writer.directory, clock=clock, cluster=None,  # type: ignore[arg-type]
        subject=ProcessSubject(), sink=writer, watcher_kubeconfig=kubeconfig, kinds=[KIND],
        expected=[Expected(KIND, count, "replayed", {})],
        probes=[ProbeSpec(PROBE, PHASE, KIND, "Ready" if content else None, targets)],
    )  # fmt: skip


async def _cause(latency: LatencyCollector, clock: RunClock, count: int, rate: float) -> None:
    """Report the causes as the load generator would, in batches and at the pace of the events; all were sent at 0."""
    told = 0
    batch = max(1, int(rate * _REPORT_EVERY_S))
    while told < count:
        for index in range(told, min(count, told + batch)):
            latency.cause(PHASE, replay.NAME.format(index), 0, 0, 0)
        told += batch
        await asyncio.sleep(_REPORT_EVERY_S)
