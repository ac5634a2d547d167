"""memory and oom: sums over processes, kills counted once, evidence kept, the end survived."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.collectors import procfs
from harness.collectors.memory import MemoryCollector
from harness.collectors.oom import OomCollector
from harness.core.errors import EnvironmentFault
from tests.collecting import FakeCgroup, ListSink, ProcessSubject, context

BUSY = """
import time
end = time.process_time() + 0.2
while time.process_time() < end: pass
print(1, flush=True)
time.sleep(60)
"""
HOLD = "import time; held = bytearray(b'x' * (64 << 20)); print('held', flush=True); time.sleep(60)"


def test_memory_of_a_real_process_up_to_its_death(tmp_path: Path) -> None:
    async def scenario() -> ListSink:
        sink = ListSink()
        with _started(HOLD) as process:
            cgroup = FakeCgroup()
            collector = MemoryCollector()
            subject = ProcessSubject(process, cgroup=cgroup)
            await collector.attach(context(sink, subject))
            await asyncio.sleep(0.25)
            kernel = _status(process.pid)
            assert sink.last("memory.rss") == pytest.approx(kernel["VmRSS"], rel=0.05)
            assert sink.last("memory.anon") == pytest.approx(kernel["RssAnon"], rel=0.05)
            process.kill()
            process.wait()
            cgroup.usage = 17
            before = len(sink.samples)
            await asyncio.sleep(0.25)
            assert len(sink.samples) == before, "nothing is written about a dead subject"
            cgroup.peak = 3 << 20
            cgroup.gone = True
            await collector.detach()
            await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert sink.values("memory.rss")[-1] > 64 << 20
    assert sink.last("memory.anon") > 64 << 20  # type: ignore[operator] # None would fail as well
    assert sink.values("memory.cgroup")[-1] == 1 << 20
    assert sink.values("memory.cgroup.peak") == [2 << 20], "the last peak read while the cgroup was there, written once"
    assert sink.values("memory.limit") == [64 << 20]
    assert sink.last("threads") == 1
    assert sink.last("fds") >= 3  # type: ignore[operator] # as above
    assert sink.values("cpu.seconds") == sorted(sink.values("cpu.seconds"))


def test_memory_sums_processes_and_keeps_the_cpu_time_of_those_gone() -> None:
    async def scenario() -> ListSink:
        sink = ListSink()
        with _started(BUSY) as one, _started(HOLD) as two:
            subject = ProcessSubject(two)
            subject.pids = lambda: [two.pid, one.pid, 4_000_000]  # type: ignore[method-assign] # the last is no process
            collector = MemoryCollector()
            await collector.attach(context(sink, subject))
            await asyncio.sleep(0.05)
            assert sink.last("threads") == 2
            one.kill()
            one.wait()
            collector.look()
            assert sink.last("threads") == 1
            await collector.detach()
            two.kill()
        return sink

    sink = asyncio.run(scenario())
    cpu = sink.values("cpu.seconds")
    assert cpu == sorted(cpu)
    assert cpu[-1] >= 0.2
    assert sink.values("memory.cgroup") == []


def test_zombies_and_names_with_brackets_are_read_right(tmp_path: Path) -> None:
    def process(pid: int, stat: str, statm: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(stat)
        (tmp_path / str(pid) / "statm").write_text(statm)

    rest = "1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 7 0 4242 0 0"
    process(5, f"5 (a) b (c)) S {rest}", "900 100 40 1 0 50 0")
    process(6, f"6 (zombie) Z {rest}", "0 0 0 0 0 0 0")
    use = procfs.read_process(5, tmp_path)
    page = os.sysconf("SC_PAGE_SIZE")
    assert use is not None
    assert (use.rss_bytes, use.anon_bytes, use.threads, use.started_ticks) == (100 * page, 60 * page, 7, 4242)
    assert use.cpu_s == 300 / os.sysconf("SC_CLK_TCK")
    assert procfs.read_process(6, tmp_path) is None
    assert procfs.read_process(7, tmp_path) is None
    assert set(procfs.children_of(1, tmp_path)) == {5, 6}


def test_each_kill_is_one_event_with_evidence() -> None:
    async def scenario() -> ListSink:
        sink, cgroup = ListSink(), FakeCgroup()
        cgroup.kills, cgroup.hits = 3, 100  # of another incarnation
        cgroup.members = [11, 12]
        collector = OomCollector()
        await collector.attach(context(sink, ProcessSubject(cgroup=cgroup)))
        await collector.phase_ended("load")
        cgroup.usage, cgroup.hits = 64 << 20, 150
        await collector.phase_ended("load")
        cgroup.kills, cgroup.members, cgroup.usage, cgroup.hits = 4, [12], 1 << 20, 160
        await collector.phase_ended("load")
        assert collector.kills == 1
        cgroup.kills, cgroup.members = 6, []  # two more at once, seen by the last look only
        await collector.detach()
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    kills = sink.of("oom_kill")
    assert [kill["number"] for kill in kills] == [1, 2, 3]
    first = kills[0]
    assert (first["counter_before"], first["counter_after"]) == (3, 4)
    assert (first["limit_hits_before"], first["limit_hits_after"]) == (150, 160)
    assert (first["usage_before_bytes"], first["limit_bytes"]) == (64 << 20, 64 << 20)
    assert first["pids_gone"] == [11]
    assert kills[1]["pids_gone"] == [12]
    assert sink.values("oom.kills")[0] == 0
    assert sink.last("oom.kills") == 3
    assert sink.last("oom.limit_hits") == 60


def test_counters_stand_when_the_cgroup_is_gone() -> None:
    async def scenario() -> ListSink:
        sink, cgroup = ListSink(), FakeCgroup()
        collector = OomCollector()
        await collector.attach(context(sink, ProcessSubject(cgroup=cgroup)))
        cgroup.kills = 1
        await collector.phase_ended("load")
        cgroup.gone = True
        await collector.phase_ended("load")
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert len(sink.of("oom_kill")) == 1
    assert sink.last("oom.kills") == 1


def test_no_cgroup_is_a_clear_error() -> None:
    with pytest.raises(EnvironmentFault, match=r"no memory cgroup of its own.*memory_limit"):
        asyncio.run(OomCollector().attach(context(ListSink(), ProcessSubject())))


def _started(program: str) -> subprocess.Popen[bytes]:
    """A Python process that has come to its first line of output."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith("kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def test_kills_and_peaks_over_incarnations() -> None:
    async def scenario() -> ListSink:
        sink, first, second = ListSink(), FakeCgroup(), FakeCgroup()
        subject = ProcessSubject(cgroup=first)
        oom, memory = OomCollector(), MemoryCollector()
        first.kills, first.hits = 3, 7
        run = context(sink, subject)
        await oom.attach(run)
        await memory.attach(run)
        await oom.phase_ended("load")
        memory.look()
        first.kills, first.hits, first.peak = 4, 10, 60 << 20  # after the last look at the first, before the restart
        second.kills, second.hits, second.peak = 1, 2, 40 << 20  # of a fresh cgroup: all of it counts
        subject.cgroup = second
        await oom.phase_ended("load")
        memory.look()
        assert oom.kills == 2
        second.kills = 2
        await oom.detach()
        await memory.detach()
        return sink

    sink = asyncio.run(scenario())
    assert [kill["number"] for kill in sink.of("oom_kill")] == [1, 2, 3]
    assert (sink.last("oom.kills"), sink.last("oom.limit_hits")) == (3, 5)
    assert sink.last("memory.cgroup.peak") == 60 << 20


class FakeCpu:
    """A CPU limit whose counters a test sets."""

    cpus = 0.5

    def __init__(self) -> None:
        self.seconds, self.periods = 0.0, 0

    def throttling(self) -> FakeCpu:
        return self


def test_throttling_and_pressure(tmp_path: Path) -> None:
    async def scenario() -> ListSink:
        sink, cgroup, first, second = ListSink(), FakeCgroup(), FakeCpu(), FakeCpu()
        cgroup.path = tmp_path
        (tmp_path / "cpu.pressure").write_text("some avg10=0.00 avg60=0.00 total=1500000\nfull avg10=0.00 total=7\n")
        subject = ProcessSubject(cgroup=cgroup, cpu=first)
        collector = MemoryCollector()
        await collector.attach(context(sink, subject))
        collector.look()
        first.seconds, first.periods = 2.0, 20
        subject.cpu, second.seconds, second.periods = second, 0.5, 5
        await collector.detach()
        return sink

    sink = asyncio.run(scenario())
    assert sink.values("cpu.throttled")[0] == 0
    assert (sink.last("cpu.throttled"), sink.last("cpu.throttled.periods")) == (2.5, 25)
    assert sink.last("pressure.cpu") == 1.5
    assert sink.values("pressure.memory") == []
