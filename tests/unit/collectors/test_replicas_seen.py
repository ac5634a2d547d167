"""Two replicas as the collectors see them: each by itself, and one figure for both. Real processes and HTTP, fake cgroups."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from harness.collectors.memory import MemoryCollector
from harness.collectors.metrics import MetricsCollector
from harness.collectors.oom import OomCollector
from tests.collecting import FakeCgroup, ListSink, ProcessSubject, context

HOLD = "import sys, time; held = bytearray(b'x' * (int(sys.argv[1]) << 20)); print('held', flush=True); time.sleep(60)"


@contextmanager
def holding(mib: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(mib)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def both(*members: ProcessSubject, **parts: Any) -> ProcessSubject:
    subject = ProcessSubject(**parts)
    subject.replicas = list(members)
    subject.pids = lambda: [pid for each in members for pid in each.pids()]  # type: ignore[method-assign] # a fake
    return subject


def test_memory_is_of_the_one_with_the_most_and_cpu_of_both() -> None:
    async def check() -> ListSink:
        sink = ListSink()
        with holding(1) as small, holding(40) as large:
            small_cgroup, large_cgroup = FakeCgroup(), FakeCgroup()
            small_cgroup.usage, large_cgroup.usage = 3 << 20, 50 << 20
            members = [ProcessSubject(small, cgroup=small_cgroup), ProcessSubject(large, cgroup=large_cgroup)]
            whole = FakeCgroup()
            whole.usage = 50 << 20
            collector = MemoryCollector()
            await collector.attach(context(sink, both(*members, cgroup=whole)))
            await asyncio.sleep(0.3)
            large.kill()
            large.wait()
            await asyncio.sleep(0.3)
            await collector.detach()
        return sink

    sink = asyncio.run(check())
    whole, first, second = (sink.values("memory.rss", **labels) for labels in ({}, {"replica": "0"}, {"replica": "1"}))
    assert whole[0] == second[0] > first[0]
    assert second[0] > 40 << 20
    assert whole[-1] == first[-1]  # the other one is gone
    assert len(second) < len(first)
    assert (sink.last("memory.cgroup", replica="0"), sink.last("memory.cgroup")) == (3 << 20, 50 << 20)
    assert sink.values("cpu.seconds") == sorted(sink.values("cpu.seconds"))  # what it used stays in the sum


def test_a_kill_says_whose_it_was() -> None:
    async def check() -> ListSink:
        sink = ListSink()
        cgroups = [FakeCgroup(), FakeCgroup()]
        whole = FakeCgroup()
        members = [ProcessSubject(cgroup=each) for each in cgroups]
        collector = OomCollector()
        await collector.attach(context(sink, both(*members, cgroup=whole)))
        cgroups[1].kills = whole.kills = 1
        await collector.phase_ended("x")
        await collector.detach()
        return sink

    sink = asyncio.run(check())
    assert [event["replica"] for event in sink.of("oom_kill")] == [1]
    assert sink.last("oom.kills") == 1


@asynccontextmanager
async def page(numbers: dict[str, int]) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        if numbers.get("down"):
            return web.Response(status=503)
        return web.Response(
            text=f"workqueue_depth {numbers['depth']}\ncontroller_runtime_reconcile_total {numbers['done']}\n"
            f"go_goroutines {numbers['tasks']}\n"
        )

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


def test_queues_and_reconciles_of_both_and_over_their_incarnations() -> None:
    async def check() -> ListSink:
        sink, collector = ListSink(), MetricsCollector()
        leader = {"depth": 3, "done": 40, "tasks": 90}
        standby = {"depth": 0, "done": 0, "tasks": 10}
        async with page(leader) as first, page(standby) as second:
            members = [ProcessSubject(metrics_url=first), ProcessSubject(metrics_url=second)]
            await collector.attach(context(sink, both(*members, metrics_url=first)))
            await collector.settle()
            assert [sink.last(name) for name in ("queue.depth", "reconciles.total", "tasks")] == [3, 40, 100]
            leader["down"] = 1  # killed: what waited in it waits no more, what it has done stays done
            standby.update(depth=1, done=7)
            await collector.phase_started("failover")
            await collector.settle()
            assert [sink.last(name) for name in ("queue.depth", "reconciles.total", "tasks")] == [1, 47, 10]
            members[0].started_ns = 5  # the next incarnation of the first counts from zero
            leader.update(down=0, depth=0, done=2)
            await collector.phase_ended("failover")
            await collector.settle()
            assert sink.last("reconciles.total") == 49
            await collector.detach()
        return sink

    sink = asyncio.run(check())
    assert sink.last("controller_runtime_reconcile_total", replica="1") == 7
    assert sink.last("controller_runtime_reconcile_total") is None
