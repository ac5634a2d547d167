"""The machine the run shares, and what the harness itself costs: figures of a run are worth what these allow."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import ClassVar

from harness.collectors import procfs
from harness.collectors.base import Collector
from harness.collectors.sampling import GRID_S, Sampler, on_grid
from harness.core.handles import RunContext

INTERVAL_S = 1.0
_TICK_S = GRID_S
_TICKS = os.sysconf("SC_CLK_TCK")
_CHILDREN_EVERY = 5
_STEAL, _IDLE, _IOWAIT = 7, 3, 4
_USER_AND_SYSTEM = 8  # columns after these repeat time that is already counted in `user`


class HostCollector(Collector):
    """Samples CPU steal and use, pressure where the kernel tells, CPU and memory of harness and supervisors, and how many
    threads and descriptors the harness's own process has.

    The harness's direct children are its supervisors and its own tools; the load generator, the subject and the control
    plane are grandchildren and do not count. `host.pressure.*` is the share of the last second in which some task waited.
    `overhead.loop_lag` is how late a timer of the harness's event loop came at worst since the last sample: it bounds the
    error of client-side time stamps as long as the harness keeps up with its watches; what waits in a socket it does not see.
    """

    name: ClassVar[str] = "host"

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._round = 0
        self._children: list[int] = []
        self._cpu: dict[tuple[int, int], float] = {}
        self._pressure: dict[str, tuple[int, int]] = {}
        self._ticker: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._latest_s = 0.0

    async def attach(self, context: RunContext) -> None:
        self._context = context
        self._sampler.start()
        self._due_s = asyncio.get_running_loop().time()
        self._tick()

    async def detach(self) -> None:
        context, self._context = self._context, None
        if self._ticker is not None:
            self._ticker.cancel()
        await self._sampler.stop()
        if context is not None:
            self._sample(context)

    async def _take(self) -> None:
        if self._context is not None:
            self._sample(self._context)

    def _tick(self) -> None:
        """A bare timer: a task that sleeps costs several times as much, twenty times a second."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._latest_s = max(self._latest_s, now_s - self._due_s)
        self._due_s = on_grid(now_s + _TICK_S)
        self._ticker = loop.call_at(self._due_s, self._tick)

    def _sample(self, context: RunContext) -> None:
        sink, t_ns = context.sink, context.clock.now_ns()
        steal, busy = read_cpu(self._proc)
        sink.sample(self.name, "host.cpu.steal", steal, t_ns=t_ns)
        sink.sample(self.name, "host.cpu.busy", busy, t_ns=t_ns)
        for resource in ("cpu", "memory"):
            share = self._pressure_share(resource)
            if share is not None:
                sink.sample(self.name, f"host.pressure.{resource}", share, t_ns=t_ns)
        cpu, rss = self._overhead()
        sink.sample(self.name, "overhead.cpu", cpu, t_ns=t_ns)
        sink.sample(self.name, "overhead.rss", rss, t_ns=t_ns)
        own = procfs.read_process(os.getpid(), self._proc)
        if own is not None:
            sink.sample(self.name, "overhead.threads", own.threads, t_ns=t_ns)
        fds = procfs.count_fds(os.getpid(), self._proc)
        if fds is not None:
            sink.sample(self.name, "overhead.fds", fds, t_ns=t_ns)
        lag_s, self._latest_s = self._latest_s, 0.0
        sink.sample(self.name, "overhead.loop_lag", lag_s, t_ns=t_ns)

    def _pressure_share(self, resource: str) -> float | None:
        total = read_pressure_us(resource, self._proc)
        if total is None:
            return None
        now = time.monotonic_ns()
        before = self._pressure.get(resource)
        self._pressure[resource] = (now, total)
        if before is None or now == before[0]:
            return None
        return min(1.0, max(0.0, (total - before[1]) * 1000 / (now - before[0])))

    def _overhead(self) -> tuple[float, int]:
        if self._round % _CHILDREN_EVERY == 0:
            self._children = procfs.children_of(os.getpid(), self._proc)
        self._round += 1
        rss = 0
        for pid in (os.getpid(), *self._children):
            use = procfs.read_process(pid, self._proc)
            if use is not None:
                rss += use.rss_bytes
                self._cpu[use.pid, use.started_ticks] = use.cpu_s
        return sum(self._cpu.values()), rss


def read_cpu(proc: Path = Path("/proc")) -> tuple[float, float]:
    """Seconds of steal and of busy time (all but idle, iowait and steal) summed over the machine's CPUs since boot."""
    with (proc / "stat").open() as file:
        columns = [int(text) for text in file.readline().split()[1:]]
    steal = columns[_STEAL] if len(columns) > _STEAL else 0
    busy = sum(columns[:_USER_AND_SYSTEM]) - columns[_IDLE] - columns[_IOWAIT] - steal
    return steal / _TICKS, busy / _TICKS


def read_pressure_us(resource: str, proc: Path = Path("/proc")) -> int | None:
    """Microseconds since boot in which some task waited for `resource`; None where the kernel has no PSI."""
    try:
        text = (proc / "pressure" / resource).read_text()
    except OSError:  # no such file, or EOPNOTSUPP where it is built in but off
        return None
    for line in text.splitlines():
        if line.startswith("some "):
            return int(line.rsplit("total=", 1)[1])
    return None
