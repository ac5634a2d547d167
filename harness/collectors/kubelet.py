"""A pod's memory and CPU over time, as its kubelet tells.

It looks at its containers about every ten seconds, whoever asks how often: what lies between two of its samples, a kill's last
second say, nobody saw. So the record says how far apart they were.
"""

from __future__ import annotations

from datetime import datetime

from harness.collectors.sampling import Sampler
from harness.core.handles import RunContext

INTERVAL_S = 2.0
"""Between two questions: a sample is then known at most so long after it was taken."""


class KubeletSeries:
    """Samples `memory.working_set`; where this machine does not see the subject's processes, `memory.rss`, `memory.cgroup`
    and `cpu.seconds` too. Each is stamped with the kubelet's own time."""

    def __init__(self, source: str, context: RunContext) -> None:
        self._source = source
        self._context = context
        self._sampler = Sampler(f"{source}-kubelet", self.take, INTERVAL_S)
        self._times: list[datetime] = []
        self._failure: str | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._sampler.start()

    async def stop(self) -> None:
        """Stop, and tell how often the kubelet looked."""
        await self._sampler.stop()
        gaps = [(after - before).total_seconds() for before, after in zip(self._times, self._times[1:], strict=False)]
        self._context.sink.event(
            "kubelet_stats",
            samples=len(self._times),
            interval_s=round(sum(gaps) / len(gaps), 3) if gaps else None,
            longest_gap_s=max(gaps, default=None),
            stands_in=not self._seen(),
        )
        if self._failure is not None and not self._times:
            message = f"the kubelet told nothing of the subject's memory: {self._failure}"
            self._context.sink.event("warning", source=self._source, message=message)

    async def take(self) -> None:
        """Ask once, and write what is new."""
        stats, sink = self._context.subject.stats, self._context.sink
        if stats is None or self._context.subject.ending() is not None:
            return
        found = await stats.read()
        self._failure = stats.failure
        if found is None:
            return
        self._times.append(found.at)
        t_ns = self._context.clock.from_wall(found.at, self._context.cluster.clock)
        values: dict[str, float | None] = {"memory.working_set": found.working_set_bytes}
        if not self._seen():
            values |= {"memory.rss": found.rss_bytes, "memory.cgroup": found.usage_bytes, "cpu.seconds": found.cpu_s}
        for metric, value in values.items():
            if value is not None:
                sink.sample(self._source, metric, value, t_ns=t_ns)

    def _seen(self) -> bool:
        """Whether this machine sees the subject's processes, and samples them itself."""
        return self._context.subject.cgroup is not None
