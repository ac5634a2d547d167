"""The host's figures, and the pace of polling."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from harness.collectors import host
from harness.collectors.host import HostCollector
from harness.collectors.sampling import GRID_S, Sampler, Slices, on_grid
from harness.core.errors import RunFault
from tests.collecting import ListSink, ProcessSubject, context


def test_cpu_and_pressure_of_a_fake_proc(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 50 1000 20 5 5 30 40 0\ncpu0 1 2 3\n")
    steal, busy = host.read_cpu(tmp_path)
    assert (steal * host._TICKS, busy * host._TICKS) == (30, 170)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "cpu").write_text(
        "some avg10=1.00 avg60=0.5 avg300=0.1 total=123456\nfull avg10=0 total=7\n"
    )
    assert host.read_pressure_us("cpu", tmp_path) == 123456
    assert host.read_pressure_us("memory", tmp_path) is None


def test_host_samples_of_this_machine() -> None:
    async def scenario() -> ListSink:
        sink, collector = ListSink(), HostCollector()
        await collector.attach(context(sink, ProcessSubject()))
        await asyncio.sleep(0.1)
        time.sleep(0.2)  # noqa: ASYNC251  # a blocked event loop is what is to be seen
        await asyncio.sleep(0.01)
        await collector.detach()
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert max(sink.values("overhead.loop_lag")[1:]) > 0.1
    assert len(sink.values("host.cpu.busy")) >= 2
    assert sink.last("overhead.cpu") > 0  # type: ignore[operator] # None would fail as well
    assert sink.last("overhead.rss") > 1 << 20  # type: ignore[operator] # as above
    assert sink.last("overhead.threads") >= 1  # type: ignore[operator] # as above
    assert sink.last("overhead.fds") >= 3  # type: ignore[operator] # as above
    if Path("/proc/pressure/cpu").exists():
        assert 0 <= sink.values("host.pressure.cpu")[0] <= 1


def test_sampler_slows_down_when_a_call_is_dear() -> None:
    async def scenario() -> float:
        async def take() -> None:
            end = time.thread_time() + 0.005
            while time.thread_time() < end:
                pass

        sampler = Sampler("dear", take, 0.01, max_share=0.05)
        sampler.start()
        await asyncio.sleep(0.05)
        await sampler.stop()
        await sampler.stop()
        return sampler.interval_s

    assert asyncio.run(scenario()) >= 0.1


def test_the_grid_is_shared_and_never_before_the_moment() -> None:
    for interval in (0.1, 0.25, 1.0, 0.137):
        moment = 43210.987
        for _ in range(50):
            due = on_grid(moment + interval)
            assert moment + interval - 1e-6 <= due < moment + interval + GRID_S
            assert abs(due / GRID_S - round(due / GRID_S)) < 1e-5
            moment = due
    assert on_grid(on_grid(12.3) + 0.1) == pytest.approx(on_grid(12.3) + 0.1), "what is on the grid keeps its interval"


def test_sampler_that_fails_says_so_in_the_end() -> None:
    async def scenario() -> None:
        async def take() -> None:
            raise OSError("no such thing")

        sampler = Sampler("memory", take, 0.01)
        sampler.start()
        await asyncio.sleep(0.03)
        await sampler.stop()

    with pytest.raises(RunFault, match="memory: stopped early: OSError: no such thing"):
        asyncio.run(scenario())


def test_slices_let_others_run() -> None:
    async def scenario() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        slices = Slices(budget_s=0.0)
        for _ in range(100):
            await slices.pause()
        task.cancel()
        return turns

    assert asyncio.run(scenario()) >= 100
