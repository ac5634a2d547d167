"""Memory, CPU time, threads and descriptors of the subject, seen from outside by the kernel's own accounts.

RSS, anonymous memory and the cgroup's charge disagree for good reasons (mapped files, page cache, kernel memory), so all
three are kept. Values are sums over the subject's live processes. Of a subject in a pod the kubelet's samples are kept beside
them, and in their place where this machine does not see the node's processes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import ClassVar

from harness.collectors import procfs
from harness.collectors.base import Collector
from harness.collectors.kubelet import KubeletSeries
from harness.collectors.sampling import Sampler
from harness.core.handles import Cgroup, CpuLimit, RunContext

INTERVAL_S = 0.1
_SLOW_EVERY = 5
"""Rounds between looks at what costs more than all the rest: listing descriptors, once there are hundreds, and `memory.stat`."""


class MemoryCollector(Collector):
    """Samples `memory.rss`, `memory.anon`, `memory.cgroup`, `cpu.seconds` and `threads` ten times a second, and twice a second
    `fds` and `memory.file`, the page cache charged to the cgroup.

    With a CPU limit also `cpu.throttled` and `cpu.throttled.periods` (cumulative over incarnations); where the kernel counts the
    pressure of the cgroup (v2), `pressure.cpu` and `pressure.memory`: seconds in which some process of it waited, cumulative.

    `memory.cgroup.peak` is the kernel's own high mark, written at the end: it sees what lies between two samples. With
    `{incarnation}` it is of each, from 0: a restarted subject has a fresh cgroup.
    Of several replicas memory, threads and descriptors are those of the one that has the most at the moment, since each is
    limited by itself, and CPU time is the sum; `memory.rss`, `memory.anon` and `memory.cgroup` with `{replica}` are of each.

    At rest (`settle`) also `fds` with `{sort}`.

    After the subject's death nothing more is written, so the last samples are those of a living process.

    Of a pod also `memory.working_set`, by the kubelet, which looks about every ten seconds: an event tells how often it did.
    """

    name: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._cpu: dict[tuple[int, int], float] = {}
        self._peak: int | None = None
        self._own_peaks: list[int] = []
        self._cgroup: Cgroup | None = None
        self._pressures: list[str] = []
        """Of what the kernel tells the cgroup's pressure: nothing on v1, where ten times a second would ask for no file."""
        self._limit: CpuLimit | None = None
        self._throttled = (0.0, 0)
        self._throttled_before = (0.0, 0)
        self._round = 0
        self._rss: int | None = None
        self._sorts: set[str] = set()
        self._kubelet: KubeletSeries | None = None

    @property
    def rss_bytes(self) -> int | None:
        """The newest resident set, for live displays."""
        return self._rss

    async def attach(self, context: RunContext) -> None:
        self._context = context
        limit = context.subject.cgroup.limit_bytes if context.subject.cgroup else context.subject.memory_limit
        if limit is not None:
            context.sink.sample(self.name, "memory.limit", limit)
        self._sampler.start()
        if context.subject.stats is not None:
            self._kubelet = KubeletSeries(self.name, context)
            self._kubelet.start()

    async def settle(self) -> None:
        if self._kubelet is not None:
            await self._kubelet.take()
        if self._context is not None:
            self._sample_at_rest(self._context)

    def look(self) -> None:
        """One look at everything now: a short window must not depend on when the next one is due."""
        if self._context is not None:
            self._round = 0
            self._sample(self._context)

    async def restarting(self) -> None:
        await self._take()  # what the ending incarnation has used so far would else be that of other programs

    async def detach(self) -> None:
        context, self._context = self._context, None
        kubelet, self._kubelet = self._kubelet, None
        if kubelet is not None:
            await kubelet.stop()
        await self._sampler.stop()
        if context is None:
            return
        self._sample(context)
        if self._peak is not None:
            context.sink.sample(self.name, "memory.cgroup.peak", self._peak)
        for number, peak in enumerate(self._own_peaks):
            if peak == 0:  # the kernel did not tell
                continue
            context.sink.sample(self.name, "memory.cgroup.peak", peak, {"incarnation": str(number)})

    async def _take(self) -> None:
        if self._context is not None:
            self._sample(self._context)

    def _sample(self, context: RunContext) -> None:
        sink, t_ns = context.sink, context.clock.now_ns()
        usage = self._read_cgroup(context)
        self._sample_limits(context, t_ns)
        groups = [
            [use for pid in replica.pids() if (use := procfs.read_process(pid)) is not None]
            for replica in context.subject.replicas
        ]
        if not any(groups):
            return
        for use in (use for group in groups for use in group):
            self._cpu[use.pid, use.started_ticks] = use.cpu_s
        if len(groups) > 1:
            self._sample_replicas(context, groups, t_ns)
        self._rss = max(sum(use.rss_bytes for use in group) for group in groups)
        sink.sample(self.name, "memory.rss", self._rss, t_ns=t_ns)
        anon = max(sum(use.anon_bytes for use in group) for group in groups)
        sink.sample(self.name, "memory.anon", anon, t_ns=t_ns)
        if usage is not None:
            sink.sample(self.name, "memory.cgroup", usage, t_ns=t_ns)
        # What ended processes had used stays in the sum: the series is cumulative.
        sink.sample(self.name, "cpu.seconds", sum(self._cpu.values()), t_ns=t_ns)
        sink.sample(self.name, "threads", max(sum(use.threads for use in group) for group in groups), t_ns=t_ns)
        if self._round % _SLOW_EVERY == 0:
            self._sample_page_cache(context, t_ns)
            counts = [[procfs.count_fds(use.pid) for use in group] for group in groups]
            if any(count is not None for group in counts for count in group):
                sink.sample(self.name, "fds", max(sum(count or 0 for count in group) for group in counts), t_ns=t_ns)
        self._round += 1

    def _sample_at_rest(self, context: RunContext) -> None:
        """What belongs to a rest, whenever the next look is due: page cache of the cgroup, descriptors by sort."""
        self._sample_page_cache(context, context.clock.now_ns())
        sorts: Counter[str] = Counter(dict.fromkeys(self._sorts, 0))
        for pid in context.subject.pids():
            sorts.update(procfs.fd_sorts(pid))
        for sort, count in sorts.items():
            context.sink.sample(self.name, "fds", count, {"sort": sort})
        self._sorts |= set(sorts)

    def _sample_page_cache(self, context: RunContext, t_ns: int) -> None:
        cgroups = [replica.cgroup for replica in context.subject.replicas if replica.cgroup is not None]
        told = [file_bytes for each in cgroups if (file_bytes := read_page_cache(each.path)) is not None]
        if told:
            context.sink.sample(self.name, "memory.file", max(told), t_ns=t_ns)

    def _sample_replicas(self, context: RunContext, groups: list[list[procfs.ProcessUse]], t_ns: int) -> None:
        """What each replica has by itself; nothing of one that is being started again."""
        for number, (replica, group) in enumerate(zip(context.subject.replicas, groups, strict=True)):
            labels = {"replica": str(number)}
            if group:
                rss, anon = sum(use.rss_bytes for use in group), sum(use.anon_bytes for use in group)
                context.sink.sample(self.name, "memory.rss", rss, labels, t_ns)
                context.sink.sample(self.name, "memory.anon", anon, labels, t_ns)
            if replica.cgroup is not None:
                with contextlib.suppress(OSError):
                    context.sink.sample(self.name, "memory.cgroup", replica.cgroup.usage_bytes(), labels, t_ns)

    def _read_cgroup(self, context: RunContext) -> int | None:
        """Usage now; the peak is kept aside, as the cgroup may be gone by the time of detach."""
        cgroup = context.subject.cgroup
        if cgroup is None:
            return None
        if cgroup is not self._cgroup:  # restarted: the cgroup before may have grown since it was read last
            if self._cgroup is not None:
                self._read_peak(self._cgroup)
            self._cgroup = cgroup
            self._own_peaks.append(0)
            self._pressures = [each for each in ("cpu", "memory") if read_pressure_s(cgroup.path, each) is not None]
        self._read_peak(cgroup)
        with contextlib.suppress(OSError):
            return cgroup.usage_bytes()
        return None

    def _read_peak(self, cgroup: Cgroup) -> None:
        """The high mark of the incarnation that runs now, and of all."""
        with contextlib.suppress(OSError):
            if (peak := cgroup.peak_bytes()) is not None:
                self._peak = max(self._peak or 0, peak)
                self._own_peaks[-1] = max(self._own_peaks[-1], peak)

    def _sample_limits(self, context: RunContext, t_ns: int) -> None:
        """What the CPU limit and the kernel's pressure accounts tell."""
        sink, limit, cgroup = context.sink, context.subject.cpu, context.subject.cgroup
        if limit is not None:
            if limit is not self._limit:
                if self._limit is not None:
                    self._read_throttling(self._limit)
                self._throttled_before, self._limit = self._throttled, limit
            self._read_throttling(limit)
            sink.sample(self.name, "cpu.throttled", self._throttled[0], t_ns=t_ns)
            sink.sample(self.name, "cpu.throttled.periods", self._throttled[1], t_ns=t_ns)
        for resource in self._pressures:
            waited = None if cgroup is None else read_pressure_s(cgroup.path, resource)
            if waited is not None:
                sink.sample(self.name, f"pressure.{resource}", waited, t_ns=t_ns)

    def _read_throttling(self, limit: CpuLimit) -> None:
        with contextlib.suppress(OSError):
            now = limit.throttling()
            self._throttled = (self._throttled_before[0] + now.seconds, self._throttled_before[1] + now.periods)


def read_page_cache(cgroup: Path) -> int | None:
    """Bytes of files that are charged to a cgroup, which the kernel takes back when memory is short; None: it does not tell.

    It counts what is in a tmpfs or shared among them, which is memory like any other and not taken back: that is left out.
    """
    with contextlib.suppress(OSError, ValueError):
        told = dict(line.split(" ", 1) for line in (cgroup / "memory.stat").read_text().splitlines())
        for files, shared in (("total_cache", "total_shmem"), ("file", "shmem")):  # v1, v2
            if files in told:
                return max(int(told[files]) - int(told.get(shared, 0)), 0)
    return None


def read_pressure_s(cgroup: Path, resource: str) -> float | None:
    """Seconds in which some process of a cgroup waited for the resource; None where the kernel does not tell (v1, no PSI)."""
    try:
        text = (cgroup / f"{resource}.pressure").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("some "):
            return int(line.rsplit("total=", 1)[1]) / 1e6
    return None
