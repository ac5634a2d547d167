"""Memory, CPU time, threads and descriptors of the subject, seen from outside by the kernel's own accounts.

RSS, anonymous memory and the cgroup's charge disagree for good reasons (mapped files, page cache, kernel memory), so all
three are kept. Values are sums over the subject's live processes.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

from harness.collectors import procfs
from harness.collectors.base import Collector
from harness.collectors.sampling import Sampler
from harness.core.handles import RunContext

INTERVAL_S = 0.1
_FDS_EVERY = 5  # listing descriptors costs more than all the rest once there are hundreds


class MemoryCollector(Collector):
    """Samples `memory.rss`, `memory.anon`, `memory.cgroup`, `cpu.seconds`, `threads` and `fds` ten times a second.

    `memory.cgroup.peak` is the kernel's own high mark, written at the end: it sees what lies between two samples.
    After the subject's death nothing more is written, so the last samples are those of a living process.
    """

    name: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._cpu: dict[tuple[int, int], float] = {}
        self._peak: int | None = None
        self._round = 0
        self._rss: int | None = None

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

    async def detach(self) -> None:
        context, self._context = self._context, None
        await self._sampler.stop()
        if context is None:
            return
        self._sample(context)
        if self._peak is not None:
            context.sink.sample(self.name, "memory.cgroup.peak", self._peak)

    async def _take(self) -> None:
        if self._context is not None:
            self._sample(self._context)

    def _sample(self, context: RunContext) -> None:
        sink, t_ns = context.sink, context.clock.now_ns()
        usage = self._read_cgroup(context)
        alive = [use for pid in context.subject.pids() if (use := procfs.read_process(pid)) is not None]
        if not alive:
            return
        for use in alive:
            self._cpu[use.pid, use.started_ticks] = use.cpu_s
        self._rss = sum(use.rss_bytes for use in alive)
        sink.sample(self.name, "memory.rss", self._rss, t_ns=t_ns)
        sink.sample(self.name, "memory.anon", sum(use.anon_bytes for use in alive), t_ns=t_ns)
        if usage is not None:
            sink.sample(self.name, "memory.cgroup", usage, t_ns=t_ns)
        # What ended processes had used stays in the sum: the series is cumulative.
        sink.sample(self.name, "cpu.seconds", sum(self._cpu.values()), t_ns=t_ns)
        sink.sample(self.name, "threads", sum(use.threads for use in alive), t_ns=t_ns)
        if self._round % _FDS_EVERY == 0:
            counts = [procfs.count_fds(use.pid) for use in alive]
            if any(count is not None for count in counts):
                sink.sample(self.name, "fds", sum(count or 0 for count in counts), t_ns=t_ns)
        self._round += 1

    def _read_cgroup(self, context: RunContext) -> int | None:
        """Usage now; the peak is kept aside, as the cgroup may be gone by the time of detach."""
        cgroup = context.subject.cgroup
        if cgroup is None:
            return None
        with contextlib.suppress(OSError):
            self._peak = max(filter(None, (self._peak, cgroup.peak_bytes())), default=None)
            return cgroup.usage_bytes()
        return None
